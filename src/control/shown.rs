//! From the model to the wire: how things are shown on the control socket.

use super::wire;
use crate::clock::Timestamp;
use crate::model::alert::Alert;
use crate::model::breaker::BreakerState;
use crate::model::command::{Answer, Refusal, Scaled, TaskView, Waited};
use crate::model::id::PoolId;
use crate::model::message::{Message, Status, Thread};
use crate::model::pool::{Health, PoolStatus, PoolView, WorkerView};
use crate::model::task::{self, Reason, Task, TaskInput, TaskResult};
use crate::model::watch::Watch;
use crate::ports::{HookRun, HookView, Module, Page};
use serde_json::Value;

pub(super) fn error(refusal: &Refusal) -> wire::Error {
    wire::Error {
        code: refusal.code.as_str().to_owned(),
        message: refusal.message.clone(),
        retry_after_ms: refusal.retry_after_ms,
    }
}

pub(super) fn watch(watch: &Watch) -> wire::Watch {
    wire::Watch {
        message_id: watch.message_id.as_ref().map(ToString::to_string),
        thread_id: watch.thread_id.as_ref().map(ToString::to_string),
        source_module: watch.source.as_ref().map(ToString::to_string),
        target_module: watch.target.as_ref().map(ToString::to_string),
        status: watch.status.to_string(),
        task_id: watch.task_id.as_ref().map(ToString::to_string),
        added_at: watch.added_at.to_string(),
        updated_at: watch.updated_at.to_string(),
        expires_at: time(watch.expires_at),
    }
}

pub(super) fn watches(page: &Page<Watch>) -> wire::Watches {
    wire::Watches { messages: page.rows.iter().map(watch).collect(), next: page.next }
}

pub(super) fn waited(waited: Waited) -> wire::Waited {
    let status = waited.status.as_ref().map_or("removed", Status::as_str).to_owned();
    wire::Waited { id: waited.name, status, seq: waited.seq }
}

/// Foreign metadata that is no JSON is shown as the string it is.
pub(super) fn json(text: Option<String>) -> Option<Value> {
    text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(super) fn message(message: Message) -> wire::Message {
    wire::Message {
        message_id: message.id.to_string(),
        thread_id: message.thread_id.to_string(),
        thread_title: message.thread_title,
        module: message.module.to_string(),
        target_module: message.target.map(|target| target.to_string()),
        r#type: message.kind,
        status: message.status.to_string(),
        timestamp: message.at.to_string(),
        content: message.content,
        content_truncated: message.truncated,
        error: message.error,
        metadata: json(message.metadata),
    }
}

pub(super) fn thread(thread: Thread) -> wire::Thread {
    wire::Thread {
        thread_id: thread.id.to_string(),
        title: thread.title,
        modules: thread.modules.iter().map(ToString::to_string).collect(),
        metadata: json(thread.metadata),
        created_at: thread.created_at.to_string(),
        messages: thread.messages,
    }
}

pub(super) fn module(module: &Module) -> wire::Module {
    wire::Module {
        name: module.name.to_string(),
        directory: module.directory.clone(),
        added_at: module.added_at.to_string(),
    }
}

pub(super) fn answer(answer: Answer) -> wire::Answer {
    wire::Answer {
        success: answer.status == Status::Complete,
        thread_id: answer.thread.to_string(),
        question_msg_id: answer.question.to_string(),
        response_msg_id: answer.response.to_string(),
        task_id: answer.task.to_string(),
        content: answer.content.map(|content| content.to_string()),
        content_truncated: answer.truncated,
        error: answer.error.map(|error| error.to_string()),
        final_status: answer.status.to_string(),
    }
}

pub(super) fn pool(view: &PoolView) -> wire::Pool {
    let row = &view.row;
    wire::Pool {
        pool_id: row.id.to_string(),
        status: row.status.as_str().to_owned(),
        running: row.status == PoolStatus::Running,
        health: view.health().as_str().to_owned(),
        circuit_breaker: breaker(view).as_str().to_owned(),
        held_until: time(view.hold.map(|hold| hold.until_wall)),
        held_because: held_because(view),
        group: row.group.clone(),
        executor: row.executor.as_str().to_owned(),
        command: row.command.clone(),
        dir: row.directory.clone(),
        env: row.environment.keys().cloned().collect(),
        on_stuck: row.on_stuck.as_str().to_owned(),
        workers_count: view.workers.len(),
        queue_size: view.queue_size,
        queue_max: row.queue_max,
        tasks_running: view.running,
        tasks_submitted: row.submitted,
        tasks_completed: row.completed,
        tasks_failed: row.failed,
        success_rate: row.success_rate(),
        timeout_seconds: row.timeout.as_secs_f64(),
        created_at: row.created_at.to_string(),
        started_at: time(row.started_at),
        workers: workers(view),
    }
}

pub(super) fn pool_health(view: &PoolView) -> wire::PoolHealthReport {
    wire::PoolHealthReport {
        pool_id: view.row.id.to_string(),
        status: view.health().as_str().to_owned(),
        workers_healthy: view.workers_healthy(),
        workers_total: view.workers.len(),
        circuit_breaker: breaker(view).as_str().to_owned(),
        held_until: time(view.hold.map(|hold| hold.until_wall)),
        held_because: held_because(view),
        worker_health: workers(view),
    }
}

/// More of an error is not repeated with every pool.
const HELD_BECAUSE_CHARS_MAX: usize = 300;

fn held_because(view: &PoolView) -> Option<String> {
    let error = view.last_error.as_ref().filter(|_| view.hold.is_some())?;
    Some(match error.char_indices().nth(HELD_BECAUSE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &error[..end]),
        None => error.to_string(),
    })
}

