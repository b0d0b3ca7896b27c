//! Promises of breaker and retry together, of metrics, and of the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::support::{Bench, Recorder, Told, Trouble, ms, transient};
use crate::clock::ManualClock;
use crate::resilience::circuit_breaker::NAME_BYTES_MAX;
use crate::resilience::metrics::{Kind, Sample, Value};
use crate::resilience::registry::BREAKERS_MAX;
use crate::resilience::{
    Backoff, BreakerSettings, BudgetSettings, CallError, CancelToken, CircuitBreaker, CircuitState, Curve, Effects,
    Jitter, Metrics, Operation, Order, Outcome, Ratio, RecoveryGrowth, Registry, RegistryError, Resilient,
    ResilientError, ResilientSettings, RetryBudget, RetryError, RetryPolicy, RetrySettings, SlowCalls, StopReason,
    Trip, Verdict, expected, presets,
};

/// What each attempt of a test comes to.
#[derive(Clone, Copy, Debug)]
enum Comes {
    Well,
    Transient,
    Throttled,
    Permanent,
    Broken,
}

fn comes() -> impl Strategy<Value = Comes> {
    prop_oneof![
        2 => Just(Comes::Well),
        6 => Just(Comes::Transient),
        1 => Just(Comes::Throttled),
        1 => Just(Comes::Permanent),
        1 => Just(Comes::Broken),
    ]
}

impl Comes {
    fn result(self, number: u32) -> Result<u32, Trouble> {
        let verdict = match self {
            Comes::Well => return Ok(number),
            Comes::Transient => Verdict::transient("transient"),
            Comes::Throttled => Verdict::throttled("throttled", None),
            Comes::Permanent => Verdict::permanent("permanent"),
            Comes::Broken => Verdict::broken("broken"),
        };
        Err(Trouble { number, verdict })
    }
}

struct Both {
    clock: ManualClock,
    recorder: std::sync::Arc<Recorder>,
    metrics: std::sync::Arc<Metrics>,
    resilient: Resilient,
}

fn both(order: Order, threshold: u32, max_attempts: u32) -> Both {
    let (clock, recorder, metrics) = (ManualClock::new(), Recorder::new(), Metrics::new());
    let effects = Effects::manual(&clock, 1).observed_by(recorder.clone()).observed_by(metrics.clone());
    let settings = ResilientSettings {
        breaker: BreakerSettings::consecutive(threshold, ms(5000)),
        retry: RetrySettings::attempts(max_attempts, Backoff::EXPONENTIAL),
        order,
    };
    let resilient = Resilient::new("b", settings, &effects).unwrap();
    Both { clock, recorder, metrics, resilient }
}

fn number(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> u64 {
    let found = samples.iter().find(|sample| {
        sample.name == name
            && labels.iter().all(|(key, value)| sample.labels.iter().any(|(k, v)| k == key && v == value))
    });
    match found.map(|sample| &sample.value) {
        Some(Value::Number(number)) => *number,
        Some(Value::Histogram(histogram)) => histogram.count(),
        None => 0,
    }
}

/// Exactly one state of the breaker is shown, and it is the one last told.
fn one_hot(metrics: &Metrics, recorder: &Recorder) -> Result<(), TestCaseError> {
    let samples = metrics.samples();
    let shown: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.name == "circuit_breaker_state" && sample.value == Value::Number(1))
        .collect();
    prop_assert_eq!(shown.len(), 1);
    let state = recorder.changes().last().map_or(CircuitState::Closed, |change| change.to);
    prop_assert_eq!(&shown[0].labels[1].1, state.as_str());
    prop_assert_eq!(samples.iter().filter(|sample| sample.name == "circuit_breaker_state").count(), 5);
    Ok(())
}

