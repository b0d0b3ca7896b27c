//! Promises of one breaker.

use std::time::Duration;

use proptest::prelude::*;

use super::support::{Bench, Told, ms};
use crate::clock::{Clock, Tick};
use crate::resilience::{
    BreakerSettings, CircuitState, Event, Jitter, Outcome, Permit, Ratio, RecoveryGrowth, SlowCalls, Trip, Verdict,
};

/// One step of a random walk over a breaker.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call(Outcome),
    Hold,
    /// Reports the held call of that place.
    Finish(usize, Outcome),
    Drop(usize),
    Pass(u64),
    Reset,
    Force,
    Release,
    Disable,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Outcome::Failure), 2 => Just(Outcome::Success), 1 => Just(Outcome::Ignored)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => outcome().prop_map(Step::Call),
        6 => Just(Step::Hold),
        6 => (0..8_usize, outcome()).prop_map(|(place, outcome)| Step::Finish(place, outcome)),
        2 => (0..8_usize).prop_map(Step::Drop),
        6 => (0..70_u64).prop_map(Step::Pass),
        1 => Just(Step::Reset),
        1 => Just(Step::Force),
        1 => Just(Step::Release),
        1 => Just(Step::Disable),
    ]
}

fn trip() -> impl Strategy<Value = Trip> {
    let rate = (1..=100_u32).prop_map(Ratio::percent);
    prop_oneof![
        (1..5_u32).prop_map(|failure_threshold| Trip::Consecutive { failure_threshold }),
        (1..6_u32, rate.clone()).prop_map(|(calls, failure_rate)| Trip::CountWindow {
            calls,
            minimum_calls: calls.div_ceil(2),
            failure_rate
        }),
        (1..100_u64, 1..5_u32, 1..4_u32, rate).prop_map(|(period, buckets, minimum_calls, failure_rate)| {
            Trip::TimeWindow { period: ms(period), buckets, minimum_calls, failure_rate }
        }),
    ]
}

fn settings() -> impl Strategy<Value = BreakerSettings> {
    (trip(), any::<bool>(), 1..4_u32, 1..3_u32, 1..100_u64).prop_map(|(trip, slow, permits, successes, wait)| {
        let windowed = !matches!(trip, Trip::Consecutive { .. });
        BreakerSettings {
            trip,
            slow_calls: (slow && windowed).then_some(SlowCalls { longer_than: ms(20), rate: Ratio::percent(50) }),
            half_open_permits: permits,
            half_open_successes: successes,
            half_open_max_wait: ms(wait),
            ..BreakerSettings::consecutive(1, ms(50))
        }
    })
}

/// A walk under way: the bench, and the calls that have not reported.
struct Walk<'a> {
    bench: &'a Bench,
    held: Vec<Permit<'a>>,
    /// For each of them, when it was admitted as a probe, and after how many changes of state.
    probes: Vec<Option<(Tick, usize)>>,
    forced: Vec<crate::resilience::ForcedOpen>,
}

