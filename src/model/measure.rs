//! How long things took, for whoever keeps statistics. Told with the batch in which it was known, and stored nowhere.

use super::id::PoolId;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// From a task's submission, or the end of its delay, to when a worker got it.
    TaskQueued { pool: PoolId, wait: Duration },
    /// One attempt, however it ended.
    TaskRan { pool: PoolId, took: Duration },
    /// From a question that was asked of a module to its answer, or to its failure.
    MessageEnded { took: Duration },
}
