//! The numbers of the resilience module in the text, next to ours.

use super::{HELP, HELP_OTHERWISE, families};
use crate::resilience::event::{Settled, StateChange};
use crate::resilience::metrics::{Kind, Metrics, Sample, Value};
use crate::resilience::{CircuitState, Event, Observer, Outcome, StopReason};
use crate::telemetry::tests::promtool;
use crate::telemetry::{Registry, encode};
use std::sync::Arc;
use std::time::Duration;

/// Has counted one of everything.
fn metrics() -> Arc<Metrics> {
    let metrics = Metrics::new();
    let breaker: Arc<str> = Arc::from("buddy");
    let settled = Settled {
        breaker: Arc::clone(&breaker),
        outcome: Outcome::Failure,
        stale: false,
        slow: false,
        took: Duration::from_millis(250),
        failures: 5,
        revision: 1,
    };
    let change = StateChange {
        breaker: Arc::clone(&breaker),
        seq: 1,
        from: CircuitState::Closed,
        to: CircuitState::Open,
        failures: 5,
        revision: 2,
        wait: None,
    };
    let wait = Duration::from_secs(90);
    for event in [
        Event::Settled(settled),
        Event::StateChanged(change),
        Event::Retrying { operation: "call", attempt: 1, kind: "timeout", wait },
        Event::RetrySucceeded { operation: "call", attempts: 2 },
        Event::GaveUp { operation: "call", attempts: 3, reason: StopReason::Deadline },
    ] {
        metrics.observe(&event);
    }
    metrics
}

#[test]
fn a_breaker_shows_all_its_states_and_its_calls_cumulatively() {
    let text = encode(&families(metrics().samples()));
    let state = "\
# HELP circuit_breaker_state Which state a circuit breaker is in: 1 for that state, 0 for each of the others.
# TYPE circuit_breaker_state gauge
circuit_breaker_state{breaker_name=\"buddy\",state=\"closed\"} 0
circuit_breaker_state{breaker_name=\"buddy\",state=\"disabled\"} 0
circuit_breaker_state{breaker_name=\"buddy\",state=\"forced_open\"} 0
circuit_breaker_state{breaker_name=\"buddy\",state=\"half_open\"} 0
circuit_breaker_state{breaker_name=\"buddy\",state=\"open\"} 1
";
    assert!(text.contains(state), "{text}");
    for line in [
        "circuit_breaker_call_seconds_bucket{breaker_name=\"buddy\",le=\"0.1\"} 0\n",
        "circuit_breaker_call_seconds_bucket{breaker_name=\"buddy\",le=\"0.25\"} 1\n",
        "circuit_breaker_call_seconds_bucket{breaker_name=\"buddy\",le=\"+Inf\"} 1\n",
        "circuit_breaker_call_seconds_sum{breaker_name=\"buddy\"} 0.25\n",
        "circuit_breaker_failures{breaker_name=\"buddy\"} 5\n",
        "# TYPE retry_attempts_total counter\nretry_attempts_total{exception_type=\"timeout\"} 1\n",
        "# TYPE retry_success_total counter\nretry_success_total 1\n",
        "retry_wait_seconds_bucket{le=\"60\"} 0\nretry_wait_seconds_bucket{le=\"+Inf\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn every_number_says_what_it_is() {
    let families = families(metrics().samples());
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, HELP.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(families.iter().all(|family| &*family.help != HELP_OTHERWISE));
}

#[test]
fn a_name_that_cannot_be_costs_only_itself() {
    let sample =
        |name| Sample { name, kind: Kind::Counter, labels: vec![("le", "1".to_owned())], value: Value::Number(1) };
    let mut samples = vec![sample("a")];
    samples.extend(metrics().samples());
    assert_eq!(families(samples).len(), HELP.len());
}

/// Three of the names were promised without the ending that Prometheus wants of counters; the text gives it to them.
#[test]
fn promtool_has_nothing_to_say_about_breakers_and_retries() {
    let mut all = Registry::new().snapshot();
    all.extend(families(metrics().samples()));
    let Some(complaints) = promtool::complaints(&encode(&all)) else { return };
    assert_eq!(complaints, [""; 0]);
}
