//! How long things took, for whoever keeps statistics. Told with the batch in which it was known, and stored nowhere.

use super::breaker::BreakerState;
use super::id::{PoolId, UpstreamName};
use super::upstream::SampleKind;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// From a task's submission, or the end of its delay, to when a worker got it.
    TaskQueued { pool: PoolId, wait: Duration },
    /// One attempt, however it ended.
    TaskRan { pool: PoolId, took: Duration },
    /// From a question that was asked of a module to its answer, or to its failure.
    MessageEnded { took: Duration },
    /// A number of an upstream's. Of a counter the whole total, over all restarts of the server.
    Sampled { upstream: UpstreamName, metric: String, kind: SampleKind, value: f64 },
    /// A number that an upstream tells no more.
    Forgotten { upstream: UpstreamName, metric: String },
    /// One cycle of a poller, and how long it took if anything was called.
    Polled { upstream: UpstreamName, took: Option<Duration>, failed: bool },
    /// The circuit breaker of a poller is in this state now.
    PollerBreaker { upstream: UpstreamName, state: BreakerState },
}
