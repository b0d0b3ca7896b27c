//! A pool: a queue and exactly three workers that serve it.

use super::batch;
use super::books::Books;
use super::desk::Desk;
use super::error::{PoolError, TaskError};
use super::job::Execute;
use super::status::{PoolHealth, PoolStatus, WorkerStatus};
use super::task::{Output, Task, check_timeout};
use super::ticket::Ticket;
use super::worker;
use crate::clock::{Clock, SystemClock, Tick};
use crate::model::id::{PoolId, is_name};
use crate::model::limits::{CANCEL_GRACE, DRAIN, WORKERS_PER_POOL};
use crate::model::pool::{ExecutorKind, PoolRow};
use crate::model::routing::Candidate;
use crate::thread::Joined;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What holds for a pool that says nothing else: the same as in the daemon.
const QUEUE_MAX: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(1800);

/// How a pool is to be.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) queue_max: usize,
    pub(super) timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { queue_max: QUEUE_MAX, timeout: TIMEOUT, clock: Arc::new(SystemClock::new()) }
    }
}

/// A pool before it is made.
#[must_use]
pub struct PoolBuilder {
    pub(super) id: String,
    executor: Arc<dyn Execute>,
    terms: Terms,
}

impl PoolBuilder {
    pub(super) fn new(id: &str, executor: Arc<dyn Execute>, terms: Terms) -> PoolBuilder {
        PoolBuilder { id: id.to_owned(), executor, terms }
    }

    /// How many tasks may wait while all three workers are busy; else 1,000. With 0 a task is only taken when a worker
    /// is free for it.
    pub fn queue_max(mut self, queue_max: usize) -> PoolBuilder {
        self.terms.queue_max = queue_max;
        self
    }

    /// How long a task that does not say may take, waiting included: 0.1 s to 7 days; else 30 minutes.
    pub fn timeout(mut self, timeout: Duration) -> PoolBuilder {
        self.terms.timeout = timeout;
        self
    }

    /// Where time comes from. It is read while the pool is locked, so it must not call back. While it stands still, no
    /// time is ever up.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> PoolBuilder {
        self.terms.clock = clock;
        self
    }

    /// Makes the pool. It has no threads yet and takes no tasks.
    ///
    /// # Errors
    /// [`PoolError::BadId`], [`PoolError::BadTimeout`].
    pub fn build(self) -> Result<WorkerPool, PoolError> {
        if !is_name(&self.id) {
            return Err(PoolError::BadId(self.id));
        }
        check_timeout(self.terms.timeout)?;
        let Terms { queue_max, timeout, clock } = self.terms;
        // To the model a function is what a command is: a worker is given one at a time, never one ahead.
        let row = PoolRow::new(PoolId::new(&self.id), ExecutorKind::Command, queue_max, timeout, clock.wall());
        let desk = Desk::new(self.id, self.executor, clock, Books::new(row));
        Ok(WorkerPool { desk: Arc::new(desk), threads: Vec::with_capacity(WORKERS_PER_POOL) })
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What was left when a pool was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Tasks that were cancelled because the time was up: running and waiting ones.
    pub cancelled: usize,
    /// Workers whose function has not returned, although it was told to: their threads go on until it does.
    pub workers_busy: usize,
}

/// Exactly three workers and the queue that they share. Share it between threads by an [`Arc`].
///
/// Dropping it shuts it down as [`WorkerPool::shutdown`] does, with 5 s to finish, and then joins its threads. A
/// function that never returns cannot be ended, so it is also waited for. Do neither from within its own executor: that
/// task would wait for its own end until the time is up.
pub struct WorkerPool {
    desk: Arc<Desk>,
    // Joined when dropped: `drop` makes them end before.
    threads: Vec<Joined<()>>,
}

impl WorkerPool {
    /// A pool that runs its tasks with `executor` and is like any other. `id`: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    ///
    /// # Errors
    /// [`PoolError::BadId`].
    pub fn new(id: &str, executor: impl Execute + 'static) -> Result<WorkerPool, PoolError> {
        WorkerPool::builder(id, executor).build()
    }

    /// A pool with limits of its own.
    pub fn builder(id: &str, executor: impl Execute + 'static) -> PoolBuilder {
        PoolBuilder::new(id, Arc::new(executor), Terms::default())
    }

    /// Starts the three threads, `w0-ID` to `w2-ID` (cut to 15 bytes). From here on tasks are taken.
    /// Does nothing when they run already.
    ///
    /// # Errors
    /// [`PoolError::Ended`] after a shutdown. [`PoolError::NoThread`] when one cannot be started; then none is left, and
    /// the pool has ended.
    pub fn initialize(&mut self) -> Result<(), PoolError> {
        if self.is_running() {
            return Ok(());
        }
        self.desk.open()?;
        for slot in 0..WORKERS_PER_POOL {
            self.desk.expect_worker();
            let desk = Arc::clone(&self.desk);
            match Joined::spawn(format!("w{slot}-{}", self.id()), move || worker::serve(&desk, slot)) {
                Ok(thread) => self.threads.push(thread),
                Err(source) => {
                    self.desk.worker_never_came();
                    self.desk.drain();
                    self.threads.clear();
                    return Err(PoolError::NoThread { pool_id: self.id().to_owned(), source });
                }
            }
        }
        Ok(())
    }