fn breaker(view: &PoolView) -> BreakerState {
    view.hold.map_or(BreakerState::Closed, |hold| hold.state)
}

pub(super) fn all_health(views: &[PoolView]) -> wire::ManagerHealth {
    wire::ManagerHealth {
        // Who answers is running.
        pool_manager_running: true,
        pools_total: views.len(),
        pools_healthy: views.iter().filter(|view| view.health() == Health::Healthy).count(),
        pool_details: views.iter().map(pool_health).collect(),
    }
}

pub(super) fn scaled(scaled: &Scaled) -> wire::Scaled {
    let names = |pools: &[PoolId]| pools.iter().map(PoolId::to_string).collect();
    wire::Scaled {
        group: scaled.group.clone(),
        automatic: scaled.rule.as_ref().map(|rule| wire::Automatic {
            min_pools: rule.pools_min,
            max_pools: rule.pools_max,
            scale_up_queue: rule.up_queue,
            scale_down_idle_seconds: rule.down_idle.as_secs_f64(),
        }),
        started: names(&scaled.started),
        drained: names(&scaled.drained),
        pools: scaled.members.iter().map(pool).collect(),
    }
}

pub(super) fn alert(alert: &Alert) -> wire::Alert {
    wire::Alert {
        rule: alert.rule.to_string(),
        metric: alert.metric.to_string(),
        labels: (*alert.labels).clone(),
        value: alert.value,
        bound: alert.bound.as_str().to_owned(),
        threshold: alert.bound.threshold(),
        since: alert.since.to_string(),
        raised_at: alert.raised_at.to_string(),
    }
}

pub(super) fn hook(hook: HookView) -> wire::Hook {
    let run = |run: HookRun| wire::HookRun {
        started_at: run.at.to_string(),
        duration_ms: u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX),
        outcome: run.outcome.as_str().to_owned(),
        error: run.error,
    };
    wire::Hook {
        name: hook.name,
        command: hook.command,
        state: hook.state.as_str().to_owned(),
        seq: hook.seq,
        behind: hook.behind,
        last_run: hook.last.map(run),
    }
}

fn workers(view: &PoolView) -> Vec<wire::Worker> {
    view.workers.iter().map(|worker| self::worker(view, worker)).collect()
}

fn worker(pool: &PoolView, worker: &WorkerView) -> wire::Worker {
    wire::Worker {
        worker_id: task::worker_id(&pool.row.id, worker.slot),
        pool_id: pool.row.id.to_string(),
        running: pool.staffed,
        healthy: worker.healthy,
        status: worker.status.to_owned(),
        tasks_processed: worker.processed(),
        tasks_succeeded: worker.succeeded,
        tasks_failed: worker.failed,
        success_rate: worker.success_rate(),
        avg_processing_time: worker.seconds_mean(),
        total_processing_time: worker.busy_for.as_secs_f64(),
        last_activity: time(worker.last_activity),
    }
}

pub(super) fn task(task: &Task, input: Option<TaskInput>, outcome: TaskResult) -> wire::Task {
    let (prompt, context, dir) = match input {
        // Where they are shown at all, they are shown as null when there is none.
        Some(input) => (Some(input.prompt), Some(json(input.context).unwrap_or_default()), Some(input.directory)),
        None => (None, None, None),
    };
    wire::Task {
        task_id: task.id.to_string(),
        pool_id: task.pool.to_string(),
        worker_id: task.worker_id(),
        not_before: time(task.not_before),
        status: task.status.as_str().to_owned(),
        reason: task.reason.map(|reason| Reason::as_str(reason).to_owned()),
        prompt,
        context,
        dir,
        result: outcome.result.map(|result| result.to_string()),
        result_truncated: outcome.truncated,
        error: outcome.error.map(|error| error.to_string()),
        exit_code: task.exit_code,
        exit_signal: task.exit_signal,
        attempt: task.attempt,
        retries: task.retries_max,
        crashes: task.crashes,
        priority: task.priority,
        timeout_seconds: task.timeout.as_secs_f64(),
        on_crash: task.on_crash.as_str().to_owned(),
        key: task.key.clone(),
        lock: task.lock.clone(),
        workflow_id: task.step.as_ref().map(|step| step.workflow.to_string()),
        step: task.step.as_ref().map(|step| format!("{}.{}", step.stage, step.name)),
        after: None,
        pid: task.process.as_ref().map(|process| process.pid),
        usage: json(outcome.usage),
        created_at: task.created_at.to_string(),
        started_at: time(task.started_at),
        completed_at: time(task.completed_at),
        duration_seconds: task.duration().map(|duration| duration.as_secs_f64()),
    }
}

pub(super) fn task_view(view: TaskView) -> wire::Task {
    task(&view.task, None, view.outcome)
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