impl<'a> Walk<'a> {
    fn new(bench: &'a Bench) -> Walk<'a> {
        Walk { bench, held: Vec::new(), probes: Vec::new(), forced: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Call(outcome) => drop(self.bench.call(outcome)),
            Step::Hold if self.held.len() < 8 => {
                if let Ok(permit) = self.bench.breaker.acquire() {
                    let probe = self.bench.breaker.state() == CircuitState::HalfOpen;
                    self.probes.push(probe.then(|| (self.bench.clock.tick(), self.bench.recorder.changes().len())));
                    self.held.push(permit);
                }
            }
            Step::Finish(place, outcome) if place < self.held.len() => {
                self.probes.swap_remove(place);
                self.held.swap_remove(place).settle(outcome);
            }
            Step::Drop(place) if place < self.held.len() => {
                self.probes.swap_remove(place);
                drop(self.held.swap_remove(place));
            }
            Step::Pass(millis) => self.bench.clock.advance(ms(millis)),
            Step::Reset => self.bench.breaker.reset(),
            Step::Force => self.forced.push(self.bench.breaker.force_open()),
            Step::Release => drop(self.forced.pop()),
            Step::Disable => self.bench.breaker.disable(),
            Step::Hold | Step::Finish(..) | Step::Drop(_) => {}
        }
    }

    /// Probes under way of this half-open period that have not lost their leases.
    fn probes_under_way(&self, lease: Duration) -> usize {
        let (now, changes) = (self.bench.clock.tick(), self.bench.recorder.changes().len());
        let under_way = |(at, after): &(Tick, usize)| *after == changes && now.since(*at) < lease;
        self.probes.iter().flatten().filter(|probe| under_way(probe)).count()
    }
}

fn chained(bench: &Bench) -> Result<(), TestCaseError> {
    let (mut seq, mut state) = (0, CircuitState::Closed);
    for change in bench.recorder.changes() {
        seq += 1;
        prop_assert_eq!((change.seq, change.from), (seq, state));
        prop_assert_ne!(change.from, change.to);
        state = change.to;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p05_consecutive_failures_open_exactly_at_the_threshold(threshold in 1..6_u32, outcomes in prop::collection::vec(outcome(), 0..40)) {
        let settings = BreakerSettings::consecutive(threshold, ms(50));
        let (bench, fast) = (Bench::new(settings), Bench::unwatched(settings).breaker);
        let mut run = 0;
        for outcome in outcomes {
            prop_assert!(bench.call(outcome));
            fast.acquire().unwrap().settle(outcome);
            run = match outcome {
                Outcome::Failure => run + 1,
                Outcome::Success => 0,
                Outcome::Ignored => run,
            };
            let expected = if run >= threshold { CircuitState::Open } else { CircuitState::Closed };
            for breaker in [&bench.breaker, &fast] {
                prop_assert_eq!((breaker.state(), breaker.failure_count()), (expected, run));
                if expected == CircuitState::Open {
                    breaker.reset();
                }
            }
            run = if run >= threshold { 0 } else { run };
        }
    }

    #[test]
    fn p04_a_probe_that_never_ends_loses_its_place_and_its_say(permits in 1..4_u32, wait in 1..100_u64, outcome in outcome()) {
        let settings = BreakerSettings { half_open_permits: permits, half_open_max_wait: ms(wait), ..BreakerSettings::consecutive(1, ms(50)) };
        let bench = Bench::new(settings);
        bench.fail_until_open();
        bench.clock.advance(ms(50));
        let admit = || {
            // Whoever may pass now is not told to wait.
            assert_eq!(bench.breaker.retry_after(), None);
            bench.breaker.acquire().unwrap()
        };
        let lost: Vec<Permit<'_>> = (0..permits).map(|_| admit()).collect();
        prop_assert_eq!(bench.breaker.acquire().unwrap_err().retry_after, Some(ms(wait)));
        bench.clock.advance(ms(wait - 1));
        prop_assert!(bench.breaker.acquire().is_err());
        bench.clock.advance(ms(1));
        let mut lost = lost.into_iter();
        // One reports before its place is taken, the others after; to the breaker they are all gone.
        lost.next().unwrap().settle(outcome);
        let probes: Vec<Permit<'_>> = (0..permits).map(|_| bench.breaker.acquire().unwrap()).collect();
        lost.for_each(|permit| permit.settle(outcome));
        prop_assert_eq!(bench.breaker.state(), CircuitState::HalfOpen);
        prop_assert!(bench.breaker.acquire().is_err());
        prop_assert!(bench.recorder.settled().iter().skip(1).all(|end| end.stale));
        probes.into_iter().next().unwrap().success();
        prop_assert_eq!(bench.breaker.state(), CircuitState::Closed);
    }

    #[test]
    fn p09_p11_while_open_everybody_is_turned_away_and_nothing_moves(
        settings in settings(), before in prop::collection::vec(step(), 0..30), late in prop::collection::vec(outcome(), 3),
        pauses in prop::collection::vec(0..20_u64, 1..10),
    ) {
        let bench = Bench::new(settings);
        let mut walk = Walk::new(&bench);
        for step in before {
            walk.take(step);
        }
        drop(std::mem::take(&mut walk.forced));
        bench.breaker.reset();
        let waiting: Vec<Permit<'_>> = late.iter().map(|_| bench.breaker.acquire().unwrap()).collect();
        bench.fail_until_open();
        let mut waiting = waiting.into_iter().zip(late);
        let changes = bench.recorder.changes().len();
        let mut left = bench.breaker.retry_after().unwrap();
        for pause in pauses {
            if let Some((permit, outcome)) = waiting.next() {
                permit.settle(outcome);
            }
            prop_assert_eq!(bench.recorder.changes().len(), changes);
            if bench.breaker.state() != CircuitState::Open {
                prop_assert!(left.is_zero());
                break;
            }
            let mut called = false;
            let error = bench.breaker.call(|| { called = true; Ok::<(), std::io::Error>(()) }).unwrap_err();
            let crate::resilience::CallError::Rejected(rejection) = error else { panic!("it was called") };
            prop_assert!(!called);
            prop_assert_eq!(rejection.state, CircuitState::Open);
            prop_assert_eq!(rejection.retry_after, Some(left));
            prop_assert!(!left.is_zero());
            bench.clock.advance(ms(pause));
            left = left.saturating_sub(ms(pause));
        }
    }

    #[test]
    fn p01_p02_p10_p17_a_walk_keeps_its_promises(settings in settings(), steps in prop::collection::vec(step(), 0..60)) {
        let bench = Bench::new(settings);
        let mut walk = Walk::new(&bench);
        for step in steps {
            // Looking takes nothing and changes nothing.
            let (state, kept) = (bench.breaker.state(), bench.breaker.snapshot());
            prop_assert_eq!((bench.breaker.state(), bench.breaker.snapshot()), (state, kept.clone()));
            let settled = bench.recorder.settled().len();
            let changes = bench.recorder.changes().len();
            let failures = bench.breaker.failure_count();
            walk.take(step);
            let ends = bench.recorder.settled();
            if matches!(step, Step::Finish(..) | Step::Drop(_)) && ends[settled..].iter().all(|end| end.stale) {
                prop_assert_eq!(bench.breaker.snapshot(), kept);
                prop_assert_eq!((bench.recorder.changes().len(), bench.breaker.failure_count()), (changes, failures));
            }
            let under_way = walk.probes_under_way(settings.half_open_max_wait);
            prop_assert!(under_way <= settings.half_open_permits as usize);
            if bench.breaker.state() == CircuitState::HalfOpen && under_way == settings.half_open_permits as usize {
                prop_assert!(bench.breaker.acquire().is_err());
            }
            chained(&bench)?;
        }
    }

    #[test]
    fn nobody_watching_makes_no_difference(settings in settings(), start in any::<u32>(), steps in prop::collection::vec(step(), 0..60)) {
        let (watched, unwatched) = (Bench::new(settings), Bench::unwatched(settings));
        for bench in [&watched, &unwatched] {
            bench.clock.advance(ms(u64::from(start)));
        }
        let (mut one, mut other) = (Walk::new(&watched), Walk::new(&unwatched));
        for step in steps {
            one.take(step);
            other.take(step);
            prop_assert_eq!(one.held.len(), other.held.len());
            prop_assert_eq!(watched.breaker.state(), unwatched.breaker.state());
            prop_assert_eq!(watched.breaker.retry_after(), unwatched.breaker.retry_after());
            prop_assert_eq!(watched.breaker.snapshot(), unwatched.breaker.snapshot());
        }
    }

    #[test]
    fn p03_every_breaker_admits_again_in_the_end(settings in settings(), steps in prop::collection::vec(step(), 0..60), forget in any::<bool>()) {
        let bench = Bench::new(settings);
        let mut walk = Walk::new(&bench);
        for step in steps {
            walk.take(step);
        }
        let Walk { held, forced, .. } = walk;
        drop(forced);
        if forget {
            held.into_iter().for_each(std::mem::forget);
        } else {
            drop(held);
        }
        bench.clock.advance(ms(100));
        prop_assert!(bench.breaker.acquire().is_ok());
    }

    #[test]
    fn p12_a_broken_clock_neither_panics_nor_keeps_it_open(
        settings in settings(), steps in prop::collection::vec((step(), prop::option::of(prop_oneof![0..1_000_000_000_u64, any::<u64>()])), 0..40),
    ) {
        let bench = Bench::new(settings);
        let mut walk = Walk::new(&bench);
        for (step, jump) in steps {
            if let Some(nanos) = jump {
                bench.clock.set_tick(Tick::from_nanos(nanos));
            }
            walk.take(step);
            if bench.breaker.state() == CircuitState::Open {
                prop_assert!(bench.breaker.retry_after().unwrap() <= settings.recovery_timeout);
            }
        }
        drop(walk);
        // A clock that stands at the end of time can show nothing more; any other lets everybody through in the end.
        bench.clock.set_tick(bench.clock.tick().min(Tick::from_nanos(u64::MAX / 2)));
        drop(bench.breaker.acquire());
        bench.clock.advance(ms(100));
        prop_assert!(bench.breaker.acquire().is_ok());
    }

    #[test]
    fn p12_an_open_period_is_measured_from_where_the_clock_went_back_to(ahead in 0..1000_u64, back in 0..1000_u64) {
        let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
        bench.clock.advance(ms(ahead));
        bench.fail_until_open();
        bench.clock.set_tick(Tick::ZERO.after(ms(ahead.saturating_sub(back))));
        prop_assert!(bench.breaker.acquire().is_err());
        bench.clock.advance(ms(49));
        prop_assert!(bench.breaker.acquire().is_err());
        bench.clock.advance(ms(1));
        prop_assert!(bench.breaker.acquire().is_ok());
    }

    #[test]
    fn p12_a_lease_too(ahead in 0..1000_u64, back in 0..1000_u64) {
        let bench = Bench::new(BreakerSettings { half_open_max_wait: ms(30), ..BreakerSettings::consecutive(1, ms(50)) });
        bench.fail_until_open();
        bench.clock.advance(ms(50 + ahead));
        let lost = bench.breaker.acquire().unwrap();
        bench.clock.set_tick(Tick::ZERO.after(ms((50 + ahead).saturating_sub(back))));
        prop_assert!(bench.breaker.acquire().is_err());
        bench.clock.advance(ms(29));
        prop_assert!(bench.breaker.acquire().is_err());
        bench.clock.advance(ms(1));
        prop_assert!(bench.breaker.acquire().is_ok());
        lost.ignore();
    }

    #[test]
    fn p13_extremes_are_refused_or_saturate(
        numbers in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(2), Just(u32::MAX)], 4),
        waits in prop::collection::vec(prop_oneof![Just(Duration::ZERO), Just(Duration::from_nanos(1)), Just(Duration::MAX)], 4),
        kind in 0..3, growth in any::<bool>(), steps in prop::collection::vec(step(), 0..20), late in any::<bool>(),
    ) {
        let trip = match kind {
            0 => Trip::Consecutive { failure_threshold: numbers[0] },
            1 => Trip::CountWindow { calls: numbers[0].min(20_000), minimum_calls: numbers[1], failure_rate: Ratio::percent(numbers[2]) },
            _ => Trip::TimeWindow { period: waits[0], buckets: numbers[0].min(1001), minimum_calls: numbers[1], failure_rate: Ratio::percent(numbers[2]) },
        };
        let settings = BreakerSettings {
            trip,
            slow_calls: None,
            recovery_timeout: waits[1],
            recovery_growth: growth.then_some(RecoveryGrowth { factor: Ratio::times(numbers[3]), max_timeout: waits[2], jitter: Jitter::Equal }),
            half_open_permits: numbers[2].min(1025),
            half_open_successes: numbers[3],
            half_open_max_wait: waits[3],
            retry_after_max: waits[0],
        };
        let zero = numbers[3] == 0 || numbers[2].min(1025) == 0 || numbers[2] > 1024 || waits[1].is_zero() || waits[3].is_zero();
        match Bench::try_new(settings) {
            Err(error) => prop_assert!(!error.problems.is_empty()),
            Ok(bench) => {
                prop_assert!(!zero, "{:?} was taken", settings);
                if late {
                    bench.clock.set_tick(Tick::from_nanos(u64::MAX - 5));
                }
                let mut walk = Walk::new(&bench);
                for step in steps {
                    walk.take(step);
                }
            }
        }
    }

