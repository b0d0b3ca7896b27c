//! A pool: a queue and exactly three workers that serve it.

use super::breaker::Hold;
use super::id::{PoolId, TaskSeq};
use super::limits::{FAILURES_UNHEALTHY, WORKERS_PER_POOL};
use super::queue::Queue;
use crate::clock::{Tick, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolStatus {
    /// Takes tasks and runs them.
    Running,
    /// Takes tasks and runs none; those that run go on.
    Paused,
    /// Takes none, and ends once those it has are done.
    Draining,
    /// Deleted: only its row is left.
    Stopped,
}

impl PoolStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            PoolStatus::Running => "running",
            PoolStatus::Paused => "paused",
            PoolStatus::Draining => "draining",
            PoolStatus::Stopped => "stopped",
        }
    }

    /// `None` for a word that this version does not know.
    pub fn parse(text: &str) -> Option<PoolStatus> {
        [PoolStatus::Running, PoolStatus::Paused, PoolStatus::Draining, PoolStatus::Stopped]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Whether new tasks are taken.
    pub fn accepts(self) -> bool {
        matches!(self, PoolStatus::Running | PoolStatus::Paused)
    }

    /// Whether queued tasks are given to workers.
    pub fn dispatches(self) -> bool {
        matches!(self, PoolStatus::Running | PoolStatus::Draining)
    }
}

/// What is done about a task whose process says nothing for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStuck {
    /// Its worker is shown as unhealthy.
    #[default]
    Report,
    /// The attempt is ended and counts as failed as well.
    Kill,
}

impl OnStuck {
    pub fn as_str(self) -> &'static str {
        match self {
            OnStuck::Report => "report",
            OnStuck::Kill => "kill",
        }
    }

    pub fn parse(text: &str) -> Option<OnStuck> {
        [OnStuck::Report, OnStuck::Kill].into_iter().find(|word| word.as_str() == text)
    }
}

/// How a pool runs its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorKind {
    /// A supervised child process.
    Command,
    /// Answers with the prompt: for trying out and for benchmarks.
    Echo,
}

impl ExecutorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ExecutorKind::Command => "command",
            ExecutorKind::Echo => "echo",
        }
    }

    pub fn parse(text: &str) -> Option<ExecutorKind> {
        match text {
            "command" => Some(ExecutorKind::Command),
            "echo" => Some(ExecutorKind::Echo),
            _ => None,
        }
    }

    /// How many tasks a worker may have claimed beyond the one it runs. An echo is over long before the next commit,
    /// and with nothing claimed ahead its worker would only wait for the disk; nothing is lost when it is given back.
    pub fn ahead_max(self) -> usize {
        match self {
            ExecutorKind::Command => 0,
            ExecutorKind::Echo => 31,
        }
    }
}

/// What a pool is made of, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRow {
    pub id: PoolId,
    pub group: Option<String>,
    pub executor: ExecutorKind,
    /// argv; `None` means the configured command.
    pub command: Option<Vec<String>>,
    /// Where tasks run that name no directory.
    pub directory: Option<String>,
    /// Added to the environment of its tasks, after what is configured for all.
    pub environment: BTreeMap<String, String>,
    pub on_stuck: OnStuck,
    /// It is drained because its group shrinks: it does what it has, however long that takes, also after a restart.
    pub retiring: bool,
    pub queue_max: usize,
    pub timeout: Duration,
    pub status: PoolStatus,
    pub submitted: u64,
    pub completed: u64,
    pub failed: u64,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
}

impl PoolRow {
    /// A pool that runs and has done nothing yet, with nothing of its own but its executor and limits.
    pub fn new(
        id: PoolId,
        executor: ExecutorKind,
        queue_max: usize,
        timeout: Duration,
        created_at: Timestamp,
    ) -> PoolRow {
        PoolRow {
            id,
            group: None,
            executor,
            command: None,
            directory: None,
            environment: BTreeMap::new(),
            on_stuck: OnStuck::Report,
            retiring: false,
            queue_max,
            timeout,
            status: PoolStatus::Running,
            submitted: 0,
            completed: 0,
            failed: 0,
            created_at,
            started_at: None,
            deleted_at: None,
        }
    }

    pub fn success_rate(&self) -> f64 {
        success_rate(self.completed, self.failed)
    }
}

/// The share of what went well; 1.0 when there is nothing to judge by.
fn success_rate(good: u64, bad: u64) -> f64 {
    if good + bad == 0 { 1.0 } else { good as f64 / (good + bad) as f64 }
}

/// One of the three, as the hub sees it. Counters are since the daemon's start.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// The task it runs, then those it was given ahead; at most `1 + ahead_max`.
    pub claimed: Vec<TaskSeq>,
    pub succeeded: u64,
    pub failed: u64,
    pub consecutive_failures: u32,
    /// Busy, and nothing was heard of it for too long.
    pub stuck: bool,
    pub busy_for: Duration,
    pub last_activity: Option<Timestamp>,
}

impl Worker {
    /// Idle is healthy, and one success heals.
    pub fn is_healthy(&self) -> bool {
        self.consecutive_failures < FAILURES_UNHEALTHY && !self.stuck
    }

    pub fn status(&self) -> &'static str {
        match (self.claimed.is_empty(), self.is_healthy()) {
            (_, false) => "error",
            (true, true) => "idle",
            (false, true) => "busy",
        }
    }

    pub fn record(&mut self, success: bool, took: Duration, now: Timestamp) {
        if success {
            self.succeeded += 1;
            self.consecutive_failures = 0;
        } else {
            self.failed += 1;
            self.consecutive_failures += 1;
        }
        self.busy_for += took;
        self.last_activity = Some(now);
    }
}

