//! What a hook is told: what it is for, and what it works with.

use crate::clock::Clock;
use crate::feed::{Feed, Filter};
use crate::ports::Readers;
use crate::resilience::{
    Backoff, BreakerSettings, Curve, Effects, Jitter, Order, Ratio, RecoveryGrowth, ResilientSettings, RetrySettings,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For one event.
const ATTEMPTS_MAX: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// After so many events in a row that were all failures nothing is run for a while.
const FAILURES_MAX: u32 = 3;
/// Each time that it is tried in vain the next try is twice as far away.
const RECOVERY: Duration = Duration::from_secs(30);
const RECOVERY_MAX: Duration = Duration::from_secs(15 * 60);
/// Longer than all attempts at one event may take: a try that takes long keeps its place.
const TRY_MAX: Duration = Duration::from_secs(8 * 24 * 3600);

/// One hook.
#[derive(Clone, Debug)]
pub struct HookSettings {
    /// As names of users are; it becomes part of the thread's name and of a path.
    pub name: String,
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    pub filter: Filter,
    /// For one run.
    pub timeout: Duration,
}

impl HookSettings {
    pub(super) fn resilient() -> ResilientSettings {
        let curve = Curve::Exponential { base: FIRST_DELAY, factor: Ratio::times(2) };
        let growth = RecoveryGrowth { factor: Ratio::times(2), max_timeout: RECOVERY_MAX, jitter: Jitter::None };
        ResilientSettings {
            breaker: BreakerSettings {
                recovery_growth: Some(growth),
                half_open_max_wait: TRY_MAX,
                ..BreakerSettings::consecutive(FAILURES_MAX, RECOVERY)
            },
            retry: RetrySettings::attempts(ATTEMPTS_MAX, Backoff::of(curve).jitter(Jitter::Equal)),
            order: Order::BreakerOutside,
        }
    }
}

/// What all hooks share.
pub struct Means {
    pub feed: Arc<Feed>,
    pub readers: Arc<dyn Readers>,
    pub clock: Arc<dyn Clock>,
    /// Of retries and circuit breakers.
    pub effects: Effects,
    /// Where commands run; absolute.
    pub directory: PathBuf,
    /// What the last run of each has written is kept there, in a directory of its name.
    pub output_root: PathBuf,
    /// Added to that of the daemon.
    pub environment: Vec<(String, String)>,
    /// From TERM to KILL when the time of a run is over.
    pub grace: Duration,
    /// The same when the hook is told to end.
    pub stop_grace: Duration,
}
