//! What breakers and retries write into the log. In a process of its own, since a process has one logger.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use claude_comms::clock::ManualClock;
use claude_comms::resilience::{
    BreakerSettings, CircuitBreaker, Effects, Order, Registry, Resilient, RetryPolicy, RetrySettings,
};

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

fn lines() -> Vec<String> {
    std::mem::take(&mut LINES.0.lock().unwrap())
}

#[test]
fn one_line_a_change_and_one_for_the_first_rejection() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let clock = ManualClock::new();
    let effects = Effects::manual(&clock, 1);
    let settings = BreakerSettings::consecutive(1, Duration::from_secs(60));
    let breaker = CircuitBreaker::new("store", settings, &effects).unwrap();
    let retry = RetryPolicy::new(RetrySettings::DEFAULT.max_retries(1), &effects).unwrap();
    let guarded = Resilient::of(breaker, retry, Order::BreakerOutside);
    let call = |well: bool| {
        drop(guarded.call("save", |_| if well { Ok(()) } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }));
    };

    call(false);
    assert_eq!(
        lines(),
        [
            "DEBUG retrying operation=save attempt=1 error=timeout wait=1s",
            "ERROR retries exhausted operation=save attempts=2 reason=attempts",
            "WARN circuit breaker opened breaker=store from=closed failures=1 wait=60s",
        ]
    );
    // A flood while it is open is one line.
    (0..1000).for_each(|_| call(true));
    assert_eq!(lines(), ["WARN circuit breaker turned its first call away breaker=store operation=save state=open"]);
    // A trial that fails is no news to whoever knows that it is open.
    clock.advance(Duration::from_secs(60));
    call(false);
    (0..1000).for_each(|_| call(true));
    let told = lines();
    assert!(told.iter().all(|line| !line.contains("circuit breaker") || line.starts_with("DEBUG")), "{told:?}");
    clock.advance(Duration::from_secs(3600));
    (0..1000).for_each(|_| call(true));
    assert_eq!(
        lines(),
        [
            "DEBUG circuit breaker changed breaker=store from=open to=half_open",
            "INFO circuit breaker changed breaker=store from=half_open to=closed",
        ]
    );
    // The next period has a first rejection of its own.
    let forced = guarded.breaker().force_open();
    (0..2).for_each(|_| call(true));
    drop(forced);
    let told = lines();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].starts_with("WARN circuit breaker turned its first call away"));
    // What was stored and cannot be read is told, since the breaker then knows less than it should.
    let registry = Registry::new(effects);
    drop(registry.restored("store", settings, "nonsense", Duration::ZERO).unwrap());
    assert_eq!(lines(), ["WARN stored circuit breaker state was not usable, it starts closed breaker=store"]);
}