/// The counters, counted again from the recorded events.
fn folds(metrics: &Metrics, told: &[Told]) -> Result<(), TestCaseError> {
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |key: String| *expected.entry(key).or_default() += 1;
    for told in told {
        match told {
            Told::Changed(change) => count(format!("transitions {} {}", change.from, change.to)),
            Told::Settled(end) if end.stale => count("calls stale".to_owned()),
            Told::Settled(end) => count(format!("calls {}", end.outcome.as_str())),
            Told::Rejected => count("calls rejected".to_owned()),
            Told::Retrying { kind, .. } => count(format!("attempts {kind}")),
            Told::RetrySucceeded => count("success".to_owned()),
            Told::GaveUp(reason) => count(format!("exhausted {}", reason.as_str())),
            Told::Created | Told::Reset { .. } | Told::Attempted(_) => {}
        }
    }
    let mut shown: BTreeMap<String, u64> = BTreeMap::new();
    for sample in metrics.samples().into_iter().filter(|sample| sample.kind == Kind::Counter) {
        let short = match sample.name {
            "circuit_breaker_transitions_total" => "transitions",
            "circuit_breaker_calls_total" => "calls",
            "retry_attempts" => "attempts",
            "retry_success" => "success",
            "retry_exhausted_total" => "exhausted",
            _ => continue,
        };
        let labels = sample.labels.iter().filter(|(key, _)| *key != "breaker_name").map(|(_, value)| value.as_str());
        let key = [short].into_iter().chain(labels).collect::<Vec<_>>().join(" ");
        let Value::Number(number) = sample.value else { panic!("{sample:?}") };
        if number > 0 {
            shown.insert(key, number);
        }
    }
    prop_assert_eq!(shown, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p29_p30_p31_p32_outcomes_match_operations_or_attempts(
        inside in any::<bool>(), threshold in 1..5_u32, max_attempts in 1..5_u32, script in prop::collection::vec(comes(), 200),
        pauses in prop::collection::vec(0..8000_u64, 1..25),
    ) {
        let order = if inside { Order::BreakerInside } else { Order::BreakerOutside };
        let both = both(order, threshold, max_attempts);
        let mut script = script.into_iter().enumerate();
        let (mut operations, mut attempts) = (0, 0);
        for pause in pauses {
            let mut last = None;
            let before = attempts;
            let result = both.resilient.call("op", |_| {
                attempts += 1;
                let (number, comes) = script.next().unwrap();
                let result = comes.result(number as u32);
                last = result.clone().err();
                result
            });
            match &result {
                Err(ResilientError::Rejected { source, attempts: made, last: kept }) => {
                    prop_assert_eq!(*made as usize, attempts - before);
                    prop_assert_eq!(kept, &last);
                    prop_assert_eq!(source.state, CircuitState::Open);
                    prop_assert!(inside || *made == 0);
                    operations += usize::from(*made > 0);
                }
                other => {
                    prop_assert_eq!(other.as_ref().err().and_then(ResilientError::last), last.as_ref().filter(|_| other.is_err()));
                    operations += 1;
                }
            }
            one_hot(&both.metrics, &both.recorder)?;
            let samples = both.metrics.samples();
            prop_assert_eq!(number(&samples, "circuit_breaker_failures", &[]), u64::from(both.resilient.breaker().failure_count()));
            both.clock.advance(ms(pause));
        }
        let outcomes = both.recorder.settled().len();
        prop_assert_eq!(outcomes, if inside { attempts } else { operations });
        let told_attempts = both.recorder.count(|told| matches!(told, Told::Attempted(_)));
        prop_assert_eq!(told_attempts, attempts);
        folds(&both.metrics, &both.recorder.told())?;
        let samples = both.metrics.samples();
        let kinds = ["success", "failure", "ignored"].map(|kind| number(&samples, "circuit_breaker_calls_total", &[("kind", kind)]));
        prop_assert_eq!(kinds.iter().sum::<u64>() as usize, outcomes);
        prop_assert_eq!(number(&samples, "circuit_breaker_call_seconds", &[]) as usize, outcomes);
    }

    #[test]
    fn p31_p32_metrics_follow_a_breaker_through_every_state(steps in prop::collection::vec(0..9_u8, 0..40)) {
        let bench = Bench::new(BreakerSettings::consecutive(2, ms(50)));
        let mut forced = Vec::new();
        for step in steps {
            match step {
                0..4 => drop(bench.call(Outcome::Failure)),
                4 => drop(bench.call(Outcome::Success)),
                5 => bench.clock.advance(ms(50)),
                6 => bench.breaker.reset(),
                7 if forced.is_empty() => forced.push(bench.breaker.force_open()),
                7 => drop(forced.pop()),
                _ => bench.breaker.disable(),
            }
            one_hot(&bench.metrics, &bench.recorder)?;
            let shown = number(&bench.metrics.samples(), "circuit_breaker_failures", &[("breaker_name", "b")]);
            prop_assert_eq!(shown, u64::from(bench.breaker.failure_count()));
        }
        folds(&bench.metrics, &bench.recorder.told())?;
    }
}

#[test]
fn p30_an_open_breaker_is_not_retried_and_the_last_real_error_is_kept() {
    let inside = both(Order::BreakerInside, 2, 5);
    let result = inside.resilient.call("op", |attempt| -> Result<(), Trouble> { Err(transient(attempt.number)) });
    let Err(ResilientError::Rejected { attempts, last, source }) = result else { panic!("{result:?}") };
    assert_eq!((attempts, last, source.state), (2, Some(transient(2)), CircuitState::Open));
    assert_eq!(inside.recorder.count(|told| *told == Told::Rejected), 1);

    let outside = both(Order::BreakerOutside, 1, 2);
    for attempts in [2, 0] {
        let mut calls = 0;
        let failed = outside.resilient.call("op", |attempt| -> Result<(), Trouble> {
            calls += 1;
            Err(transient(attempt.number))
        });
        assert_eq!(calls, attempts);
        assert_eq!(failed.unwrap_err().last().is_some(), attempts > 0);
    }
}

#[test]
fn p30_a_rejection_under_a_retry_of_ones_own_is_not_retried_either() {
    let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
    bench.fail_until_open();
    let retry = RetryPolicy::new(RetrySettings::DEFAULT, &Effects::manual(&bench.clock, 1)).unwrap();
    let mut attempts = 0;
    let result = retry.call("op", |_| {
        attempts += 1;
        bench.breaker.call(|| Ok::<(), Trouble>(()))
    });
    assert!(matches!(result, Err(RetryError::Permanent(CallError::Rejected(_)))));
    assert_eq!(attempts, 1);
}

#[test]
fn p29_inside_each_attempt_is_judged_for_itself() {
    let inside = both(Order::BreakerInside, 9, 3);
    let mut script = [Comes::Transient, Comes::Throttled, Comes::Well, Comes::Permanent].into_iter();
    for _ in 0..2 {
        drop(inside.resilient.call("op", |attempt| script.next().unwrap().result(attempt.number)));
    }
    let outcomes: Vec<Outcome> = inside.recorder.settled().iter().map(|end| end.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failure, Outcome::Ignored, Outcome::Success, Outcome::Ignored]);
}

