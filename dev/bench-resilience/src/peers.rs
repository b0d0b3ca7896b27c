//! The other crates of this kind, each with its own way of saying the same: five failures open it for an hour.

use std::hint::black_box;
use std::time::Duration;

use backon::{BlockingRetryable, ExponentialBuilder};
use failsafe::CircuitBreaker as _;

use crate::{Case, Down, LONG, case, work};

fn failsafe() -> impl failsafe::CircuitBreaker + Send + Sync + 'static {
    let policy = failsafe::failure_policy::consecutive_failures(5, failsafe::backoff::constant(LONG));
    failsafe::Config::new().failure_policy(policy).build()
}

fn recloser() -> recloser::Recloser {
    recloser::Recloser::custom().error_rate(0.5).closed_len(100).half_open_len(1).open_wait(LONG).build()
}

fn breaker_rs() -> circuitbreaker_rs::CircuitBreaker<circuitbreaker_rs::DefaultPolicy, Down> {
    circuitbreaker_rs::CircuitBreaker::<circuitbreaker_rs::DefaultPolicy, Down>::builder()
        .failure_threshold(0.5)
        .cooldown(LONG)
        .build()
}

fn three(group: &'static str, threads: usize, down: bool) -> Vec<Case> {
    let (failsafe, recloser, breaker_rs) = (failsafe(), recloser(), breaker_rs());
    if down {
        for _ in 0..1000 {
            drop(failsafe.call(|| Err::<u64, _>(Down)));
            drop(recloser.call(|| Err::<u64, _>(Down)));
            drop(breaker_rs.call(|| Err::<u64, _>(Down)));
        }
        assert!(!failsafe.is_call_permitted());
        assert!(matches!(recloser.call(|| work(1)), Err(recloser::Error::Rejected)));
        assert!(matches!(breaker_rs.call(|| work(1)), Err(circuitbreaker_rs::BreakerError::Open)));
    }
    vec![
        case(group, "failsafe 1.3", threads, move |count| {
            for number in 0..count {
                drop(black_box(failsafe.call(|| work(number))));
            }
        }),
        case(group, "recloser 1.4", threads, move |count| {
            for number in 0..count {
                drop(black_box(recloser.call(|| work(number))));
            }
        }),
        case(group, "circuitbreaker-rs 0.1", threads, move |count| {
            for number in 0..count {
                drop(black_box(breaker_rs.call(|| work(number))));
            }
        }),
    ]
}

pub fn closed(group: &'static str, threads: usize) -> Vec<Case> {
    three(group, threads, false)
}

pub fn open(group: &'static str, threads: usize) -> Vec<Case> {
    three(group, threads, true)
}

pub fn retry(group: &'static str, threads: usize) -> Vec<Case> {
    let settings = ExponentialBuilder::default().with_min_delay(Duration::from_secs(1)).with_max_times(2);
    vec![case(group, "backon 1.6", threads, move |count| {
        for number in 0..count {
            drop(black_box((|| work(number)).retry(settings).call()));
        }
    })]
}
