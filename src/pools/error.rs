//! What can go wrong, sorted by what a caller does about it.

use crate::model::limits::{
    CONTENT_BYTES_MAX, JSON_BYTES_MAX, NAME_BYTES_MAX, POOLS_MAX, PRIORITY_MAX, PRIORITY_MIN, TASK_TIMEOUT_MAX,
    TASK_TIMEOUT_MIN,
};
use std::io;
use std::time::Duration;

/// What an executor may fail with: any error, so that `?` just works. A plain text is one as well: `Err("no such
/// branch".into())`.
pub type ExecuteError = Box<dyn std::error::Error + Send + Sync>;

/// Why something was refused: no task was taken, and nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("Pool {0} not found")]
    NotFound(String),
    #[error("Pool {0} already exists")]
    AlreadyExists(String),
    /// It was not initialized yet, or it is being shut down.
    #[error("Pool {0} is not running")]
    NotRunning(String),
    /// It was shut down once: its threads are gone for good.
    #[error("Pool {0} was shut down and does not start again; make another")]
    Ended(String),
    /// There is none that takes tasks.
    #[error("No pools available for routing")]
    NoPools,
    #[error("Unknown selector strategy: {0}")]
    UnknownStrategy(String),
    /// As many tasks wait as may. Worth another try after `retry_after`.
    #[error("Pool {pool_id} has {queue_max} tasks waiting and takes no more for now; try again in {retry_after:?}")]
    QueueFull { pool_id: String, queue_max: usize, retry_after: Duration },
    /// The same of every pool that a task could be routed to.
    #[error("the queues of all {pools} pools are full; try again in {retry_after:?}")]
    AllFull { pools: usize, retry_after: Duration },
    #[error(
        "{0:?} is no name of a pool: letters, digits, '.', '_' and '-', the first a letter or digit, \
         at most {NAME_BYTES_MAX} of them"
    )]
    BadId(String),
    #[error("the prompt has {bytes} bytes; at most {CONTENT_BYTES_MAX} are taken")]
    PromptTooLong { bytes: usize },
    #[error("the context has {bytes} bytes as JSON; at most {JSON_BYTES_MAX} are taken")]
    ContextTooLong { bytes: usize },
    #[error("the timeout is {0:?}; it goes from {TASK_TIMEOUT_MIN:?} to {TASK_TIMEOUT_MAX:?}")]
    BadTimeout(Duration),
    #[error("the priority is {0}; it goes from {PRIORITY_MIN} to {PRIORITY_MAX}")]
    BadPriority(i32),
    #[error("there are {POOLS_MAX} pools, and more are not possible; delete one")]
    TooManyPools,
    #[error("the pool manager is not running; start it first")]
    ManagerNotRunning,
    /// The operating system gave no thread.
    #[error("the workers of pool {pool_id} could not be started: {source}")]
    NoThread { pool_id: String, source: io::Error },
}

impl PoolError {
    /// How long to wait before the same call is worth another try; `None` when waiting does not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            PoolError::QueueFull { retry_after, .. } | PoolError::AllFull { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// How a task ended that has no result.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It was never taken.
    #[error(transparent)]
    Refused(#[from] PoolError),
    /// The executor's own error, in its own words.
    #[error(transparent)]
    Failed(ExecuteError),
    /// The executor panicked with this. Its worker goes on.
    #[error("the executor panicked: {0}")]
    Panicked(String),
    /// The time was up, in the queue or at work. The function itself may still be running: it can only be asked to stop.
    #[error("the task had no result within {after:?}")]
    TimedOut { after: Duration },
    /// Somebody cancelled it, or its pool was shut down. The function may still be running, as above.
    #[error("the task was cancelled")]
    Cancelled,
}
