//! A circuit breaker: after enough failures calls are turned away at once, until a probe shows that the service is back.
//!
//! One mutex guards the state, and is never held while a closure, a classifier or an observer runs. A closed breaker
//! without trouble is passed without it.

mod answer;
mod permit;
mod settings;
mod snapshot;
mod state;
mod telling;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::effects::Effects;
use super::event::{Event, Outcome, Settled, tell};
use super::settings::{Checks, SettingsError};
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use super::verdict::{Fault, Verdict};
use crate::clock::Tick;

pub use answer::{CallError, CircuitBreakerError, CircuitState};
pub use permit::Permit;
pub use settings::{
    BreakerSettings, HALF_OPEN_PERMITS_MAX, RecoveryGrowth, SlowCalls, Trip, WINDOW_BUCKETS_MAX, WINDOW_CALLS_MAX,
};
pub use snapshot::{SNAPSHOT_BYTES_MAX, SnapshotError};

use state::{Admission, Change, Core, Settlement, Ticket};

/// Longest name of a breaker, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most changes of state that wait for a slow observer; later ones are merged into the last, and the chain stays whole.
pub const CHANGES_QUEUED_MAX: usize = 256;

/// A circuit breaker. Clones are the same breaker.
#[derive(Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    /// [`Core::untroubled`] as of the last change, readable without the lock.
    untroubled: AtomicU64,
    guarded: Mutex<Guarded>,
    name: Arc<str>,
    settings: BreakerSettings,
    effects: Effects,
    /// Somebody wants each call timed and told.
    counted: bool,
    timed: bool,
}

struct Guarded {
    core: Core,
    /// Changes not yet told, oldest first.
    changes: VecDeque<Change>,
    /// One thread at a time tells, so that the order holds without a lock over the observers.
    telling: bool,
}

impl CircuitBreaker {
    /// # Errors
    /// A setting is out of its range, or the name is empty or longer than [`NAME_BYTES_MAX`].
    pub fn new(name: &str, settings: BreakerSettings, effects: &Effects) -> Result<CircuitBreaker, SettingsError> {
        let breaker = CircuitBreaker::untold(name, settings, effects)?;
        breaker.tell_created();
        Ok(breaker)
    }

    /// A breaker that nobody has heard of yet: for whoever makes one under a lock.
    pub(super) fn untold(
        name: &str,
        settings: BreakerSettings,
        effects: &Effects,
    ) -> Result<CircuitBreaker, SettingsError> {
        let mut checks = Checks::default();
        checks.require((1..=NAME_BYTES_MAX).contains(&name.len()), "name", name, "of 1 to 128 bytes");
        checks.done()?;
        settings.validate()?;
        let counted = effects.observers.iter().any(|observer| observer.counts_calls());
        let timed = counted || settings.slow_calls.is_some() || matches!(settings.trip, Trip::TimeWindow { .. });
        let core = Core::new(settings);
        let shared = Shared {
            untroubled: AtomicU64::new(if timed { 0 } else { core.untroubled() }),
            guarded: Mutex::new(Guarded { core, changes: VecDeque::new(), telling: false }),
            name: Arc::from(name),
            settings,
            effects: effects.clone(),
            counted,
            timed,
        };
        Ok(CircuitBreaker { shared: Arc::new(shared) })
    }

    pub(super) fn tell_created(&self) {
        tell(&self.shared.effects.observers, &Event::Created { breaker: Arc::clone(&self.shared.name) });
    }

    /// What it is called in errors, metrics and logs.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What it was built with.
    pub fn settings(&self) -> &BreakerSettings {
        &self.shared.settings
    }