    #[test]
    fn p14_each_reopening_waits_longer_up_to_the_limit(factor in 1..5_u32, max in 50..2000_u64, jitter in any::<bool>(), openings in 1..40_u32) {
        let jitter = if jitter { Jitter::Equal } else { Jitter::None };
        let growth = RecoveryGrowth { factor: Ratio::times(factor), max_timeout: ms(max), jitter };
        let bench = Bench::new(BreakerSettings { recovery_growth: Some(growth), ..BreakerSettings::consecutive(1, ms(50)) });
        for round in 0..2 {
            for opening in 0..openings {
                prop_assert!(bench.call(Outcome::Failure), "round {}", round);
                let exact = ms(50_u64.saturating_mul(u64::from(factor).saturating_pow(opening)).min(max));
                let wait = bench.breaker.retry_after().unwrap();
                match jitter {
                    Jitter::None => prop_assert_eq!(wait, exact),
                    _ => prop_assert!(wait >= exact / 2 && wait <= exact),
                }
                prop_assert_eq!(bench.recorder.changes().last().unwrap().wait, Some(wait));
                bench.clock.advance(wait);
            }
            // A probe that succeeds starts the count over.
            prop_assert!(bench.call(Outcome::Success));
        }
    }

    #[test]
    fn p34_a_wait_that_the_service_asks_for_is_heard_up_to_its_limit(
        threshold in 2..6_u32, max in 0..500_u64, asked in 0..1000_u64, counted in any::<bool>(), probe in any::<bool>(),
        passed in 0..500_u64,
    ) {
        let settings = BreakerSettings { retry_after_max: ms(max), ..BreakerSettings::consecutive(threshold, ms(50)) };
        let bench = Bench::new(settings);
        if probe {
            for _ in 0..threshold {
                bench.call(Outcome::Failure);
            }
            bench.clock.advance(ms(50));
        }
        let (failures, verdict) = (bench.breaker.failure_count(), Verdict { counted, ..Verdict::transient("asked") });
        bench.breaker.acquire().unwrap().judge(&verdict.after(ms(asked)));
        let heard = asked.min(max);
        if counted && (probe || heard > 0) {
            let wait = ms(heard.max(50));
            prop_assert_eq!((bench.breaker.state(), bench.breaker.retry_after()), (CircuitState::Open, Some(wait)));
            prop_assert_eq!(bench.recorder.changes().last().unwrap().wait, Some(wait));
            // Over a restart too.
            let other = Bench::new(settings);
            other.breaker.restore(&bench.breaker.snapshot(), ms(passed)).unwrap();
            bench.clock.advance(ms(passed));
            prop_assert_eq!(other.breaker.retry_after(), bench.breaker.retry_after());
        } else {
            let state = if probe { CircuitState::HalfOpen } else { CircuitState::Closed };
            prop_assert_eq!((bench.breaker.state(), bench.breaker.failure_count()), (state, failures + u32::from(counted)));
        }
    }

