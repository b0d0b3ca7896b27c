//! The decisions of a breaker, without locks, clocks or listeners: given the time, may this call pass, and what does
//! its result change?

use std::time::Duration;

use super::CircuitState;
use super::settings::BreakerSettings;
use super::window::{Call, Tally};
use crate::clock::Tick;
use crate::resilience::backoff::{Jitter, grown};
use crate::resilience::event::Outcome;
use crate::resilience::rng::{Rng, between};

/// A stretch of time that began once. Measured from its beginning rather than to its end, so that a clock that goes
/// back cannot make it longer than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    began: Tick,
    pub(super) wait: Duration,
}

impl Period {
    pub(super) fn new(began: Tick, wait: Duration) -> Period {
        Period { began, wait }
    }

    pub(super) fn left(self, now: Tick) -> Duration {
        self.wait.saturating_sub(now.since(self.began))
    }

    pub(super) fn is_over(self, now: Tick) -> bool {
        self.left(now).is_zero()
    }

    /// Begins again at `now` when the clock shows less than it did at the beginning.
    fn follow_clock(&mut self, now: Tick) {
        self.began = self.began.min(now);
    }
}

/// The place of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    probe: u64,
    period: Period,
}

/// The state with the data that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Closed {
        tally: Tally,
    },
    /// `opening` counts the openings since it was last closed, from 1.
    Open {
        period: Period,
        opening: u32,
        failures: u32,
        told: bool,
    },
    HalfOpen {
        leases: Vec<Lease>,
        successes: u32,
        opening: u32,
        failures: u32,
    },
    ForcedOpen {
        guards: u32,
        told: bool,
    },
    Disabled,
}

/// What an admitted call shows when it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) generation: u64,
    pub(super) probe: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Granted(Ticket),
    /// `first` since it was closed, and so worth a line in the log.
    Refused {
        state: CircuitState,
        retry_after: Option<Duration>,
        first: bool,
    },
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    Counted,
    Stale,
    /// Disabled breakers keep no books.
    Unrecorded,
}

/// A change of state, before it gets the breaker's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) seq: u64,
    pub(super) from: CircuitState,
    pub(super) to: CircuitState,
    pub(super) failures: u32,
    pub(super) revision: u64,
    pub(super) wait: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Core {
    settings: BreakerSettings,
    pub(super) phase: Phase,
    /// New with every change and every reset: what was admitted before cannot speak any more.
    generation: u64,
    pub(super) changes: u64,
    /// Counts whatever changes the number of failures.
    pub(super) revision: u64,
    probes: u64,
}

impl Core {
    pub(super) fn new(settings: BreakerSettings) -> Core {
        let phase = Phase::Closed { tally: Tally::new(settings.trip) };
        Core { settings, phase, generation: 1, changes: 0, revision: 0, probes: 0 }
    }

    /// The generation, when the next call may pass and its success would change nothing; else 0, which is none.
    pub(super) fn untroubled(&self) -> u64 {
        match self.phase {
            Phase::Closed { tally: Tally::Consecutive(0) } => self.generation,
            _ => 0,
        }
    }

    /// The ticket of a call to a closed breaker: the one admission that changes nothing and needs no time.
    pub(super) fn pass_closed(&self) -> Option<Ticket> {
        let closed = matches!(self.phase, Phase::Closed { .. });
        closed.then_some(Ticket { generation: self.generation, probe: 0 })
    }

    /// Whether the time matters for a result of that kind. Reading the clock is dearer than all the rest.
    pub(super) fn needs_time(&self, outcome: Outcome) -> bool {
        match &self.phase {
            Phase::Closed { tally } => outcome == Outcome::Failure || tally.may_trip_by_success(self.settings.trip),
            _ => true,
        }
    }

    /// What an onlooker sees: an open period that is over shows as half-open before anybody has asked to pass.
    pub(super) fn state(&self, now: Tick) -> CircuitState {
        match &self.phase {
            Phase::Open { period, .. } if period.is_over(now) => CircuitState::HalfOpen,
            _ => self.stored_state(),
        }
    }

