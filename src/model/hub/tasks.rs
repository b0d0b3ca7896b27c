//! Tasks until they run: submitting, waiting, cancelling, and the memory of the open ones.

use super::dependencies::Need;
use super::locks::Locks;
use super::parking::Wait;
use super::pictures::Subject;
use super::pools::{no_pool, not_running};
use super::timers::Timer;
use super::{Cancel, Effects, Hub, Stop, check_wait};
use crate::clock::{Now, Tick};
use crate::model::command::{Code, Destination, Refusal, Reply, Seen, Submit, TaskView};
use crate::model::id::{AskId, PoolId, TaskId, TaskSeq};
use crate::model::pool::{ExecutorKind, Pool};
use crate::model::queue::Place;
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::{Exchange, OnCrash, Reason, Task, TaskResult, TaskStatus};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

type Answer = Result<Reply, Refusal>;

/// The error of a task that was cancelled while it waited.
const NEVER_RAN: &str = "cancelled before it ran";

/// A task in memory, with what only memory knows of it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) task: Task,
    /// As a clock would have it that never goes back.
    submitted_ms: i64,
    /// Where it stands among those that wait, whenever it waits.
    pub(super) place: Place,
    pub(super) standing: Standing,
    /// The tasks that it needs and that are not completed.
    pub(super) needs: Vec<TaskSeq>,
}

/// Where an open task waits, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// With a worker, or on its way from one place to the next.
    Out,
    /// In its pool's queue.
    Queued,
    /// Until this time: it is delayed, or waits for its next try.
    Delayed(Tick),
    /// For tasks that it needs.
    Blocked,
    /// For its lock, which another task holds.
    Locked,
}