    #[test]
    fn p15_reset_leads_to_closed_from_anywhere(settings in settings(), steps in prop::collection::vec(step(), 0..40)) {
        let bench = Bench::new(settings);
        let mut walk = Walk::new(&bench);
        for step in steps {
            walk.take(step);
        }
        let changes = bench.recorder.changes().len();
        bench.breaker.reset();
        prop_assert_eq!((bench.breaker.state(), bench.breaker.failure_count()), (CircuitState::Closed, 0));
        prop_assert!(bench.recorder.changes().len() <= changes + 1);
        let (changes, kept) = (bench.recorder.changes().len(), bench.breaker.snapshot());
        bench.breaker.reset();
        // What was under way before, guards included, has no say any more.
        walk.probes.clear();
        for permit in walk.held.drain(..) {
            permit.failure();
        }
        walk.forced.clear();
        prop_assert_eq!((bench.recorder.changes().len(), bench.breaker.snapshot()), (changes, kept));
    }

    #[test]
    fn p16_forced_open_rejects_whatever_the_clock_until_the_last_guard(guards in 1..5_usize, pause in any::<u32>(), disabled in any::<bool>()) {
        let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
        if disabled {
            bench.breaker.disable();
        }
        let admitted = bench.breaker.acquire().unwrap();
        let mut forced: Vec<_> = (0..guards).map(|_| bench.breaker.force_open()).collect();
        admitted.success();
        while !forced.is_empty() {
            bench.clock.advance(ms(u64::from(pause)));
            let rejection = bench.breaker.acquire().unwrap_err();
            prop_assert_eq!((rejection.state, rejection.retry_after), (CircuitState::ForcedOpen, None));
            forced.pop();
        }
        prop_assert_eq!(bench.breaker.state(), CircuitState::Closed);
        prop_assert_eq!(bench.recorder.changes().len(), 2 + usize::from(disabled));
    }