    fn stored_state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen { .. } => CircuitState::HalfOpen,
            Phase::ForcedOpen { .. } => CircuitState::ForcedOpen,
            Phase::Disabled => CircuitState::Disabled,
        }
    }

    pub(super) fn failures(&self, now: Tick) -> u32 {
        match &self.phase {
            Phase::Closed { tally } => tally.failures(now),
            Phase::Open { failures, .. } | Phase::HalfOpen { failures, .. } => *failures,
            Phase::ForcedOpen { .. } | Phase::Disabled => 0,
        }
    }

    /// How long until the next call may pass, when that is known.
    pub(super) fn retry_after(&self, now: Tick) -> Option<Duration> {
        match &self.phase {
            Phase::Open { period, .. } => Some(period.left(now)),
            Phase::HalfOpen { leases, .. } => {
                let full = leases.len() as u64 >= u64::from(self.settings.half_open_permits);
                leases.iter().map(|lease| lease.period.left(now)).min().filter(|_| full)
            }
            Phase::Closed { .. } | Phase::ForcedOpen { .. } | Phase::Disabled => None,
        }
    }

    pub(super) fn admit(&mut self, now: Tick) -> (Admission, Option<Change>) {
        let mut change = None;
        if let Phase::Open { period, opening, failures, .. } = &mut self.phase {
            period.follow_clock(now);
            if period.is_over(now) {
                let (opening, failures) = (*opening, *failures);
                let places = usize::try_from(self.settings.half_open_permits).unwrap_or(1);
                let leases = Vec::with_capacity(places);
                change = Some(self.enter(Phase::HalfOpen { leases, successes: 0, opening, failures }, now, None));
            }
        }
        (self.admit_here(now), change)
    }

    fn admit_here(&mut self, now: Tick) -> Admission {
        let mut ticket = Ticket { generation: self.generation, probe: 0 };
        let retry_after = self.retry_after(now);
        match &mut self.phase {
            Phase::Closed { .. } | Phase::Disabled => Admission::Granted(ticket),
            Phase::Open { told, .. } => {
                let first = !std::mem::replace(told, true);
                Admission::Refused { state: CircuitState::Open, retry_after, first }
            }
            Phase::ForcedOpen { told, .. } => {
                let first = !std::mem::replace(told, true);
                Admission::Refused { state: CircuitState::ForcedOpen, retry_after: None, first }
            }
            Phase::HalfOpen { leases, .. } => {
                leases.iter_mut().for_each(|lease| lease.period.follow_clock(now));
                leases.retain(|lease| !lease.period.is_over(now));
                if leases.len() as u64 >= u64::from(self.settings.half_open_permits) {
                    return Admission::Refused { state: CircuitState::HalfOpen, retry_after, first: false };
                }
                self.probes += 1;
                ticket.probe = self.probes;
                let period = Period::new(now, self.settings.half_open_max_wait);
                leases.push(Lease { probe: ticket.probe, period });
                Admission::Granted(ticket)
            }
        }
    }

    /// Takes in a result. `slow` is for windows, and fails a probe; `asked` is the wait that the service asked for.
    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        slow: bool,
        asked: Option<Duration>,
        now: Tick,
        rng: &dyn Rng,
    ) -> (Settlement, Option<Change>) {
        if ticket.generation != self.generation {
            return (Settlement::Stale, None);
        }
        let (trip, slow_calls) = (self.settings.trip, self.settings.slow_calls);
        let failed = outcome == Outcome::Failure;
        let asked = self.heard(asked);
        match &mut self.phase {
            Phase::Closed { tally } => {
                if outcome == Outcome::Ignored {
                    return (Settlement::Counted, None);
                }
                self.revision += 1;
                let full = tally.record(Call { failed, slow }, now, trip, slow_calls);
                let failures = tally.failures(now);
                let opens = full || asked.is_some();
                (Settlement::Counted, opens.then(|| self.open(1, failures, asked, now, rng)))
            }
            Phase::HalfOpen { leases, successes, opening, failures } => {
                let held = leases.iter().position(|lease| lease.probe == ticket.probe);
                let Some(lease) = held.map(|place| leases.swap_remove(place)) else {
                    return (Settlement::Stale, None);
                };
                if lease.period.is_over(now) {
                    return (Settlement::Stale, None);
                }
                if outcome == Outcome::Ignored {
                    return (Settlement::Counted, None);
                }
                self.revision += 1;
                if failed || slow {
                    let (opening, failures) = (opening.saturating_add(1), failures.saturating_add(1));
                    return (Settlement::Counted, Some(self.open(opening, failures, asked, now, rng)));
                }
                *successes = successes.saturating_add(1);
                let well = *successes >= self.settings.half_open_successes;
                (Settlement::Counted, well.then(|| self.close(now)).flatten())
            }
            Phase::Disabled => (Settlement::Unrecorded, None),
            // Neither admits anybody, so no ticket of theirs exists.
            Phase::Open { .. } | Phase::ForcedOpen { .. } => (Settlement::Stale, None),
        }
    }

    /// As much of the wait that the service asked for as the settings grant.
    fn heard(&self, asked: Option<Duration>) -> Option<Duration> {
        asked.map(|asked| asked.min(self.settings.retry_after_max)).filter(|wait| !wait.is_zero())
    }

    fn open(&mut self, opening: u32, failures: u32, asked: Option<Duration>, now: Tick, rng: &dyn Rng) -> Change {
        let wait = self.open_wait(opening, rng).max(asked.unwrap_or_default());
        let period = Period::new(now, wait);
        // After a trial that failed nothing has changed for whoever was told of the first rejection.
        let told = matches!(self.phase, Phase::HalfOpen { .. });
        self.enter(Phase::Open { period, opening, failures, told }, now, Some(wait))
    }

    fn open_wait(&self, opening: u32, rng: &dyn Rng) -> Duration {
        let timeout = self.settings.recovery_timeout;
        let Some(growth) = self.settings.recovery_growth else { return timeout };
        let wait = grown(timeout, growth.factor, opening.saturating_sub(1)).min(growth.max_timeout);
        match growth.jitter {
            Jitter::Equal => {
                let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                Duration::from_nanos(between(rng, nanos.div_ceil(2), nanos))
            }
            Jitter::None | Jitter::Full | Jitter::Decorrelated => wait,
        }
    }

    /// The longest an open period can be under these settings.
    pub(super) fn open_wait_max(&self) -> Duration {
        let settings = &self.settings;
        settings
            .recovery_growth
            .map_or(settings.recovery_timeout, |growth| growth.max_timeout)
            .max(settings.retry_after_max)
    }

    /// Closed, with nothing remembered and everybody under way disowned.
    pub(super) fn close(&mut self, now: Tick) -> Option<Change> {
        let tally = Tally::new(self.settings.trip);
        self.replace(Phase::Closed { tally }, now)
    }

    pub(super) fn disable(&mut self, now: Tick) -> Option<Change> {
        self.replace(Phase::Disabled, now)
    }

    /// Adds a guard; the generation says which guards belong together.
    pub(super) fn force_open(&mut self, now: Tick) -> (u64, Option<Change>) {
        if let Phase::ForcedOpen { guards, .. } = &mut self.phase {
            *guards = guards.saturating_add(1);
            return (self.generation, None);
        }
        let change = self.enter(Phase::ForcedOpen { guards: 1, told: false }, now, None);
        (self.generation, Some(change))
    }

    pub(super) fn release_forced(&mut self, generation: u64, now: Tick) -> Option<Change> {
        let Phase::ForcedOpen { guards, .. } = &mut self.phase else { return None };
        if generation != self.generation {
            return None;
        }
        *guards = guards.saturating_sub(1);
        if *guards == 0 { self.close(now) } else { None }
    }

    /// Enters `phase`, which may be of the same state as now: then nobody needs to be told.
    pub(super) fn replace(&mut self, phase: Phase, now: Tick) -> Option<Change> {
        let wait = match &phase {
            Phase::Open { period, .. } => Some(period.left(now)),
            _ => None,
        };
        let change = self.enter(phase, now, wait);
        if change.from == change.to {
            self.changes -= 1;
            return None;
        }
        Some(change)
    }

    fn enter(&mut self, phase: Phase, now: Tick, wait: Option<Duration>) -> Change {
        let from = self.stored_state();
        self.phase = phase;
        self.generation += 1;
        self.changes += 1;
        self.revision += 1;
        let (to, failures) = (self.stored_state(), self.failures(now));
        Change { seq: self.changes, from, to, failures, revision: self.revision, wait }
    }
}
