//! When a breaker opens, for how long, and how it finds out that the service is back.

use std::time::Duration;

use crate::resilience::backoff::Jitter;
use crate::resilience::settings::{Checks, Ratio, SettingsError};

/// Most calls that a count window remembers.
pub const WINDOW_CALLS_MAX: u32 = 10_000;
/// Most buckets of a time window.
pub const WINDOW_BUCKETS_MAX: u32 = 1_000;
/// Most probes at once in the half-open state.
pub const HALF_OPEN_PERMITS_MAX: u32 = 1_024;

/// What makes a closed breaker open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// That many failures in a row; one success starts over. The right one for few and regular calls.
    Consecutive { failure_threshold: u32 },
    /// The share of failures among the last `calls` outcomes, once there are `minimum_calls`.
    CountWindow { calls: u32, minimum_calls: u32, failure_rate: Ratio },
    /// The share of failures among the outcomes of the last `period`, kept in that many `buckets`.
    TimeWindow { period: Duration, buckets: u32, minimum_calls: u32, failure_rate: Ratio },
}

/// Treats slowness as trouble: opens when that share of the window's calls took at least `longer_than`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowCalls {
    pub longer_than: Duration,
    pub rate: Ratio,
}

/// Makes each opening that follows a failed probe last longer than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryGrowth {
    pub factor: Ratio,
    pub max_timeout: Duration,
    /// [`Jitter::None`] or [`Jitter::Equal`]: the others could open the breaker for no time at all.
    pub jitter: Jitter,
}

/// The settings of a breaker. `BreakerSettings { recovery_timeout, ..BreakerSettings::DEFAULT }` changes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    pub trip: Trip,
    /// Only with a window. A slow probe then counts as a failed one.
    pub slow_calls: Option<SlowCalls>,
    /// How long it stays open before a probe is let through.
    pub recovery_timeout: Duration,
    pub recovery_growth: Option<RecoveryGrowth>,
    /// How many probes may be under way at once.
    pub half_open_permits: u32,
    /// How many probes must succeed before it closes.
    pub half_open_successes: u32,
    /// After this a probe that has not come back loses its place to another.
    pub half_open_max_wait: Duration,
    /// Longest wait that the service itself may ask for: a failure whose [`Verdict`](crate::resilience::Verdict) names a
    /// `retry_after` opens the breaker at once, for that long or as long as it would be open anyhow. Zero: what the
    /// service asks for is not heard.
    pub retry_after_max: Duration,
}

impl BreakerSettings {
    /// Five failures in a row open it for a minute; then one probe decides.
    pub const DEFAULT: BreakerSettings = BreakerSettings::consecutive(5, Duration::from_secs(60));

    /// The two settings that most people change.
    pub const fn consecutive(failure_threshold: u32, recovery_timeout: Duration) -> BreakerSettings {
        BreakerSettings {
            trip: Trip::Consecutive { failure_threshold },
            slow_calls: None,
            recovery_timeout,
            recovery_growth: None,
            half_open_permits: 1,
            half_open_successes: 1,
            half_open_max_wait: Duration::from_secs(60),
            retry_after_max: Duration::ZERO,
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names every field in the wrong, and its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let mut checks = Checks::default();
        self.check_trip(&mut checks);
        self.check_recovery(&mut checks);
        let permits = self.half_open_permits;
        checks.require((1..=HALF_OPEN_PERMITS_MAX).contains(&permits), "half_open_permits", permits, "from 1 to 1024");
        let successes = self.half_open_successes;
        checks.require(successes >= 1, "half_open_successes", successes, "at least 1");
        let wait = self.half_open_max_wait;
        checks.require(!wait.is_zero(), "half_open_max_wait", wait, "more than zero");
        checks.done()
    }

    /// Refuses whatever is not as in the settings that are there already.
    ///
    /// # Errors
    /// Names every field that differs, and what it is there.
    pub(in crate::resilience) fn same_as(&self, there: &BreakerSettings) -> Result<(), SettingsError> {
        // Taken apart, so that a new field cannot be forgotten here.
        let BreakerSettings {
            trip,
            slow_calls,
            recovery_timeout,
            recovery_growth,
            half_open_permits,
            half_open_successes,
            half_open_max_wait,
            retry_after_max,
        } = self;
        let mut checks = Checks::default();
        checks.require_same("trip", trip, &there.trip);
        checks.require_same("slow_calls", slow_calls, &there.slow_calls);
        checks.require_same("recovery_timeout", recovery_timeout, &there.recovery_timeout);
        checks.require_same("recovery_growth", recovery_growth, &there.recovery_growth);
        checks.require_same("half_open_permits", half_open_permits, &there.half_open_permits);
        checks.require_same("half_open_successes", half_open_successes, &there.half_open_successes);
        checks.require_same("half_open_max_wait", half_open_max_wait, &there.half_open_max_wait);
        checks.require_same("retry_after_max", retry_after_max, &there.retry_after_max);
        checks.done()
    }

    fn check_trip(&self, checks: &mut Checks) {
        match self.trip {
            Trip::Consecutive { failure_threshold } => {
                checks.require(failure_threshold >= 1, "failure_threshold", failure_threshold, "at least 1");
            }
            Trip::CountWindow { calls, minimum_calls, failure_rate } => {
                checks.require((1..=WINDOW_CALLS_MAX).contains(&calls), "window.calls", calls, "from 1 to 10000");
                checks.require(minimum_calls <= calls, "minimum_calls", minimum_calls, "at most window.calls");
                check_share(checks, minimum_calls, failure_rate);
            }
            Trip::TimeWindow { period, buckets, minimum_calls, failure_rate } => {
                checks.require(!period.is_zero(), "window.period", period, "more than zero");
                let buckets_allowed = (1..=WINDOW_BUCKETS_MAX).contains(&buckets);
                checks.require(buckets_allowed, "window.buckets", buckets, "from 1 to 1000");
                check_share(checks, minimum_calls, failure_rate);
            }
        }
        if let Some(slow) = self.slow_calls {
            let windowed = !matches!(self.trip, Trip::Consecutive { .. });
            checks.require(windowed, "slow_calls", slow, "used with a window");
            let rate_allowed = slow.rate > Ratio::percent(0) && slow.rate <= Ratio::ONE;
            checks.require(rate_allowed, "slow_calls.rate", slow.rate, "above 0 and at most 1");
            checks.require(!slow.longer_than.is_zero(), "slow_calls.longer_than", slow.longer_than, "more than zero");
        }
    }

    fn check_recovery(&self, checks: &mut Checks) {
        let timeout = self.recovery_timeout;
        checks.require(!timeout.is_zero(), "recovery_timeout", timeout, "more than zero");
        let Some(growth) = self.recovery_growth else { return };
        checks.require(growth.factor >= Ratio::ONE, "recovery_growth.factor", growth.factor, "at least 1");
        let max = growth.max_timeout;
        checks.require(max >= timeout, "recovery_growth.max_timeout", max, "at least recovery_timeout");
        let jitter_allowed = matches!(growth.jitter, Jitter::None | Jitter::Equal);
        checks.require(jitter_allowed, "recovery_growth.jitter", growth.jitter, "None or Equal");
    }
}

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings::DEFAULT
    }
}

fn check_share(checks: &mut Checks, minimum_calls: u32, failure_rate: Ratio) {
    checks.require(minimum_calls >= 1, "minimum_calls", minimum_calls, "at least 1");
    let rate_allowed = failure_rate > Ratio::percent(0) && failure_rate <= Ratio::ONE;
    checks.require(rate_allowed, "failure_rate", failure_rate, "above 0 and at most 1");
}