    /// Calls `call` unless the breaker turns it away. Its error is judged by the error itself.
    ///
    /// # Errors
    /// The breaker turned the call away, or the call failed.
    #[inline]
    pub fn call<T, E: Fault>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        self.call_judged(E::verdict, call)
    }

    /// The same for any error, with a judge: see [`expected`](super::expected).
    ///
    /// # Errors
    /// The breaker turned the call away, or the call failed.
    #[inline]
    pub fn call_judged<T, E>(
        &self,
        judge: impl FnOnce(&E) -> Verdict,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        let (ticket, admitted) = self.admit("-")?;
        let unwinding = Unwinding { breaker: self, ticket, admitted };
        let result = call();
        let (outcome, asked, result) = match result {
            Ok(value) => (Outcome::Success, None, Ok(value)),
            Err(error) => {
                let verdict = judge(&error);
                (verdict.outcome(), verdict.retry_after, Err(CallError::Failed(error)))
            }
        };
        std::mem::forget(unwinding);
        self.settle(ticket, outcome, asked, admitted);
        result
    }

    /// Asks to make one call. For calls that do not fit into a closure.
    ///
    /// # Errors
    /// The breaker turned the call away.
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, CircuitBreakerError> {
        self.acquire_for("-")
    }

    /// The same, with the operation's name for the log.
    ///
    /// # Errors
    /// The breaker turned the call away.
    #[inline]
    pub fn acquire_for(&self, operation: &str) -> Result<Permit<'_>, CircuitBreakerError> {
        let (ticket, admitted) = self.admit(operation)?;
        Ok(Permit::new(self, ticket, admitted))
    }

    #[inline]
    fn admit(&self, operation: &str) -> Result<(Ticket, Tick), CircuitBreakerError> {
        let generation = self.shared.untroubled.load(Ordering::Acquire);
        if generation != 0 {
            return Ok((Ticket { generation, probe: 0 }, Tick::ZERO));
        }
        self.ask(operation)
    }

    #[inline(never)]
    fn ask(&self, operation: &str) -> Result<(Ticket, Tick), CircuitBreakerError> {
        let guarded = self.shared.guarded.lock();
        if let Some(ticket) = guarded.core.pass_closed() {
            // Nothing changes, so there is nothing to write down or to tell.
            let now = if self.shared.timed { self.tick() } else { Tick::ZERO };
            return Ok((ticket, now));
        }
        let (admission, now) = self.decide(guarded, |core| {
            // The clock is read under the lock: two threads must not be in disagreement about what is earlier.
            let now = self.tick();
            let (admission, change) = core.admit(now);
            ((admission, now), change)
        });
        match admission {
            Admission::Granted(ticket) => Ok((ticket, now)),
            Admission::Refused { state, retry_after, first } => {
                let breaker = Arc::clone(&self.shared.name);
                if first {
                    log::warn!(
                        "circuit breaker turned its first call away breaker={breaker} operation={operation} state={state}"
                    );
                }
                if self.shared.counted {
                    let event = Event::Rejected { breaker: Arc::clone(&breaker), operation };
                    tell(&self.shared.effects.observers, &event);
                }
                Err(CircuitBreakerError { breaker, state, retry_after })
            }
        }
    }

    #[inline]
    fn settle(&self, ticket: Ticket, outcome: Outcome, asked: Option<Duration>, admitted: Tick) {
        // Closed, without a failure on record, and of this generation: a success has nothing to change.
        let untroubled = self.shared.untroubled.load(Ordering::Acquire) == ticket.generation;
        if untroubled && outcome != Outcome::Failure {
            return;
        }
        self.report(ticket, outcome, asked, admitted);
    }

    #[inline(never)]
    fn report(&self, ticket: Ticket, outcome: Outcome, asked: Option<Duration>, admitted: Tick) {
        let shared = &*self.shared;
        let settled = self.locked(|core| {
            let timed = shared.timed || core.needs_time(outcome);
            let now = if timed { self.tick() } else { Tick::ZERO };
            let took = now.since(admitted);
            let slow = shared.settings.slow_calls.is_some_and(|limit| took >= limit.longer_than);
            let (settlement, change) = core.settle(ticket, outcome, slow, asked, now, &*shared.effects.rng);
            let told = shared.counted && settlement != Settlement::Unrecorded;
            let settled = told.then(|| Settled {
                breaker: Arc::clone(&shared.name),
                outcome,
                stale: settlement == Settlement::Stale,
                slow,
                took,
                failures: core.failures(now),
                revision: core.revision,
            });
            (settled, change)
        });
        if let Some(settled) = settled {
            tell(&shared.effects.observers, &Event::Settled(settled));
        }
    }

    /// What the breaker would do with a call now. Only looks: no permit is taken, nothing changes.
    pub fn state(&self) -> CircuitState {
        let guarded = self.shared.guarded.lock();
        guarded.core.state(self.tick())
    }

    /// Failures that count towards opening, or that led to it.
    pub fn failure_count(&self) -> u32 {
        let guarded = self.shared.guarded.lock();
        guarded.core.failures(self.tick())
    }

    /// How long until a call may pass; `None` when one may pass now, or when nobody can tell.
    pub fn retry_after(&self) -> Option<Duration> {
        let guarded = self.shared.guarded.lock();
        guarded.core.retry_after(self.tick()).filter(|wait| !wait.is_zero())
    }

    /// How often its state has changed: the `seq` of the last [`StateChange`](super::StateChange).
    pub fn changes(&self) -> u64 {
        self.shared.guarded.lock().core.changes
    }

    /// Closes it and forgets the past; what is still under way can no longer change anything.
    pub fn reset(&self) {
        let revision = self.locked(|core| {
            let change = core.close(self.tick());
            (core.revision, change)
        });
        let breaker = Arc::clone(&self.shared.name);
        tell(&self.shared.effects.observers, &Event::Reset { breaker, revision });
    }

    /// Turns every call away until the returned guard and all others are dropped; then it is closed and starts afresh.
    pub fn force_open(&self) -> ForcedOpen {
        let generation = self.locked(|core| core.force_open(self.tick()));
        ForcedOpen { breaker: self.clone(), generation }
    }

    /// Lets every call pass and records nothing, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.locked(|core| ((), core.disable(self.tick())));
    }

    /// The state as one line of text, with remaining times instead of stamps.
    pub fn snapshot(&self) -> String {
        let guarded = self.shared.guarded.lock();
        snapshot::encode(&guarded.core, self.tick())
    }

    /// Takes up the state that [`snapshot`](Self::snapshot) wrote `elapsed` ago, in this process or another.
    ///
    /// # Errors
    /// The text is no snapshot, or one of a breaker of another kind. The breaker is closed then.
    pub fn restore(&self, snapshot: &str, elapsed: Duration) -> Result<(), SnapshotError> {
        self.locked(|core| {
            let now = self.tick();
            match snapshot::decode(snapshot, elapsed, self.shared.settings, core.open_wait_max(), now) {
                Ok(phase) => (Ok(()), core.replace(phase, now)),
                Err(error) => (Err(error), core.close(now)),
            }
        })
    }

    fn tick(&self) -> Tick {
        self.shared.effects.timer.tick()
    }

    fn elapsed_since(&self, admitted: Tick) -> Duration {
        if self.shared.timed { self.tick().since(admitted) } else { Duration::ZERO }
    }

    /// Does something under the lock, and tells what changed after it.
    fn locked<T>(&self, decide: impl FnOnce(&mut Core) -> (T, Option<Change>)) -> T {
        self.decide(self.shared.guarded.lock(), decide)
    }

    fn decide<T>(
        &self,
        mut guarded: MutexGuard<'_, Guarded>,
        decide: impl FnOnce(&mut Core) -> (T, Option<Change>),
    ) -> T {
        let shared = &*self.shared;
        let (answer, change) = decide(&mut guarded.core);
        let untroubled = if shared.timed { 0 } else { guarded.core.untroubled() };
        // Written only under the lock, and only when it is new: the line stays shared between the readers' caches.
        if shared.untroubled.load(Ordering::Relaxed) != untroubled {
            shared.untroubled.store(untroubled, Ordering::Release);
        }
        if let Some(change) = change {
            guarded.queue(change);
            if !guarded.telling {
                guarded.telling = true;
                drop(guarded);
                self.tell_changes();
            }
        }
        answer
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", &self.name()).field("state", &self.state()).finish()
    }
}

/// A call under way in a closure. It is dropped only when the closure or the judge unwinds.
struct Unwinding<'a> {
    breaker: &'a CircuitBreaker,
    ticket: Ticket,
    admitted: Tick,
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.breaker.settle(self.ticket, Outcome::Failure, None, self.admitted);
    }
}

/// Keeps a breaker open while it lives. Nested guards end with the last.
#[must_use = "the breaker is forced open only while this lives"]
#[derive(Debug)]
pub struct ForcedOpen {
    breaker: CircuitBreaker,
    generation: u64,
}

impl Drop for ForcedOpen {
    fn drop(&mut self) {
        let ForcedOpen { breaker, generation } = self;
        breaker.locked(|core| ((), core.release_forced(*generation, breaker.tick())));
    }
}