#[test]
fn a_retry_that_was_paid_for_and_not_made_is_refunded() {
    let effects = Effects::manual(&ManualClock::new(), 1);
    let settings = BudgetSettings { share: Ratio::percent(0), ..BudgetSettings::DEFAULT };
    let budget = RetryBudget::new(settings, &effects).unwrap();
    let retry =
        RetryPolicy::new(RetrySettings::attempts(5, Backoff::of(Curve::Fixed { delay: ms(0) })), &effects).unwrap();
    let breaker = CircuitBreaker::new("b", BreakerSettings::consecutive(2, ms(5000)), &effects).unwrap();
    let inside = Resilient::of(breaker, retry.with_budget(budget.clone()), Order::BreakerInside);
    let rejected = inside.call("op", |attempt| Err::<(), _>(transient(attempt.number)));
    assert!(matches!(rejected, Err(ResilientError::Rejected { attempts: 2, .. })));
    assert_eq!(budget.balance(), 99, "the second attempt was made, the third was not");
}

#[test]
fn a_slow_listener_may_use_up_the_time_for_the_next_attempt() {
    let clock = ManualClock::new();
    let effects = Effects::manual(&clock, 1);
    let settings = BudgetSettings { floor_per_second: 0, share: Ratio::ONE, ..BudgetSettings::DEFAULT };
    let budget = RetryBudget::new(settings, &effects).unwrap();
    let settings = RetrySettings { deadline: Some(ms(1500)), ..RetrySettings::DEFAULT };
    let retry = RetryPolicy::new(settings, &effects).unwrap().with_budget(budget.clone());
    let on_retry = |_: u32, _: &Trouble| clock.advance(ms(600));
    let result =
        retry.run(Operation::named("op").on_retry(&on_retry), |attempt| Err::<(), _>(transient(attempt.number)));
    let Err(RetryError::MaxRetriesExceeded(exceeded)) = result else { panic!("{result:?}") };
    assert_eq!((exceeded.attempts, exceeded.reason), (1, StopReason::Deadline));
    assert_eq!(budget.balance(), 1, "paid for, not made, refunded");
}

