//! What callers get to see of a breaker: its state, and how a guarded call fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::resilience::verdict::{Fault, Verdict};

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CircuitState {
    /// They pass.
    Closed,
    /// They are turned away until the recovery timeout is over.
    Open,
    /// A few pass, as probes.
    HalfOpen,
    /// They are turned away for as long as somebody holds a [`ForcedOpen`](super::ForcedOpen).
    ForcedOpen,
    /// They pass, and nothing is recorded.
    Disabled,
}

impl CircuitState {
    pub const ALL: [CircuitState; 5] = [
        CircuitState::Closed,
        CircuitState::Open,
        CircuitState::HalfOpen,
        CircuitState::ForcedOpen,
        CircuitState::Disabled,
    ];

    /// The word in metrics, logs and snapshots.
    pub const fn as_str(self) -> &'static str {
        match self {
            CircuitState::Closed => "closed",
            CircuitState::Open => "open",
            CircuitState::HalfOpen => "half_open",
            CircuitState::ForcedOpen => "forced_open",
            CircuitState::Disabled => "disabled",
        }
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The breaker turned the call away; nothing was called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker {breaker} is {state}{}", .retry_after.map_or_else(String::new, |wait| format!(", retry after {wait:?}")))]
pub struct CircuitBreakerError {
    pub breaker: Arc<str>,
    pub state: CircuitState,
    /// When the next call may pass, as far as that is known.
    pub retry_after: Option<Duration>,
}

/// How a guarded call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// It was not made.
    #[error(transparent)]
    Rejected(#[from] CircuitBreakerError),
    /// It was made, and this is its error.
    #[error(transparent)]
    Failed(E),
}

/// A rejection is not worth a retry, and says nothing about what else the caller guards.
impl<E: Fault> Fault for CallError<E> {
    fn verdict(&self) -> Verdict {
        match self {
            CallError::Rejected(_) => Verdict::permanent("circuit_open"),
            CallError::Failed(error) => error.verdict(),
        }
    }
}
