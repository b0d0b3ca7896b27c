//! Exports over real sockets.

use super::super::{Exporter, ExporterSettings, Resource, SetupError};
use super::collector::{Closed, Collector, Reaction, histograms, numbers, points};
use super::{registry, started};
use crate::clock::{Clock, SystemClock};
use crate::telemetry::Registry;
use crate::thread::Joined;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

fn settings(endpoint: &str) -> ExporterSettings {
    ExporterSettings {
        endpoint: endpoint.to_owned(),
        headers: BTreeMap::from([("X-Team".to_owned(), "blue".to_owned())]),
        resource: Resource::of_service("tests"),
        started: started(),
    }
}

fn exporter(endpoint: &str, registry: &Registry) -> Exporter {
    Exporter::new(settings(endpoint), registry, Arc::new(SystemClock::new())).unwrap()
}

/// What the registry says of exports, without zeros.
fn counted(registry: &Registry) -> Vec<String> {
    let text = crate::telemetry::encode(&registry.snapshot());
    let of_exports = text.lines().filter_map(|line| line.strip_prefix("claude_comms_otlp_"));
    of_exports.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}

#[test]
fn all_that_was_counted_arrives() {
    let collector = Collector::start(Reaction::taken());
    let registry = registry();
    let mut exporter = exporter(&collector.endpoint(), &registry);
    assert_eq!(exporter.export(&registry.snapshot(), TIMEOUT), None);
    let received = collector.next();
    assert_eq!(received.line, "POST /v1/metrics");
    assert_eq!(received.headers["content-type"], "application/x-protobuf");
    assert_eq!(received.headers["x-team"], "blue");
    assert!(received.resource().contains(&"service.name=tests".to_owned()));
    assert_eq!(numbers(received.metric("session_buddy.sessions.total"))["upstream=a"], 41.0);
    assert_eq!(numbers(received.metric("session_buddy.sessions.active"))["upstream="], -2.5);
    assert_eq!(histograms(received.metric("task_run_seconds"))[0].bucket_counts, [2, 0, 1, 1]);
    assert_eq!(counted(&registry), ["exports_total 1"]);
}

#[test]
fn the_start_stays_and_the_time_goes_on() {
    let collector = Collector::start(Reaction::taken());
    let registry = registry();
    let mut exporter = exporter(&collector.endpoint(), &registry);
    let mut times = Vec::new();
    for _ in 0..2 {
        exporter.export(&registry.snapshot(), TIMEOUT);
        let received = collector.next();
        let point = points(received.metric("session_buddy.sessions.total"))[0].clone();
        assert_eq!(numbers(received.metric("session_buddy.sessions.total"))["upstream=a"], 41.0);
        times.push((point.start_time_unix_nano, point.time_unix_nano));
    }
    assert_eq!(times[0].0, times[1].0);
    assert!(times[0].1 < times[1].1, "{times:?}");
}

#[test]
fn failures_are_counted_by_their_reason_and_recovery_goes_on() {
    let closed = Closed::new();
    let registry = registry();
    let mut exporter = exporter(&closed.endpoint(), &registry);
    assert_eq!(exporter.export(&registry.snapshot(), TIMEOUT), None);
    let collector = closed.open(Reaction::answer(503, "", b"").with("retry-after", "5"));
    assert_eq!(exporter.export(&registry.snapshot(), TIMEOUT), Some(Duration::from_secs(5)));
    collector.react(Reaction::partly(2, "no"));
    assert_eq!(exporter.export(&registry.snapshot(), TIMEOUT), None);
    collector.react(Reaction::Hang);
    assert_eq!(exporter.export(&registry.snapshot(), Duration::from_millis(100)), None);
    let expected = [
        "export_failures_total{reason=\"connect\"} 1",
        "export_failures_total{reason=\"timeout\"} 1",
        "export_failures_total{reason=\"unavailable\"} 1",
        "exports_total 1",
        "points_rejected_total 2",
    ];
    assert_eq!(counted(&registry), expected);
    collector.react(Reaction::taken());
    collector.waiting();
    exporter.export(&registry.snapshot(), TIMEOUT);
    // What went wrong before is told as any other number.
    let received = collector.next();
    let failures = numbers(received.metric("claude_comms_otlp_export_failures_total"));
    assert_eq!((failures["reason=connect"], failures.len()), (1.0, 3));
}

#[test]
fn many_requests_share_one_limit_and_end_with_the_first_that_fails() {
    let collector = Collector::start(Reaction::answer(500, "", b""));
    let registry = Registry::new();
    for number in 0..2_000 {
        let label = number.to_string();
        for family in ["a", "b", "c"] {
            registry.gauge(family, "G.", &[("n", &label)]).unwrap();
        }
    }
    let mut exporter = exporter(&collector.endpoint(), &registry);
    exporter.export(&registry.snapshot(), TIMEOUT);
    assert_eq!(collector.waiting().len(), 1);
    collector.react(Reaction::taken());
    exporter.export(&registry.snapshot(), TIMEOUT);
    assert_eq!(collector.waiting().len(), 2);
    exporter.export(&registry.snapshot(), Duration::ZERO);
    assert_eq!(collector.waiting().len(), 0);
    let expected = [
        "export_failures_total{reason=\"failed\"} 1",
        "export_failures_total{reason=\"timeout\"} 1",
        "exports_total 1",
    ];
    assert_eq!(counted(&registry), expected);
}

#[test]
fn an_export_is_ended_from_outside_and_a_last_one_goes_out() {
    let collector = Collector::start(Reaction::Hang);
    let registry = registry();
    let mut exporter = exporter(&collector.endpoint(), &registry);
    let stopper = exporter.stopper();
    let families = registry.snapshot();
    let thread = Joined::spawn("exporting", move || {
        assert_eq!(exporter.export(&families, Duration::from_secs(60)), None);
        exporter
    });
    let thread = thread.unwrap();
    collector.next();
    let clock = SystemClock::new();
    let stopped = clock.tick();
    stopper.stop();
    let mut exporter = thread.join().unwrap();
    assert!(clock.tick().since(stopped) < Duration::from_secs(5));
    assert_eq!(counted(&registry), [""; 0]);
    collector.react(Reaction::taken());
    registry.counter("session_buddy.sessions.total", "", &[("upstream", "a")]).unwrap().increment();
    exporter.export_last(&registry.snapshot(), TIMEOUT);
    assert_eq!(numbers(collector.next().metric("session_buddy.sessions.total"))["upstream=a"], 42.0);
}

#[test]
fn what_can_never_work_is_refused_at_once() {
    let refused = |endpoint: &str, name: &str, value: &str| {
        let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let settings = ExporterSettings { headers, ..settings(endpoint) };
        Exporter::new(settings, &Registry::new(), Arc::new(SystemClock::new())).err().unwrap()
    };
    assert!(matches!(refused("localhost:4318", "a", "b"), SetupError::Endpoint { .. }));
    assert!(matches!(refused("http://me:secret@h/", "a", "b"), SetupError::Credentials));
    let error = refused("http://h/", "api-key", "sec\nret").to_string();
    assert!(error.contains("api-key") && !error.contains("sec"), "{error}");
}
