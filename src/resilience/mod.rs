//! Circuit breaker and retry for everything that leaves the process. The [`guide`] begins with a first call and ends with
//! what this room promises and how each promise is tested.
//!
//! Time, chance and cancellation are injected, so that whatever uses this room can be tested in virtual time.

pub mod backoff;
pub mod budget;
pub mod cancel;
pub mod circuit_breaker;
pub mod effects;
pub mod event;
pub mod guide;
pub mod metrics;
pub mod presets;
#[cfg(test)]
mod properties;
pub mod registry;
pub mod resilient;
pub mod retry;
pub mod rng;
pub mod settings;
mod sync;
pub mod timer;
pub mod verdict;

pub use backoff::{Backoff, Curve, Jitter};
pub use budget::{BudgetSettings, RetryBudget};
pub use cancel::CancelToken;
pub use circuit_breaker::{
    BreakerSettings, CallError, CircuitBreaker, CircuitBreakerError, CircuitState, ForcedOpen, Permit, RecoveryGrowth,
    SlowCalls, SnapshotError, Trip,
};
pub use effects::Effects;
pub use event::{Event, Observer, Outcome, StateChange, StopReason};
pub use metrics::Metrics;
pub use registry::{Registry, RegistryError};
pub use resilient::{Order, Resilient, ResilientError, ResilientSettings};
pub use retry::{Attempt, MaxRetriesExceededError, Operation, RetryError, RetryPolicy, RetrySettings};
pub use rng::{Rng, SplitMix64};
pub use settings::{Ratio, SettingsError};
pub use timer::{Timer, Waited};
pub use verdict::{Fault, Verdict, expected};
