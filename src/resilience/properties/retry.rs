//! Promises of backoff, retry and budget.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::support::{Recorder, Told, Trouble, ms, transient};
use crate::clock::{Clock, ManualClock};
use crate::resilience::{
    Backoff, BudgetSettings, CancelToken, Curve, Effects, Jitter, Operation, Ratio, RetryBudget, RetryError,
    RetryPolicy, RetrySettings, SplitMix64, StopReason, Verdict,
};

fn jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Equal), Just(Jitter::Decorrelated)]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
        4 => any::<u64>().prop_map(Duration::from_nanos),
        4 => (0..100_000_u64).prop_map(ms),
    ]
}

fn curve() -> impl Strategy<Value = Curve> {
    let factor = prop_oneof![(1..10_u32).prop_map(Ratio::times), (100..500_u32).prop_map(Ratio::percent)];
    prop_oneof![
        duration().prop_map(|delay| Curve::Fixed { delay }),
        (duration(), duration()).prop_map(|(base, step)| Curve::Linear { base, step }),
        (duration(), factor).prop_map(|(base, factor)| Curve::Exponential { base, factor }),
        prop::collection::vec(duration(), 1..5).prop_map(|delays| Curve::Table { delays: Cow::Owned(delays) }),
    ]
}

/// The curve as anybody would write it down who need not care for overflow or speed.
fn plain(curve: &Curve, number: u32) -> Option<u128> {
    let before = number.saturating_sub(1);
    match curve {
        Curve::Fixed { delay } => Some(delay.as_nanos()),
        Curve::Linear { base, step } => Some(base.as_nanos() + step.as_nanos() * u128::from(before)),
        Curve::Exponential { base, factor } if factor.as_millionths() % 1_000_000 == 0 => {
            let factor = u128::from(factor.as_millionths() / 1_000_000);
            let grown = (0..before.min(200)).try_fold(base.as_nanos(), |delay, _| delay.checked_mul(factor));
            Some(grown.unwrap_or(u128::MAX))
        }
        Curve::Exponential { .. } => None,
        Curve::Table { delays } => Some(delays[(before as usize).min(delays.len() - 1)].as_nanos()),
    }
}

