//! Tasks until they run and after they have: submitting, waiting, cancelling, and the memory of the open ones.

use super::parking::Wait;
use super::pictures::Subject;
use super::pools::no_pool;
use super::timers::Timer;
use super::{Effects, Hub, check_wait};
use crate::clock::{Now, Tick};
use crate::model::command::{Code, Refusal, Reply, Submit, TaskView};
use crate::model::event::Body;
use crate::model::id::{AskId, PoolId, TaskId, TaskSeq};
use crate::model::pool::{ExecutorKind, PoolStatus};
use crate::model::queue::Place;
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::{OnCrash, Reason, Task, TaskResult, TaskStatus};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

type Answer = Result<Reply, Refusal>;

/// A task in memory, with what only memory knows of it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) task: Task,
    /// Where it stands in the queue when it is queued.
    place: Place,
    /// When it is due, while it is delayed or waits for its next try.
    due: Option<Tick>,
}

/// The open tasks, and those that ended in the batch at hand.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) open: HashMap<TaskSeq, Open>,
    pub(super) by_id: HashMap<TaskId, TaskSeq>,
    pub(super) by_key: HashMap<String, TaskSeq>,
    /// Changed in this batch.
    dirty: BTreeMap<TaskSeq, ()>,
    /// The submission time of the newest task, in milliseconds: a clock that is set back must not turn the queue over.
    newest_ms: i64,
}

impl Tasks {
    pub(super) fn get(&self, seq: TaskSeq) -> Option<&Task> {
        self.open.get(&seq).map(|open| &open.task)
    }

    /// For a change: the task will be written at the end of the batch.
    pub(super) fn get_mut(&mut self, seq: TaskSeq) -> Option<&mut Task> {
        let open = self.open.get_mut(&seq)?;
        self.dirty.insert(seq, ());
        Some(&mut open.task)
    }

    pub(super) fn by_id(&self, id: &TaskId) -> Option<&Task> {
        self.by_id.get(id).and_then(|seq| self.get(*seq))
    }

    pub(super) fn of_pool(&self, pool: &PoolId) -> Vec<TaskSeq> {
        let mut tasks: Vec<_> = self.open.values().filter(|open| open.task.pool == *pool).collect();
        tasks.sort_by_key(|open| open.task.seq);
        tasks.into_iter().map(|open| open.task.seq).collect()
    }

    fn insert(&mut self, task: Task) {
        let created_ms = task.created_at.as_micros() / 1000;
        self.newest_ms = self.newest_ms.max(created_ms);
        let place = Place::new(self.newest_ms, task.priority);
        self.by_id.insert(task.id.clone(), task.seq);
        if let Some(key) = &task.key {
            self.by_key.insert(key.clone(), task.seq);
        }
        self.open.insert(task.seq, Open { task, place, due: None });
    }

    /// Writes what changed, once each, and forgets what has ended.
    pub(super) fn flush(&mut self, writes: &mut Vec<Write>) {
        for (seq, ()) in std::mem::take(&mut self.dirty) {
            let Some(open) = self.open.get(&seq) else { continue };
            if !open.task.status.is_final() {
                writes.push(Write::PutTask(Box::new(open.task.clone())));
                continue;
            }
            let Some(ended) = self.open.remove(&seq) else { continue };
            self.by_id.remove(&ended.task.id);
            if let Some(key) = &ended.task.key {
                self.by_key.remove(key);
            }
            writes.push(Write::PutTask(Box::new(ended.task)));
        }
    }
}

impl Hub {
    /// Takes over open tasks: those that run stay with their workers, the others go to their queues.
    pub(super) fn restore_tasks(&mut self, now: Now, tasks: Vec<Task>) {
        self.tasks = Tasks::default();
        for task in tasks {
            let (seq, pool, slot) = (task.seq, task.pool.clone(), task.slot);
            let running = task.status == TaskStatus::Running;
            self.tasks.insert(task);
            match (running, slot) {
                (true, Some(slot)) => self.give_back_to_worker(&pool, slot, seq),
                _ => self.enqueue(now, seq),
            }
        }
    }

    fn give_back_to_worker(&mut self, pool: &PoolId, slot: u8, seq: TaskSeq) {
        let worker = self.pools.get_mut(pool).and_then(|pool| pool.workers.get_mut(usize::from(slot)));
        if let Some(worker) = worker {
            worker.claimed.push(seq);
            // The order of claims is the order in which the worker was given them.
            worker.claimed.sort_by_key(|seq| self.tasks.get(*seq).and_then(|task| task.token));
        }
    }

    pub(super) fn find_task(&self, id: &TaskId, rows: &mut dyn Rows) -> Result<Option<Task>, RowsError> {
        match self.tasks.by_id(id) {
            Some(task) => Ok(Some(task.clone())),
            None => rows.task(id),
        }
    }

