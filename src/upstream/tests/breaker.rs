//! The decision table, and what the breaker makes of it.

use super::super::{CycleOutcome, PollerSettings, ToolState};
use super::scripted::{
    Stage, answer, hangs, internal, malformed, missing, refused, resolve, throttled, timed_out, tool_failed,
    unauthorized, unavailable, unreadable, well,
};
use super::{Heard, SECOND, settings, states};
use crate::clock::ManualClock;
use crate::mcp::client::{CallError, ToolAnswer};
use crate::mcp::protocol::Era;
use crate::resilience::CircuitState::{Closed, HalfOpen, Open};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Time for all retries.
fn roomy(tools: &[&str]) -> PollerSettings {
    PollerSettings { interval: 600 * SECOND, ..settings(tools) }
}

/// An error; how often the tool is called, what the breaker counts, what the tool is.
type Row = (fn() -> CallError, usize, u32, ToolState);

#[test]
fn every_row_of_the_decision_table() {
    use ToolState::{Failing, Missing, Unmapped};
    let table: [Row; 13] = [
        (refused, 4, 1, Failing),
        (resolve, 4, 1, Failing),
        (timed_out, 4, 1, Failing),
        (|| unavailable(None), 4, 1, Failing),
        (|| unavailable(Some(20)), 4, 1, Failing),
        (|| throttled(None), 4, 0, Failing),
        (|| throttled(Some(20)), 4, 0, Failing),
        (internal, 2, 1, Failing),
        (malformed, 2, 1, Failing),
        (unauthorized, 1, 0, Failing),
        (tool_failed, 1, 0, Failing),
        (missing, 1, 0, Missing),
        (unreadable, 1, 0, Unmapped),
    ];
    for (error, calls, failures, state) in table {
        let stage = Stage::new(roomy(&["a"]), move |_: &str, _: Duration| Err(error()));
        let report = stage.poll();
        let shown = error().to_string();
        assert_eq!(stage.called().len(), calls, "calls: {shown}");
        assert_eq!(stage.poller.status().consecutive_failures, failures, "breaker: {shown}");
        assert_eq!(states(&report), [state], "state: {shown}");
        assert_eq!(report.errors, [format!("a: {shown}")]);
        assert_eq!(report.failures, u32::from(state == Failing), "failures: {shown}");
        assert_eq!(report.outcome, CycleOutcome::Failed);
    }
}

#[test]
fn text_only_and_unknown_shapes_are_unmapped_and_cost_nothing() {
    let stage = Stage::new(roomy(&["get_activity_summary", "b", "c"]), |tool: &str, _: Duration| match tool {
        "get_activity_summary" => Ok(ToolAnswer::TextOnly("fine".to_owned())),
        "b" => answer(json!({"x": "y"})),
        _ => well(),
    });
    let report = stage.poll();
    assert_eq!(states(&report), [ToolState::Unmapped, ToolState::Unmapped, ToolState::Ok]);
    assert_eq!((report.failures, report.errors.len(), report.outcome), (0, 2, CycleOutcome::Ok));
    assert_eq!(stage.poller.status().errors, 0);
}

/// A stage whose server can be broken, and whoever listens to it.
fn breakable(settings: PollerSettings) -> (Stage, Arc<Mutex<bool>>, Arc<Heard>) {
    let (broken, heard) = (Arc::new(Mutex::new(false)), Arc::new(Heard::default()));
    let script = {
        let broken = Arc::clone(&broken);
        move |_: &str, _: Duration| if *broken.lock() { Err(malformed()) } else { well() }
    };
    (Stage::told(settings, heard.clone(), script), broken, heard)
}

#[test]
fn an_open_breaker_has_cycles_skipped_and_half_open_probes_with_one_call() {
    let (stage, broken, heard) = breakable(PollerSettings { failure_threshold: 3, ..settings(&["a", "b"]) });
    stage.poll();
    *broken.lock() = true;
    assert_eq!(stage.poll().outcome, CycleOutcome::Failed);
    let third = stage.poll();
    assert_eq!(third.errors[1], "circuit breaker is open, the server is called again in 150 s");
    stage.called();

    let skipped = stage.poll();
    assert_eq!((skipped.outcome, skipped.failures, skipped.is_cut_short), (CycleOutcome::Skipped, 0, true));
    let status = stage.poller.status();
    assert_eq!(status.errors, 3, "what was not called has not failed");
    assert!(status.last_error.is_some_and(|error| error.contains("could not be read")), "the cause is kept");
    assert!(stage.called().is_empty());
    let status = stage.poller.status();
    assert_eq!((status.circuit_breaker, status.circuit_breaker_open), ("OPEN", true));
    assert_eq!(status.consecutive_failures, 3);

    stage.clock.advance(150 * SECOND);
    assert_eq!(stage.poller.status().circuit_breaker, "HALF_OPEN");
    stage.poll();
    assert_eq!(stage.called(), ["b"], "the tool that worked last, once");

    stage.clock.advance(150 * SECOND);
    *broken.lock() = false;
    assert_eq!(stage.poll().outcome, CycleOutcome::Ok);
    assert_eq!(stage.called(), ["b", "a"], "a probe that succeeds begins a whole cycle");
    let changes: Vec<_> = heard.changes.lock().iter().map(|(from, to, wait, _)| (*from, *to, *wait)).collect();
    let wait = Some(150 * SECOND);
    assert_eq!(
        changes,
        [
            (Closed, Open, wait),
            (Open, HalfOpen, None),
            (HalfOpen, Open, wait),
            (Open, HalfOpen, None),
            (HalfOpen, Closed, None)
        ]
    );
}

