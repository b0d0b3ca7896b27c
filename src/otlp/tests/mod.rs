//! What is written for collectors, read by the official types; and collectors that misbehave.

mod answers;
mod collecting;
mod encoding;

#[path = "../../../tests/support/collector.rs"]
pub(super) mod collector;

use crate::clock::Timestamp;
use crate::telemetry::Registry;

/// Some of everything.
fn registry() -> Registry {
    let registry = Registry::new();
    registry.counter("session_buddy.sessions.total", "Sessions.", &[("upstream", "a")]).unwrap().add(41);
    registry.counter("busy_seconds_total", "Time.", &[]).unwrap().add_float(0.25);
    registry.gauge("session_buddy.sessions.active", "Sessions now.", &[("upstream", "")]).unwrap().set(-2.5);
    let run = registry.histogram("task_run_seconds", "Running.", &[0.1, 1.0, 10.0], &[("pool", "b"), ("a", "é")]);
    let run = run.unwrap();
    [0.05, 0.1, 2.5, 60.0].into_iter().for_each(|seconds| run.observe(seconds));
    registry
}

fn started() -> Timestamp {
    Timestamp::parse("2026-11-24T10:00:00.000001Z").unwrap()
}