#[test]
fn cancelled_or_too_late_says_nothing_about_the_service() {
    let outside = both(Order::BreakerOutside, 1, 2);
    let token = CancelToken::new();
    token.cancel();
    let operation = Operation::named("op").cancelled_by(&token);
    let result = outside.resilient.run(operation, |_| Err::<(), _>(transient(1)));
    assert!(matches!(result, Err(ResilientError::Retry(RetryError::Cancelled { .. }))));
    let result =
        outside.resilient.run(Operation::named("op").until(crate::clock::Tick::ZERO), |_| Err::<(), _>(transient(1)));
    assert!(matches!(result, Err(ResilientError::Retry(RetryError::DeadlinePassed { .. }))));
    assert!(outside.recorder.settled().iter().all(|end| end.outcome == Outcome::Ignored));
    assert_eq!(outside.resilient.breaker().state(), CircuitState::Closed);
}

#[test]
fn being_throttled_says_nothing_about_the_service() {
    let outside = both(Order::BreakerOutside, 1, 2);
    let throttled = Trouble { number: 1, verdict: Verdict::throttled("throttled", None) };
    let result = outside.resilient.call("op", |_| Err::<(), _>(throttled.clone()));
    assert!(matches!(result, Err(ResilientError::Retry(RetryError::MaxRetriesExceeded(_)))));
    assert_eq!(outside.resilient.breaker().state(), CircuitState::Closed);
    assert!(outside.recorder.settled().iter().all(|end| end.outcome == Outcome::Ignored));
}

#[test]
fn a_stale_result_is_counted_as_stale() {
    let bench = Bench::new(BreakerSettings::DEFAULT);
    let late = bench.breaker.acquire().unwrap();
    bench.breaker.reset();
    late.failure();
    let samples = bench.metrics.samples();
    let kinds = ["stale", "failure"].map(|kind| number(&samples, "circuit_breaker_calls_total", &[("kind", kind)]));
    assert_eq!(kinds, [1, 0]);
}

#[test]
fn a_narrow_filter_still_opens_the_breaker() {
    let outside = both(Order::BreakerOutside, 2, 2);
    let only_three = expected(|error: &u32| *error == 3);
    for _ in 0..2 {
        let result = outside.resilient.run(Operation::judged("op", &only_three), |_| Err::<(), u32>(3));
        assert!(matches!(result, Err(ResilientError::Retry(RetryError::MaxRetriesExceeded(_)))));
    }
    assert_eq!(outside.resilient.breaker().state(), CircuitState::Open);
    outside.resilient.breaker().reset();
    let result = outside.resilient.run(Operation::judged("op", &only_three), |_| Err::<(), u32>(4));
    assert_eq!(result, Err(ResilientError::Retry(RetryError::Permanent(4))));
    assert_eq!(outside.resilient.breaker().failure_count(), 0);
}

#[test]
fn an_error_of_another_kind_does_not_leave_it_stuck_half_open() {
    let bench = Bench::new(BreakerSettings::consecutive(1, ms(50)));
    bench.fail_until_open();
    bench.clock.advance(ms(50));
    let judge = expected(|_: &&str| false);
    assert!(bench.breaker.call_judged(&judge, || Err::<(), _>("unexpected")).is_err());
    assert!(bench.call(Outcome::Success), "the place of the ignored probe is free again");
    assert_eq!(bench.breaker.state(), CircuitState::Closed);
}

