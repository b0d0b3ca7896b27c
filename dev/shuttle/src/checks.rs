//! The promises about threads, by their numbers. Each function is one small program that is run in many interleavings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

use super::resilience::event::StateChange;
use super::resilience::{
    Backoff, BreakerSettings, BudgetSettings, CancelToken, CircuitBreaker, CircuitState, Curve, Effects, Event, Observer,
    Operation, Outcome, Ratio, Registry, RegistryError, RetryBudget, RetryError, RetryPolicy, RetrySettings, SplitMix64,
    Timer, Verdict, Waited,
};
use crate::Check;
use crate::clock::{Clock, ManualClock, Tick, Timestamp};
use crate::sync::{locks_held, panic_quietly, unwinds, waits_return_early};

pub const ALL: &[Check] = &[
    Check { name: "1 half-open permits are never exceeded", body: half_open_permits },
    Check { name: "2 results from before a reset change nothing", body: late_results_and_reset },
    Check { name: "2 results from before the opening change nothing", body: late_results_and_open },
    Check { name: "3 every permit comes back, and the breaker recovers", body: liveness },
    Check { name: "3 a closed breaker survives every way to end a call", body: liveness_closed },
    Check { name: "15 one reset is told, however many there are", body: resets },
    Check { name: "17 events form a chain", body: chain },
    Check { name: "18 no lock is held over closures and listeners", body: no_lock_over_user_code },
    Check { name: "26 cancelling ends a wait and the attempts", body: cancel_ends_waits },
    Check { name: "26 waking early does not shorten a wait", body: early_wakes },
    Check { name: "28 the budget is never overdrawn", body: budget },
    Check { name: "28 a cancelled retry is refunded", body: refunds },
    Check { name: "33 one name is one breaker", body: registry },
];

/// A manual clock whose waits are real: somebody else moves the hands.
#[derive(Clone, Default)]
struct Hands(ManualClock);

impl Clock for Hands {
    fn tick(&self) -> Tick {
        self.0.tick()
    }
    fn wall(&self) -> Timestamp {
        self.0.wall()
    }
}

impl Timer for Hands {
    fn wait_until(&self, until: Tick, cancel: &CancelToken) -> Waited {
        cancel.wait_until(self, until)
    }
}

const WAIT: Duration = Duration::from_millis(50);

fn effects(hands: &Hands) -> Effects {
    Effects::new(Arc::new(hands.clone()), Arc::new(SplitMix64::seeded(1)))
}

fn breaker(threshold: u32, hands: &Hands) -> CircuitBreaker {
    CircuitBreaker::new("b", BreakerSettings::consecutive(threshold, WAIT), &effects(hands)).unwrap()
}

fn any_outcome() -> Outcome {
    [Outcome::Success, Outcome::Failure, Outcome::Ignored][thread_rng().gen_range(0..3)]
}

fn chance() -> bool {
    thread_rng().gen_bool(0.5)
}

