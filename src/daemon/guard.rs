//! The circuit breaker of a pool's executor. Workers ask it before they start a task and tell it what the run says of the
//! executor; the hub hears of its changes by letter, and holds the pool's queue meanwhile.
//!
//! A letter may be late: it says that there was a change, and how things stand is looked at when it is opened.

use super::inbox::{Inbox, Letter};
use crate::clock::Timestamp;
use crate::executor::Standing;
use crate::model::breaker::{BreakerChange, BreakerRow, BreakerState, Stands};
use crate::model::hub::breaker_name;
use crate::model::id::PoolId;
use crate::resilience::circuit_breaker::NAME_BYTES_MAX;
use crate::resilience::{
    BreakerSettings, CircuitBreaker, CircuitState, Effects, Event, Jitter, Metrics, Observer, Permit, Ratio,
    RecoveryGrowth, SettingsError, Verdict,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each time that it is tried in vain the next try is twice as far away, up to this.
const RECOVERY_MAX: Duration = Duration::from_secs(15 * 60);
/// Limits on an agent's use are lifted within a week. A time further away than this is none.
const LIMIT_MAX: Duration = Duration::from_secs(8 * 24 * 3600);
/// Longer than any task may take, and being killed: a try that takes long keeps its place.
const TRY_MAX: Duration = Duration::from_secs(8 * 24 * 3600);
/// Should it not be known how long a breaker lets nothing through, it is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// A breaker that is about to let one task through.
const HALF_OPEN: &str = "1 half_open 0 1 1";

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
            half_open_max_wait: TRY_MAX,
            retry_after_max: LIMIT_MAX,
            ..BreakerSettings::consecutive(self.failure_threshold, self.recovery_timeout)
        }
    }
}

/// One for each pool that starts processes; clones are the same.
#[derive(Clone)]
pub(super) struct Guard {
    breaker: CircuitBreaker,
    /// Of the command: what is known of one says nothing about another.
    fingerprint: u64,
    /// Changes up to this one were made by the hub, or are known to it.
    known: Arc<AtomicU64>,
}

impl Guard {
    pub(super) fn new(
        pool: &PoolId,
        command: &[String],
        settings: GuardSettings,
        metrics: &Arc<Metrics>,
        inbox: &Inbox,
    ) -> Result<Guard, SettingsError> {
        let known = Arc::new(AtomicU64::new(u64::MAX));
        let teller = Teller { pool: pool.clone(), inbox: inbox.clone(), known: Arc::clone(&known) };
        let effects = Effects::system()
            .observed_by(Arc::clone(metrics) as Arc<dyn Observer>)
            .observed_by(Arc::new(teller) as Arc<dyn Observer>);
        let mut name = breaker_name(pool);
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        let breaker = CircuitBreaker::new(&name, settings.breaker(), &effects)?;
        known.store(0, Ordering::Relaxed);
        let mut hasher = DefaultHasher::new();
        command.hash(&mut hasher);
        Ok(Guard { breaker, fingerprint: hasher.finish(), known })
    }

    pub(super) fn name(&self) -> &str {
        self.breaker.name()
    }

    /// Takes up what the last daemon left, and says for how long nothing passes; `None` when all does.
    pub(super) fn restore(&self, row: &BreakerRow, now: Timestamp) -> Option<Duration> {
        let (fingerprint, snapshot) = row.snapshot.split_once(' ')?;
        if u64::from_str_radix(fingerprint, 16) != Ok(self.fingerprint) {
            log::info!("a circuit breaker begins anew, its command is another one breaker={}", self.name());
            return None;
        }
        let restored = self.by_the_hub(|| self.breaker.restore(snapshot, row.saved_at.until(now)));
        if let Err(error) = restored {
            log::warn!("a circuit breaker begins anew breaker={} error={error}", self.name());
        }
        self.holds_for()
    }

    /// Lets one task through, which decides. The hub has asked for it, and is not told.
    pub(super) fn try_now(&self) {
        if self.by_the_hub(|| self.breaker.restore(HALF_OPEN, Duration::ZERO)).is_err() {
            log::error!("a circuit breaker could not be tried breaker={}", self.name());
        }
    }

    /// What a letter says that was written about the change of that number; `None` when the hub knows better.
    pub(super) fn change(
        &self,
        from: BreakerState,
        to: BreakerState,
        wait: Option<Duration>,
        seq: u64,
    ) -> Option<BreakerChange> {
        if seq <= self.known.load(Ordering::Relaxed) {
            return None;
        }
        let snapshot = format!("{:x} {}", self.fingerprint, self.breaker.snapshot());
        Some(BreakerChange { from, to, wait, stands: self.stands(), snapshot })
    }

    pub(super) fn stands(&self) -> Stands {
        let wait = self.breaker.retry_after().unwrap_or_default();
        Stands { state: known_as(self.breaker.state()), wait }
    }

    /// For how long it lets nothing through; `None` when it is closed.
    pub(super) fn holds_for(&self) -> Option<Duration> {
        match self.stands() {
            Stands { state: BreakerState::Closed, .. } => None,
            Stands { state: BreakerState::Open, wait } => Some(wait),
            // Somebody is trying, and nobody can tell for how long.
            Stands { state: BreakerState::HalfOpen, wait } => Some(wait.min(ASK_AGAIN)),
        }
    }

    /// Asks whether a task may be started.
    pub(super) fn admit(&self, task: &str) -> Option<Permit<'_>> {
        self.breaker.acquire_for(task).ok()
    }

    /// Nobody writes a letter about a change that the hub makes itself: it could not wait for room in its own inbox.
    fn by_the_hub<T>(&self, act: impl FnOnce() -> T) -> T {
        self.known.store(u64::MAX, Ordering::Relaxed);
        let done = act();
        self.known.store(self.breaker.changes(), Ordering::Relaxed);
        done
    }
}

/// Reports what a run says of the executor; `now` turns the end of a limit into a wait.
pub(super) fn settle(permit: Permit<'_>, standing: Standing, now: Timestamp) {
    match standing {
        Standing::Well => permit.success(),
        Standing::Untold => permit.ignore(),
        Standing::Unwell { until } => {
            let wait = until.map(|at| now.until(at)).filter(|wait| *wait < LIMIT_MAX);
            permit.judge(&Verdict { retry_after: wait, ..Verdict::broken("executor") });
        }
    }
}

/// Tells the hub.
struct Teller {
    pool: PoolId,
    inbox: Inbox,
    known: Arc<AtomicU64>,
}

impl Observer for Teller {
    fn observe(&self, event: &Event<'_>) {
        let Event::StateChanged(change) = event else { return };
        if change.seq > self.known.load(Ordering::Relaxed) {
            let (from, to) = (known_as(change.from), known_as(change.to));
            let (pool, wait, seq) = (self.pool.clone(), change.wait, change.seq);
            self.inbox.put(Letter::BreakerChanged { pool, from, to, wait, seq });
        }
    }

    fn counts_calls(&self) -> bool {
        false
    }
}

/// As the hub knows it. Nobody in the daemon forces or disables a breaker.
pub(super) fn known_as(state: CircuitState) -> BreakerState {
    match state {
        CircuitState::Closed | CircuitState::Disabled => BreakerState::Closed,
        CircuitState::Open | CircuitState::ForcedOpen => BreakerState::Open,
        CircuitState::HalfOpen => BreakerState::HalfOpen,
    }
}
