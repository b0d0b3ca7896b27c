//! Promises of the windows, against references that keep everything.

use std::time::Duration;

use proptest::prelude::*;

use super::support::{Bench, ms};
use crate::resilience::{BreakerSettings, CircuitState, Outcome, Ratio, SlowCalls, Trip};

fn counted(failed: bool) -> Outcome {
    if failed { Outcome::Failure } else { Outcome::Success }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p06_a_count_window_is_the_last_n_outcomes(
        calls in 1..12_u32, minimum in 1..12_u32, percent in 1..=100_u32,
        outcomes in prop::collection::vec(prop::option::weighted(0.9, any::<bool>()), 0..80),
    ) {
        let minimum_calls = minimum.min(calls);
        let trip = Trip::CountWindow { calls, minimum_calls, failure_rate: Ratio::percent(percent) };
        let bench = Bench::new(BreakerSettings { trip, ..BreakerSettings::DEFAULT });
        let mut all: Vec<bool> = Vec::new();
        for outcome in outcomes {
            prop_assert!(bench.call(outcome.map_or(Outcome::Ignored, counted)));
            let Some(failed) = outcome else { continue };
            all.push(failed);
            let last = &all[all.len().saturating_sub(calls as usize)..];
            let failures = last.iter().filter(|failed| **failed).count();
            prop_assert_eq!(bench.breaker.failure_count() as usize, failures);
            let opens = last.len() >= minimum_calls as usize && failures * 100 >= percent as usize * last.len();
            let expected = if opens { CircuitState::Open } else { CircuitState::Closed };
            prop_assert_eq!(bench.breaker.state(), expected);
            if opens {
                bench.breaker.reset();
                all.clear();
            }
        }
    }

    #[test]
    fn p07_a_time_window_is_exact_within_one_bucket(
        period in 1..200_u64, buckets in 1..8_u32, calls in prop::collection::vec((any::<bool>(), 0..60_u64), 0..60), start in any::<u32>(),
    ) {
        // Never opens, so that only the sums are looked at.
        let trip = Trip::TimeWindow { period: ms(period), buckets, minimum_calls: u32::MAX, failure_rate: Ratio::ONE };
        let bench = Bench::new(BreakerSettings { trip, ..BreakerSettings::DEFAULT });
        let width = Duration::from_nanos((u64::try_from(ms(period).as_nanos()).unwrap()).div_ceil(u64::from(buckets)));
        bench.clock.advance(ms(u64::from(start)));
        let mut now = ms(u64::from(start));
        let mut failures: Vec<Duration> = Vec::new();
        for (failed, pause) in calls {
            prop_assert!(bench.call(counted(failed)));
            if failed {
                failures.push(now);
            }
            bench.clock.advance(ms(pause));
            now += ms(pause);
            let younger = |age: Duration| failures.iter().filter(|at| now - **at < age).count();
            let shown = bench.breaker.failure_count() as usize;
            prop_assert!(shown >= younger(width * (buckets - 1)), "forgot too soon");
            prop_assert!(shown <= younger(width * buckets), "remembered too long");
        }
        bench.clock.advance(width * buckets);
        prop_assert_eq!(bench.breaker.failure_count(), 0);
    }

    #[test]
    fn p07_a_time_window_opens_by_its_share(percent in 1..=100_u32, minimum_calls in 1..10_u32, outcomes in prop::collection::vec(any::<bool>(), 0..40)) {
        let trip = Trip::TimeWindow { period: ms(1000), buckets: 10, minimum_calls, failure_rate: Ratio::percent(percent) };
        let bench = Bench::new(BreakerSettings { trip, ..BreakerSettings::DEFAULT });
        let (mut calls, mut failures) = (0, 0);
        for failed in outcomes {
            prop_assert!(bench.call(counted(failed)));
            calls += 1;
            failures += u32::from(failed);
            let opens = calls >= minimum_calls && failures * 100 >= percent * calls;
            prop_assert_eq!(bench.breaker.state() == CircuitState::Open, opens);
            if opens {
                bench.breaker.reset();
                (calls, failures) = (0, 0);
            }
        }
    }

    #[test]
    fn p08_a_slow_call_is_slow_once_however_it_ends(calls in prop::collection::vec((any::<bool>(), 0..40_u64), 1..30), by_time in any::<bool>()) {
        let (minimum_calls, failure_rate) = (100, Ratio::ONE);
        let trip = if by_time {
            Trip::TimeWindow { period: ms(1_000_000), buckets: 1, minimum_calls, failure_rate }
        } else {
            Trip::CountWindow { calls: 100, minimum_calls, failure_rate }
        };
        let slow_calls = Some(SlowCalls { longer_than: ms(20), rate: Ratio::percent(50) });
        let bench = Bench::new(BreakerSettings { trip, slow_calls, ..BreakerSettings::DEFAULT });
        for (failed, took) in &calls {
            let permit = bench.breaker.acquire().unwrap();
            bench.clock.advance(ms(*took));
            prop_assert_eq!(permit.elapsed(), ms(*took));
            permit.settle(counted(*failed));
        }
        let slow = calls.iter().filter(|(_, took)| *took >= 20).count();
        let kept = bench.breaker.snapshot();
        let shown = if by_time {
            kept.rsplit(':').next().unwrap().parse().unwrap()
        } else {
            kept.chars().filter(|letter| matches!(letter, 'S' | 'F')).count()
        };
        prop_assert_eq!(shown, slow);
        prop_assert_eq!(bench.recorder.settled().iter().filter(|end| end.slow).count(), slow);
    }

    #[test]
    fn p08_slow_calls_open_it_by_their_share_and_fail_a_probe(slow in 1..=10_u32, percent in 1..=100_u32) {
        let trip = Trip::CountWindow { calls: 10, minimum_calls: 10, failure_rate: Ratio::ONE };
        let slow_calls = Some(SlowCalls { longer_than: ms(20), rate: Ratio::percent(percent) });
        let bench = Bench::new(BreakerSettings { trip, slow_calls, ..BreakerSettings::DEFAULT });
        let call = |took: u64| {
            let permit = bench.breaker.acquire().unwrap();
            bench.clock.advance(ms(took));
            permit.success();
        };
        for number in 0..10 {
            prop_assert_eq!(bench.breaker.state(), CircuitState::Closed);
            call(if number < slow { 20 } else { 19 });
        }
        let opens = slow * 100 >= percent * 10;
        prop_assert_eq!(bench.breaker.state() == CircuitState::Open, opens);
        if opens {
            bench.clock.advance(BreakerSettings::DEFAULT.recovery_timeout);
            call(20);
            prop_assert_eq!(bench.breaker.state(), CircuitState::Open);
            bench.clock.advance(BreakerSettings::DEFAULT.recovery_timeout);
            call(19);
            prop_assert_eq!(bench.breaker.state(), CircuitState::Closed);
        }
    }
}

