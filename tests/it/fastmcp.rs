//! Polling servers as most programs write them, of both versions: by the library, and by a real daemon.

#[path = "../support/fastmcp.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use claude_comms::resilience::Effects;
use claude_comms::thread::Joined;
use claude_comms::upstream::{CycleOutcome, CycleReport, Listener, Poller, PollerSettings, ToolState};

use crate::support::{Daemon, Running, wait_until};
use server::{Server, python};

/// What the four tools answer.
const SAMPLES: [(&str, f64); 11] = [
    ("session_buddy.sessions.active", 3.0),
    ("session_buddy.sessions.total", 41.0),
    ("session_buddy.workflows.completed", 5.0),
    ("session_buddy.workflows.failed", 1.0),
    ("session_buddy.workflow.duration", 2.5),
    ("session_buddy.checkpoints.total", 9.0),
    ("session_buddy.checkpoint.size", 1024.0),
    ("session_buddy.session.duration", 90.0),
    ("session_buddy.performance.cpu_usage", 12.5),
    ("session_buddy.performance.memory_usage", 80.0),
    ("session_buddy.performance.response_time", 0.25),
];

struct Nobody;

impl Listener for Nobody {
    fn polled(&self, _report: &CycleReport) {}
}

fn poller(endpoint: &str) -> Poller {
    let settings = PollerSettings { retry_delay: Duration::from_secs(1), ..PollerSettings::new("fast", endpoint) };
    Poller::new(settings, &Effects::system(), Arc::new(Nobody)).unwrap()
}

#[track_caller]
fn check(report: &CycleReport) {
    assert_eq!(report.outcome, CycleOutcome::Ok, "{:?}", report.errors);
    assert!(report.tools.iter().all(|tool| tool.state == ToolState::Ok), "{:?}", report.tools);
    let samples: Vec<(&str, f64)> = report.samples.iter().map(|one| (one.metric.as_str(), one.value)).collect();
    assert_eq!(samples, SAMPLES);
}

/// Sessions begun, kept and ended by whoever polls: what is seen without those who looked before and now.
fn sessions(server: &Server, lookers_before: u64) -> (u64, u64, u64) {
    let seen = server.seen();
    let count = |name: &str| seen["asked"][name].as_u64().unwrap_or(0);
    let lookers = lookers_before + 1;
    (count("initialize") - lookers, seen["sessions"].as_u64().unwrap() - lookers, count("DELETE") - lookers_before)
}

/// Waits in a cycle until the server holds a call, then kills it and starts another in its place.
fn replace(server: Server, python: &str, hold: &Path) -> Server {
    wait_until("a call that hangs", || hold.with_extension("held").exists());
    let port = server.port;
    drop(server);
    fs::remove_file(hold).unwrap();
    Server::start(python, port)
}

fn polled_by_the_library(python: &str) {
    let dir = tempfile::tempdir().unwrap();
    let hold = dir.path().join("hold");
    let server = Server::held_by(python, &hold);
    server.wait_until_it_answers();
    let poller = Arc::new(poller(&server.endpoint()));
    for _ in 0..3 {
        check(&poller.poll_once());
    }
    assert_eq!(sessions(&server, 1), (1, 1, 0));

    fs::write(&hold, "").unwrap();
    let polling = Arc::clone(&poller);
    let cycle = Joined::spawn("cycle", move || polling.poll_once()).unwrap();
    let server = replace(server, python, &hold);
    // Whatever became of that one, the next is whole.
    let report = cycle.join().unwrap();
    assert!(report.errors.len() <= 1, "{:?}", report.errors);
    server.wait_until_it_answers();
    check(&poller.poll_once());
    check(&poller.poll_once());
    assert_eq!(sessions(&server, 1), (1, 1, 0));
    drop(poller);
    assert_eq!(sessions(&server, 2), (1, 1, 1), "the session was not ended");
}

#[test]
fn fastmcp_3_is_polled_by_the_library() {
    python("CLAUDE_COMMS_FASTMCP3").iter().for_each(|python| polled_by_the_library(python));
}

#[test]
fn fastmcp_4_is_polled_by_the_library() {
    python("CLAUDE_COMMS_FASTMCP4").iter().for_each(|python| polled_by_the_library(python));
}

fn polled_by_a_daemon(python: &str) {
    let dir = tempfile::tempdir().unwrap();
    let hold = dir.path().join("hold");
    let server = Server::held_by(python, &hold);
    server.wait_until_it_answers();
    let mut daemon = Daemon::none();
    daemon.configure(&format!(
        "[[upstream]]\nname = \"fast\"\nendpoint = {:?}\nenabled = false\nretry_delay_seconds = 1\n",
        server.endpoint()
    ));
    daemon.restart();
    for _ in 0..2 {
        daemon.run(&["upstream", "poll", "fast"]).good();
    }
    assert_eq!(sessions(&server, 1), (1, 1, 0));
    check_shown(&daemon, 2.0);

    fs::write(&hold, "").unwrap();
    let cycle: Running = daemon.spawn(&["upstream", "poll", "fast"]);
    let server = replace(server, python, &hold);
    cycle.wait();
    server.wait_until_it_answers();
    daemon.run(&["upstream", "poll", "fast"]).good();
    assert_eq!(sessions(&server, 1), (1, 1, 0));
    daemon.stop();
    assert_eq!(sessions(&server, 2), (1, 1, 1), "the session was not ended");
}

/// Each number, after so many rounds.
#[track_caller]
fn check_shown(daemon: &Daemon, rounds: f64) {
    let status = daemon.json(&["upstream", "status", "fast"]);
    let states: Vec<&str> =
        status["tools"].as_object().unwrap().values().map(|tool| tool["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok"; 4]);
    let text = daemon.run(&["upstream", "metrics"]).good();
    let number = |name: &str| {
        let start = format!("{name}{{upstream=\"fast\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok())
    };
    for (metric, value) in SAMPLES {
        let name = metric.replace('.', "_");
        let single = number(&name).or(number(&format!("{name}_total")));
        let of_histogram = number(&format!("{name}_count")).zip(number(&format!("{name}_sum")));
        assert!(single == Some(value) || of_histogram == Some((rounds, rounds * value)), "{metric}\n{text}");
    }
}

#[test]
fn fastmcp_3_is_polled_by_a_daemon() {
    python("CLAUDE_COMMS_FASTMCP3").iter().for_each(|python| polled_by_a_daemon(python));
}

#[test]
fn fastmcp_4_is_polled_by_a_daemon() {
    python("CLAUDE_COMMS_FASTMCP4").iter().for_each(|python| polled_by_a_daemon(python));
}
