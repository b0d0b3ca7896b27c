//! The event stream folded into numbers, ready for any exporter: this room knows none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::CircuitState;
use super::event::{Event, Observer, Settled, StopReason};
use super::sync::Mutex;

/// Upper bounds of the histograms' buckets, in seconds.
pub const BUCKETS_SECONDS: [f64; 12] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Most breakers that are told apart; events of others are counted in `resilience_events_dropped`.
pub const BREAKERS_MAX: usize = 8_192;

/// How a metric is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(u64),
    Histogram(Histogram),
}

/// Counts by upper bound, not cumulative; the last one is for what is beyond [`BUCKETS_SECONDS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub counts: [u64; BUCKETS_SECONDS.len() + 1],
    pub sum_seconds: f64,
}

impl Histogram {
    fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = BUCKETS_SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS_SECONDS.len());
        self.counts[place] += 1;
        self.sum_seconds += seconds;
    }

    /// How many durations it holds.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// One series as of now.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: Vec<(&'static str, String)>,
    pub value: Value,
}

/// Observes breakers and retries. Hand it to [`Effects::observed_by`](super::Effects::observed_by), and read
/// [`samples`](Metrics::samples) when somebody asks.
#[derive(Debug, Default)]
pub struct Metrics {
    folded: Mutex<Folded>,
}

#[derive(Debug, Default)]
struct Folded {
    breakers: BTreeMap<Arc<str>, Breaker>,
    retries: BTreeMap<&'static str, u64>,
    recovered: u64,
    exhausted: BTreeMap<StopReason, u64>,
    waits: Histogram,
    dropped: u64,
}

/// The numbers of one breaker.
#[derive(Debug)]
struct Breaker {
    state: CircuitState,
    /// Of the change that led to `state`. Events of several threads may arrive out of order, and an older one must
    /// not undo a newer one.
    seq: u64,
    failures: u32,
    /// As `seq`, for `failures`.
    revision: u64,
    transitions: BTreeMap<(CircuitState, CircuitState), u64>,
    calls: BTreeMap<&'static str, u64>,
    seconds: Histogram,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker {
            state: CircuitState::Closed,
            seq: 0,
            failures: 0,
            revision: 0,
            transitions: BTreeMap::new(),
            calls: BTreeMap::new(),
            seconds: Histogram::default(),
        }
    }
}

impl Metrics {
    /// Shared from the start: one end is handed to the effects, the other read.
    pub fn new() -> Arc<Metrics> {
        Arc::new(Metrics::default())
    }

    /// Shows a breaker no longer that is gone for good. One of the same name that comes later begins anew.
    pub fn remove(&self, breaker: &str) {
        self.folded.lock().breakers.remove(breaker);
    }

    /// All series, those of one name together.
    pub fn samples(&self) -> Vec<Sample> {
        let folded = self.folded.lock();
        let mut samples: Vec<Sample> =
            folded.breakers.iter().flat_map(|(name, breaker)| breaker.samples(name)).collect();
        let mut add = |name, kind, labels, value| samples.push(Sample { name, kind, labels, value });
        for (kind, count) in &folded.retries {
            add("retry_attempts", Kind::Counter, labels([("exception_type", kind)]), Value::Number(*count));
        }
        add("retry_success", Kind::Counter, Vec::new(), Value::Number(folded.recovered));
        for (reason, count) in &folded.exhausted {
            add("retry_exhausted_total", Kind::Counter, labels([("reason", reason.as_str())]), Value::Number(*count));
        }
        add("retry_wait_seconds", Kind::Histogram, Vec::new(), Value::Histogram(folded.waits.clone()));
        add("resilience_events_dropped", Kind::Counter, Vec::new(), Value::Number(folded.dropped));
        // Stable: within a name the order above stays.
        samples.sort_by_key(|sample| sample.name);
        samples
    }
}

impl Breaker {
    fn samples(&self, name: &str) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut add = |metric, kind, labels, value| samples.push(Sample { name: metric, kind, labels, value });
        // One-hot: all states each time, or the old one would stay at 1 somewhere.
        for state in CircuitState::ALL {
            let labels = labels([("breaker_name", name), ("state", state.as_str())]);
            add("circuit_breaker_state", Kind::Gauge, labels, Value::Number(u64::from(state == self.state)));
        }
        let own = labels([("breaker_name", name)]);
        add("circuit_breaker_failures", Kind::Gauge, own.clone(), Value::Number(u64::from(self.failures)));
        for ((from, to), count) in &self.transitions {
            let labels = labels([("breaker_name", name), ("from", from.as_str()), ("to", to.as_str())]);
            add("circuit_breaker_transitions_total", Kind::Counter, labels, Value::Number(*count));
        }
        for (kind, count) in &self.calls {
            let labels = labels([("breaker_name", name), ("kind", kind)]);
            add("circuit_breaker_calls_total", Kind::Counter, labels, Value::Number(*count));
        }
        add("circuit_breaker_call_seconds", Kind::Histogram, own, Value::Histogram(self.seconds.clone()));
        samples
    }

    fn count_call(&mut self, kind: &'static str) {
        *self.calls.entry(kind).or_default() += 1;
    }

    fn settled(&mut self, settled: &Settled) {
        self.count_call(if settled.stale { "stale" } else { settled.outcome.as_str() });
        self.seconds.observe(settled.took);
        self.show_failures(settled.failures, settled.revision);
    }

    fn show_failures(&mut self, failures: u32, revision: u64) {
        if revision >= self.revision {
            (self.failures, self.revision) = (failures, revision);
        }
    }

    fn show_state(&mut self, state: CircuitState, seq: u64) {
        if seq > self.seq {
            (self.state, self.seq) = (state, seq);
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        self.folded.lock().fold(event);
    }
}

impl Folded {
    fn fold(&mut self, event: &Event<'_>) {
        match event {
            Event::Created { breaker } => self.of(breaker, |_| {}),
            Event::StateChanged(change) => self.of(&change.breaker, |breaker| {
                *breaker.transitions.entry((change.from, change.to)).or_default() += 1;
                breaker.show_failures(change.failures, change.revision);
                breaker.show_state(change.to, change.seq);
            }),
            Event::Reset { breaker, revision } => self.of(breaker, |breaker| breaker.show_failures(0, *revision)),
            Event::Settled(settled) => self.of(&settled.breaker, |breaker| breaker.settled(settled)),
            Event::Rejected { breaker, .. } => self.of(breaker, |breaker| breaker.count_call("rejected")),
            // The breaker's own events tell the same, and more.
            Event::Attempted { .. } => {}
            Event::Retrying { kind, wait, .. } => {
                *self.retries.entry(kind).or_default() += 1;
                self.waits.observe(*wait);
            }
            Event::RetrySucceeded { .. } => self.recovered += 1,
            Event::GaveUp { reason, .. } => *self.exhausted.entry(*reason).or_default() += 1,
        }
    }

    fn of(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Breaker)) {
        if let Some(breaker) = self.breakers.get_mut(name) {
            change(breaker);
        } else if self.breakers.len() < BREAKERS_MAX {
            change(self.breakers.entry(Arc::clone(name)).or_default());
        } else {
            self.dropped += 1;
        }
    }
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}
