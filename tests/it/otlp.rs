//! Exporting: what a collector of OpenTelemetry gets from a real daemon, and what a bad one can do to it.

#[path = "../support/collector.rs"]
mod collector;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use rustix::process::Signal;

use crate::support::{Daemon, wait_until};
use crate::upstreams::Server;
use collector::{Closed, Collector, Reaction, Received, histograms, numbers, value};

/// One that exports to `endpoint`.
fn daemon(endpoint: &str, interval: f64, more: &str) -> Daemon {
    let mut daemon = Daemon::none();
    daemon.configure(&format!(
        "[executor]\ncommand = [\"cat\"]\n[otlp]\nendpoint = {endpoint:?}\ninterval_seconds = {interval}\n{more}"
    ));
    daemon.restart();
    daemon
}

/// The first export in which that holds.
#[track_caller]
fn first(collector: &Collector, mut holds: impl FnMut(&Received) -> bool) -> Received {
    // As many as can come within the limit.
    (0..1_000).map(|_| collector.next()).find(|received| holds(received)).expect("it is never exported")
}

fn number(received: &Received, name: &str, labels: &str) -> Option<f64> {
    let metric = received.metrics().find(|metric| metric.name == name)?;
    numbers(metric).get(labels).copied()
}

fn lines(daemon: &Daemon, text: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn everything_that_is_counted_arrives_with_its_exact_value() {
    let (collector, server) = (Collector::start(Reaction::taken()), Server::start());
    server.shared.total.store(41, Ordering::SeqCst);
    let more =
        "headers = { Authorization = \"Bearer hunter2\" }\nresource = { \"deployment.environment\" = \"tests\" }\n";
    let mut daemon = daemon(&collector.endpoint(), 0.1, more);
    let tools = ["--tool", "get_activity_summary"];
    daemon.run(&[&["upstream", "add", "numbers", &server.endpoint()], &tools[..]].concat()).good();
    daemon.run(&["pool", "run", "local", "hello"]).good();
    let total = |received: &Received| number(received, "session_buddy.sessions.total", "upstream=numbers");
    let done = |received: &Received| number(received, "claude_comms_pool_tasks_completed_total", "pool=local");
    let received = first(&collector, |received| total(received).is_some() && done(received) == Some(1.0));

    assert_eq!(received.line, "POST /v1/metrics");
    assert_eq!(received.headers["authorization"], "Bearer hunter2");
    assert_eq!(total(&received), Some(41.0));
    assert_eq!(number(&received, "session_buddy.sessions.active", "upstream=numbers"), Some(3.0));
    assert_eq!(number(&received, "claude_comms_pool_workers_healthy", "pool=local"), Some(3.0));
    let [run] = histograms(received.metric("claude_comms_task_run_seconds")) else { panic!() };
    assert_eq!((run.count, run.bucket_counts.iter().sum::<u64>(), run.explicit_bounds.len()), (1, 1, 14));
    assert!(numbers(received.metric("circuit_breaker_state")).values().any(|state| *state == 1.0));
    let resource = received.resource();
    let pid = format!("process.pid={}", daemon.pid());
    let version = concat!("service.version=", env!("CARGO_PKG_VERSION"));
    for expected in ["service.name=claude-comms", version, &pid, "deployment.environment=tests"] {
        assert!(resource.iter().any(|attribute| attribute == expected), "{expected} is not in {resource:?}");
    }
    assert!(resource.iter().any(|attribute| attribute.starts_with("host.name=")), "{resource:?}");
    let shown = daemon.run(&["config", "show"]).good();
    assert!(shown.contains("\"authorization\" = \"(set)\"") && !shown.contains("hunter2"), "{shown}");
    daemon.stop();
    assert!(!daemon.log().contains("hunter2"));
}

#[test]
fn two_identical_polls_leave_a_total_as_it_is() {
    let (collector, server) = (Collector::start(Reaction::taken()), Server::start());
    server.shared.total.store(41, Ordering::SeqCst);
    let mut daemon = daemon(&collector.endpoint(), 0.1, "");
    daemon.run(&["upstream", "add", "u", &server.endpoint(), "--tool", "get_activity_summary"]).good();
    daemon.run(&["upstream", "stop", "u"]).good();
    let mut totals = Vec::new();
    for _ in 0..2 {
        daemon.run(&["upstream", "poll", "u"]).good();
        let cycles = daemon.json(&["upstream", "status", "u"])["poll_cycles"].as_f64();
        let received = first(&collector, |received| {
            number(received, "session_buddy_poller.poll_cycles_total", "upstream=u") == cycles
        });
        let metric = received.metric("session_buddy.sessions.total");
        let point = &collector::points(metric)[0];
        totals.push((value(point), point.start_time_unix_nano));
    }
    assert_eq!(totals[0].0, 41.0);
    assert_eq!(totals[0], totals[1]);
    daemon.stop();
}

/// A collector that heeds start times would count what is kept over a restart once more.
#[test]
fn what_is_kept_over_a_restart_keeps_its_start() {
    let (collector, server) = (Collector::start(Reaction::taken()), Server::start());
    server.shared.total.store(41, Ordering::SeqCst);
    let mut daemon = daemon(&collector.endpoint(), 0.1, "");
    daemon.run(&["upstream", "add", "u", &server.endpoint(), "--tool", "get_activity_summary"]).good();
    daemon.run(&["upstream", "stop", "u"]).good();
    daemon.run(&["pool", "run", "local", "hello"]).good();
    let mut starts = Vec::new();
    for _ in 0..2 {
        daemon.run(&["upstream", "poll", "u"]).good();
        let received =
            first(&collector, |received| number(received, "session_buddy.sessions.total", "upstream=u") == Some(41.0));
        let start = |name: &str| collector::points(received.metric(name))[0].start_time_unix_nano;
        let names =
            ["session_buddy.sessions.total", "claude_comms_pool_tasks_completed_total", "claude_comms_events_total"];
        starts.push(names.map(start));
        daemon.stop();
        collector.waiting();
        daemon.restart();
    }
    daemon.stop();
    let [before, after] = &starts[..] else { panic!() };
    assert!(before[0] > 0 && before[1] > 0, "{before:?}");
    assert_eq!(before[..2], after[..2]);
    assert!(before[2] < after[2], "{before:?} {after:?}");
}

#[test]
fn the_last_numbers_go_out_when_it_stops() {
    let collector = Collector::start(Reaction::taken());
    let mut daemon = daemon(&collector.endpoint(), 3600.0, "");
    daemon.run(&["pool", "run", "local", "hello"]).good();
    assert_eq!(collector.waiting().len(), 0);
    daemon.stop();
    let [received] = &collector.waiting()[..] else { panic!("not one export") };
    assert_eq!(number(received, "claude_comms_pool_tasks_completed_total", "pool=local"), Some(1.0));
}

/// Idle, it stops within a second; a busy machine is granted another two.
#[test]
fn a_collector_that_hangs_keeps_nobody() {
    let collector = Collector::start(Reaction::Hang);
    let mut daemon = daemon(&collector.endpoint(), 0.1, "");
    collector.next();
    daemon.run(&["pool", "run", "local", "hello"]).good();
    let clock = SystemClock::new();
    let from = clock.tick();
    daemon.stop();
    let took = clock.tick().since(from);
    assert!(took < Duration::from_secs(3), "{took:?}");
    // What was under way at the stop is no failure; the last export had no answer either.
    assert_eq!(lines(&daemon, "the numbers were not exported"), 1);
}

/// Connecting can be ended by nothing, so the daemon goes without the thread that does it.
#[test]
fn a_collector_that_lets_nobody_in_keeps_nobody() {
    let closed = Closed::new();
    let _waiting = closed.hang();
    let mut daemon = daemon(&closed.endpoint(), 0.1, "");
    wait_until("an export that fails", || lines(&daemon, "error=could not connect: timed out") == 1);
    let clock = SystemClock::new();
    let from = clock.tick();
    daemon.stop();
    let took = clock.tick().since(from);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_second_signal_does_not_wait_for_the_collector() {
    let collector = Collector::start(Reaction::taken());
    let mut daemon = daemon(&collector.endpoint(), 3600.0, "[daemon]\nstop_grace_seconds = 20\n");
    let ready = daemon.path("ready");
    let stubborn = format!("trap '' TERM; touch {ready}; while :; do sleep 1; done");
    daemon.run(&["pool", "create", "slow", "--", "sh", "-c", &stubborn]).good();
    daemon.run(&["pool", "run", "slow", "--no-wait", "x"]).good();
    wait_until("the task", || Path::new(&ready).exists());
    daemon.signal(Signal::TERM);
    wait_until("the stop", || daemon.log().contains("stopping"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 130);
    assert_eq!(collector.waiting().len(), 0);
}

#[test]
fn one_that_is_down_is_told_once_and_so_is_its_return() {
    let closed = Closed::new();
    let mut daemon = daemon(&closed.endpoint(), 0.1, "");
    let failures = |daemon: &Daemon| {
        let text = daemon.run(&["upstream", "metrics"]).good();
        let name = "claude_comms_otlp_export_failures_total{reason=\"connect\"} ";
        text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    wait_until("failures", || failures(&daemon) >= 3);
    assert_eq!(lines(&daemon, "the numbers were not exported"), 1);
    let collector = closed.open(Reaction::taken());
    let received = collector.next();
    assert!(number(&received, "claude_comms_otlp_export_failures_total", "reason=connect") >= Some(3.0));
    wait_until("the line about it", || lines(&daemon, "the numbers are exported again") == 1);
    collector.next();
    daemon.stop();
    assert_eq!(lines(&daemon, "WARN") + lines(&daemon, "ERROR"), 1, "{}", daemon.log());
}

#[test]
fn whatever_it_answers_the_daemon_goes_on() {
    let collector = Collector::start(Reaction::Close);
    let mut daemon = daemon(&collector.endpoint(), 0.1, "timeout_seconds = 0.2\n");
    let counted = |reason: &str| {
        let line = format!("claude_comms_otlp_export_failures_total{{reason={reason:?}}} ");
        daemon.run(&["upstream", "metrics"]).good().lines().any(|other| other.starts_with(&line))
    };
    for (reaction, reason) in [
        (Reaction::Close, "disconnected"),
        (Reaction::Hang, "timeout"),
        (Reaction::Stall, "timeout"),
        (Reaction::answer(401, "text/plain", b"who are you?"), "refused"),
        (Reaction::answer(500, "text/html", &[b'<'; 1 << 20]), "failed"),
        (Reaction::answer(200, "text/html", b"<p>Log in</p>"), "no_collector"),
        (Reaction::answer(200, "application/x-protobuf", b"\x0a\x7f"), "no_collector"),
    ] {
        collector.react(reaction);
        wait_until(reason, || counted(reason));
    }
    assert_eq!(daemon.run(&["pool", "run", "local", "hello"]).good(), "hello\n");
    daemon.stop();
    // Each kind of failure once, however often it comes.
    assert_eq!(lines(&daemon, "WARN"), 5, "{}", daemon.log());
}

#[test]
fn one_that_asks_for_patience_gets_it() {
    let collector = Collector::start(Reaction::answer(503, "text/plain", b"busy").with("retry-after", "1"));
    let mut daemon = daemon(&collector.endpoint(), 0.1, "");
    collector.next();
    let clock = SystemClock::new();
    let from = clock.tick();
    collector.react(Reaction::taken());
    collector.next();
    assert!(clock.tick().since(from) > Duration::from_millis(800));
    daemon.stop();
    assert_eq!(lines(&daemon, "error=it is not available (HTTP 503): busy"), 1);
}

#[test]
fn one_that_takes_a_part_or_points_elsewhere_is_told() {
    let collector = Collector::start(Reaction::partly(2, "too many"));
    let mut daemon = daemon(&collector.endpoint(), 0.1, "");
    wait_until("complaint", || lines(&daemon, "rejected=2 said=too many") == 1);
    let elsewhere = Collector::start(Reaction::taken());
    collector.react(Reaction::answer(307, "text/plain", b"").with("location", &elsewhere.endpoint()));
    let told = format!("error=it points to {} (HTTP 307)", elsewhere.endpoint());
    wait_until("the redirect", || lines(&daemon, &told) == 1);
    collector.react(Reaction::taken());
    wait_until("the return", || lines(&daemon, "the numbers are exported again") == 1);
    daemon.stop();
    assert_eq!(elsewhere.waiting().len(), 0);
    assert_eq!(lines(&daemon, "WARN"), 2, "{}", daemon.log());
}

#[test]
fn the_variables_of_opentelemetry_are_heard() {
    let collector = Collector::start(Reaction::taken());
    let mut daemon = Daemon::none();
    daemon.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.base() + "/base/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned()),
        ("OTEL_SERVICE_NAME", "other".to_owned()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon".to_owned()),
    ];
    daemon.restart();
    let received = collector.next();
    assert_eq!((received.line.as_str(), received.headers["x-key"].as_str()), ("POST /base/v1/metrics", "a b"));
    assert!(received.resource().contains(&"service.name=other".to_owned()));
    daemon.stop();
    let told = "OTEL_EXPORTER_OTLP_TIMEOUT: ignored: it must be a number of milliseconds, not \"soon\"";
    assert_eq!(lines(&daemon, told), 1, "{}", daemon.log());
    daemon.environment.push(("OTEL_SDK_DISABLED", "true".to_owned()));
    collector.waiting();
    daemon.restart();
    daemon.stop();
    assert_eq!(collector.waiting().len(), 0);
}