/// The open tasks, and those that ended in the batch at hand.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) open: HashMap<TaskSeq, Open>,
    pub(super) by_id: HashMap<TaskId, TaskSeq>,
    pub(super) by_key: HashMap<String, TaskSeq>,
    /// Which open tasks need an open task.
    pub(super) dependents: HashMap<TaskSeq, Vec<TaskSeq>>,
    pub(super) locks: Locks,
    /// What ended since dependents were last told.
    pub(super) ended: Vec<(TaskSeq, TaskStatus)>,
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

    pub(super) fn insert(&mut self, task: Task) {
        self.newest_ms = self.newest_ms.max(created_ms(&task));
        self.insert_at(self.newest_ms, task);
    }

    fn insert_at(&mut self, submitted_ms: i64, task: Task) {
        let place = Place::new(submitted_ms, task.priority);
        self.by_id.insert(task.id.clone(), task.seq);
        if let Some(key) = &task.key {
            self.by_key.insert(key.clone(), task.seq);
        }
        self.open.insert(task.seq, Open { task, submitted_ms, place, standing: Standing::Out, needs: Vec::new() });
    }

    /// As [`Tasks::insert`], for one that was submitted before others: it stands between those before and after it.
    pub(super) fn insert_again(&mut self, task: Task) {
        let (mut earliest, mut latest) = (i64::MIN, i64::MAX);
        for open in self.open.values() {
            if open.task.seq < task.seq {
                earliest = earliest.max(open.submitted_ms);
            } else if open.task.seq > task.seq {
                latest = latest.min(open.submitted_ms);
            }
        }
        self.dirty.insert(task.seq, ());
        self.insert_at(created_ms(&task).max(earliest).min(latest), task);
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

fn created_ms(task: &Task) -> i64 {
    task.created_at.as_micros() / 1000
}

impl Hub {
    /// Takes over open tasks: those that run stay with their workers, the others go to their queues.
    pub(super) fn restore_tasks(&mut self, now: Now, tasks: Vec<Task>, dependencies: &[(TaskSeq, TaskSeq)]) {
        self.tasks = Tasks::default();
        let seqs: Vec<TaskSeq> = tasks.iter().map(|task| task.seq).collect();
        tasks.into_iter().for_each(|task| self.tasks.insert(task));
        for (seq, needs) in dependencies {
            self.tasks.depend(*seq, *needs);
        }
        for seq in seqs {
            let Some(task) = self.tasks.get(seq) else { continue };
            match (task.status, task.slot) {
                (TaskStatus::Running, Some(slot)) => {
                    let pool = task.pool.clone();
                    self.take_lock(seq);
                    self.give_back_to_worker(now, &pool, slot, seq);
                }
                _ => self.enqueue(now, seq),
            }
        }
    }

    fn give_back_to_worker(&mut self, now: Now, pool: &PoolId, slot: u8, seq: TaskSeq) {
        self.listen_to(now, pool, slot);
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
                return Ok(Ok(self.submitted(&task, true)));
            }
        }
        let needs = match self.check_needs(&submit.after, rows)? {
            Ok(needs) => needs,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let accepted = self.accept(now, submit, needs, None, out);
        Ok(accepted.map(|seq| self.submitted(&self.tasks.open[&seq].task, false)))
    }

    fn submitted(&self, task: &Task, duplicate: bool) -> Reply {
        let hold = self.pools.get(&task.pool).and_then(|pool| pool.hold).filter(|_| task.status == TaskStatus::Pending);
        Reply::Submitted {
            task: task.id.clone(),
            pool: task.pool.clone(),
            status: task.status,
            duplicate,
            held_until: hold.map(|hold| hold.until_wall),
        }
    }

    /// Puts a new task into its pool, if the pool takes it.
    pub(super) fn accept(
        &mut self,
        now: Now,
        mut submit: Submit,
        needs: Vec<Need>,
        exchange: Option<Exchange>,
        out: &mut Effects,
    ) -> Result<TaskSeq, Refusal> {
        let is_blocked = needs.iter().any(|need| need.is_open);
        let can_run = !is_blocked && submit.delay.is_zero();
        let id = match &submit.to {
            Destination::Pool(id) => id.clone(),
            Destination::Route { selector, group } => {
                self.route(*selector, group.as_deref(), can_run, submit.input.directory.is_some(), out)?
            }
        };
        self.room_in(&id, can_run)?;
        let Some(pool) = self.pools.get_mut(&id) else { return Err(no_pool(&id)) };
        if submit.input.directory.is_none() {
            submit.input.directory.clone_from(&pool.row.directory);
        }
        if submit.input.directory.is_none() && pool.row.executor == ExecutorKind::Command {
            let message = format!("pool {id} has no directory to run it in; give the task one (context.repo, or dir)");
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
            pool: id,
            status: TaskStatus::Pending,
            reason: Some(match (is_blocked, submit.delay.is_zero()) {
                (true, _) => Reason::Blocked,
                (false, true) => Reason::Queued,
                (false, false) => Reason::Delayed,
            }),
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
            lock: submit.lock,
            exchange,
            step: None,
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
        for need in needs {
            out.writes.push(Write::PutDependency { seq, needs: need.seq });
            if need.is_open {
                self.tasks.depend(seq, need.seq);
            }
        }
        self.enqueue(now, seq);
        Ok(seq)
    }

    /// The pool, if it takes another task.
    pub(super) fn room_in(&mut self, id: &PoolId, can_run: bool) -> Result<&mut Pool, Refusal> {
        let stopping = self.stopping;
        let pool = self.pools.get_mut(id).ok_or_else(|| no_pool(id))?;
        if stopping || !pool.row.status.accepts() {
            return Err(not_running(id));
        }
        if !pool.has_room(can_run) {
            let message = format!("the queue of pool {id} is full ({} tasks); try again later", pool.pending());
            return Err(Refusal::new(Code::QueueFull, message));
        }
        Ok(pool)
    }

    /// Puts a pending task where it belongs: into the queue, or to wait for its time.
    pub(super) fn enqueue(&mut self, now: Now, seq: TaskSeq) {
        let Some(open) = self.tasks.open.get_mut(&seq) else { return };
        let Some(pool) = self.pools.get_mut(&open.task.pool) else { return };
        let later = open.task.not_before.filter(|at| *at > now.wall);
        match (open.needs.is_empty(), later) {
            (true, None) => {
                open.standing = Standing::Queued;
                pool.queue.push(open.place, seq);
            }
            (true, Some(at)) => {
                let due = now.tick_of(at);
                open.standing = Standing::Delayed(due);
                pool.waiting += 1;
                self.timers.set(due, Timer::Task(seq));
            }
            (false, _) => {
                open.standing = Standing::Blocked;
                pool.waiting += 1;
            }
        }
        let subject = Subject::Pool(pool.row.id.clone());
        self.picture(now, subject);
    }

    pub(super) fn task_due(&mut self, seq: TaskSeq) {
        let Some(open) = self.tasks.open.get_mut(&seq) else { return };
        open.standing = Standing::Queued;
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
        match std::mem::replace(&mut open.standing, Standing::Out) {
            Standing::Queued => {
                pool.queue.remove(open.place, seq);
                self.pass_lock_by(seq);
            }
            Standing::Delayed(due) => {
                pool.waiting -= 1;
                self.timers.cancel(due, Timer::Task(seq));
            }
            Standing::Blocked => pool.waiting -= 1,
            Standing::Locked => {
                pool.waiting -= 1;
                self.tasks.locks.leave(&open.task, open.place);
            }
            Standing::Out => {}
        }
    }

    pub(super) fn wait_task(
        &mut self,
        now: Now,
        ask: AskId,
        id: &TaskId,
        timeout: Option<Duration>,
        beyond: Option<Seen>,
        rows: &mut dyn Rows,
    ) -> Result<Option<Answer>, RowsError> {
        let Some(task) = self.find_task(id, rows)? else {
            return Ok(Some(Err(no_task(id))));
        };
        if !task.status.is_final() {
            let written = self.written.get(&task.seq).copied().unwrap_or_default();
            if beyond.is_some_and(|seen| {
                written.is_beyond(seen.written) || seen.attempt.is_some_and(|attempt| attempt != task.attempt)
            }) {
                let outcome = TaskResult::default();
                return Ok(Some(Ok(Reply::Task(Box::new(TaskView { task, outcome })))));
            }
            let wait = beyond.map_or(Wait::Task(task.seq), |seen| Wait::Output(task.seq, seen.written));
            self.park(now, ask, wait, check_wait(timeout));
            return Ok(None);
        }
        let outcome = rows.task_result(task.seq)?;
        Ok(Some(Ok(Reply::Task(Box::new(TaskView { task, outcome })))))
    }

    /// For the first that ends; for none, if one has ended already.
    pub(super) fn wait_any_task(
        &mut self,
        now: Now,
        ask: AskId,
        ids: &[TaskId],
        timeout: Option<Duration>,
        rows: &mut dyn Rows,
    ) -> Result<Option<Answer>, RowsError> {
        let mut open = Vec::with_capacity(ids.len());
        for id in ids {
            match self.find_task(id, rows)? {
                None => return Ok(Some(Err(no_task(id)))),
                Some(task) if task.status.is_final() => {
                    let outcome = rows.task_result(task.seq)?;
                    return Ok(Some(Ok(Reply::Task(Box::new(TaskView { task, outcome })))));
                }
                Some(task) => open.push(task.seq),
            }
        }
        self.park(now, ask, Wait::AnyTask(open.into()), check_wait(timeout));
        Ok(None)
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
                self.cancel_open(now, task.seq, NEVER_RAN, rows, out)?;
                TaskResult { error: Some(NEVER_RAN.into()), ..TaskResult::default() }
            }
            TaskStatus::Running => {
                self.cancel_open(now, task.seq, NEVER_RAN, rows, out)?;
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

    /// Cancels an open task: at once while it waits, and once its process has ended while it runs.
    pub(super) fn cancel_open(
        &mut self,
        now: Now,
        seq: TaskSeq,
        sentence: &str,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(task) = self.tasks.get(seq) else { return Ok(()) };
        match (task.status, task.slot, task.token) {
            (TaskStatus::Pending, ..) => {
                self.dequeue(seq);
                let outcome = TaskResult { error: Some(sentence.into()), ..TaskResult::default() };
                self.end(now, seq, TaskStatus::Cancelled, Reason::Cancelled, outcome, rows, out)?;
            }
            (TaskStatus::Running, Some(slot), Some(token)) => {
                out.cancels.push(Cancel { pool: task.pool.clone(), slot, token, stop: Stop::Cancelled });
                if let Some(task) = self.tasks.get_mut(seq) {
                    task.cancel_requested = true;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

pub(super) fn no_task(id: &TaskId) -> Refusal {
    Refusal::not_found(format!("there is no task {id}"))
}