/// The pool that exists from the first start, and is meant when none is named.
pub const DEFAULT_POOL: &str = "local";

/// A pool at work.
#[derive(Debug)]
pub struct Pool {
    pub row: PoolRow,
    pub queue: Queue,
    /// Pending tasks that are not in `queue` because their time has not come.
    pub waiting: usize,
    pub workers: [Worker; WORKERS_PER_POOL],
    /// While a workflow is looked at: tasks of it that would come here, to run at once or to wait.
    pub planned_ready: usize,
    pub planned_waiting: usize,
    /// Whether its threads run; tasks are dispatched only then.
    pub staffed: bool,
    /// Its executor's breaker is not closed.
    pub hold: Option<Hold>,
    /// While it drains: when what is left is cancelled; `None`: never.
    pub drained_by: Option<Tick>,
    /// The error of the last attempt that went wrong, since the daemon's start.
    pub last_error: Option<Arc<str>>,
}

impl Pool {
    pub fn new(row: PoolRow) -> Pool {
        Pool {
            row,
            queue: Queue::default(),
            waiting: 0,
            workers: Default::default(),
            planned_ready: 0,
            planned_waiting: 0,
            staffed: false,
            hold: None,
            drained_by: None,
            last_error: None,
        }
    }

    /// Pending tasks of any kind; what `queue_max` bounds.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.waiting
    }

    /// Whether another task fits. One that can run at once needs no place in the queue as long as a worker is free for
    /// it, however many came with the same batch.
    pub fn has_room(&self, can_run: bool) -> bool {
        let ready = self.queue.len() + self.planned_ready + usize::from(can_run);
        let waits =
            self.waiting + self.planned_waiting + usize::from(!can_run) + ready.saturating_sub(self.free_places());
        waits <= self.row.queue_max
    }

    /// How many tasks its workers would take at once.
    fn free_places(&self) -> usize {
        if !self.staffed || !self.row.status.dispatches() || self.hold.is_some() {
            return 0;
        }
        let most = 1 + self.row.executor.ahead_max();
        self.workers.iter().map(|worker| most.saturating_sub(worker.claimed.len())).sum()
    }

    pub fn running(&self) -> usize {
        self.workers.iter().map(|worker| worker.claimed.len()).sum()
    }

    /// Queued and running: what a router compares.
    pub fn load(&self) -> usize {
        self.pending() + self.running() + self.planned_ready + self.planned_waiting
    }

    pub fn is_healthy(&self) -> bool {
        self.staffed && self.hold.is_none() && self.workers.iter().all(Worker::is_healthy)
    }

    /// The worker that should get the next task: the one with least claimed, if it may have another.
    pub fn free_worker(&self) -> Option<u8> {
        let most = 1 + self.row.executor.ahead_max();
        (0..WORKERS_PER_POOL)
            .filter(|slot| self.workers[*slot].claimed.len() < most)
            .min_by_key(|slot| self.workers[*slot].claimed.len())
            .and_then(|slot| u8::try_from(slot).ok())
    }
}

/// A pool as it is shown.
#[derive(Clone, Debug)]
pub struct PoolView {
    pub row: PoolRow,
    pub queue_size: usize,
    pub running: usize,
    pub staffed: bool,
    pub hold: Option<Hold>,
    pub last_error: Option<Arc<str>>,
    pub workers: Vec<WorkerView>,
}

/// How a pool is, all workers taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Healthy,
    /// At least one worker is not healthy, or the executor's breaker is not closed.
    Degraded,
    NotRunning,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::NotRunning => "not_running",
        }
    }
}

impl PoolView {
    pub fn workers_healthy(&self) -> usize {
        self.workers.iter().filter(|worker| worker.healthy).count()
    }

    pub fn health(&self) -> Health {
        if !self.staffed || self.row.status == PoolStatus::Stopped {
            Health::NotRunning
        } else if self.hold.is_none() && self.workers_healthy() == self.workers.len() {
            Health::Healthy
        } else {
            Health::Degraded
        }
    }
}

#[derive(Clone, Debug)]
pub struct WorkerView {
    pub slot: u8,
    pub status: &'static str,
    pub healthy: bool,
    pub succeeded: u64,
    pub failed: u64,
    pub busy_for: Duration,
    pub last_activity: Option<Timestamp>,
}

impl WorkerView {
    pub fn processed(&self) -> u64 {
        self.succeeded + self.failed
    }

    pub fn success_rate(&self) -> f64 {
        success_rate(self.succeeded, self.failed)
    }

    /// Seconds a task, in the mean; zero before the first.
    pub fn seconds_mean(&self) -> f64 {
        if self.processed() == 0 { 0.0 } else { self.busy_for.as_secs_f64() / self.processed() as f64 }
    }
}

impl Pool {
    /// The word for a worker's state; those of a pool without threads are on their way.
    pub fn worker_status(&self, worker: &Worker) -> &'static str {
        if self.staffed { worker.status() } else { "initializing" }
    }

    pub fn view(&self) -> PoolView {
        let workers = (0u8..).zip(&self.workers).map(|(slot, worker)| WorkerView {
            slot,
            status: self.worker_status(worker),
            healthy: worker.is_healthy(),
            succeeded: worker.succeeded,
            failed: worker.failed,
            busy_for: worker.busy_for,
            last_activity: worker.last_activity,
        });
        PoolView {
            row: self.row.clone(),
            queue_size: self.pending(),
            running: self.running(),
            staffed: self.staffed,
            hold: self.hold,
            last_error: self.last_error.clone(),
            workers: workers.collect(),
        }
    }
}
