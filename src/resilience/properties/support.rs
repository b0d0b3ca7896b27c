//! What the properties share: an observer that remembers, and errors that say what they mean.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::ManualClock;
use crate::resilience::event::{Settled, StateChange};
use crate::resilience::{
    BreakerSettings, CircuitBreaker, CircuitState, Effects, Event, Fault, Metrics, Observer, Outcome, StopReason,
    Verdict,
};

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An error that carries its own verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error {number}")]
pub(super) struct Trouble {
    pub(super) number: u32,
    pub(super) verdict: Verdict,
}

impl Fault for Trouble {
    fn verdict(&self) -> Verdict {
        self.verdict
    }
}

pub(super) fn transient(number: u32) -> Trouble {
    Trouble { number, verdict: Verdict::transient("transient") }
}

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Created,
    Changed(StateChange),
    Reset { revision: u64 },
    Settled(Settled),
    Rejected,
    Attempted(Outcome),
    Retrying { attempt: u32, kind: &'static str, wait: Duration },
    RetrySucceeded,
    GaveUp(StopReason),
}

#[derive(Default)]
pub(super) struct Recorder {
    told: Mutex<Vec<Told>>,
}

impl Recorder {
    pub(super) fn new() -> Arc<Recorder> {
        Arc::new(Recorder::default())
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.told.lock().clone()
    }

    pub(super) fn changes(&self) -> Vec<StateChange> {
        let told = self.told.lock();
        told.iter()
            .filter_map(|told| if let Told::Changed(change) = told { Some(change.clone()) } else { None })
            .collect()
    }

    pub(super) fn settled(&self) -> Vec<Settled> {
        let told = self.told.lock();
        told.iter().filter_map(|told| if let Told::Settled(end) = told { Some(end.clone()) } else { None }).collect()
    }

    pub(super) fn count(&self, matches: impl Fn(&Told) -> bool) -> usize {
        self.told.lock().iter().filter(|told| matches(told)).count()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let told = match event {
            Event::Created { .. } => Told::Created,
            Event::StateChanged(change) => Told::Changed(change.clone()),
            Event::Reset { revision, .. } => Told::Reset { revision: *revision },
            Event::Settled(settled) => Told::Settled(settled.clone()),
            Event::Rejected { .. } => Told::Rejected,
            Event::Attempted { outcome, .. } => Told::Attempted(*outcome),
            Event::Retrying { attempt, kind, wait, .. } => Told::Retrying { attempt: *attempt, kind, wait: *wait },
            Event::RetrySucceeded { .. } => Told::RetrySucceeded,
            Event::GaveUp { reason, .. } => Told::GaveUp(*reason),
        };
        self.told.lock().push(told);
    }
}

/// A breaker with everything around it that a test looks at.
pub(super) struct Bench {
    pub(super) clock: ManualClock,
    pub(super) recorder: Arc<Recorder>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) breaker: CircuitBreaker,
}

impl Bench {
    pub(super) fn new(settings: BreakerSettings) -> Bench {
        Bench::try_new(settings).unwrap()
    }

    pub(super) fn try_new(settings: BreakerSettings) -> Result<Bench, crate::resilience::SettingsError> {
        let (clock, recorder, metrics) = (ManualClock::new(), Recorder::new(), Metrics::new());
        let effects = Effects::manual(&clock, 1).observed_by(recorder.clone()).observed_by(metrics.clone());
        let breaker = CircuitBreaker::new("b", settings, &effects)?;
        Ok(Bench { clock, recorder, metrics, breaker })
    }

    /// With nobody watching, so that a closed breaker keeps its fast path.
    pub(super) fn unwatched(settings: BreakerSettings) -> Bench {
        let (clock, recorder, metrics) = (ManualClock::new(), Recorder::new(), Metrics::new());
        let breaker = CircuitBreaker::new("b", settings, &Effects::manual(&clock, 1)).unwrap();
        Bench { clock, recorder, metrics, breaker }
    }

    /// One call with that outcome; whether it was admitted.
    pub(super) fn call(&self, outcome: Outcome) -> bool {
        match self.breaker.acquire() {
            Ok(permit) => {
                permit.settle(outcome);
                true
            }
            Err(_) => false,
        }
    }

    /// No window of these tests takes longer; without a limit a breaker that never opens would fill the memory.
    pub(super) fn fail_until_open(&self) {
        for _ in 0..1_000 {
            if self.breaker.state() == CircuitState::Open {
                return;
            }
            assert!(self.call(Outcome::Failure));
        }
        panic!("it does not open");
    }
}
