//! One run, everybody on the same work: nanoseconds and allocations per call, as medians of interleaved rounds.
//! `bench-resilience [ROUNDS] [CALLS]`. Only the ratios within one run mean anything.

#[path = "../../../src/clock.rs"]
#[allow(dead_code, reason = "a part of it is measured")]
pub mod clock;
#[path = "../../../src/resilience/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is measured")]
pub mod resilience;

mod counting;
mod peers;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use clock::{Clock, ManualClock, SystemClock, Tick};
use resilience::{
    Backoff, BreakerSettings, CancelToken, CircuitBreaker, CircuitState, Effects, Jitter, Metrics, Order, Ratio,
    Resilient, ResilientSettings, RetryPolicy, RetrySettings, Timer, Trip, Waited,
};

/// What is measured: a name, and a function that makes so many calls.
pub struct Case {
    pub group: &'static str,
    pub name: &'static str,
    pub threads: usize,
    pub calls: Box<dyn Fn(u32) + Send + Sync>,
}

pub fn case(
    group: &'static str,
    name: &'static str,
    threads: usize,
    calls: impl Fn(u32) + Send + Sync + 'static,
) -> Case {
    Case { group, name, threads, calls: Box::new(calls) }
}

/// A closed call and an open rejection must fail with this.
#[derive(Debug)]
pub struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("down")
    }
}

impl std::error::Error for Down {}

impl resilience::Fault for Down {
    fn verdict(&self) -> resilience::Verdict {
        resilience::Verdict::transient("down")
    }
}

/// Long enough that nothing half-opens during a run.
pub const LONG: Duration = Duration::from_secs(3600);

pub fn work(number: u32) -> Result<u64, Down> {
    Ok(black_box(u64::from(number)))
}

fn ours(name: &'static str, trip: Trip, effects: &Effects) -> CircuitBreaker {
    let settings = BreakerSettings { trip, ..BreakerSettings::consecutive(5, LONG) };
    CircuitBreaker::new(name, settings, effects).expect("good settings")
}

const RUN: Trip = Trip::Consecutive { failure_threshold: 5 };
const COUNT: Trip = Trip::CountWindow { calls: 100, minimum_calls: 100, failure_rate: Ratio::percent(50) };

fn calls(breaker: CircuitBreaker) -> impl Fn(u32) + Send + Sync + 'static {
    move |count| {
        for number in 0..count {
            drop(black_box(breaker.call(|| work(number))));
        }
    }
}

fn cases() -> Vec<Case> {
    let effects = Effects::system();
    let observed = Effects::system().observed_by(Metrics::new());
    let lock = Arc::new(parking_lot::Mutex::new(0_u64));
    let bare = |locks: u32| {
        let lock = Arc::clone(&lock);
        move |count: u32| {
            for number in 0..count {
                for _ in 0..locks {
                    *lock.lock() += 1;
                }
                drop(black_box(work(number)));
            }
        }
    };
    let mut cases = Vec::new();
    for threads in [1, 2] {
        let group = if threads == 1 { "closed call" } else { "closed call, two threads" };
        cases.push(case(group, "ours, fast path", threads, calls(ours("a", RUN, &effects))));
        let permits = ours("p", RUN, &effects);
        cases.push(case(group, "ours, fast path, by permit", threads, move |count| {
            for number in 0..count {
                if let Ok(permit) = permits.acquire() {
                    drop(black_box(work(number)));
                    permit.success();
                }
            }
        }));
        cases.push(case(group, "ours, mutex (count window)", threads, calls(ours("b", COUNT, &effects))));
        cases.push(case(group, "bare parking_lot lock, once", threads, bare(1)));
        cases.push(case(group, "bare parking_lot lock, twice", threads, bare(2)));
        cases.push(case(group, "nothing but the call", threads, bare(0)));
        cases.extend(peers::closed(group, threads));
    }
    cases.push(case("closed call", "ours, timed and with metrics", 1, calls(ours("c", RUN, &observed))));

    let open = ours("d", RUN, &effects);
    (0..5).for_each(|_| drop(open.call(|| Err::<u64, _>(Down))));
    assert_eq!(open.state(), CircuitState::Open);
    cases.push(case("open rejection", "ours", 1, calls(open)));
    cases.extend(peers::open("open rejection"));

    let policy = RetryPolicy::new(RetrySettings::DEFAULT, &effects).expect("good settings");
    cases.push(case("retry, first attempt succeeds", "ours", 1, move |count| {
        for number in 0..count {
            drop(black_box(policy.call("op", |_| work(number))));
        }
    }));
    let settings = ResilientSettings { order: Order::BreakerOutside, ..ResilientSettings::default() };
    let resilient = Resilient::new("e", settings, &effects).expect("good settings");
    cases.push(case("retry, first attempt succeeds", "ours, with a breaker outside", 1, move |count| {
        for number in 0..count {
            drop(black_box(resilient.call("op", |_| work(number))));
        }
    }));
    cases.extend(peers::retry("retry, first attempt succeeds"));
    cases
}