    #[test]
    fn p16_disabled_admits_all_and_records_nothing(outcomes in prop::collection::vec(outcome(), 1..30)) {
        let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
        bench.breaker.disable();
        let told = bench.recorder.told().len();
        for outcome in outcomes {
            prop_assert!(bench.call(outcome));
        }
        prop_assert_eq!((bench.recorder.told().len(), bench.breaker.failure_count()), (told, 0));
        prop_assert_eq!(bench.breaker.state(), CircuitState::Disabled);
    }

    #[test]
    fn p19_a_restored_breaker_decides_as_one_that_never_stopped(
        settings in settings(), steps in prop::collection::vec(step(), 0..40), down in 0..120_u64,
        after in prop::collection::vec((outcome(), 0..30_u64), 0..30),
    ) {
        let bench = Bench::new(settings);
        let mut walk = Walk::new(&bench);
        for step in steps {
            walk.take(step);
        }
        drop(walk);
        let kept = bench.breaker.snapshot();
        bench.clock.advance(ms(down));
        let restored = Bench::new(settings);
        restored.clock.set_tick(bench.clock.tick());
        prop_assert_eq!(restored.breaker.restore(&kept, ms(down)), Ok(()));
        chained(&restored)?;
        for (outcome, pause) in after {
            prop_assert_eq!(restored.breaker.state(), bench.breaker.state());
            prop_assert_eq!(restored.breaker.failure_count(), bench.breaker.failure_count());
            prop_assert_eq!(restored.breaker.retry_after(), bench.breaker.retry_after());
            prop_assert_eq!(restored.call(outcome), bench.call(outcome));
            restored.clock.advance(ms(pause));
            bench.clock.advance(ms(pause));
        }
        prop_assert_eq!(restored.breaker.snapshot(), bench.breaker.snapshot());
    }

