//! What stands in the books of a pool, and what comes out of them.

use super::error::{ExecuteError, TaskError};
use super::task::{Output, Task};
use crate::clock::Tick;
use crate::model::id::TaskSeq;
use crate::model::queue::Place;
use crate::resilience::CancelToken;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) type Outcome = Result<Output, TaskError>;

/// What a call of the executor came to.
#[derive(Debug)]
pub(super) enum Ran {
    Returned(Result<String, ExecuteError>),
    Panicked(String),
}

/// An answer that is decided. Sent when the books are closed again: what nobody waits for is dropped by that, and may
/// run code of the user.
pub(super) struct Answer {
    pub(super) to: Sender<Outcome>,
    pub(super) outcome: Outcome,
}

impl Answer {
    pub(super) fn send(self) {
        // Has room: each task is answered once. Fails when nobody kept the ticket.
        let _ = self.to.try_send(self.outcome);
    }
}

/// What a worker does next.
pub(super) enum Next {
    Run(Claim),
    Wait,
    /// There is nothing left, and nothing will come.
    Leave,
}

/// A task that a worker was given.
pub(super) struct Claim {
    pub(super) task: Task,
    pub(super) task_id: Arc<str>,
    pub(super) worker_id: String,
    pub(super) deadline: Tick,
    pub(super) cancel: CancelToken,
    pub(super) heard: LastHeard,
}

/// What whoever submits keeps of a task.
pub(super) struct Taken {
    pub(super) seq: TaskSeq,
    pub(super) task_id: Arc<str>,
    pub(super) deadline: Tick,
    pub(super) answer: Receiver<Outcome>,
}

/// A task that is not answered yet.
pub(super) struct Open {
    pub(super) task: Task,
    pub(super) task_id: Arc<str>,
    pub(super) place: Place,
    pub(super) timeout: Duration,
    pub(super) deadline: Tick,
    pub(super) cancel: CancelToken,
    pub(super) answer: Sender<Outcome>,
    /// The worker that has it; it waits in the queue otherwise.
    pub(super) slot: Option<usize>,
}

/// What a worker is at. It outlasts the task's answer when the function goes on.
pub(super) struct Shift {
    pub(super) seq: TaskSeq,
    /// Up to here its time is counted.
    pub(super) counted: Tick,
    pub(super) heard: LastHeard,
}

/// When something was last heard of a worker; told by one thread, looked at by others.
#[derive(Clone, Debug)]
pub(super) struct LastHeard(Arc<AtomicU64>);

impl LastHeard {
    pub(super) fn new(now: Tick) -> LastHeard {
        LastHeard(Arc::new(AtomicU64::new(now.as_nanos())))
    }

    pub(super) fn set(&self, now: Tick) {
        // Nothing else is told with it: whoever looks sees it now or a little later.
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Tick {
        Tick::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
