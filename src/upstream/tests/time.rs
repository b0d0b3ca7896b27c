//! What a cycle does with its time.

use super::super::{CycleOutcome, PollerSettings, ToolState};
use super::scripted::{Calls, Stage, hangs, refused, resolve, throttled, unavailable, well};
use super::{SECOND, settings, states};
use crate::clock::{Clock, ManualClock, Tick};
use crate::mcp::client::{CallError, ToolAnswer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tools whose names begin with `hang` take all the time they have; others answer after a second.
fn slow_stage(settings: PollerSettings) -> Stage {
    let clock = ManualClock::new();
    let script = {
        let clock = clock.clone();
        move |tool: &str, timeout: Duration| {
            if tool.starts_with("hang") {
                return hangs(&clock, timeout);
            }
            clock.advance(SECOND.min(timeout));
            well()
        }
    };
    Stage::on(&clock, Calls::default(), settings, Arc::new(()), Box::new(script))
}

fn failing(
    error: impl Fn() -> CallError + Send + 'static,
) -> impl FnMut(&str, Duration) -> Result<ToolAnswer, CallError> + Send {
    move |_, _| Err(error())
}

#[test]
fn a_cycle_ends_in_time_whatever_its_tools_do() {
    let stage = slow_stage(settings(&["hang1", "hang2", "hang3"]));
    let report = stage.poll();
    assert!(report.took <= 27 * SECOND, "{:?}", report.took);
    assert!(stage.calls.lock().len() >= 2, "a retry fits");
    assert_eq!(report.outcome, CycleOutcome::Failed);
    let said = report.errors.last().unwrap();
    assert!(said.starts_with("the cycle ended after 27s without calling hang"), "{said}");
}

#[test]
fn a_hanging_tool_leaves_time_for_the_others() {
    let stage = slow_stage(settings(&["hang", "b", "c"]));
    let report = stage.poll();
    assert_eq!(report.metrics_collected, ["b", "c"]);
    assert_eq!(states(&report), [ToolState::Failing, ToolState::Ok, ToolState::Ok]);
    assert_eq!((report.outcome, report.failures), (CycleOutcome::Partial, 1));
}

#[test]
fn the_next_cycle_begins_after_the_last_tool_tried() {
    let stage = slow_stage(PollerSettings { failure_threshold: 20, ..settings(&["hang1", "hang2", "c", "d"]) });
    let first = stage.poll();
    let tried = stage.called();
    assert!(!tried.contains(&"c".to_owned()), "{tried:?}");
    assert_eq!(first.tools[2].state, ToolState::Untried);
    stage.clock.advance(3 * SECOND);
    let second = stage.poll();
    assert_eq!(second.metrics_collected, ["c", "d"]);
    assert_eq!(stage.called()[..2], ["c", "d"]);
}

#[test]
fn after_a_cycle_with_time_for_all_tools_the_order_is_that_of_the_settings() {
    let slow = Arc::new(AtomicBool::new(true));
    let clock = ManualClock::new();
    let script = {
        let (clock, slow) = (clock.clone(), Arc::clone(&slow));
        move |_: &str, timeout: Duration| if slow.load(Ordering::Relaxed) { hangs(&clock, timeout) } else { well() }
    };
    let settings = PollerSettings { failure_threshold: 20, ..settings(&["a", "b", "c", "d"]) };
    let stage = Stage::on(&clock, Calls::default(), settings, Arc::new(()), Box::new(script));
    stage.poll();
    slow.store(false, Ordering::Relaxed);
    let rotated = stage.poll().metrics_collected;
    assert_ne!(rotated[0], "a");
    assert_eq!(stage.poll().metrics_collected, ["a", "b", "c", "d"]);
}

#[test]
fn a_server_that_cannot_be_reached_ends_the_cycle() {
    for error in [refused as fn() -> CallError, resolve] {
        let stage = Stage::new(settings(&["a", "b"]), failing(error));
        let report = stage.poll();
        assert!(stage.called().iter().all(|tool| tool == "a"));
        assert_eq!(states(&report), [ToolState::Failing, ToolState::Untried]);
        assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    }
}

#[test]
fn delays_double_with_jitter_and_stay_within_the_cycle() {
    let settings = PollerSettings { interval: 600 * SECOND, max_retries: 6, ..settings(&["a"]) };
    let stage = Stage::new(settings, failing(|| unavailable(None)));
    stage.poll();
    let times: Vec<f64> = stage.calls.lock().iter().map(|(_, at, _)| *at).collect();
    let delays: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(delays.len(), 6);
    for (delay, exact) in delays.iter().zip([5.0, 10.0, 20.0, 40.0, 60.0, 60.0]) {
        assert!((exact / 2.0..=exact).contains(delay), "{delays:?}");
    }
}

#[test]
fn a_first_retry_fits_at_high_frequency() {
    let stage = slow_stage(PollerSettings { interval: 5 * SECOND, timeout: 3 * SECOND, ..settings(&["hang"]) });
    stage.poll();
    let calls = stage.calls.lock().clone();
    assert!(calls.len() >= 2, "{calls:?}");
    assert_eq!(calls[0].2, 3.0);
    assert!(calls[1].1 + calls[1].2 <= 4.5, "{calls:?}");
}

#[test]
fn retry_after_is_waited_for_within_the_cycle() {
    let mut times = 0;
    let stage = Stage::new(settings(&["a"]), move |_: &str, _: Duration| {
        times += 1;
        if times == 1 { Err(throttled(Some(12))) } else { well() }
    });
    assert_eq!(stage.poll().outcome, CycleOutcome::Ok);
    let calls = stage.calls.lock().clone();
    assert!(calls.len() == 2 && calls[1].1 >= 12.0, "{calls:?}");
}

#[test]
fn retry_after_outlives_the_cycle_and_is_capped() {
    let stage = Stage::new(settings(&["a", "b"]), failing(|| unavailable(Some(86_400))));
    let first = stage.poll();
    assert_eq!(stage.called(), ["a"], "neither retried nor are other tools called");
    assert_eq!(first.errors[1], "the server asked not to be called for another 150 s");
    stage.clock.advance(149 * SECOND - 27 * SECOND);
    assert_eq!(stage.poll().outcome, CycleOutcome::Skipped);
    assert!(stage.called().is_empty());
    stage.clock.advance(10 * SECOND);
    stage.poll();
    assert_eq!(stage.called(), ["a"], "a cycle waits when the time comes while it lasts");
    assert!(stage.clock.tick() >= Tick::ZERO.after(150 * SECOND));
}

#[test]
fn a_reset_forgets_that_the_server_asked_for_patience() {
    let stage = Stage::new(settings(&["a"]), failing(|| throttled(Some(3600))));
    stage.poll();
    assert_eq!(stage.poll().outcome, CycleOutcome::Skipped);
    stage.called();
    stage.poller.reset();
    stage.poll();
    assert_eq!(stage.called(), ["a"]);
}
