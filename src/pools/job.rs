//! A task as its executor sees it, and what an executor is.

use super::entry::Claim;
use super::error::ExecuteError;
use crate::clock::Clock;
use crate::resilience::CancelToken;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Does the tasks of a pool. Every function `Fn(&Job) -> Result<String, ExecuteError>` is one; write the argument's
/// type, `|job: &Job| …`, so that the compiler knows which.
///
/// It is called by three workers at a time, and a worker calls it again after a panic: what it keeps for itself must
/// bear that. Nothing can end it from outside. Whoever waits is answered at the deadline, but the worker is busy until
/// the function returns; so let what may take long look at [`Job::is_cancelled`], or hand on [`Job::cancel_token`] and
/// [`Job::remaining`].
pub trait Execute: Send + Sync {
    /// Does one task.
    ///
    /// # Errors
    /// Whatever it likes: it is given to whoever waits for the task, as [`TaskError::Failed`](super::TaskError::Failed).
    fn execute(&self, job: &Job) -> Result<String, ExecuteError>;
}

impl<F> Execute for F
where
    F: Fn(&Job) -> Result<String, ExecuteError> + Send + Sync,
{
    fn execute(&self, job: &Job) -> Result<String, ExecuteError> {
        self(job)
    }
}

/// One task on its worker.
pub struct Job {
    pub(super) claim: Claim,
    pub(super) pool_id: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl Job {
    pub fn prompt(&self) -> &str {
        &self.claim.task.prompt
    }

    /// What was given beside the prompt; empty when nothing was.
    pub fn context(&self) -> &Map<String, Value> {
        &self.claim.task.context
    }

    /// A UUID that sorts by time.
    pub fn task_id(&self) -> &str {
        &self.claim.task_id
    }

    pub fn pool_id(&self) -> &str {
        &self.pool_id
    }

    /// `{pool}-worker-{0..2}`
    pub fn worker_id(&self) -> &str {
        &self.claim.worker_id
    }

    /// How long until whoever waits is answered without this; zero when that has happened.
    pub fn remaining(&self) -> Duration {
        self.clock.tick().until(self.claim.deadline)
    }

    /// Whether nobody waits for the result any more: it was cancelled, the pool is being shut down, or the time is up.
    pub fn is_cancelled(&self) -> bool {
        self.claim.cancel.is_cancelled() || self.remaining().is_zero()
    }

    /// Is cancelled with the task, and wakes whoever waits with it: for retries and waits of
    /// [`resilience`](crate::resilience).
    pub fn cancel_token(&self) -> &CancelToken {
        &self.claim.cancel
    }

    /// A sign of life. A worker of which nothing is heard for five minutes counts as unhealthy, so that routing prefers
    /// others, until it is heard of again or done.
    pub fn heartbeat(&self) {
        self.claim.heard.set(self.clock.tick());
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("task_id", &self.claim.task_id)
            .field("worker_id", &self.claim.worker_id)
            .finish_non_exhaustive()
    }
}
