//! The circuit breaker of a pool's executor. Workers ask it before they start a task and tell it what the run says of the
//! executor; the hub hears of its changes by letter, and holds the pool's queue meanwhile.

use super::inbox::{Inbox, Letter};
use crate::clock::Timestamp;
use crate::executor::Standing;
use crate::model::breaker::{BreakerRow, BreakerState};
use crate::model::hub::breaker_name;
use crate::model::id::PoolId;
use crate::resilience::circuit_breaker::NAME_BYTES_MAX;
use crate::resilience::{
    BreakerSettings, CircuitBreaker, CircuitState, Effects, Event, Jitter, Metrics, Observer, Permit, Ratio,
    RecoveryGrowth, SettingsError, Verdict,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Each time that it is tried in vain the next try is twice as far away, up to this.
const RECOVERY_MAX: Duration = Duration::from_secs(15 * 60);
/// Limits on an agent's use are lifted within a week; a task may run as long.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Should the hub and a breaker disagree, they are brought together again after this at the latest.
const HOLD_MAX_UNTOLD: Duration = Duration::from_secs(60);

/// How many failures in a row open it, and for how long at first.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuardSettings {
    pub(super) failure_threshold: u32,
    pub(super) recovery_timeout: Duration,
}

impl GuardSettings {
    fn breaker(self) -> BreakerSettings {
        BreakerSettings {
            recovery_growth: Some(RecoveryGrowth {
                factor: Ratio::times(2),
                max_timeout: RECOVERY_MAX.max(self.recovery_timeout),
                jitter: Jitter::None,
            }),
            half_open_max_wait: WEEK,
            retry_after_max: WEEK,
            ..BreakerSettings::consecutive(self.failure_threshold, self.recovery_timeout)
        }
    }
}

/// One for each pool that starts processes; clones are the same.
#[derive(Clone)]
pub(super) struct Guard {
    breaker: CircuitBreaker,
    teller: Arc<Teller>,
}

impl Guard {
    pub(super) fn new(
        pool: &PoolId,
        settings: GuardSettings,
        metrics: &Arc<Metrics>,
        inbox: &Inbox,
    ) -> Result<Guard, SettingsError> {
        let teller = Arc::new(Teller { pool: pool.clone(), inbox: inbox.clone(), is_silent: AtomicBool::new(false) });
        let effects = Effects::system()
            .observed_by(Arc::clone(metrics) as Arc<dyn Observer>)
            .observed_by(Arc::clone(&teller) as Arc<dyn Observer>);
        let mut name = breaker_name(pool);
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        Ok(Guard { breaker: CircuitBreaker::new(&name, settings.breaker(), &effects)?, teller })
    }

    /// Takes up what the last daemon left, and says for how long nothing passes; `None` when all does.
    pub(super) fn restore(&self, row: &BreakerRow, now: Timestamp) -> Option<Duration> {
        let restored = self.silently(|| self.breaker.restore(&row.snapshot, row.saved_at.until(now)));
        if let Err(error) = restored {
            log::warn!("a circuit breaker begins anew breaker={} error={error}", self.breaker.name());
        }
        match self.breaker.state() {
            CircuitState::Open | CircuitState::HalfOpen => Some(self.breaker.retry_after().unwrap_or_default()),
            CircuitState::Closed | CircuitState::ForcedOpen | CircuitState::Disabled => None,
        }
    }

    /// Begins anew. The hub has asked for it, and is not told.
    pub(super) fn reset(&self) {
        self.silently(|| self.breaker.reset());
    }

    pub(super) fn snapshot(&self) -> String {
        self.breaker.snapshot()
    }

    /// Asks whether a task may be started; otherwise says for how long none may.
    pub(super) fn admit(&self, task: &str) -> Result<Permit<'_>, Duration> {
        let permit = self.breaker.acquire_for(task);
        permit.map_err(|turned_away| turned_away.retry_after.unwrap_or(HOLD_MAX_UNTOLD).min(HOLD_MAX_UNTOLD))
    }

    fn silently<T>(&self, act: impl FnOnce() -> T) -> T {
        self.teller.is_silent.store(true, Ordering::Relaxed);
        let done = act();
        self.teller.is_silent.store(false, Ordering::Relaxed);
        done
    }
}

/// Reports what a run says of the executor; `now` turns the end of a limit into a wait.
pub(super) fn settle(permit: Permit<'_>, standing: Standing, now: Timestamp) {
    match standing {
        Standing::Well => permit.success(),
        Standing::Untold => permit.ignore(),
        Standing::Unwell { until: None } => permit.judge(&Verdict::broken("executor")),
        Standing::Unwell { until: Some(at) } => permit.judge(&Verdict::broken("limit").after(now.until(at))),
    }
}

/// Tells the hub. On the hub's own thread it must keep silent: nobody else empties the inbox.
struct Teller {
    pool: PoolId,
    inbox: Inbox,
    is_silent: AtomicBool,
}

impl Observer for Teller {
    fn observe(&self, event: &Event<'_>) {
        let Event::StateChanged(change) = event else { return };
        if self.is_silent.load(Ordering::Relaxed) {
            return;
        }
        let (Some(from), Some(to)) = (told(change.from), told(change.to)) else { return };
        self.inbox.put(Letter::BreakerChanged { pool: self.pool.clone(), from, to, wait: change.wait });
    }

    fn counts_calls(&self) -> bool {
        false
    }
}

/// The states that the hub knows; nobody here uses the others.
fn told(state: CircuitState) -> Option<BreakerState> {
    match state {
        CircuitState::Closed => Some(BreakerState::Closed),
        CircuitState::Open => Some(BreakerState::Open),
        CircuitState::HalfOpen => Some(BreakerState::HalfOpen),
        CircuitState::ForcedOpen | CircuitState::Disabled => None,
    }
}