    #[test]
    fn p19_whatever_is_no_snapshot_leaves_it_closed(settings in settings(), text in "(1 )?(closed|open|half_open|disabled)?( (run|calls|buckets))?[ 0-9a-fsFS:.]{0,30}", open in any::<bool>()) {
        let bench = Bench::new(settings);
        if open {
            bench.fail_until_open();
        }
        let read = bench.breaker.restore(&text, Duration::ZERO);
        if read.is_err() {
            prop_assert_eq!((bench.breaker.state(), bench.breaker.failure_count()), (CircuitState::Closed, 0));
        }
        bench.clock.advance(ms(100));
        prop_assert!(bench.breaker.acquire().is_ok(), "{}", text);
        chained(&bench)?;
    }
}

#[test]
fn p15_a_reset_is_newer_than_the_failures_that_it_clears() {
    let bench = Bench::new(BreakerSettings::DEFAULT);
    assert!(bench.call(Outcome::Failure));
    bench.breaker.reset();
    let failed = bench.recorder.settled()[0].revision;
    let newer = |told: &Told| matches!(told, Told::Reset { revision } if *revision > failed);
    assert_eq!(bench.recorder.count(newer), 1);
}

#[test]
fn p16_a_guard_from_before_a_reset_ends_nothing() {
    let bench = Bench::new(BreakerSettings::DEFAULT);
    let early = bench.breaker.force_open();
    bench.breaker.reset();
    assert_eq!(bench.breaker.state(), CircuitState::Closed);
    let late = bench.breaker.force_open();
    drop(early);
    assert_eq!(bench.breaker.state(), CircuitState::ForcedOpen);
    drop(late);
    assert_eq!(bench.breaker.state(), CircuitState::Closed);
}

#[test]
fn it_closes_after_as_many_successful_probes_as_asked_for() {
    let bench = Bench::new(BreakerSettings { half_open_successes: 3, ..BreakerSettings::consecutive(1, ms(50)) });
    bench.fail_until_open();
    bench.clock.advance(ms(50));
    for outcome in [Outcome::Success, Outcome::Ignored, Outcome::Success, Outcome::Ignored] {
        assert!(bench.call(outcome));
        assert_eq!(bench.breaker.state(), CircuitState::HalfOpen);
    }
    assert!(bench.call(Outcome::Success));
    assert_eq!(bench.breaker.state(), CircuitState::Closed);
}

