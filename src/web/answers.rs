//! What requests are answered with: lists and states without contents, contents one by one, and what came of an act.

use super::query::{Query, Topic};
use super::work::{Desk, unexpected};
use crate::clock::Timestamp;
use crate::model::alert::Alert;
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::id::{MessageId, PoolId, TaskId, WorkflowId};
use crate::model::message::{Message, Status};
use crate::model::pool::PoolView;
use crate::model::task::{Task, TaskStatus, worker_id};
use crate::model::upstream::Upstream;
use crate::model::watch::{Watch, WatchFilter};
use crate::model::workflow;
use crate::ports::{MessageFilter, ReadError, Reader, TaskFilter, WorkflowDetail, WorkflowFilter};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Names that are told to whoever asks for one that is not there.
const KNOWN_MAX: usize = 50;
/// Messages and running tasks in a list, each with a line of its own.
const ROWS_MAX: usize = 200;
/// Tasks and workflows that are listed whether they have ended or not; of each the newest.
const NEWEST_MAX: usize = 50;
/// More of a text is not sent; the command line has the rest.
const CONTENT_BYTES_MAX: usize = 1 << 20;

type Slot = Option<Box<dyn Reader>>;

impl Desk {
    pub(super) fn answer(&self, query: &Query, slot: &mut Slot) -> Result<Value, Refusal> {
        let id = query.id.as_str();
        match query.topic {
            Topic::PoolStatus => self.pool_status(id),
            Topic::WorkflowStatus => Ok(workflow_status(id, self.reader(slot)?)?),
            Topic::Pools => {
                let pools = self.pools()?;
                let shown = |view: &PoolView| pool_shown(view.row.id.as_str(), view);
                Ok(json!({"pools": pools.iter().map(shown).collect::<Vec<Value>>()}))
            }
            Topic::Tasks => Ok(tasks(self.reader(slot)?)?),
            Topic::Messages => Ok(messages(self.reader(slot)?)?),
            Topic::Workflows => Ok(workflows(self.reader(slot)?)?),
            Topic::Upstreams => {
                Ok(json!({"upstreams": self.upstreams()?.iter().map(upstream_shown).collect::<Vec<Value>>()}))
            }
            Topic::Alerts => Ok(json!({"alerts": self.alerts()?.iter().map(alert_shown).collect::<Vec<Value>>()})),
            Topic::Message => message(id, self.reader(slot)?),
            Topic::Task => task(id, self.reader(slot)?),
            Topic::PausePool => self.act(Command::PausePool { id: pool_id(id) }),
            Topic::ResumePool => self.act(Command::ResumePool { id: pool_id(id) }),
            Topic::CancelTask => self.act(Command::CancelTask { id: TaskId::new(id) }),
            Topic::RetryTask => self.act(Command::RetryTask { id: TaskId::new(id) }),
        }
    }

