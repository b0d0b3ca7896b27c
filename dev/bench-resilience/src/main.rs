//! One run, everybody on the same work: nanoseconds and allocations per call, as medians of interleaved rounds.
//! `bench-resilience [ROUNDS] [CALLS]`. Fails when a number that is to be reached is not: run it on a machine that is
//! idle, or believe the ratios only.

#[path = "../../../src/clock.rs"]
#[allow(dead_code, reason = "a part of it is measured")]
pub mod clock;
#[path = "../../../src/resilience/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is measured")]
pub mod resilience;

mod counting;
mod peers;

use std::hint::black_box;
use std::process::ExitCode;
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
        cases.push(case(group, "ours, timed and with metrics", threads, calls(ours("c", RUN, &observed))));
        cases.push(case(group, "bare parking_lot lock, once", threads, bare(1)));
        cases.push(case(group, "bare parking_lot lock, twice", threads, bare(2)));
        cases.push(case(group, "nothing but the call", threads, bare(0)));
        cases.extend(peers::closed(group, threads));
    }
    for threads in [1, 2] {
        cases.extend(open_and_retry(threads, &effects));
    }
    cases
}

/// An open breaker's rejection, and a retry whose first attempt succeeds.
fn open_and_retry(threads: usize, effects: &Effects) -> Vec<Case> {
    let group = if threads == 1 { "open rejection" } else { "open rejection, two threads" };
    let open = ours("d", RUN, effects);
    (0..5).for_each(|_| drop(open.call(|| Err::<u64, _>(Down))));
    assert_eq!(open.state(), CircuitState::Open);
    let mut cases = vec![case(group, "ours", threads, calls(open))];
    cases.extend(peers::open(group, threads));

    let group = if threads == 1 { "retry, first attempt succeeds" } else { "retry, first succeeds, two threads" };
    let policy = RetryPolicy::new(RetrySettings::DEFAULT, effects).expect("good settings");
    cases.push(case(group, "ours", threads, move |count| {
        for number in 0..count {
            drop(black_box(policy.call("op", |_| work(number))));
        }
    }));
    let settings = ResilientSettings { order: Order::BreakerOutside, ..ResilientSettings::default() };
    let resilient = Resilient::new("e", settings, effects).expect("good settings");
    cases.push(case(group, "ours, with a breaker outside", threads, move |count| {
        for number in 0..count {
            drop(black_box(resilient.call("op", |_| work(number))));
        }
    }));
    cases.extend(peers::retry(group, threads));
    cases
}

/// Nanoseconds per call of each thread, and how many allocations all the calls made.
fn measure(clock: &SystemClock, case: &Case, count: u32) -> (f64, u64) {
    let calls = || {
        let before = counting::allocations();
        (case.calls)(count);
        counting::allocations() - before
    };
    let began = clock.tick();
    let allocated = if case.threads == 1 {
        calls()
    } else {
        let barrier = Barrier::new(case.threads);
        std::thread::scope(|scope| {
            let one = || {
                barrier.wait();
                calls()
            };
            let threads: Vec<_> = (0..case.threads).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        })
    };
    (clock.tick().since(began).as_nanos() as f64 / f64::from(count), allocated)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An hour during which a service is down, called every 30 seconds, in virtual time. Returns how long that took.
fn virtual_hour(clock: &SystemClock) -> Duration {
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
    took
}

/// How long after a cancellation the waiting thread is back, in the median.
fn cancelling(clock: &SystemClock) -> Duration {
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
    took[100]
}

/// The numbers to reach: group, case, and nanoseconds per call at most.
const LIMITS: [(&str, &str, f64); 3] = [
    ("closed call", "ours, mutex (count window)", 35.0),
    ("closed call", "ours, fast path", 6.0),
    ("closed call, two threads", "ours, fast path", 8.0),
];
const VIRTUAL_HOUR_MAX: Duration = Duration::from_millis(10);
const CANCELLED_WITHIN: Duration = Duration::from_millis(5);

/// Says whether one number is reached, and hands that on.
fn reached(what: &str, holds: bool) -> bool {
    println!("{} {what}", if holds { "reached" } else { "MISSED " });
    holds
}

fn main() -> ExitCode {
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
    println!(
        "medians of {rounds} interleaved rounds of {count} calls; allocations are those of all the calls of a round"
    );
    let (mut group, mut first) = ("", 1.0);
    let mut shown: Vec<(&Case, f64, u64)> = Vec::new();
    for (case, measured) in cases.iter().zip(measured) {
        let nanos = median(measured.iter().map(|(nanos, _)| *nanos).collect());
        // The very first call of a metric or a lock may make room for itself.
        let allocated = median(measured.iter().map(|(_, allocated)| *allocated as f64).collect()) as u64;
        if case.group != group {
            (group, first) = (case.group, nanos);
            println!("\n{group:34} {:>10} {:>8} {:>12}", "ns/call", "ratio", "allocations");
        }
        println!("  {:32} {nanos:>10.1} {:>8.1} {allocated:>12}", case.name, nanos / first);
        shown.push((case, nanos, allocated));
    }
    println!();
    let (hour, cancelled) = (virtual_hour(&clock), cancelling(&clock));
    println!();

    let mut good = true;
    for (group, name, limit) in LIMITS {
        let found = shown.iter().find(|(case, ..)| (case.group, case.name) == (group, name));
        let holds = found.is_some_and(|(_, nanos, _)| *nanos <= limit);
        good &= reached(&format!("{group}: {name}: at most {limit} ns"), holds);
    }
    let ours = shown.iter().filter(|(case, ..)| case.name.starts_with("ours"));
    good &= reached("no allocation in any call of ours", ours.map(|(_, _, allocated)| allocated).sum::<u64>() == 0);
    good &= reached("an hour of virtual outage in less than 10 ms", hour < VIRTUAL_HOUR_MAX);
    good &= reached("a wait is over within 5 ms of being cancelled", cancelled <= CANCELLED_WITHIN);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