#[test]
fn a_full_half_open_breaker_names_the_end_of_the_first_lease() {
    let settings =
        BreakerSettings { half_open_permits: 2, half_open_max_wait: ms(30), ..BreakerSettings::consecutive(1, ms(50)) };
    let bench = Bench::new(settings);
    bench.fail_until_open();
    bench.clock.advance(ms(50));
    let first = bench.breaker.acquire().unwrap();
    bench.clock.advance(ms(10));
    let second = bench.breaker.acquire().unwrap();
    let rejection = bench.breaker.acquire().unwrap_err();
    assert_eq!((rejection.state, rejection.retry_after), (CircuitState::HalfOpen, Some(ms(20))));
    drop((first, second));
}

#[test]
fn p17_an_observer_may_call_every_method_and_may_panic() {
    use crate::resilience::{CircuitBreaker, Effects, Observer};
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Default)]
    struct Meddler {
        breaker: Mutex<Option<CircuitBreaker>>,
        seen: Mutex<Vec<(u64, CircuitState)>>,
    }
    impl Observer for Meddler {
        fn observe(&self, event: &Event<'_>) {
            let Event::StateChanged(change) = event else { return };
            self.seen.lock().push((change.seq, change.to));
            let breaker = self.breaker.lock().clone().unwrap();
            drop((breaker.snapshot(), breaker.failure_count(), breaker.state()));
            match change.to {
                CircuitState::Open => {
                    breaker.reset();
                    drop(breaker.force_open());
                    breaker.disable();
                }
                CircuitState::Disabled => {
                    breaker.acquire().unwrap().failure();
                    panic!("on purpose, from a listener");
                }
                _ => {}
            }
        }
    }
    let meddler = Arc::new(Meddler::default());
    let effects = Effects::manual(&crate::clock::ManualClock::new(), 1).observed_by(meddler.clone());
    let breaker = CircuitBreaker::new("b", BreakerSettings::consecutive(1, ms(50)), &effects).unwrap();
    *meddler.breaker.lock() = Some(breaker.clone());
    breaker.acquire().unwrap().failure();
    use CircuitState::{Closed, Disabled, ForcedOpen, Open};
    let seen = meddler.seen.lock().clone();
    assert_eq!(seen, [(1, Open), (2, Closed), (3, ForcedOpen), (4, Closed), (5, Disabled)]);
    breaker.reset();
    assert_eq!(meddler.seen.lock().len(), 6, "a panicking listener is told of the next change all the same");
    *meddler.breaker.lock() = None;
}

#[test]
fn p20_a_panic_is_a_failure_and_goes_on_unchanged() {
    use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
    for guarded in [true, false] {
        let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            if guarded {
                let never: Result<(), _> = bench.breaker.call(|| -> Result<(), std::io::Error> { panic_any(42_u8) });
                drop(never);
            } else {
                let _permit = bench.breaker.acquire().unwrap();
                panic_any(42_u8);
            }
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&42));
        assert_eq!(bench.breaker.state(), CircuitState::Open);
        // As a probe, too: the place is free again.
        bench.clock.advance(ms(50));
        assert!(
            catch_unwind(AssertUnwindSafe(|| bench
                .breaker
                .call_judged(|_: &()| panic_any(1_u8), || Err::<(), ()>(()))))
            .is_err()
        );
        assert_eq!(bench.breaker.state(), CircuitState::Open);
        bench.clock.advance(ms(50));
        assert!(bench.call(Outcome::Success));
        assert_eq!(bench.breaker.state(), CircuitState::Closed);
    }
}

#[test]
fn p20_a_permit_taken_and_dropped_while_unwinding_is_merely_ignored() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    struct Destructor<'a>(&'a Bench);
    impl Drop for Destructor<'_> {
        fn drop(&mut self) {
            drop(self.0.breaker.acquire().unwrap());
        }
    }
    let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _destructor = Destructor(&bench);
        panic!("on purpose");
    }));
    assert!(caught.is_err());
    assert_eq!(bench.breaker.state(), CircuitState::Closed);
    assert_eq!(bench.recorder.count(|told| matches!(told, Told::Settled(end) if end.outcome == Outcome::Ignored)), 1);
}

#[test]
fn p18_no_lock_is_held_while_the_closure_runs() {
    let breaker = Bench::unwatched(BreakerSettings::consecutive(3, ms(50))).breaker;
    let nested = breaker.call(|| {
        breaker.reset();
        drop((breaker.state(), breaker.snapshot()));
        breaker.call(|| Ok::<_, std::io::Error>(7))
    });
    assert!(matches!(nested, Ok(7)));
}