#[test]
fn a_probe_that_the_tool_itself_fails_shows_that_the_server_is_well() {
    let well_again = Arc::new(Mutex::new(false));
    let stage = Stage::new(PollerSettings { failure_threshold: 1, ..settings(&["a"]) }, {
        let well_again = Arc::clone(&well_again);
        move |_: &str, _: Duration| Err(if *well_again.lock() { tool_failed() } else { malformed() })
    });
    stage.poll();
    stage.clock.advance(150 * SECOND);
    *well_again.lock() = true;
    stage.poll();
    assert_eq!(stage.poller.status().circuit_breaker, "CLOSED");
}

#[test]
fn a_probe_that_says_nothing_leaves_it_half_open() {
    let errors = Arc::new(Mutex::new(malformed as fn() -> CallError));
    let stage = Stage::new(PollerSettings { failure_threshold: 1, ..settings(&["a", "b"]) }, {
        let errors = Arc::clone(&errors);
        move |_: &str, _: Duration| Err((errors.lock())())
    });
    stage.poll();
    stage.clock.advance(150 * SECOND);
    for error in [unauthorized as fn() -> CallError, || throttled(None)] {
        *errors.lock() = error;
        stage.called();
        stage.poll();
        assert_eq!(stage.called(), ["a"]);
        assert_eq!(stage.poller.status().circuit_breaker, "HALF_OPEN");
    }
}

#[test]
fn a_probe_that_hangs_opens_it_again() {
    let clock = ManualClock::new();
    let script = {
        let clock = clock.clone();
        move |_: &str, timeout: Duration| hangs(&clock, timeout)
    };
    let settings = PollerSettings { failure_threshold: 1, timeout: 60 * SECOND, ..settings(&["a"]) };
    let stage = Stage::on(&clock, Arc::default(), settings, Arc::new(()), Box::new(script));
    stage.poll();
    stage.clock.advance(150 * SECOND);
    stage.called();
    stage.poll();
    assert_eq!(stage.called(), ["a"]);
    assert_eq!(stage.poller.status().circuit_breaker, "OPEN");
}

#[test]
fn a_reset_closes_it() {
    let (stage, broken, heard) = breakable(PollerSettings { failure_threshold: 1, ..settings(&["a"]) });
    *broken.lock() = true;
    stage.poll();
    stage.poller.reset();
    assert_eq!(stage.poller.status().circuit_breaker, "CLOSED");
    *broken.lock() = false;
    assert_eq!(stage.poll().outcome, CycleOutcome::Ok);
    let last = heard.changes.lock().last().map(|(from, to, ..)| (*from, *to));
    assert_eq!(last, Some((Open, Closed)));
}

#[test]
fn a_breaker_survives_a_restart() {
    let (stage, broken, heard) = breakable(PollerSettings { failure_threshold: 1, ..settings(&["a"]) });
    *broken.lock() = true;
    stage.poll();
    let snapshot = heard.changes.lock()[0].3.clone();
    assert_eq!(snapshot, stage.poller.breaker_snapshot());
    drop(stage);

    let (stage, _, heard) = breakable(PollerSettings { failure_threshold: 1, ..settings(&["a"]) });
    stage.poller.restore_breaker(&snapshot, 100 * SECOND).unwrap();
    assert_eq!(stage.poll().errors, ["circuit breaker is open, the server is called again in 50 s"]);
    assert!(heard.changes.lock().is_empty(), "whoever restores it knows");
    stage.clock.advance(50 * SECOND);
    assert_eq!(stage.poll().outcome, CycleOutcome::Ok);
    assert!(stage.poller.restore_breaker("nonsense", SECOND).is_err());
    assert_eq!(stage.poller.status().circuit_breaker, "CLOSED");
}

#[test]
fn errors_are_kept_with_their_time_when_all_is_well_again() {
    let (stage, broken, _) = breakable(settings(&["a"]));
    *broken.lock() = true;
    stage.poll();
    *broken.lock() = false;
    let failed = stage.poller.status();
    stage.clock.advance(30 * SECOND);
    stage.poll();
    let status = stage.poller.status();
    assert_eq!(status.tools[0].state, ToolState::Ok);
    assert_eq!(status.tools[0].last_error, failed.tools[0].last_error);
    assert_eq!(status.tools[0].last_error_time, failed.tools[0].last_error_time);
    assert!(status.tools[0].last_tried > failed.tools[0].last_tried);
    assert_eq!((status.poll_cycles, status.errors), (2, 1));
    assert_eq!((status.last_outcome, status.last_error), (Some(CycleOutcome::Ok), failed.last_error));
}

#[test]
fn an_era_is_remembered_when_the_client_has_forgotten_it() {
    let stage = Stage::new(settings(&["a"]), |_: &str, _: Duration| well());
    let eras = [stage.poll().era, stage.poll().era, stage.poller.status().era];
    assert_eq!(eras, [Some(Era::Legacy); 3]);
}