#[test]
fn a_fallback_answers_instead() {
    let outside = both(Order::BreakerOutside, 1, 1);
    let answers: Vec<&str> = (0..2)
        .map(|_| {
            outside.resilient.call_or(
                "op",
                |_| Err(transient(1)),
                |error| match error {
                    ResilientError::Rejected { .. } => "rejected",
                    ResilientError::Retry(_) => "failed",
                },
            )
        })
        .collect();
    assert_eq!(answers, ["failed", "rejected"]);
    assert_eq!(outside.resilient.call_or("op", |_| Ok::<_, Trouble>("never"), |_| "open"), "open");
}

#[test]
fn p33_one_name_is_one_breaker_and_one_configuration() {
    let recorder = Recorder::new();
    let registry = Registry::new(Effects::manual(&ManualClock::new(), 1).observed_by(recorder.clone()));
    let first = registry.breaker("a", presets::MCP_SERVER).unwrap();
    let again = registry.breaker("a", presets::MCP_SERVER).unwrap();
    (0..3).for_each(|_| first.acquire().unwrap().failure());
    assert_eq!(again.state(), CircuitState::Open);
    assert_eq!(registry.get("a").unwrap().state(), CircuitState::Open);
    assert!(registry.get("b").is_none());
    let conflict = registry.breaker("a", BreakerSettings::DEFAULT).unwrap_err();
    assert_eq!(
        conflict.to_string(),
        "circuit breaker a exists already: trip must be Consecutive { failure_threshold: 3 }, not Consecutive { \
         failure_threshold: 5 }; recovery_timeout must be 30s, not 60s"
    );
    let other = BreakerSettings {
        slow_calls: Some(SlowCalls { longer_than: ms(1), rate: Ratio::ONE }),
        recovery_growth: Some(RecoveryGrowth { factor: Ratio::ONE, max_timeout: ms(1), jitter: Jitter::None }),
        half_open_permits: 2,
        half_open_successes: 2,
        half_open_max_wait: ms(1),
        ..presets::MCP_SERVER
    };
    let RegistryError::Conflict { differences, .. } = registry.breaker("a", other).unwrap_err() else { panic!() };
    let fields: Vec<&str> = differences.problems.iter().map(|problem| problem.field).collect();
    assert_eq!(
        fields,
        ["slow_calls", "recovery_growth", "half_open_permits", "half_open_successes", "half_open_max_wait"]
    );
    assert!(matches!(registry.breaker("b", BreakerSettings::consecutive(0, ms(1))), Err(RegistryError::Settings(_))));
    assert_eq!(recorder.count(|told| *told == Told::Created), 1);
    assert_eq!(registry.breakers().len(), 1);
}

#[test]
fn p33_concurrent_creation_makes_one() {
    use crate::thread::Joined;
    use std::sync::Arc;
    let recorder = Recorder::new();
    let registry = Arc::new(Registry::new(Effects::system().observed_by(recorder.clone())));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let registry = Arc::clone(&registry);
            Joined::spawn("test", move || drop(registry.breaker("a", BreakerSettings::DEFAULT).unwrap())).unwrap()
        })
        .collect();
    drop(threads);
    assert_eq!(recorder.count(|told| *told == Told::Created), 1);
}

#[test]
fn a_registry_has_room_for_so_many_and_no_more() {
    let registry = Registry::new(Effects::manual(&ManualClock::new(), 1));
    for number in 0..BREAKERS_MAX {
        registry.breaker(&number.to_string(), BreakerSettings::DEFAULT).unwrap();
    }
    assert_eq!(registry.breaker("more", BreakerSettings::DEFAULT).unwrap_err(), RegistryError::Full);
    assert!(registry.breaker("7", BreakerSettings::DEFAULT).is_ok());
}

