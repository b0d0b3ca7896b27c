//! Runs every check over many interleavings of the room's own sources, then over the wrong variants, each of which some
//! check must catch. `resilience-shuttle [SCHEDULES] [CHECK]`; 100,000 schedules each unless told otherwise.

#[path = "../../../src/clock.rs"]
#[allow(dead_code, reason = "the checks use a part of it")]
pub mod clock;
pub mod sync;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clock::{Clock, Tick};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// One promise, and what tries to break it.
pub struct Check {
    pub name: &'static str,
    pub body: fn(),
}

mod variants {
    #![allow(
        clippy::duplicate_mod,
        dead_code,
        unused_imports,
        unused_mut,
        reason = "the same checks for several variants, and they use a part of the room"
    )]
    include!(concat!(env!("OUT_DIR"), "/variants.rs"));
}
use variants::*;

/// Half of the schedules at random, half by priorities with up to three changes, which finds rarer orders.
/// Returns how many were run.
fn explore(check: &Check, schedules: usize) -> usize {
    const SEED: u64 = 1;
    let half = schedules.div_ceil(2);
    let random = Runner::new(RandomScheduler::new_from_seed(SEED, half), config()).run(check.body);
    random + Runner::new(PctScheduler::new_from_seed(SEED, 3, half), config()).run(check.body)
}

fn config() -> Config {
    let mut config = Config::new();
    // A failure is found again by running the check again: the seed is fixed.
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    config
}

/// How many schedules were run, when the check held in all.
fn held(check: &Check, schedules: usize) -> Option<usize> {
    catch_unwind(AssertUnwindSafe(|| explore(check, schedules))).ok()
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let schedules = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let wanted = arguments.next().unwrap_or_default();
    let mut good = true;
    for check in as_it_is::checks::ALL.iter().filter(|check| check.name.contains(&wanted)) {
        let (clock, started) = (clock::SystemClock::new(), Tick::ZERO);
        let held = held(check, schedules);
        good &= held.is_some();
        let seconds = clock.tick().since(started).as_secs_f64();
        match held {
            Some(run) => println!("held   {:56} {run} schedules {seconds:.1} s", check.name),
            None => println!("BROKEN {:56} after {seconds:.1} s", check.name),
        }
    }
    println!("Wrong variants: from here on failures are expected.");
    std::panic::set_hook(Box::new(|_| {}));
    for (mistake, checks) in MISTAKES {
        let caught = checks
            .iter()
            .filter(|check| check.name.contains(&wanted))
            .find(|check| held(check, schedules.min(2_000)).is_none());
        good &= caught.is_some() || !wanted.is_empty();
        match caught {
            Some(check) => println!("caught {mistake:40} by {}", check.name),
            None => println!("MISSED {mistake}"),
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