    pub(super) fn submit(
        &mut self,
        now: Now,
        submit: Submit,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        if let Some(key) = &submit.key {
            let same = match self.tasks.by_key.get(key).and_then(|seq| self.tasks.get(*seq)) {
                Some(task) => Some(task.clone()),
                None => rows.task_by_key(key)?,
            };
            if let Some(task) = same {
                let reply = Reply::Submitted { task: task.id, pool: task.pool, status: task.status, duplicate: true };
                return Ok(Ok(reply));
            }
        }
        Ok(self.accept(now, submit, None, out).map(|seq| {
            let task = &self.tasks.open[&seq].task;
            Reply::Submitted { task: task.id.clone(), pool: task.pool.clone(), status: task.status, duplicate: false }
        }))
    }

    /// Puts a new task into its pool, if the pool takes it.
    pub(super) fn accept(
        &mut self,
        now: Now,
        mut submit: Submit,
        exchange: Option<crate::model::task::Exchange>,
        out: &mut Effects,
    ) -> Result<TaskSeq, Refusal> {
        let pool = self.pools.get_mut(&submit.pool).ok_or_else(|| no_pool(&submit.pool))?;
        if self.stopping || pool.row.status != PoolStatus::Running {
            return Err(Refusal::new(Code::NotRunning, format!("Pool {} is not running", submit.pool)));
        }
        if pool.pending() >= pool.row.queue_max {
            let message =
                format!("the queue of pool {} is full ({} tasks); try again later", submit.pool, pool.pending());
            return Err(Refusal::new(Code::QueueFull, message));
        }
        if submit.input.directory.is_none() {
            submit.input.directory.clone_from(&pool.row.directory);
        }
        if submit.input.directory.is_none() && pool.row.executor == ExecutorKind::Command {
            let message =
                format!("pool {} has no directory; give the task one (--dir, dir or context.repo)", submit.pool);
            return Err(Refusal::bad_request(message));
        }
        let on_crash = submit.on_crash.or(self.settings.on_crash).unwrap_or(match (&exchange, pool.row.executor) {
            (Some(_), _) | (None, ExecutorKind::Echo) => OnCrash::Requeue,
            (None, ExecutorKind::Command) => OnCrash::Fail,
        });
        pool.row.submitted += 1;
        self.pools_dirty.insert(pool.row.id.clone());
        let timeout = submit.timeout.unwrap_or(pool.row.timeout);
        let seq = TaskSeq(self.next_task_seq);
        self.next_task_seq += 1;
        let task = Task {
            seq,
            id: submit.id,
            pool: submit.pool,
            status: TaskStatus::Pending,
            reason: Some(if submit.delay.is_zero() { Reason::Queued } else { Reason::Delayed }),
            priority: submit.priority,
            not_before: (!submit.delay.is_zero()).then(|| now.wall.after(submit.delay)),
            timeout,
            attempt: 0,
            failures: 0,
            token: None,
            retries_max: submit.retries_max,
            crashes: 0,
            on_crash,
            key: submit.key,
            exchange,
            slot: None,
            process: None,
            exit_code: None,
            exit_signal: None,
            cancel_requested: false,
            created_at: now.wall,
            started_at: None,
            completed_at: None,
        };
        out.writes.push(Write::PutTaskInput { seq, input: submit.input });
        self.tasks.insert(task);
        self.tasks.dirty.insert(seq, ());
        self.enqueue(now, seq);
        Ok(seq)
    }

    /// Puts a pending task where it belongs: into the queue, or to wait for its time.
    pub(super) fn enqueue(&mut self, now: Now, seq: TaskSeq) {
        let Some(open) = self.tasks.open.get_mut(&seq) else { return };
        let Some(pool) = self.pools.get_mut(&open.task.pool) else { return };
        match open.task.not_before.filter(|at| *at > now.wall) {
            None => pool.queue.push(open.place, seq),
            Some(at) => {
                let due = now.tick_of(at);
                open.due = Some(due);
                pool.waiting += 1;
                self.timers.set(due, Timer::Task(seq));
            }
        }
        let subject = Subject::Pool(pool.row.id.clone());
        self.picture(now, subject);
    }

    pub(super) fn task_due(&mut self, seq: TaskSeq) {
        let Some(open) = self.tasks.open.get_mut(&seq) else { return };
        open.due = None;
        open.task.not_before = None;
        open.task.reason = Some(Reason::Queued);
        self.tasks.dirty.insert(seq, ());
        if let Some(pool) = self.pools.get_mut(&open.task.pool) {
            pool.waiting -= 1;
            pool.queue.push(open.place, seq);
        }
    }

    /// Takes a pending task out of wherever it waits.
    pub(super) fn dequeue(&mut self, seq: TaskSeq) {
        let Some(open) = self.tasks.open.get_mut(&seq) else { return };
        let Some(pool) = self.pools.get_mut(&open.task.pool) else { return };
        match open.due.take() {
            Some(due) => {
                pool.waiting -= 1;
                self.timers.cancel(due, Timer::Task(seq));
            }
            None => pool.queue.remove(open.place, seq),
        }
    }