#[test]
fn breakers_survive_a_restart_with_the_remaining_time() {
    let clock = ManualClock::new();
    let before = Registry::new(Effects::manual(&clock, 1));
    let breaker = before.breaker("a", presets::MCP_SERVER).unwrap();
    (0..3).for_each(|_| breaker.acquire().unwrap().failure());
    clock.advance(Duration::from_secs(10));
    let stored = before.snapshots();
    assert_eq!(stored, [("a".to_owned(), "1 open 20000000000 1 3".to_owned())]);

    let restarted = ManualClock::new();
    let after = Registry::new(Effects::manual(&restarted, 1));
    let breaker = after.restored("a", presets::MCP_SERVER, &stored[0].1, Duration::from_secs(5)).unwrap();
    assert_eq!(breaker.retry_after(), Some(Duration::from_secs(15)));
    // Shorter settings cut what is left.
    let settings = BreakerSettings { recovery_timeout: Duration::from_secs(3), ..presets::MCP_SERVER };
    let breaker = after.restored("short", settings, &stored[0].1, Duration::ZERO).unwrap();
    assert_eq!(breaker.retry_after(), Some(Duration::from_secs(3)));
    let breaker = after.restored("bad", settings, "2 open 1 1 1", Duration::ZERO).unwrap();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn what_cannot_work_is_refused_by_field_and_range() {
    let effects = Effects::manual(&ManualClock::new(), 1);
    let refused = |settings| {
        let error = CircuitBreaker::new("b", settings, &effects).unwrap_err();
        error.problems.iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    let base = BreakerSettings::DEFAULT;
    let zeros = BreakerSettings {
        half_open_permits: 0,
        half_open_successes: 0,
        half_open_max_wait: Duration::ZERO,
        ..BreakerSettings::consecutive(0, Duration::ZERO)
    };
    assert_eq!(
        refused(zeros),
        ["failure_threshold", "recovery_timeout", "half_open_permits", "half_open_successes", "half_open_max_wait"]
    );
    assert_eq!(refused(BreakerSettings { half_open_permits: 1025, ..base }), ["half_open_permits"]);
    let nothing = Ratio::percent(0);
    let trip = Trip::CountWindow { calls: 0, minimum_calls: 1, failure_rate: nothing };
    assert_eq!(refused(BreakerSettings { trip, ..base }), ["window.calls", "minimum_calls", "failure_rate"]);
    let trip = Trip::CountWindow { calls: 10_001, minimum_calls: 0, failure_rate: Ratio::percent(101) };
    assert_eq!(refused(BreakerSettings { trip, ..base }), ["window.calls", "minimum_calls", "failure_rate"]);
    let trip = Trip::TimeWindow { period: Duration::ZERO, buckets: 0, minimum_calls: 1, failure_rate: Ratio::ONE };
    assert_eq!(refused(BreakerSettings { trip, ..base }), ["window.period", "window.buckets"]);
    let slow = |longer_than, rate| Some(SlowCalls { longer_than, rate });
    assert_eq!(refused(BreakerSettings { slow_calls: slow(ms(1), Ratio::ONE), ..base }), ["slow_calls"]);
    let trip = Trip::CountWindow { calls: 10, minimum_calls: 1, failure_rate: Ratio::ONE };
    let settings = BreakerSettings { trip, slow_calls: slow(Duration::ZERO, nothing), ..base };
    assert_eq!(refused(settings), ["slow_calls.rate", "slow_calls.longer_than"]);
    for jitter in [Jitter::Full, Jitter::Decorrelated] {
        let growth = RecoveryGrowth { factor: Ratio::percent(99), max_timeout: ms(1), jitter };
        let fields = ["recovery_growth.factor", "recovery_growth.max_timeout", "recovery_growth.jitter"];
        assert_eq!(refused(BreakerSettings { recovery_growth: Some(growth), ..base }), fields);
    }
    for name in [String::new(), "n".repeat(NAME_BYTES_MAX + 1)] {
        assert_eq!(CircuitBreaker::new(&name, base, &effects).unwrap_err().problems[0].field, "name");
    }
    assert!(CircuitBreaker::new(&"n".repeat(NAME_BYTES_MAX), base, &effects).is_ok());
}

#[test]
fn presets_work_and_say_what_the_guide_says() {
    let effects = Effects::manual(&ManualClock::new(), 1);
    for settings in [presets::LLM_API, presets::EXTERNAL_SERVICE] {
        assert!(Resilient::new("p", settings, &effects).is_ok());
    }
    assert!(presets::MCP_SERVER.validate().is_ok() && presets::DATABASE.validate().is_ok());
    assert_eq!(presets::LLM_API, ResilientSettings::default());
    assert_eq!(presets::MCP_SERVER.trip, Trip::Consecutive { failure_threshold: 3 });
    assert_eq!(presets::MCP_SERVER.recovery_timeout, Duration::from_secs(30));
    assert_eq!((presets::DATABASE.max_attempts, presets::DATABASE.backoff), (2, Backoff::LINEAR));
    assert_eq!(presets::EXTERNAL_SERVICE.breaker.trip, Trip::Consecutive { failure_threshold: 10 });
    assert_eq!(presets::EXTERNAL_SERVICE.breaker.recovery_timeout, Duration::from_secs(300));
    assert_eq!(presets::EXTERNAL_SERVICE.retry.max_attempts, 5);
}

#[test]
fn a_listener_that_holds_up_merges_changes_and_keeps_the_chain() {
    use crate::resilience::circuit_breaker::CHANGES_QUEUED_MAX;
    use crate::resilience::{Event, Observer};
    use std::sync::Arc;

    /// Changes the state many times while it is told of the first change.
    struct Flood {
        breaker: Mutex<Option<CircuitBreaker>>,
        chain: Mutex<Vec<(u64, CircuitState, CircuitState)>>,
    }
    impl Observer for Flood {
        fn observe(&self, event: &Event<'_>) {
            let Event::StateChanged(change) = event else { return };
            self.chain.lock().push((change.seq, change.from, change.to));
            if let Some(breaker) = self.breaker.lock().take() {
                for _ in 0..CHANGES_QUEUED_MAX {
                    breaker.disable();
                    breaker.reset();
                }
            }
        }
        fn counts_calls(&self) -> bool {
            false
        }
    }
    let flood = Arc::new(Flood { breaker: Mutex::new(None), chain: Mutex::new(Vec::new()) });
    let effects = Effects::manual(&ManualClock::new(), 1).observed_by(flood.clone());
    let breaker = CircuitBreaker::new("b", BreakerSettings::consecutive(1, ms(1)), &effects).unwrap();
    *flood.breaker.lock() = Some(breaker.clone());
    breaker.disable();
    let chain = flood.chain.lock().clone();
    assert_eq!(chain.len(), CHANGES_QUEUED_MAX + 1);
    assert!(chain.windows(2).all(|pair| pair[0].2 == pair[1].1), "{chain:?}");
    assert!(chain.last().unwrap().0 > CHANGES_QUEUED_MAX as u64 + 1, "the gap tells that some were merged");
}

#[test]
fn errors_read_as_sentences() {
    let bench = Bench::new(BreakerSettings::consecutive(1, ms(1500)));
    bench.fail_until_open();
    let rejection = bench.breaker.acquire().unwrap_err();
    assert_eq!(rejection.to_string(), "circuit breaker b is open, retry after 1.5s");
    let forced = bench.breaker.force_open();
    assert_eq!(bench.breaker.acquire().unwrap_err().to_string(), "circuit breaker b is forced_open");
    drop(forced);
    let outside = both(Order::BreakerOutside, 9, 2);
    let error = outside.resilient.call("fetch", |_| Err::<(), _>(transient(1))).unwrap_err();
    assert_eq!(error.to_string(), "fetch failed after 2 attempts (attempts)");
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string), Some("error 1".to_owned()));
}

#[test]
fn a_backoff_may_be_a_table() {
    const DELAYS: &[Duration] = &[ms(5), ms(7)];
    let delays = std::borrow::Cow::Borrowed(DELAYS);
    let table = Backoff::of(Curve::Table { delays });
    assert_eq!([1, 2, 3, u32::MAX].map(|number| table.exact_delay(number)), [ms(5), ms(7), ms(7), ms(7)]);
}