fn half_open_permits() {
    let hands = Hands::default();
    let settings = BreakerSettings { half_open_permits: 2, half_open_successes: 10, ..BreakerSettings::consecutive(1, WAIT) };
    let breaker = CircuitBreaker::new("b", settings, &effects(&hands)).unwrap();
    breaker.acquire().unwrap().failure();
    hands.0.advance(WAIT);
    let under_way = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (breaker, under_way) = (breaker.clone(), Arc::clone(&under_way));
            thread::spawn(move || {
                let Ok(permit) = breaker.acquire() else { return };
                assert!(under_way.fetch_add(1, Ordering::SeqCst) < 2, "more probes than permits");
                thread::yield_now();
                under_way.fetch_sub(1, Ordering::SeqCst);
                permit.settle(any_outcome());
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

fn late_results_and_reset() {
    let breaker = breaker(2, &Hands::default());
    let permits: Vec<_> = (0..3).map(|_| breaker.acquire().unwrap()).collect();
    thread::scope(|scope| {
        for permit in permits {
            scope.spawn(|| permit.failure());
        }
        breaker.reset();
    });
    // Before the reset a report counts and is forgotten, after it it does not count.
    assert_eq!((breaker.state(), breaker.failure_count()), (CircuitState::Closed, 0));
}

fn late_results_and_open() {
    let hands = Hands::default();
    let breaker = breaker(1, &hands);
    let permits: Vec<_> = (0..3).map(|_| breaker.acquire().unwrap()).collect();
    breaker.acquire().unwrap().failure();
    hands.0.advance(WAIT / 5);
    let kept = breaker.snapshot();
    thread::scope(|scope| {
        for permit in permits {
            scope.spawn(|| permit.settle(any_outcome()));
        }
        assert_eq!(breaker.snapshot(), kept);
    });
    assert_eq!((breaker.state(), breaker.snapshot()), (CircuitState::Open, kept));
}

/// One call, ended in one of all the ways there are.
fn any_call(breaker: &CircuitBreaker) {
    let judge = |_: &()| Verdict::transient("x");
    match thread_rng().gen_range(0..7) {
        0 => drop(breaker.call_judged(judge, || Ok::<(), ()>(()))),
        1 => drop(breaker.call_judged(judge, || Err::<(), ()>(()))),
        2 => drop(breaker.call_judged(|()| Verdict::permanent("x"), || Err::<(), ()>(()))),
        3 => drop(breaker.acquire()),
        4 => std::mem::forget(breaker.acquire()),
        5 => drop(unwinds(|| breaker.call_judged(judge, panic_quietly::<Result<(), ()>>))),
        _ => drop(unwinds(|| breaker.call_judged(|()| panic_quietly(), || Err::<(), ()>(())))),
    }
}

fn all_kinds_of_calls(hands: &Hands, breaker: &CircuitBreaker) {
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let breaker = breaker.clone();
            thread::spawn(move || any_call(&breaker))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    // Over are the open period and every lease.
    hands.0.advance(BreakerSettings::DEFAULT.half_open_max_wait);
    breaker.acquire().expect("nobody is under way any more").success();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

fn liveness() {
    let hands = Hands::default();
    let breaker = breaker(1, &hands);
    breaker.acquire().unwrap().failure();
    hands.0.advance(WAIT);
    all_kinds_of_calls(&hands, &breaker);
}

fn liveness_closed() {
    let hands = Hands::default();
    all_kinds_of_calls(&hands, &breaker(2, &hands));
}

/// Keeps the changes in the order in which it is told.
#[derive(Default)]
struct Chain {
    changes: std::sync::Mutex<Vec<StateChange>>,
    counts_calls: bool,
    created: AtomicU32,
}

impl Chain {
    /// The changes, when each follows on the one before.
    fn links(&self) -> Vec<(CircuitState, CircuitState)> {
        let changes = self.changes.lock().unwrap();
        let mut state = CircuitState::Closed;
        for (change, seq) in changes.iter().zip(1..) {
            assert_eq!((change.seq, change.from), (seq, state), "{changes:?}");
            state = change.to;
        }
        changes.iter().map(|change| (change.from, change.to)).collect()
    }
}

impl Observer for Chain {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Created { .. } => drop(self.created.fetch_add(1, Ordering::SeqCst)),
            Event::StateChanged(change) => {
                // Room for others to overtake, if they could.
                thread::yield_now();
                self.changes.lock().unwrap().push(change.clone());
            }
            _ => {}
        }
    }

    fn counts_calls(&self) -> bool {
        self.counts_calls
    }
}

fn resets() {
    let (hands, chain) = (Hands::default(), Arc::new(Chain::default()));
    let settings = BreakerSettings::consecutive(1, WAIT);
    let breaker = CircuitBreaker::new("b", settings, &effects(&hands).observed_by(chain.clone())).unwrap();
    breaker.acquire().unwrap().failure();
    let resetting: Vec<_> = (0..3)
        .map(|_| {
            let breaker = breaker.clone();
            thread::spawn(move || breaker.reset())
        })
        .collect();
    resetting.into_iter().for_each(|reset| reset.join().unwrap());
    assert_eq!(breaker.snapshot(), "1 closed run 0");
    use CircuitState::{Closed, Open};
    assert_eq!(chain.links(), [(Closed, Open), (Open, Closed)]);
}

/// Meddles with the breaker whenever it is told something, and panics at times.
struct Meddler {
    chain: Arc<Chain>,
    breaker: std::sync::Mutex<Option<CircuitBreaker>>,
    left: AtomicU32,
}

impl Observer for Meddler {
    fn observe(&self, event: &Event<'_>) {
        self.chain.observe(event);
        let breaker = self.breaker.lock().unwrap().clone();
        let (Event::StateChanged(_), Some(breaker)) = (event, breaker) else { return };
        if self.left.load(Ordering::SeqCst) > 0 {
            self.left.fetch_sub(1, Ordering::SeqCst);
            assert!(breaker.failure_count() <= 1);
            breaker.reset();
            if chance() {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        }
    }
}

fn chain() {
    let (hands, chain) = (Hands::default(), Arc::new(Chain { counts_calls: chance(), ..Chain::default() }));
    let meddler = Arc::new(Meddler { chain: chain.clone(), breaker: Default::default(), left: AtomicU32::new(2) });
    let settings = BreakerSettings::consecutive(1, WAIT);
    let breaker = CircuitBreaker::new("b", settings, &effects(&hands).observed_by(meddler.clone())).unwrap();
    *meddler.breaker.lock().unwrap() = Some(breaker.clone());
    let actors: Vec<_> = (0..3)
        .map(|_| {
            let breaker = breaker.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    match thread_rng().gen_range(0..4) {
                        0 => breaker.reset(),
                        1 => breaker.disable(),
                        2 => drop(breaker.force_open()),
                        _ => drop(breaker.acquire().map(|permit| permit.failure())),
                    }
                }
            })
        })
        .collect();
    actors.into_iter().for_each(|actor| actor.join().unwrap());
    let told = chain.links();
    let last = told.last().map_or(CircuitState::Closed, |link| link.1);
    assert_eq!(breaker.state(), last, "every change has been told by the time the last caller is back");
    *meddler.breaker.lock().unwrap() = None;
}