    fn act(&self, command: Command) -> Result<Value, Refusal> {
        match self.ask(command)? {
            Reply::Pool(view) => Ok(pool_shown(view.row.id.as_str(), &view)),
            Reply::Task(view) => Ok(task_shown(&view.task)),
            Reply::Submitted { task, pool, status, .. } => {
                Ok(json!({"task_id": task.as_str(), "pool_id": pool.as_str(), "status": status.as_str()}))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn pool_status(&self, text: &str) -> Result<Value, Refusal> {
        match self.ask(Command::ShowPool { id: pool_id(text) }) {
            Ok(Reply::Pool(view)) => {
                let mut shown = pool_shown(text, &view);
                if let Reply::Status { hub, .. } = self.ask(Command::Status)? {
                    shown["degraded"] = json!(hub.degraded);
                }
                Ok(shown)
            }
            Ok(other) => Err(unexpected(&other)),
            Err(refusal) if refusal.code == Code::NotFound => {
                let pools = self.pools()?;
                let known: Vec<&str> = pools.iter().map(|view| view.row.id.as_str()).take(KNOWN_MAX).collect();
                Ok(json!({"pool_id": text, "status": "not_found", "known": known}))
            }
            Err(refusal) => Err(refusal),
        }
    }
}

/// What the original calls its local pool is ours too.
fn pool_id(text: &str) -> PoolId {
    PoolId::new(if text == "pool_local" { "local" } else { text })
}

fn text_of(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// All that run, and the newest whatever became of them.
fn tasks(reader: &mut dyn Reader) -> Result<Value, ReadError> {
    let running = TaskFilter { status: Some(TaskStatus::Running), rows_max: ROWS_MAX, ..TaskFilter::default() };
    let mut rows = reader.tasks(&running)?.rows;
    let newest = reader.tasks(&TaskFilter { rows_max: NEWEST_MAX, ..TaskFilter::default() })?.rows;
    rows.extend(newest.into_iter().filter(|task| task.status != TaskStatus::Running));
    rows.sort_by_key(|task| Reverse(task.seq));
    Ok(json!({"tasks": rows.iter().map(task_shown).collect::<Vec<Value>>()}))
}

fn task_shown(task: &Task) -> Value {
    json!({
        "task_id": task.id.as_str(),
        "pool_id": task.pool.as_str(),
        "worker_id": task.worker_id(),
        "status": task.status.as_str(),
        "reason": task.reason.map(|reason| reason.as_str()),
        "priority": task.priority,
        "attempt": task.attempt,
        "exit_code": task.exit_code,
        "cancel_requested": task.cancel_requested,
        "workflow_id": task.step.as_ref().map(|step| step.workflow.as_str()),
        "created_at": task.created_at.to_string(),
        "started_at": text_of(task.started_at),
        "completed_at": text_of(task.completed_at),
    })
}

/// Those that are pending or processing, and whatever else is watched and has not ended.
fn messages(reader: &mut dyn Reader) -> Result<Value, ReadError> {
    let mut rows = Vec::new();
    for status in [Status::Pending, Status::Processing] {
        let filter = MessageFilter { status: Some(status), rows_max: ROWS_MAX, ..MessageFilter::default() };
        rows.extend(reader.messages(&filter)?.rows);
    }
    rows.sort_by_key(|message| Reverse(message.at));
    let watches = reader.watches(WatchFilter::Active, None, ROWS_MAX)?.rows;
    let watch_of = |id: &MessageId| watches.iter().find(|watch| watch.message_id.as_ref() == Some(id));
    let is_listed = |watch: &&Watch| rows.iter().any(|row| watch.message_id.as_ref() == Some(&row.id));
    let others = watches.iter().filter(|watch| !is_listed(watch)).map(watch_shown);
    let shown: Vec<Value> = rows.iter().map(|row| message_shown(row, watch_of(&row.id))).chain(others).collect();
    Ok(json!({"messages": shown}))
}

fn message_shown(message: &Message, watch: Option<&Watch>) -> Value {
    json!({
        "message_id": message.id.as_str(),
        "task_id": watch.and_then(|watch| watch.task_id.as_ref()).map(|id| id.as_str()),
        "thread_id": message.thread_id.as_str(),
        "source_module": message.module.as_str(),
        "target_module": message.target.as_ref().map(|name| name.as_str()),
        "type": message.kind,
        "status": message.status.as_str(),
        "content_length": message.content.chars().count(),
        "timestamp": message.at.to_string(),
        "watched": watch.is_some(),
        "expires_at": text_of(watch.and_then(|watch| watch.expires_at)),
    })
}

fn watch_shown(watch: &Watch) -> Value {
    json!({
        "message_id": watch.message_id.as_ref().map(|id| id.as_str()),
        "task_id": watch.task_id.as_ref().map(|id| id.as_str()),
        "thread_id": watch.thread_id.as_ref().map(|id| id.as_str()),
        "source_module": watch.source.as_ref().map(|name| name.as_str()),
        "target_module": watch.target.as_ref().map(|name| name.as_str()),
        "type": null,
        "status": watch.status.as_str(),
        "content_length": null,
        "timestamp": watch.added_at.to_string(),
        "watched": true,
        "expires_at": text_of(watch.expires_at),
    })
}

fn workflows(reader: &mut dyn Reader) -> Result<Value, ReadError> {
    let page = reader.workflows(&WorkflowFilter { rows_max: NEWEST_MAX, ..WorkflowFilter::default() })?;
    let mut shown = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        shown.extend(reader.workflow(&row.id)?.as_ref().map(workflow_shown));
    }
    Ok(json!({"workflows": shown}))
}

/// Without what the server said: that may be contents.
fn upstream_shown(upstream: &Upstream) -> Value {
    let last = upstream.last.as_ref();
    json!({
        "upstream": upstream.row.name.as_str(),
        "enabled": upstream.row.enabled,
        "polling": upstream.row.polling,
        "healthy": upstream.is_healthy(),
        "circuit_breaker": upstream.breaker.as_str(),
        "poll_cycles": last.map_or(0, |report| report.cycle),
        "error_count": last.map_or(0, |report| report.failures),
        "last_poll": last.map(|report| report.at.to_string()),
        "next_poll": text_of(upstream.next_poll_at),
        "metrics_collected": last.map_or(0, |report| report.metrics.len()),
    })
}

/// As the event that told it.
fn alert_shown(alert: &Alert) -> Value {
    json!({
        "rule": &*alert.rule,
        "metric": &*alert.metric,
        "labels": &*alert.labels,
        "value": alert.value,
        "bound": alert.bound.as_str(),
        "threshold": alert.bound.threshold(),
        "since": alert.since.to_string(),
    })
}

fn message(id: &str, reader: &mut dyn Reader) -> Result<Value, Refusal> {
    let found = reader.message(&MessageId::new(id))?;
    let message = found.ok_or_else(|| Refusal::not_found(format!("there is no message {id}")))?;
    let (content, is_cut) = cut(&message.content);
    let watch = reader.watch(id)?;
    let mut shown = message_shown(&message, watch.as_ref().filter(|watch| watch.is_active()));
    shown["thread_title"] = json!(message.thread_title);
    shown["content"] = json!(content);
    shown["truncated"] = json!(message.truncated || is_cut);
    shown["error"] = json!(message.error);
    Ok(shown)
}

fn task(id: &str, reader: &mut dyn Reader) -> Result<Value, Refusal> {
    let found = reader.task(&TaskId::new(id))?;
    let detail = found.ok_or_else(|| Refusal::not_found(format!("there is no task {id}")))?;
    let mut shown = task_shown(&detail.task);
    let (result, is_cut) = detail.outcome.result.as_deref().map(cut).unzip();
    shown["prompt"] = json!(detail.input.prompt);
    shown["result"] = json!(result);
    shown["result_truncated"] = json!(detail.outcome.truncated || is_cut.unwrap_or(false));
    shown["error"] = json!(detail.outcome.error.as_deref());
    Ok(shown)
}

/// The beginning of a text, and whether there is more.
fn cut(text: &str) -> (&str, bool) {
    let end = text.floor_char_boundary(CONTENT_BYTES_MAX);
    (&text[..end], end < text.len())
}

fn pool_shown(id: &str, view: &PoolView) -> Value {
    let busy = view.workers.iter().filter(|worker| worker.status == "busy").count();
    let workers: Vec<Value> = view
        .workers
        .iter()
        .map(|worker| {
            json!({
                "worker_id": worker_id(&view.row.id, worker.slot),
                "status": worker.status,
                "healthy": worker.healthy,
                "tasks_succeeded": worker.succeeded,
                "tasks_failed": worker.failed,
                "last_activity": worker.last_activity.map(|at| at.to_string()),
            })
        })
        .collect();
    json!({
        "pool_id": id,
        "group": view.row.group,
        "executor": view.row.executor.as_str(),
        "worker_count": view.workers.len(),
        "queue_size": view.queue_size,
        "status": view.row.status.as_str(),
        "active_workers": busy,
        "idle_workers": view.workers.len() - busy,
        "tasks_submitted": view.row.submitted,
        "tasks_completed": view.row.completed,
        "tasks_failed": view.row.failed,
        "held": view.hold.is_some(),
        "workers": workers,
    })
}

fn workflow_status(id: &str, reader: &mut dyn Reader) -> Result<Value, Refusal> {
    let Some(detail) = reader.workflow(&WorkflowId::new(id))? else {
        let page = reader.workflows(&WorkflowFilter { rows_max: KNOWN_MAX, ..Default::default() })?;
        let known: Vec<&str> = page.rows.iter().map(|row| row.id.as_str()).collect();
        return Ok(json!({"workflow_id": id, "status": "not_found", "known": known}));
    };
    Ok(workflow_shown(&detail))
}

fn workflow_shown(detail: &WorkflowDetail) -> Value {
    let stages = workflow::stages(&detail.row, &detail.tasks);
    let current = workflow::current(&stages).filter(|_| !detail.row.status.is_final());
    let shown: Vec<Value> = stages
        .iter()
        .map(|stage| {
            json!({
                "name": &*stage.name,
                "status": stage.status,
                "started_at": stage.started_at.map(|at| at.to_string()),
                "completed_at": stage.completed_at.map(|at| at.to_string()),
            })
        })
        .collect();
    json!({
        "workflow_id": detail.row.id.as_str(),
        "name": detail.row.name,
        "status": detail.row.status.shown(),
        "current_stage": current.map(|stage| &*stage.name),
        "stages_completed": detail.row.stages_completed,
        "total_stages": stages.len(),
        "stages": shown,
        "error": detail.row.error,
        "created_at": detail.row.created_at.to_string(),
        "ended_at": detail.row.ended_at.map(|at| at.to_string()),
    })
}