/// Nanoseconds per call of each thread, and allocations per call.
fn measure(clock: &SystemClock, case: &Case, count: u32) -> (f64, f64) {
    let barrier = Barrier::new(case.threads);
    let allocated = counting::allocations();
    let began = clock.tick();
    if case.threads == 1 {
        (case.calls)(count);
    } else {
        std::thread::scope(|scope| {
            for _ in 0..case.threads {
                scope.spawn(|| {
                    barrier.wait();
                    (case.calls)(count);
                });
            }
        });
    }
    let took = clock.tick().since(began);
    // Starting a thread allocates too, a few dozen times for all the calls.
    let allocated = counting::allocations() - allocated;
    (took.as_nanos() as f64 / f64::from(count), (allocated as f64 / f64::from(count) * 100.0).round() / 100.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An hour during which a service is down, called every 30 seconds, in virtual time.
fn virtual_hour(clock: &SystemClock) {
    let (began, hands) = (clock.tick(), ManualClock::new());
    let settings = ResilientSettings {
        breaker: BreakerSettings::consecutive(5, Duration::from_secs(60)),
        retry: RetrySettings::attempts(3, Backoff::EXPONENTIAL.jitter(Jitter::Full)),
        order: Order::BreakerOutside,
    };
    let resilient = Resilient::new("hour", settings, &Effects::manual(&hands, 1)).expect("good settings");
    let (mut operations, mut attempts) = (0, 0);
    while hands.tick() < Tick::ZERO.after(LONG) {
        operations += 1;
        drop(resilient.call("op", |_| {
            attempts += 1;
            Err::<(), _>(Down)
        }));
        hands.advance(Duration::from_secs(30));
    }
    let took = clock.tick().since(began);
    println!("an hour of outage in virtual time: {operations} operations, {attempts} attempts, {took:?}");
}

/// How long after a cancellation the waiting thread is back.
fn cancelling(clock: &SystemClock) {
    let one = |_| {
        let (token, waiting) = (CancelToken::new(), Barrier::new(2));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                waiting.wait();
                let ended = clock.wait_until(clock.tick().after(LONG), &token);
                assert_eq!(ended, Waited::Cancelled);
                clock.tick()
            });
            waiting.wait();
            // Time enough for the other thread to be in its wait.
            clock.wait_until(clock.tick().after(Duration::from_millis(1)), &CancelToken::new());
            let cancelled = clock.tick();
            token.cancel();
            waiter.join().expect("it does not panic").since(cancelled)
        })
    };
    let mut took: Vec<Duration> = (0..200).map(one).collect();
    took.sort();
    println!("a cancelled wait is over after {:?} (median of 200), {:?} at worst", took[100], took[199]);
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let rounds = numbers.next().unwrap_or(9).max(5);
    let count = numbers.next().unwrap_or(1_000_000);
    let (clock, cases) = (SystemClock::new(), cases());
    let mut measured = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for (case, measured) in cases.iter().zip(&mut measured) {
            measured.push(measure(&clock, case, count));
        }
    }
    println!("medians of {rounds} interleaved rounds of {count} calls");
    let mut group = "";
    let mut first = 1.0;
    for (case, measured) in cases.iter().zip(measured) {
        let nanos = median(measured.iter().map(|(nanos, _)| *nanos).collect());
        let allocated = median(measured.iter().map(|(_, allocated)| *allocated).collect());
        if case.group != group {
            (group, first) = (case.group, nanos);
            println!("\n{group:34} {:>10} {:>8} {:>12}", "ns/call", "ratio", "allocations");
        }
        println!("  {:32} {nanos:>10.1} {:>8.1} {allocated:>12.2}", case.name, nanos / first);
    }
    println!();
    virtual_hour(&clock);
    cancelling(&clock);
}
