//! When cycles are due.

use super::super::schedule::Schedule;
use super::SECOND;
use crate::clock::Tick;
use crate::resilience::{Rng, SplitMix64};
use proptest::prelude::*;
use std::time::Duration;

/// Draws the same number for ever.
struct Always(u64);

impl Rng for Always {
    fn next_u64(&self) -> u64 {
        self.0
    }
}

fn at(seconds: f64) -> Tick {
    Tick::ZERO.after(Duration::from_secs_f64(seconds))
}

#[test]
fn a_cycle_that_takes_long_does_not_shift_the_next() {
    let mut schedule = Schedule::starting(at(100.0), 30 * SECOND, &Always(0));
    assert_eq!(schedule.next(), at(100.0));
    for (ended, next) in [(127.0, 130.0), (130.5, 160.0), (160.0, 190.0), (190.0, 220.0)] {
        schedule.advance(at(ended));
        assert_eq!(schedule.next(), at(next), "after {ended}");
    }
}

#[test]
fn what_was_missed_is_left_out() {
    let mut schedule = Schedule::starting(at(0.0), 30 * SECOND, &Always(0));
    schedule.advance(at(95.0));
    assert_eq!(schedule.next(), at(120.0));
    schedule.advance(at(100.0));
    assert_eq!(schedule.next(), at(120.0), "it is not due yet");
}

#[test]
fn the_first_cycle_is_left_to_chance_within_limits() {
    let first = |interval: u64, drawn: u64| {
        Schedule::starting(Tick::ZERO, Duration::from_secs(interval), &Always(drawn)).next()
    };
    assert_eq!(first(10, 2_000_000_000), at(2.0));
    assert_eq!(first(10, 2_000_000_001), at(0.0));
    let rng = SplitMix64::seeded(3);
    let latest = (0..1000).map(|_| Schedule::starting(Tick::ZERO, 600 * SECOND, &rng).next()).max().unwrap();
    assert!((at(4.9)..=at(5.0)).contains(&latest), "{latest:?}");
}

proptest! {
    #[test]
    fn the_next_cycle_is_ahead_by_an_interval_at_most_and_on_the_grid(
        interval in 1_u64..600_000_000_000, began in 0_u64..1 << 50, steps in prop::collection::vec(0_u64..1 << 42, 1..20),
    ) {
        let mut schedule = Schedule::starting(Tick::from_nanos(began), Duration::from_nanos(interval), &Always(0));
        let mut now = began;
        for step in steps {
            now += step;
            let before = schedule.next().as_nanos();
            schedule.advance(Tick::from_nanos(now));
            let next = schedule.next().as_nanos();
            prop_assert!(next > now && next - now <= interval.max(before.saturating_sub(now)));
            prop_assert_eq!((next - began) % interval, 0);
        }
    }
}
