//! A pool: a queue and exactly three workers that serve it.

use super::id::{PoolId, TaskSeq};
use super::limits::{FAILURES_UNHEALTHY, WORKERS_PER_POOL};
use super::queue::Queue;
use crate::clock::Timestamp;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolStatus {
    Running,
    Stopped,
}

impl PoolStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            PoolStatus::Running => "running",
            PoolStatus::Stopped => "stopped",
        }
    }

    /// `None` for a word that this version does not know.
    pub fn parse(text: &str) -> Option<PoolStatus> {
        match text {
            "running" => Some(PoolStatus::Running),
            "stopped" => Some(PoolStatus::Stopped),
            _ => None,
        }
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
    pub queue_max: usize,
    pub timeout: Duration,
    pub status: PoolStatus,
    pub submitted: u64,
    pub completed: u64,
    pub failed: u64,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
}

/// One of the three, as the hub sees it. Counters are since the daemon's start.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// The task it runs, then those it was given ahead; at most `1 + ahead_max`.
    pub claimed: Vec<TaskSeq>,
    pub succeeded: u64,
    pub failed: u64,
    pub consecutive_failures: u32,
    pub busy_for: Duration,
    pub last_activity: Option<Timestamp>,
}

impl Worker {
    pub fn is_healthy(&self) -> bool {
        self.consecutive_failures < FAILURES_UNHEALTHY
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

/// A pool at work.
#[derive(Debug)]
pub struct Pool {
    pub row: PoolRow,
    pub queue: Queue,
    /// Pending tasks that are not in `queue` because their time has not come.
    pub waiting: usize,
    pub workers: [Worker; WORKERS_PER_POOL],
    /// Whether its threads run; tasks are dispatched only then.
    pub staffed: bool,
}

impl Pool {
    pub fn new(row: PoolRow) -> Pool {
        Pool { row, queue: Queue::default(), waiting: 0, workers: Default::default(), staffed: false }
    }

    /// Pending tasks of any kind; what `queue_max` bounds.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.waiting
    }

    pub fn running(&self) -> usize {
        self.workers.iter().map(|worker| worker.claimed.len()).sum()
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
    pub workers: Vec<WorkerView>,
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

impl Pool {
    pub fn view(&self) -> PoolView {
        let workers = (0u8..).zip(&self.workers).map(|(slot, worker)| WorkerView {
            slot,
            status: worker.status(),
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
            workers: workers.collect(),
        }
    }
}