fn no_lock_over_user_code() {
    let hands = Hands::default();
    let told = Arc::new(AtomicBool::new(false));
    let breaker =
        CircuitBreaker::new("b", BreakerSettings::consecutive(1, WAIT), &effects(&hands).observed_by(Arc::new(Told(told.clone()))))
            .unwrap();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let breaker = breaker.clone();
            thread::spawn(move || {
                let judge = |_: &()| {
                    assert_eq!(locks_held(), 0, "a lock is held over a classifier");
                    Verdict::transient("x")
                };
                drop(breaker.call_judged(judge, || {
                    assert_eq!(locks_held(), 0, "a lock is held over a closure");
                    // Would not return if one were.
                    drop(breaker.snapshot());
                    if chance() { Ok(()) } else { Err(()) }
                }));
                breaker.reset();
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert!(!told.load(Ordering::SeqCst), "a lock is held over a listener");
}

/// Remembers whether it was ever told something under a lock: a panic of its own would be swallowed.
struct Told(Arc<AtomicBool>);

impl Observer for Told {
    fn observe(&self, _event: &Event<'_>) {
        if locks_held() > 0 {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

fn forever() -> RetrySettings {
    RetrySettings::attempts(5, Backoff::of(Curve::Fixed { delay: WAIT }))
}

fn cancel_ends_waits() {
    waits_return_early(false);
    let policy = RetryPolicy::new(forever(), &effects(&Hands::default())).unwrap();
    let token = CancelToken::new();
    let caller = {
        let token = token.clone();
        thread::spawn(move || {
            let mut calls = 0;
            let judge = |_: &()| Verdict::transient("x");
            let result = policy.run(Operation::judged("op", &judge).cancelled_by(&token), |_| {
                calls += 1;
                Err::<(), ()>(())
            });
            (calls, result)
        })
    };
    token.cancel();
    // The clock stands still: only the cancellation can end the wait.
    let (calls, result) = caller.join().unwrap();
    let Err(RetryError::Cancelled { attempts, last, .. }) = result else { panic!("{result:?}") };
    assert!(calls <= 1, "attempts after cancelling");
    assert_eq!((attempts, last.is_some()), (calls, calls > 0));
    assert!(token.is_cancelled());
}

fn early_wakes() {
    waits_return_early(true);
    let (hands, token) = (Hands::default(), CancelToken::new());
    let until = Tick::ZERO.after(WAIT);
    let waiter = {
        let (hands, token) = (hands.clone(), token.clone());
        thread::spawn(move || {
            let waited = hands.wait_until(until, &token);
            match waited {
                Waited::Elapsed => assert!(hands.tick() >= until, "woke before the time"),
                Waited::Cancelled => assert!(token.is_cancelled()),
            }
            waited
        })
    };
    let cancelled = chance();
    let canceller = cancelled.then(|| {
        let token = token.clone();
        thread::spawn(move || token.cancel())
    });
    for _ in 0..5 {
        hands.0.advance(WAIT / 5);
        thread::yield_now();
    }
    let waited = waiter.join().unwrap();
    assert!(cancelled || waited == Waited::Elapsed);
    if let Some(canceller) = canceller {
        canceller.join().unwrap();
        assert_eq!(hands.wait_until(Tick::FAR, &token), Waited::Cancelled, "a token stays cancelled");
    }
}

fn account(hands: &Hands, retries: u32) -> RetryBudget {
    let settings = BudgetSettings { ttl: Duration::from_secs(1), floor_per_second: retries, share: Ratio::percent(0) };
    RetryBudget::new(settings, &effects(hands)).unwrap()
}

fn budget() {
    let budget = account(&Hands::default(), 2);
    let (paid, refunded) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (budget, paid, refunded) = (budget.clone(), Arc::clone(&paid), Arc::clone(&refunded));
            thread::spawn(move || {
                if budget.withdraw() {
                    paid.fetch_add(1, Ordering::SeqCst);
                    if chance() {
                        budget.refund();
                        refunded.fetch_add(1, Ordering::SeqCst);
                    }
                }
                assert!(budget.balance() <= 2);
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let spent = paid.load(Ordering::SeqCst) - refunded.load(Ordering::SeqCst);
    assert_eq!(budget.balance() + u64::from(spent), 2, "spent more than there was");
}

/// Looks at the account whenever a retry is announced, which is before its wait.
struct Accountant {
    budget: RetryBudget,
    unpaid: AtomicBool,
}

impl Observer for Accountant {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Retrying { .. }) && self.budget.balance() >= 3 {
            self.unpaid.store(true, Ordering::SeqCst);
        }
    }
}

fn refunds() {
    waits_return_early(false);
    let hands = Hands::default();
    let budget = account(&hands, 3);
    let accountant = Arc::new(Accountant { budget: budget.clone(), unpaid: AtomicBool::new(false) });
    let token = CancelToken::new();
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let observed = effects(&hands).observed_by(accountant.clone());
            let policy = RetryPolicy::new(forever(), &observed).unwrap().with_budget(budget.clone());
            let token = token.clone();
            thread::spawn(move || {
                let judge = |_: &()| Verdict::transient("x");
                let operation = Operation::judged("op", &judge).cancelled_by(&token);
                assert!(matches!(policy.run(operation, |_| Err::<(), ()>(())), Err(RetryError::Cancelled { .. })));
            })
        })
        .collect();
    token.cancel();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(budget.balance(), 3, "a retry that was not made has been paid");
    assert!(!accountant.unpaid.load(Ordering::SeqCst), "a wait was begun before it was paid");
}

fn registry() {
    let chain = Arc::new(Chain::default());
    let registry = Arc::new(Registry::new(effects(&Hands::default()).observed_by(chain.clone())));
    let askers: Vec<_> = (1..=3)
        .map(|number| {
            let registry = Arc::clone(&registry);
            // Two agree on the settings, the third does not.
            let threshold = number / 3 + 1;
            thread::spawn(move || registry.breaker("b", BreakerSettings::consecutive(threshold, WAIT)))
        })
        .collect();
    let answers: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
    assert_eq!(chain.created.load(Ordering::SeqCst), 1, "made more than one");
    let kept = registry.get("b").unwrap();
    (0..2).for_each(|_| drop(kept.acquire().map(|permit| permit.failure())));
    for answer in answers {
        match answer {
            Ok(breaker) => assert_eq!(breaker.state(), CircuitState::Open, "another breaker of the same name"),
            Err(error) => assert!(matches!(error, RegistryError::Conflict { .. }), "{error}"),
        }
    }
}