    pub(super) fn wait_task(
        &mut self,
        now: Now,
        ask: AskId,
        id: &TaskId,
        timeout: Option<Duration>,
        rows: &mut dyn Rows,
    ) -> Result<Option<Answer>, RowsError> {
        let Some(task) = self.find_task(id, rows)? else {
            return Ok(Some(Err(no_task(id))));
        };
        if !task.status.is_final() {
            self.park(now, ask, Wait::Task(task.seq), check_wait(timeout));
            return Ok(None);
        }
        let outcome = rows.task_result(task.seq)?;
        Ok(Some(Ok(Reply::Task(Box::new(TaskView { task, outcome })))))
    }

    pub(super) fn cancel(
        &mut self,
        now: Now,
        id: &TaskId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let Some(task) = self.find_task(id, rows)? else { return Ok(Err(no_task(id))) };
        let outcome = match task.status {
            TaskStatus::Pending => {
                self.dequeue(task.seq);
                let outcome = TaskResult { error: Some("cancelled before it ran".into()), ..TaskResult::default() };
                self.end(now, task.seq, TaskStatus::Cancelled, Reason::Cancelled, outcome.clone(), rows, out)?;
                outcome
            }
            TaskStatus::Running => {
                if let (Some(running), Some(slot), Some(token)) = (self.tasks.get_mut(task.seq), task.slot, task.token)
                {
                    running.cancel_requested = true;
                    out.cancels.push((task.pool.clone(), slot, token));
                }
                TaskResult::default()
            }
            TaskStatus::Cancelled => rows.task_result(task.seq)?,
            TaskStatus::Completed | TaskStatus::Failed => {
                let message = format!("task {id} is {} already", task.status.as_str());
                return Ok(Err(Refusal::new(Code::Conflict, message)));
            }
        };
        let task = self.find_task(id, rows)?.unwrap_or(task);
        Ok(Ok(Reply::Task(Box::new(TaskView { task, outcome }))))
    }

    /// Ends a task for good: its row, result, event, messages, watch, and everybody who waits for it.
    #[expect(clippy::too_many_arguments, reason = "what an end consists of")]
    pub(super) fn end(
        &mut self,
        now: Now,
        seq: TaskSeq,
        status: TaskStatus,
        reason: Reason,
        outcome: TaskResult,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(task) = self.tasks.get_mut(seq) else { return Ok(()) };
        task.status = status;
        task.reason = (status != TaskStatus::Completed).then_some(reason);
        task.completed_at = Some(now.wall);
        task.process = None;
        let task = task.clone();
        self.count_end(&task);
        self.emit(now, end_event(&task, reason, &outcome), out);
        out.writes.push(Write::PutTaskResult { seq, result: outcome.clone() });
        self.answer_exchange(now, &task, &outcome, rows, out)?;
        self.follow_task(now, &task, out);
        self.picture(now, Subject::Pool(task.pool.clone()));
        self.answer_waiting(&task, &outcome, out);
        Ok(())
    }

    fn count_end(&mut self, task: &Task) {
        let Some(pool) = self.pools.get_mut(&task.pool) else { return };
        match task.status {
            TaskStatus::Completed => pool.row.completed += 1,
            TaskStatus::Failed => pool.row.failed += 1,
            TaskStatus::Cancelled | TaskStatus::Pending | TaskStatus::Running => return,
        }
        self.pools_dirty.insert(task.pool.clone());
    }

    fn answer_waiting(&mut self, task: &Task, outcome: &TaskResult, out: &mut Effects) {
        for (ask, wait) in self.waiting_for_task(task.seq) {
            let reply = match wait {
                Wait::Answer(_, answer) => Reply::Asked(answered(*answer, task, outcome)),
                Wait::Task(_) | Wait::Watch(_) => {
                    Reply::Task(Box::new(TaskView { task: task.clone(), outcome: outcome.clone() }))
                }
            };
            out.replies.push((ask, Ok(reply)));
        }
    }
}

fn answered(
    mut answer: crate::model::command::Answer,
    task: &Task,
    outcome: &TaskResult,
) -> crate::model::command::Answer {
    answer.status = crate::model::watch::status_of_task(task.status);
    if task.status == TaskStatus::Completed {
        answer.content.clone_from(&outcome.result);
    } else {
        answer.error.clone_from(&outcome.error);
    }
    answer
}

fn end_event(task: &Task, reason: Reason, outcome: &TaskResult) -> Body {
    let (pool, id) = (task.pool.clone(), task.id.clone());
    match task.status {
        TaskStatus::Completed => Body::TaskCompleted {
            pool,
            slot: task.slot.unwrap_or(0),
            task: id,
            exit_code: task.exit_code,
            duration: task.duration().unwrap_or_default(),
            length: outcome.result.as_ref().map_or(0, |result| result.len()),
        },
        TaskStatus::Cancelled => Body::TaskCancelled { pool, slot: task.slot, task: id },
        _ => Body::TaskFailed { pool, slot: task.slot, task: id, error: reason.as_str(), exit_code: task.exit_code },
    }
}

fn no_task(id: &TaskId) -> Refusal {
    Refusal::not_found(format!("there is no task {id}"))
}