fn base_of(curve: &Curve) -> Duration {
    match curve {
        Curve::Fixed { delay } => *delay,
        Curve::Linear { base, .. } | Curve::Exponential { base, .. } => *base,
        Curve::Table { delays } => delays[0],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p22_no_delay_leaves_its_range(curve in curve(), max in duration(), jitter in jitter(), seed in any::<u64>(), skip in any::<u32>()) {
        let mut backoff = Backoff { curve, max_delay: max, jitter };
        let base = base_of(&backoff.curve);
        prop_assert_eq!(backoff.validate().is_ok(), base <= max);
        let max = max.max(base);
        backoff.max_delay = max;
        for number in [1, 2, 3, 64, skip, u32::MAX] {
            let exact = backoff.exact_delay(number);
            prop_assert!(exact <= max);
            if let Some(plain) = plain(&backoff.curve, number) {
                // What is beyond 584 years in the power is cut there; nobody waits for the difference.
                prop_assert!(exact.as_nanos() == plain.min(max.as_nanos()) || exact.as_nanos() > u128::from(u64::MAX), "{:?}", exact);
            }
        }
        let rng = SplitMix64::seeded(seed);
        let mut schedule = backoff.schedule();
        let mut previous = base;
        let cut = |duration: Duration| duration.min(Duration::from_nanos(u64::MAX));
        for number in 1..20 {
            let exact = cut(backoff.exact_delay(number));
            let delay = schedule.next_delay(&rng);
            prop_assert!(delay <= max);
            match jitter {
                Jitter::None => prop_assert_eq!(delay, backoff.exact_delay(number)),
                Jitter::Full => prop_assert!(delay <= exact),
                Jitter::Equal => prop_assert!(delay >= exact / 2 && delay <= exact),
                Jitter::Decorrelated => {
                    prop_assert!(delay >= cut(base) && delay <= previous.saturating_mul(3).max(base));
                }
            }
            previous = delay;
        }
    }

    #[test]
    fn p22_a_fractional_factor_grows_as_it_says(base in 1..1_000_000_u64, percent in 100..400_u32, number in 1..60_u32) {
        let curve = Curve::Exponential { base: Duration::from_nanos(base), factor: Ratio::percent(percent) };
        let backoff = Backoff { curve, max_delay: Duration::from_secs(1_000_000), jitter: Jitter::None };
        let expected = (base as f64 * (f64::from(percent) / 100.0).powi(number as i32 - 1)).min(1e15);
        let delay = backoff.exact_delay(number).as_nanos() as f64;
        prop_assert!((delay - expected).abs() <= 1.0 + expected * 1e-6, "{} is not {}", delay, expected);
        prop_assert!(backoff.exact_delay(number + 1) >= backoff.exact_delay(number));
    }

    #[test]
    fn p23_jitter_varies_at_the_ceiling_and_repeats_with_its_seed(jitter in jitter(), seed in any::<u64>()) {
        let backoff = Backoff::EXPONENTIAL.jitter(jitter).max_delay(ms(4000));
        let trace = |seed| {
            let rng = SplitMix64::seeded(seed);
            let mut schedule = backoff.schedule();
            (0..60).map(|_| schedule.next_delay(&rng)).collect::<Vec<_>>()
        };
        prop_assert_eq!(trace(seed), trace(seed));
        let mut late = trace(seed).split_off(10);
        late.sort();
        late.dedup();
        prop_assert_eq!(late.len() > 40, jitter != Jitter::None, "{} different delays", late.len());
    }

    #[test]
    fn p21_never_more_than_max_attempts(max_attempts in 1..12_u32, succeeds_at in 1..14_u32, jitter in jitter(), seed in any::<u64>()) {
        let (clock, recorder) = (ManualClock::new(), Recorder::new());
        let effects = Effects::manual(&clock, seed).observed_by(recorder.clone());
        let by_retries = RetrySettings::DEFAULT.max_retries(max_attempts - 1);
        let settings = RetrySettings::attempts(max_attempts, Backoff::EXPONENTIAL.jitter(jitter));
        prop_assert_eq!(by_retries.max_attempts, settings.max_attempts);
        let policy = RetryPolicy::new(settings, &effects).unwrap();
        let calls = Cell::new(0);
        let retried = RefCell::new(Vec::new());
        let result = policy.run(
            Operation::named("op").on_retry(&|attempt, error: &Trouble| retried.borrow_mut().push((attempt, error.number))),
            |attempt| {
                calls.set(calls.get() + 1);
                assert_eq!((attempt.number, attempt.remaining), (calls.get(), None));
                if calls.get() == succeeds_at { Ok(calls.get()) } else { Err(transient(calls.get())) }
            },
        );
        let attempts = max_attempts.min(succeeds_at);
        prop_assert_eq!(calls.get(), attempts);
        prop_assert_eq!(retried.into_inner(), (1..attempts).map(|n| (n, n)).collect::<Vec<_>>());
        let waits: Vec<Duration> = recorder.told().iter().filter_map(|told| if let Told::Retrying { wait, .. } = told { Some(*wait) } else { None }).collect();
        prop_assert_eq!(waits.len() as u32, attempts - 1);
        prop_assert_eq!(clock.tick().since(crate::clock::Tick::ZERO), waits.iter().sum::<Duration>());
        if succeeds_at <= max_attempts {
            prop_assert_eq!(result, Ok(succeeds_at));
            prop_assert_eq!(recorder.count(|told| *told == Told::RetrySucceeded), usize::from(attempts > 1));
        } else {
            let Err(RetryError::MaxRetriesExceeded(exceeded)) = result else { panic!("{result:?}") };
            prop_assert_eq!((exceeded.attempts, exceeded.reason, exceeded.last), (max_attempts, StopReason::Attempts, transient(max_attempts)));
            prop_assert_eq!(exceeded.operation, "op");
            prop_assert_eq!(recorder.count(|told| *told == Told::GaveUp(StopReason::Attempts)), 1);
        }
    }

    #[test]
    fn p24_no_attempt_starts_at_or_after_the_deadline(
        deadline in 1..5000_u64, until in prop::option::of(0..5000_u64), took in prop::collection::vec(0..2000_u64, 10), jitter in jitter(), seed in any::<u64>(),
    ) {
        let clock = ManualClock::new();
        let start = clock.tick();
        let backoff = Backoff::of(Curve::Exponential { base: ms(100), factor: Ratio::times(2) }).jitter(jitter);
        let settings = RetrySettings { deadline: Some(ms(deadline)), ..RetrySettings::attempts(10, backoff) };
        let policy = RetryPolicy::new(settings, &Effects::manual(&clock, seed)).unwrap();
        let ends = start.after(ms(until.map_or(deadline, |until| until.min(deadline))));
        let mut operation = Operation::named("op");
        if let Some(until) = until {
            operation = operation.until(start.after(ms(until)));
        }
        let calls = Cell::new(0_usize);
        let last_ended = Cell::new(start);
        let result = policy.run(operation, |attempt| -> Result<(), Trouble> {
            assert!(clock.tick() < ends, "an attempt started at or after the deadline");
            assert_eq!(attempt.remaining, Some(clock.tick().until(ends)));
            clock.advance(ms(took[calls.get()]));
            calls.set(calls.get() + 1);
            last_ended.set(clock.tick());
            Err(transient(0))
        });
        // Whoever gave up has not waited for nothing.
        prop_assert_eq!(clock.tick(), last_ended.get());
        match result.unwrap_err() {
            RetryError::DeadlinePassed { operation } => prop_assert!(operation == "op" && until == Some(0) && calls.get() == 0),
            RetryError::MaxRetriesExceeded(exceeded) => {
                let all = exceeded.attempts == 10;
                prop_assert_eq!(exceeded.reason, if all { StopReason::Attempts } else { StopReason::Deadline });
                prop_assert_eq!(exceeded.attempts as usize, calls.get());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn p25_retry_after_is_waited_out_in_full_or_not_at_all(
        asked in 0..5000_u64, cap in 0..5000_u64, deadline in prop::option::of(1..5000_u64), delay in 0..2000_u64,
    ) {
        let clock = ManualClock::new();
        let settings = RetrySettings {
            deadline: deadline.map(ms),
            retry_after_max: ms(cap),
            ..RetrySettings::attempts(2, Backoff::of(Curve::Fixed { delay: ms(delay) }))
        };
        let policy = RetryPolicy::new(settings, &Effects::manual(&clock, 1)).unwrap();
        let error = Trouble { number: 1, verdict: Verdict::throttled("throttled", Some(ms(asked))) };
        let mut calls = 0;
        let result = policy.call("op", |_| {
            calls += 1;
            if calls == 1 { Err(error.clone()) } else { Ok(clock.tick().since(crate::clock::Tick::ZERO)) }
        });
        let wait = asked.max(delay);
        if asked <= cap && deadline.is_none_or(|deadline| wait < deadline) {
            prop_assert_eq!(result, Ok(ms(wait)));
        } else {
            let Err(RetryError::MaxRetriesExceeded(exceeded)) = result else { panic!("{result:?}") };
            prop_assert_eq!((exceeded.attempts, exceeded.last), (1, error));
            let by_asking = asked > cap || asked > delay;
            prop_assert_eq!(exceeded.reason, if by_asking { StopReason::RetryAfter } else { StopReason::Deadline });
            prop_assert_eq!(clock.tick(), crate::clock::Tick::ZERO);
        }
    }

    #[test]
    fn p26_a_cancelled_operation_makes_no_further_attempt(at in 0..5_u32, during_wait in any::<bool>(), budgeted in any::<bool>()) {
        let (clock, recorder) = (ManualClock::new(), Recorder::new());
        let effects = Effects::manual(&clock, 1).observed_by(recorder.clone());
        let budget = RetryBudget::new(BudgetSettings { floor_per_second: 10, share: Ratio::percent(0), ..BudgetSettings::DEFAULT }, &effects).unwrap();
        let mut policy = RetryPolicy::new(RetrySettings::attempts(10, Backoff::of(Curve::Fixed { delay: Duration::ZERO })), &effects).unwrap();
        if budgeted {
            policy = policy.with_budget(budget.clone());
        }
        let token = CancelToken::new();
        if at == 0 {
            token.cancel();
        }
        let mut calls = 0;
        let on_retry = |attempt: u32, _: &Trouble| if during_wait && attempt == at { token.cancel() };
        let result = policy.run(Operation::named("op").cancelled_by(&token.clone()).on_retry(&on_retry), |attempt| -> Result<(), Trouble> {
            calls += 1;
            if !during_wait && attempt.number == at {
                token.cancel();
            }
            Err(transient(attempt.number))
        });
        let last = (at > 0).then(|| transient(at));
        prop_assert_eq!(result, Err(RetryError::Cancelled { operation: "op".to_owned(), attempts: at, last }));
        prop_assert_eq!((calls, token.is_cancelled()), (at, true));
        prop_assert_eq!(recorder.count(|told| *told == Told::GaveUp(StopReason::Cancelled)), 1);
        // A retry that was paid for and not made is given back.
        let spent = if budgeted { u64::from(at.saturating_sub(1)) } else { 0 };
        prop_assert_eq!(budget.balance(), 100 - spent);
    }

    #[test]
    fn p27_a_permanent_error_is_one_call_and_comes_back_as_itself(number in any::<u32>(), counted in any::<bool>()) {
        let recorder = Recorder::new();
        let effects = Effects::manual(&ManualClock::new(), 1).observed_by(recorder.clone());
        let policy = RetryPolicy::new(RetrySettings::DEFAULT, &effects).unwrap();
        let verdict = if counted { Verdict::broken("x") } else { Verdict::permanent("x") };
        let error = Trouble { number, verdict };
        let mut calls = 0;
        let result = policy.call("op", |_| -> Result<(), Trouble> {
            calls += 1;
            Err(error.clone())
        });
        prop_assert_eq!(result.clone(), Err(RetryError::Permanent(error.clone())));
        prop_assert_eq!(result.unwrap_err().to_string(), error.to_string());
        prop_assert_eq!(calls, 1);
        prop_assert_eq!(recorder.told(), vec![Told::Attempted(verdict.outcome())]);
    }

    #[test]
    fn p28_the_budget_is_never_overdrawn(
        floor in 0..5_u32, percent in 0..150_u32, steps in prop::collection::vec((0..3_u8, 0..3000_u64), 0..80),
    ) {
        let clock = ManualClock::new();
        let settings = BudgetSettings { ttl: ms(1000), floor_per_second: floor, share: Ratio::percent(percent) };
        let budget = RetryBudget::new(settings, &Effects::manual(&clock, 1)).unwrap();
        let (mut deposits, mut refunds, mut withdrawn, mut seconds) = (0_u64, 0_u64, 0_u64, 1.0);
        for (what, pause) in steps {
            let before = budget.balance();
            match what {
                0 => {
                    budget.deposit();
                    deposits += 1;
                }
                1 => {
                    let paid = budget.withdraw();
                    prop_assert_eq!(paid, before >= 1);
                    withdrawn += u64::from(paid);
                    prop_assert_eq!(budget.balance(), before - u64::from(paid));
                }
                _ => {
                    budget.refund();
                    refunds += 1;
                    prop_assert_eq!(budget.balance(), before + 1);
                }
            }
            clock.advance(ms(pause));
            seconds += pause as f64 / 1000.0;
            let earned = f64::from(floor) * seconds + deposits as f64 * f64::from(percent) / 100.0 + refunds as f64;
            prop_assert!(withdrawn as f64 <= earned + 1e-6);
            prop_assert!(withdrawn as f64 + budget.balance() as f64 <= earned + 1e-6);
        }
        // What is not used is gone after its time; the floor is there again.
        clock.advance(ms(1100));
        prop_assert_eq!(budget.balance(), u64::from(floor));
    }
}

#[test]
fn p24_p25_limits_are_exact() {
    let attempts = |asked: u64, delay: u64| {
        let clock = ManualClock::new();
        let settings = RetrySettings {
            deadline: Some(ms(1000)),
            retry_after_max: ms(500),
            ..RetrySettings::attempts(2, Backoff::of(Curve::Fixed { delay: ms(delay) }))
        };
        let policy = RetryPolicy::new(settings, &Effects::manual(&clock, 1)).unwrap();
        let verdict = Verdict::transient("x").after(ms(asked));
        match policy.call("op", |_| Err::<(), _>(Trouble { number: 1, verdict })) {
            Err(RetryError::MaxRetriesExceeded(exceeded)) => {
                (exceeded.attempts, exceeded.reason, clock.tick().since(crate::clock::Tick::ZERO))
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(attempts(500, 0), (2, StopReason::Attempts, ms(500)));
    assert_eq!(attempts(501, 0), (1, StopReason::RetryAfter, ms(0)));
    assert_eq!(attempts(0, 999), (2, StopReason::Attempts, ms(999)));
    assert_eq!(attempts(0, 1000), (1, StopReason::Deadline, ms(0)));
}

#[test]
fn a_budget_pays_a_fifth_and_ten_a_second() {
    let clock = ManualClock::new();
    let budget = RetryBudget::new(BudgetSettings::DEFAULT, &Effects::manual(&clock, 1)).unwrap();
    assert_eq!(budget.balance(), 100);
    (0..100).for_each(|_| assert!(budget.withdraw()));
    assert!(!budget.withdraw());
    (0..5).for_each(|_| budget.deposit());
    assert!(budget.withdraw() && !budget.withdraw());
    clock.advance(ms(99));
    assert!(!budget.withdraw());
    clock.advance(ms(1));
    assert!(budget.withdraw() && !budget.withdraw());
    // Deposits live for ten seconds.
    (0..1000).for_each(|_| budget.deposit());
    clock.advance(ms(8_999));
    assert_eq!(budget.balance(), 200 + 89);
    clock.advance(ms(1_001));
    assert_eq!(budget.balance(), 100);
}

#[test]
fn an_empty_budget_stops_the_retries_but_not_the_call() {
    let recorder = Recorder::new();
    let effects = Effects::manual(&ManualClock::new(), 1).observed_by(recorder.clone());
    let settings = BudgetSettings { floor_per_second: 0, share: Ratio::percent(50), ..BudgetSettings::DEFAULT };
    let budget = RetryBudget::new(settings, &effects).unwrap();
    let settings = RetrySettings::attempts(5, Backoff::of(Curve::Fixed { delay: ms(1) }));
    let policy = RetryPolicy::new(settings, &effects).unwrap().with_budget(budget.clone());
    let attempts: Vec<u32> = (0..4)
        .map(|_| match policy.call("op", |attempt| -> Result<(), Trouble> { Err(transient(attempt.number)) }) {
            Err(RetryError::MaxRetriesExceeded(exceeded)) => {
                assert_eq!(exceeded.reason, StopReason::Budget);
                exceeded.attempts
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(attempts, [1, 2, 1, 2], "every second operation has saved up for one retry");
}

#[test]
fn what_cannot_work_is_refused_by_field_and_range() {
    let effects = Effects::manual(&ManualClock::new(), 1);
    let refused = |settings: RetrySettings| RetryPolicy::new(settings, &effects).unwrap_err().to_string();
    assert_eq!(refused(RetrySettings::attempts(0, Backoff::FIXED)), "max_attempts must be at least 1, not 0");
    let slow = Backoff::of(Curve::Fixed { delay: ms(61_000) });
    assert_eq!(refused(RetrySettings::attempts(1, slow)), "backoff.base must be at most backoff.max_delay, not 61s");
    let shrinking = Backoff::of(Curve::Exponential { base: ms(1), factor: Ratio::percent(99) });
    assert!(refused(RetrySettings::attempts(1, shrinking)).starts_with("backoff.factor must be at least 1"));
    let empty = Backoff::of(Curve::Table { delays: Cow::Borrowed(&[]) });
    let both = RetrySettings { deadline: Some(Duration::ZERO), ..RetrySettings::attempts(1, empty) };
    assert_eq!(
        refused(both),
        "deadline must be more than zero, not Some(0ns); backoff.delays must be at least one delay, not []"
    );
    let budget = BudgetSettings { ttl: Duration::ZERO, floor_per_second: 2_000_000, share: Ratio::times(2000) };
    assert_eq!(RetryBudget::new(budget, &effects).unwrap_err().problems.len(), 3);
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    let waits = |backoff: Backoff| (1..=8).map(|number| backoff.exact_delay(number).as_secs()).collect::<Vec<_>>();
    assert_eq!(waits(Backoff::EXPONENTIAL), [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(waits(Backoff::LINEAR), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(waits(Backoff::FIXED), [1; 8]);
    assert_eq!(Backoff::EXPONENTIAL.jitter, Jitter::default());
    assert_eq!((RetrySettings::DEFAULT.max_attempts, RetrySettings::DEFAULT.backoff), (3, Backoff::EXPONENTIAL));
}

#[test]
fn an_hour_of_outage_passes_in_virtual_time() {
    let clock = ManualClock::new();
    let settings = RetrySettings {
        deadline: Some(Duration::from_secs(3600)),
        ..RetrySettings::attempts(u32::MAX, Backoff::EXPONENTIAL.jitter(Jitter::Full))
    };
    let policy = RetryPolicy::new(settings, &Effects::manual(&clock, 1)).unwrap();
    let result = policy.call("op", |attempt| -> Result<(), Trouble> { Err(transient(attempt.number)) });
    let Err(RetryError::MaxRetriesExceeded(exceeded)) = result else { panic!("{result:?}") };
    assert_eq!(exceeded.reason, StopReason::Deadline);
    assert!(exceeded.attempts > 60, "{}", exceeded.attempts);
    assert!(clock.tick().since(crate::clock::Tick::ZERO) > Duration::from_secs(3600 - 60));
}

#[test]
fn p26_a_real_wait_ends_at_once_when_cancelled() {
    use crate::clock::SystemClock;
    use crate::resilience::{Timer, Waited};
    use crate::thread::Joined;
    let token = CancelToken::new();
    let clock = Arc::new(SystemClock::new());
    let waiter = {
        let (token, clock) = (token.clone(), Arc::clone(&clock));
        Joined::spawn("test-waiter", move || clock.wait_until(clock.tick().after(Duration::from_secs(600)), &token))
            .unwrap()
    };
    token.cancel();
    assert_eq!(waiter.join(), Some(Waited::Cancelled));
    let until = clock.tick().after(ms(2));
    assert_eq!(clock.wait_until(until, &CancelToken::new()), Waited::Elapsed);
    assert!(clock.tick() >= until);
    assert!(format!("{token:?}").contains("true"));
}
