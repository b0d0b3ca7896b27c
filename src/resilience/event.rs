//! What breakers and retries tell about themselves: one stream of events, which metrics and tests fold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::CircuitState;

/// What became of an admitted call, in the eyes of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Success,
    Failure,
    /// Says nothing about the service: a bad request of ours, a cancelled call. Changes nothing.
    Ignored,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Ignored => "ignored",
        }
    }
}

/// Why an operation ended without success although its last error was worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopReason {
    /// All attempts are used up.
    Attempts,
    /// The next wait would have crossed the deadline, or crossed it.
    Deadline,
    /// The service asked for a longer wait than the policy allows.
    RetryAfter,
    /// The retry budget is spent.
    Budget,
    /// The token was cancelled.
    Cancelled,
}

impl StopReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            StopReason::Attempts => "attempts",
            StopReason::Deadline => "deadline",
            StopReason::RetryAfter => "retry_after",
            StopReason::Budget => "budget",
            StopReason::Cancelled => "cancelled",
        }
    }
}

/// One change of a breaker's state. They form a chain: `from` is the `to` of the one before, `seq` is one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    pub breaker: Arc<str>,
    /// Counts from 1 for each breaker. More than one more than before: that many changes were merged into this one,
    /// because a listener held up more than [`CHANGES_QUEUED_MAX`](super::circuit_breaker::CHANGES_QUEUED_MAX).
    pub seq: u64,
    pub from: CircuitState,
    pub to: CircuitState,
    /// Failures counted when the change happened.
    pub failures: u32,
    /// Orders this among [`Settled`] events of the same breaker.
    pub revision: u64,
    /// How long it will stay open, when `to` is open.
    pub wait: Option<Duration>,
}

/// The end of one admitted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub breaker: Arc<str>,
    pub outcome: Outcome,
    /// Belonged to an earlier generation, or had lost its lease: it changed nothing.
    pub stale: bool,
    pub slow: bool,
    pub took: Duration,
    /// Failures counted after this call.
    pub failures: u32,
    pub revision: u64,
}

/// Something that happened. Names, kinds and durations only: an event never carries an error's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A breaker came to be, closed.
    Created {
        breaker: Arc<str>,
    },
    StateChanged(StateChange),
    /// A breaker was reset: no failures are on record as of `revision`.
    Reset {
        breaker: Arc<str>,
        revision: u64,
    },
    Settled(Settled),
    /// A breaker turned a call away.
    Rejected {
        breaker: Arc<str>,
        operation: &'a str,
    },
    /// A retry policy made an attempt and judged it.
    Attempted {
        operation: &'a str,
        attempt: u32,
        outcome: Outcome,
    },
    /// Another attempt follows after `wait`.
    Retrying {
        operation: &'a str,
        attempt: u32,
        kind: &'static str,
        wait: Duration,
    },
    /// An operation succeeded that had failed at least once.
    RetrySucceeded {
        operation: &'a str,
        attempts: u32,
    },
    /// An operation was given up.
    GaveUp {
        operation: &'a str,
        attempts: u32,
        reason: StopReason,
    },
}

/// Somebody who listens. Called without any lock held, so it may call every method of every breaker; a panic in it is
/// logged and otherwise without effect.
pub trait Observer: Send + Sync {
    /// Something has happened. Called by the thread that caused it, so what takes long makes that caller wait.
    fn observe(&self, event: &Event<'_>);

    /// Whether [`Settled`] and [`Event::Rejected`] are wanted. Observers who all say no leave a closed breaker its fast
    /// path, on which calls are neither timed nor told.
    fn counts_calls(&self) -> bool {
        true
    }
}

pub(super) fn tell(observers: &[Arc<dyn Observer>], event: &Event<'_>) {
    for observer in observers {
        if catch_unwind(AssertUnwindSafe(|| observer.observe(event))).is_err() {
            log::error!("observer of resilience events panicked, carrying on");
        }
    }
}