#[test]
fn p19_the_largest_memories_fit_into_a_snapshot_and_a_longer_text_is_none() {
    use crate::resilience::circuit_breaker::{SNAPSHOT_BYTES_MAX, WINDOW_BUCKETS_MAX, WINDOW_CALLS_MAX};
    let (minimum_calls, failure_rate) = (1, Ratio::ONE);
    let period = Duration::from_secs(1000);
    let windows = [
        Trip::CountWindow { calls: WINDOW_CALLS_MAX, minimum_calls, failure_rate },
        Trip::TimeWindow { period, buckets: WINDOW_BUCKETS_MAX, minimum_calls, failure_rate },
    ];
    for trip in windows {
        let settings = BreakerSettings { trip, ..BreakerSettings::DEFAULT };
        let bench = Bench::new(settings);
        for _ in 0..WINDOW_CALLS_MAX {
            assert!(bench.call(Outcome::Success));
            bench.clock.advance(ms(100));
        }
        let kept = bench.breaker.snapshot();
        let restored = Bench::new(settings);
        restored.clock.set_tick(bench.clock.tick());
        assert_eq!(restored.breaker.restore(&kept, Duration::ZERO), Ok(()));
        assert_eq!(restored.breaker.snapshot(), kept);
        let padded = kept + &" ".repeat(SNAPSHOT_BYTES_MAX);
        assert!(restored.breaker.restore(&padded, Duration::ZERO).is_err());
    }
}

#[test]
fn p19_a_bucket_with_more_failures_than_calls_is_no_snapshot() {
    let trip = Trip::TimeWindow { period: ms(100), buckets: 4, minimum_calls: 5, failure_rate: Ratio::ONE };
    let bench = Bench::new(BreakerSettings { trip, ..BreakerSettings::DEFAULT });
    let read = |bucket: &str| bench.breaker.restore(&format!("1 closed buckets {bucket}"), Duration::ZERO).is_ok();
    assert_eq!(["0:2:2:2", "0:2:3:0", "0:2:0:3"].map(read), [true, false, false]);
}

#[test]
fn p19_forcing_ends_with_the_process() {
    let bench = Bench::new(BreakerSettings::DEFAULT);
    let forced = bench.breaker.force_open();
    let kept = bench.breaker.snapshot();
    drop(forced);
    assert_eq!(bench.breaker.restore(&kept, Duration::ZERO), Ok(()));
    assert_eq!(bench.breaker.state(), CircuitState::Closed);
}

#[test]
fn a_call_that_nobody_counts_does_not_read_the_clock() {
    use crate::clock::{ManualClock, Timestamp};
    use crate::resilience::{CancelToken, CircuitBreaker, Effects, Observer, SplitMix64, Timer, Waited};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Counting {
        clock: ManualClock,
        reads: AtomicU32,
    }
    impl Clock for Counting {
        fn tick(&self) -> Tick {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.clock.tick()
        }
        fn wall(&self) -> Timestamp {
            self.clock.wall()
        }
    }
    impl Timer for Counting {
        fn wait_until(&self, until: Tick, cancel: &CancelToken) -> Waited {
            self.clock.wait_until(until, cancel)
        }
    }
    struct Listener {
        counts: bool,
        ends: AtomicU32,
    }
    impl Observer for Listener {
        fn observe(&self, event: &Event<'_>) {
            self.ends.fetch_add(u32::from(matches!(event, Event::Settled(_))), Ordering::Relaxed);
        }
        fn counts_calls(&self) -> bool {
            self.counts
        }
    }
    for counted in [false, true] {
        let timer = Arc::new(Counting::default());
        let listener = |counts| Arc::new(Listener { counts, ends: AtomicU32::new(0) });
        let (idle, keen) = (listener(false), listener(counted));
        let effects = Effects::new(timer.clone(), Arc::new(SplitMix64::seeded(1)));
        let effects = effects.observed_by(idle).observed_by(keen.clone());
        let breaker = CircuitBreaker::new("b", BreakerSettings::DEFAULT, &effects).unwrap();
        assert!(breaker.call(|| Ok::<_, std::io::Error>(())).is_ok());
        breaker.acquire().unwrap().success();
        assert_eq!(timer.reads.load(Ordering::Relaxed) > 0, counted);
        assert_eq!(keen.ends.load(Ordering::Relaxed), if counted { 2 } else { 0 });
    }
}