    pub fn id(&self) -> &str {
        &self.desk.pool_id
    }

    /// Whether it takes tasks.
    pub fn is_running(&self) -> bool {
        self.desk.candidate().status.accepts()
    }

    /// The three workers.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.get_status().workers
    }

    /// Does a task, and waits for it: until its timeout at the longest.
    ///
    /// An executor that calls this on its own pool needs two workers for one task; when all three do so they wait for
    /// each other until the timeout. Give such work a pool of its own.
    ///
    /// # Errors
    /// [`TaskError::Refused`] when it was not taken, see [`WorkerPool::submit`]; otherwise how it ended.
    pub fn execute(&self, task: impl Into<Task>) -> Result<Output, TaskError> {
        self.submit(task)?.wait()
    }

    /// Does many tasks, three at a time, and returns what came of each in the order given. A failure is a value like
    /// any other. A batch may be larger than the queue: what does not fit yet is taken later, but the time of all tasks
    /// runs from the call on, so it returns after the longest of their timeouts at the latest.
    ///
    /// ```
    /// use claude_comms::pools::{Job, Task, WorkerPool};
    ///
    /// let mut pool = WorkerPool::new("shouting", |job: &Job| Ok(job.prompt().to_uppercase()))?;
    /// pool.initialize()?;
    /// let results = pool.execute_batch(["one", "two", "three"]);
    /// let results: Vec<String> = results.into_iter().filter_map(Result::ok).map(|output| output.result).collect();
    /// assert_eq!(results, ["ONE", "TWO", "THREE"]);
    /// # Ok::<(), claude_comms::pools::PoolError>(())
    /// ```
    pub fn execute_batch<T: Into<Task>>(&self, tasks: impl IntoIterator<Item = T>) -> Vec<Result<Output, TaskError>> {
        batch::run(&self.desk, tasks.into_iter().map(Into::into))
    }

    /// Hands a task in without waiting for it. Never blocks.
    ///
    /// # Errors
    /// [`PoolError::NotRunning`]; [`PoolError::QueueFull`], which says when to try again; [`PoolError::PromptTooLong`],
    /// [`PoolError::ContextTooLong`], [`PoolError::BadTimeout`] and [`PoolError::BadPriority`] for a task that no pool
    /// takes.
    pub fn submit(&self, task: impl Into<Task>) -> Result<Ticket, PoolError> {
        self.submit_task(&task.into())
    }

    pub(super) fn submit_task(&self, task: &Task) -> Result<Ticket, PoolError> {
        let taken = self.desk.submit(task, self.desk.tick())?;
        Ok(Ticket::new(Arc::clone(&self.desk), taken))
    }

    /// How it is, all workers taken together.
    pub fn health_check(&self) -> PoolHealth {
        PoolHealth::from(&self.desk.view())
    }

    /// What it has done and has to do.
    pub fn get_status(&self) -> PoolStatus {
        PoolStatus::from(&self.desk.view())
    }

    /// Ends the pool. Nothing new is taken from here on; what it has, running and waiting, is done within `timeout`,
    /// and what is left then is cancelled: everybody who waits is answered. Returns when the workers have ended, at the
    /// latest one second after that: so long do functions have to notice that they were cancelled.
    ///
    /// With [`Duration::ZERO`] everything is cancelled at once. A pool that was shut down stays so.
    pub fn shutdown(&self, timeout: Duration) -> Shutdown {
        let by = self.begin_shutdown(timeout);
        let cancelled = self.cancel_what_is_left(by);
        Shutdown { cancelled, workers_busy: self.wait_for_workers(self.end_of_grace()) }
    }

    /// Says when `timeout` will have passed.
    pub(super) fn begin_shutdown(&self, timeout: Duration) -> Tick {
        self.desk.drain();
        self.desk.tick().after(timeout)
    }

    /// Waits until `by`; what there is then is cancelled. Says how many tasks that were.
    pub(super) fn cancel_what_is_left(&self, by: Tick) -> usize {
        if self.desk.wait_answered(by) { 0 } else { self.desk.cancel_all() }
    }

    /// Until when functions whose tasks are cancelled by now may notice it.
    pub(super) fn end_of_grace(&self) -> Tick {
        self.desk.tick().after(CANCEL_GRACE)
    }

    /// Waits until `by` for the workers to leave. Says how many are still busy.
    pub(super) fn wait_for_workers(&self, by: Tick) -> usize {
        if self.desk.wait_deserted(by) { 0 } else { self.workers_busy() }
    }

    /// Workers that have a function to return from.
    pub(super) fn workers_busy(&self) -> usize {
        self.desk.workers_busy()
    }

    pub(super) fn candidate(&self) -> Candidate {
        self.desk.candidate()
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        let by = self.begin_shutdown(DRAIN);
        self.cancel_what_is_left(by);
        // The workers are not waited for here: their threads are joined next.
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("id", &self.id()).finish_non_exhaustive()
    }
}
