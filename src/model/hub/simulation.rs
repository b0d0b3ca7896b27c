//! Random histories of a daemon, each from a seed, and an oracle that looks after every batch.
//!
//! `CLAUDE_COMMS_SIM_SEED` replays one history, `CLAUDE_COMMS_SIM_STEPS` says how many inputs there are to be in all.

mod alerting;
mod holding;
mod inputs;
mod oracle;
mod polling;
mod random;
mod workflows;
mod world;

use super::driver::Fault;
use std::hash::{BuildHasher, RandomState};
use world::World;

/// Inputs of one history: long enough for crashes in crashes, short enough to be read.
const HISTORY_STEPS: usize = 600;
/// What a plain `cargo test` has time for.
const STEPS_DEFAULT: usize = 12_000;
/// Within so many inputs each planted fault is found.
const FAULT_STEPS_MAX: usize = 30_000;

/// What went wrong, and where.
struct Found {
    seed: u64,
    step: usize,
    violation: String,
}

fn history(seed: u64, steps: usize, fault: Option<Fault>) -> Result<usize, Found> {
    let mut world = World::new(seed, fault);
    let mut step = 0;
    let mut run = || {
        while step < steps {
            step += world.step()?;
        }
        world.drain()
    };
    let verdict: Result<(), String> = run();
    verdict.map(|()| step).map_err(|violation| Found { seed, step, violation })
}

/// History after history, until there were so many inputs.
fn histories(first_seed: u64, steps: usize, fault: Option<Fault>) -> Result<(), Found> {
    let (mut seed, mut done) = (first_seed, 0);
    while done < steps {
        done += history(seed, HISTORY_STEPS.min(steps), fault)
            .map_err(|found| Found { step: done + found.step, ..found })?;
        seed = seed.wrapping_add(1);
    }
    Ok(())
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

#[test]
fn whatever_happens_the_promises_hold() {
    let (seed, steps) = (setting("CLAUDE_COMMS_SIM_SEED"), setting("CLAUDE_COMMS_SIM_STEPS"));
    let verdict = match (seed, steps) {
        (Some(seed), _) => history(seed, HISTORY_STEPS, None).map(drop),
        (None, None) => histories(1, STEPS_DEFAULT, None),
        // Who asks for many steps asks for new ones.
        (None, Some(steps)) => histories(RandomState::new().hash_one(steps), steps as usize, None),
    };
    if let Err(Found { seed, step, violation }) = verdict {
        panic!(
            "after {step} inputs: {violation}\nreplay with CLAUDE_COMMS_SIM_SEED={seed} cargo test --lib simulation"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let events = |seed| {
        let mut world = World::new(seed, None);
        for _ in 0..50 {
            world.step().unwrap_or_else(|violation| panic!("{violation}"));
        }
        format!("{:?}", world.driver.rows.tables)
    };
    assert_eq!(events(7), events(7));
    assert_ne!(events(7), events(8));
}

#[test]
fn everything_happens() {
    let mut tally = std::collections::BTreeMap::new();
    for seed in 1..=10 {
        let mut world = World::new(seed, None);
        for _ in 0..HISTORY_STEPS / 3 {
            world.step().unwrap_or_else(|violation| panic!("{violation}"));
        }
        world.drain().unwrap_or_else(|violation| panic!("{violation}"));
        for (what, count) in world.oracle.tally {
            *tally.entry(what).or_insert(0) += count;
        }
    }
    let wanted = [
        "Asked",
        "alert cleared",
        "alert gone",
        "alert raised",
        "Deleted",
        "Done",
        "Pool",
        "Scaled",
        "Sent",
        "Submitted",
        "Task",
        "Started",
        "Updated",
        "Waited",
        "Watching",
        "Workflow",
        "busy",
        "conflict",
        "internal",
        "not_found",
        "not_running",
        "queue_full",
        "timed_out",
        "question complete",
        "question failed",
        "response complete",
        "response failed",
        "scaled down",
        "scaled up",
        "tried",
        "task again",
        "task once",
        "task cancelled cancelled",
        "task cancelled dependency",
        "task completed",
        "task failed crashed",
        "task failed dead",
        "task failed error",
        "task failed not_started",
        "task failed stuck",
        "task failed timeout",
        "upstream CLOSED",
        "upstream HALF_OPEN",
        "upstream OPEN",
        "upstream polled",
        "Upstream",
        "watch complete",
        "watch expired",
        "watch failed",
        "watch of both",
        "workflow cancelled",
        "workflow completed",
        "workflow failed",
    ];
    for what in wanted {
        assert!(tally.get(what).is_some_and(|count| *count > 0), "{what} never happened in {tally:#?}");
    }
}

#[test]
fn planted_faults_are_found() {
    let planted = [
        (Fault::IgnoresTokens, ["stale", "overfull"].as_slice()),
        (Fault::LosesRequeued, &["queue", "lost"]),
        (Fault::RepliesTwice, &["answered"]),
        (Fault::SkipsNumbers, &["gap", "numbers"]),
        (Fault::BreaksOrder, &["order", "queue", "workflow"]),
        // With them what the batch had changed of holds is taken for true.
        (Fault::ForgetsWaiters, &["unanswered", "held"]),
        (Fault::ReusesTokens, &["token"]),
        (Fault::IgnoresLocks, &["lock"]),
        (Fault::ForgetsDependents, &["needs"]),
        (Fault::RunsUnneeded, &["needs"]),
        (Fault::ShrinksAtOnce, &["shrunk"]),
        (Fault::EndsWorkflowsEarly, &["workflow"]),
        (Fault::IgnoresHolds, &["held"]),
        (Fault::RaisesUnheld, &["alert"]),
        (Fault::KeepsFailedAlerts, &["alert"]),
        (Fault::ForgetsAlerts, &["alert"]),
        (Fault::LosesOrders, &["pollers"]),
        (Fault::KeepsFailedTotals, &["total"]),
        (Fault::KeepsFailedBreakers, &["upstream"]),
        (Fault::RunsCompletedAgain, &["again", "final", "disagree"]),
    ];
    for (fault, expected) in planted {
        let Err(found) = histories(1, FAULT_STEPS_MAX, Some(fault)) else {
            panic!("{fault:?} was not found in {FAULT_STEPS_MAX} inputs")
        };
        let word = found.violation.split(':').next().unwrap_or_default();
        assert!(expected.contains(&word), "{fault:?} was found as: {}", found.violation);
    }
}