#[test]
fn a_full_count_window_is_written_down_oldest_first() {
    let trip = Trip::CountWindow { calls: 3, minimum_calls: 3, failure_rate: Ratio::ONE };
    let bench = Bench::new(BreakerSettings { trip, ..BreakerSettings::DEFAULT });
    for failed in [false, true, false, false] {
        assert!(bench.call(counted(failed)));
    }
    assert_eq!(bench.breaker.snapshot(), "1 closed calls .fss");
}

#[test]
fn a_clock_set_far_back_empties_a_time_window() {
    let trip = Trip::TimeWindow { period: ms(100), buckets: 10, minimum_calls: 100, failure_rate: Ratio::ONE };
    let bench = Bench::new(BreakerSettings { trip, ..BreakerSettings::DEFAULT });
    bench.clock.advance(ms(1000));
    assert!(bench.call(Outcome::Failure));
    // A little back is the same window still.
    bench.clock.set_tick(crate::clock::Tick::ZERO.after(ms(950)));
    assert!(bench.call(Outcome::Failure));
    assert_eq!(bench.breaker.failure_count(), 2);
    bench.clock.set_tick(crate::clock::Tick::ZERO.after(ms(900)));
    assert_eq!((bench.breaker.failure_count(), bench.breaker.snapshot().as_str()), (0, "1 closed buckets"));
    assert!(bench.call(Outcome::Failure));
    assert_eq!(bench.breaker.failure_count(), 1);
}

#[test]
fn p06_a_success_that_completes_the_minimum_opens_it_for_the_whole_wait() {
    let trip = Trip::CountWindow { calls: 4, minimum_calls: 2, failure_rate: Ratio::percent(50) };
    let settings = BreakerSettings { trip, ..BreakerSettings::consecutive(1, ms(50)) };
    for bench in [Bench::new(settings), Bench::unwatched(settings)] {
        bench.clock.advance(ms(3_600_000));
        assert!(bench.call(Outcome::Failure));
        assert_eq!(bench.breaker.state(), CircuitState::Closed);
        assert!(bench.call(Outcome::Success));
        assert_eq!((bench.breaker.state(), bench.breaker.retry_after()), (CircuitState::Open, Some(ms(50))));
    }
}
