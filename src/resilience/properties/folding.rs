//! Promises of the metrics that no breaker of this process can be made to break: events out of order, too many
//! breakers, and the edges of a histogram.

use std::sync::Arc;
use std::time::Duration;

use super::support::ms;
use crate::resilience::event::{Settled, StateChange};
use crate::resilience::metrics::{BREAKERS_MAX, Histogram, Sample, Value};
use crate::resilience::{CircuitState, Event, Metrics, Observer, Outcome};

fn changed(seq: u64, from: CircuitState, to: CircuitState, failures: u32) -> Event<'static> {
    let change = StateChange { breaker: Arc::from("b"), seq, from, to, failures, revision: seq, wait: None };
    Event::StateChanged(change)
}

fn settled(revision: u64, failures: u32, took: Duration) -> Event<'static> {
    let breaker = Arc::from("b");
    let outcome = Outcome::Failure;
    Event::Settled(Settled { breaker, outcome, stale: false, slow: false, took, failures, revision })
}

fn named(metrics: &Metrics, name: &str) -> Vec<Sample> {
    metrics.samples().into_iter().filter(|sample| sample.name == name).collect()
}

fn histogram(metrics: &Metrics, name: &str) -> Histogram {
    match named(metrics, name).pop().map(|sample| sample.value) {
        Some(Value::Histogram(histogram)) => histogram,
        other => panic!("{other:?}"),
    }
}

#[test]
fn p32_an_event_that_was_overtaken_does_not_bring_back_what_was() {
    use CircuitState::{Closed, HalfOpen, Open};
    let metrics = Metrics::new();
    for event in [changed(3, HalfOpen, Closed, 0), changed(1, Closed, Open, 5), changed(2, Open, HalfOpen, 5)] {
        metrics.observe(&event);
    }
    metrics.observe(&settled(2, 4, ms(1)));
    let shown: Vec<String> = named(&metrics, "circuit_breaker_state")
        .into_iter()
        .filter(|sample| sample.value == Value::Number(1))
        .map(|sample| sample.labels[1].1.clone())
        .collect();
    assert_eq!(shown, ["closed"]);
    assert_eq!(named(&metrics, "circuit_breaker_failures")[0].value, Value::Number(0));
    assert_eq!(named(&metrics, "circuit_breaker_transitions_total").len(), 3, "each is counted all the same");
}

#[test]
fn a_duration_on_a_bound_belongs_below_it() {
    let metrics = Metrics::new();
    for took in [Duration::ZERO, ms(1), ms(2), ms(60_000), ms(60_001)] {
        metrics.observe(&settled(1, 1, took));
        metrics.observe(&Event::Retrying { operation: "op", attempt: 1, kind: "timeout", wait: took });
    }
    for name in ["circuit_breaker_call_seconds", "retry_wait_seconds"] {
        let Histogram { counts, sum_seconds } = histogram(&metrics, name);
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], "{name}");
        assert!((sum_seconds - 120.004).abs() < 1e-9, "{name} {sum_seconds}");
    }
}

#[test]
fn more_breakers_than_are_told_apart_are_counted_as_dropped() {
    let metrics = Metrics::new();
    for number in 0..BREAKERS_MAX + 3 {
        metrics.observe(&Event::Created { breaker: Arc::from(number.to_string()) });
    }
    assert_eq!(named(&metrics, "circuit_breaker_failures").len(), BREAKERS_MAX);
    assert_eq!(named(&metrics, "resilience_events_dropped")[0].value, Value::Number(3));
}
