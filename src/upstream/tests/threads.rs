//! The thread: what wakes it, what it tells, and how it ends. Nothing here sleeps.

use super::super::{CycleOutcome, CycleReport, Listener, Poller, PollerSettings};
use super::SECOND;
use super::scripted::{Stage, well};
use super::settings;
use crate::clock::{Clock, SystemClock, Tick};
use crate::mcp::faulty::{FaultyServer, Reaction, legacy_opening};
use crate::resilience::{CircuitState, Effects, Event, Observer};
use crate::thread::Joined;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Sends on what it is told.
struct Told(Sender<CycleReport>);

impl Listener for Told {
    fn polled(&self, report: &CycleReport) {
        self.0.send(report.clone()).unwrap();
    }
}

fn told() -> (Arc<Told>, Receiver<CycleReport>) {
    let (sender, reports) = bounded(64);
    (Arc::new(Told(sender)), reports)
}

impl Stage {
    /// Lets time pass and has the thread look at the clock.
    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.poller.wake();
    }
}

fn seconds_between(earlier: &CycleReport, later: &CycleReport) -> f64 {
    later.timestamp.as_unix_seconds() - earlier.timestamp.as_unix_seconds()
}

#[test]
fn cycles_come_by_schedule_and_manual_ones_do_not_shift_it() {
    let (listener, reports) = told();
    let stage = Stage::told(settings(&["a"]), listener, |_: &str, _: Duration| well());
    stage.poller.start();
    let planned = stage.poller.status().next_poll_at.unwrap();
    assert!(planned.as_unix_seconds() <= 5.0);
    stage.pass(Duration::from_micros(planned.as_micros() as u64 + 1));
    let first = reports.recv_timeout(LIMIT).unwrap();
    assert_eq!(first.poll_cycle, 1);

    stage.pass(10 * SECOND);
    assert_eq!(stage.poll().poll_cycle, 2);
    assert_eq!(reports.recv_timeout(LIMIT).unwrap().poll_cycle, 2);
    let next = stage.poller.status().next_poll_at.unwrap();
    assert!((next.as_unix_seconds() - planned.as_unix_seconds() - 30.0).abs() < 1e-3);

    stage.pass(20 * SECOND);
    let third = reports.recv_timeout(LIMIT).unwrap();
    assert_eq!((third.poll_cycle, seconds_between(&first, &third).round()), (3, 30.0));

    // What was missed is one cycle, not seven.
    stage.pass(215 * SECOND);
    assert_eq!(reports.recv_timeout(LIMIT).unwrap().poll_cycle, 4);
    assert!(stage.poller.status().next_poll_at.unwrap() > stage.clock.wall());
}

#[test]
fn a_stopped_poller_polls_only_by_hand() {
    let stage = Stage::new(settings(&["a"]), |_: &str, _: Duration| well());
    assert!(!stage.poller.status().running);
    stage.poller.start();
    stage.poller.start();
    assert!(stage.poller.status().running);
    stage.poller.stop();
    let status = stage.poller.status();
    assert_eq!((status.running, status.next_poll_at), (false, None));
    stage.pass(1000 * SECOND);
    assert_eq!(stage.poll().poll_cycle, 1, "none of the schedule has been made");
}

#[test]
fn who_asks_at_the_same_time_is_answered() {
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&serde_json::json!({"content": []}))));
    let settings = PollerSettings::new("many", &server.endpoint());
    let poller = Arc::new(Poller::new(settings, &Effects::system(), Arc::new(())).unwrap());
    let askers: Vec<Joined<CycleReport>> = (0..16)
        .map(|number| {
            let poller = Arc::clone(&poller);
            Joined::spawn(format!("asker{number}"), move || poller.poll_once()).unwrap()
        })
        .collect();
    for asker in askers {
        assert_ne!(asker.join().unwrap().poll_cycle, 0);
    }
    assert!(poller.status().poll_cycles <= 16);
}

#[test]
fn a_call_that_is_under_way_is_ended_with_the_poller() {
    let (called, call) = bounded(64);
    let server = FaultyServer::legacy(move |_| {
        called.send(()).unwrap();
        Reaction::Stall(vec![])
    });
    let clock = SystemClock::new();
    let (listener, reports) = told();
    let settings = PollerSettings { timeout: 60 * SECOND, interval: 600 * SECOND, ..settings(&["a"]) };
    let settings = PollerSettings { endpoint: server.endpoint(), name: "ended".to_owned(), ..settings };
    let poller = Arc::new(Poller::new(settings, &Effects::system(), listener).unwrap());
    let asking = {
        let poller = Arc::clone(&poller);
        Joined::spawn("asking", move || poller.poll_once()).unwrap()
    };
    call.recv_timeout(LIMIT).unwrap();
    let began = clock.tick();
    poller.shutdown();
    let report = asking.join().unwrap();
    assert_eq!(report.outcome, CycleOutcome::Skipped);
    assert_eq!(reports.recv_timeout(LIMIT).unwrap().errors, ["the poller is ending"]);
    assert_eq!(poller.poll_once().poll_cycle, 0, "nobody is there any more");
    drop(poller);
    assert!(clock.tick().since(began) < 10 * SECOND);
    assert_no_thread("poll-ended");
}

/// Servers that keep a session and answer nothing more, not even the farewell.
#[test]
fn many_calls_are_ended_at_once_and_the_farewells_are_said_side_by_side() {
    let (called, call) = bounded(64);
    let server = FaultyServer::start(move |seen| match legacy_opening(seen).filter(|_| seen.verb != "DELETE") {
        Some(opening) => opening,
        None => {
            let _ = called.try_send(());
            Reaction::Stall(vec![])
        }
    });
    let clock = SystemClock::new();
    let pollers: Vec<Poller> = (0..12)
        .map(|number| {
            let settings = PollerSettings { timeout: 60 * SECOND, interval: 600 * SECOND, ..settings(&["a"]) };
            let settings = PollerSettings { endpoint: server.endpoint(), name: format!("bye{number}"), ..settings };
            let poller = Poller::new(settings, &Effects::system(), Arc::new(())).unwrap();
            poller.order(1);
            poller
        })
        .collect();
    for _ in &pollers {
        call.recv_timeout(LIMIT).unwrap();
    }
    let began = clock.tick();
    pollers.iter().for_each(Poller::shutdown);
    let told = clock.tick().since(began);
    assert!(told < SECOND / 2, "whoever ends them has waited {told:?}");
    drop(pollers);
    assert!(clock.tick().since(began) < 2 * SECOND, "{:?}", clock.tick().since(began));
    assert_eq!(server.count("DELETE"), 12, "not all farewells were said");
}

/// A name that nobody else has is not among the threads of this process, or not for long.
fn assert_no_thread(name: &str) {
    let clock = SystemClock::new();
    let (_keep, never) = bounded::<()>(0);
    let is_there = || {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).any(|comm| comm.trim() == name)
    };
    // A joined thread may be listed a moment longer.
    while is_there() {
        assert!(clock.tick() < Tick::ZERO.after(LIMIT), "{name} is still there");
        let _ = never.recv_timeout(Duration::from_millis(1));
    }
}

/// Says when a retry begins to wait.
struct Waits(Sender<()>);

impl Observer for Waits {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Retrying { .. }) {
            self.0.send(()).unwrap();
        }
    }
}

#[test]
fn a_retry_that_waits_ends_with_the_poller() {
    let server = FaultyServer::legacy(|_| Reaction::status(503, "later"));
    let settings = PollerSettings { retry_delay: 60 * SECOND, interval: 600 * SECOND, ..settings(&["a"]) };
    let settings = PollerSettings { endpoint: server.endpoint(), name: "waiting".to_owned(), ..settings };
    let (waits, waiting) = bounded(64);
    let effects = Effects::system().observed_by(Arc::new(Waits(waits)));
    let poller = Arc::new(Poller::new(settings, &effects, Arc::new(())).unwrap());
    let asking = {
        let poller = Arc::clone(&poller);
        Joined::spawn("asking", move || poller.poll_once()).unwrap()
    };
    waiting.recv_timeout(LIMIT).unwrap();
    let clock = SystemClock::new();
    poller.shutdown();
    drop((asking, poller));
    assert!(clock.tick() < Tick::ZERO.after(10 * SECOND));
    assert_no_thread("poll-waiting");
}

#[test]
fn a_dead_upstream_never_delays_another() {
    let dead = FaultyServer::legacy(|_| Reaction::Stall(vec![]));
    let (called, call) = bounded(64);
    let alive = FaultyServer::legacy(move |seen| {
        called.send(()).unwrap();
        Reaction::json(&seen.result(&serde_json::json!({"structuredContent": {"x": 1}})))
    });
    let poller = |name: &str, server: &FaultyServer| {
        let settings = PollerSettings { endpoint: server.endpoint(), name: name.to_owned(), ..settings(&["a"]) };
        Arc::new(Poller::new(settings, &Effects::system(), Arc::new(())).unwrap())
    };
    let (slow, quick) = (poller("dead", &dead), poller("alive", &alive));
    let stuck = {
        let slow = Arc::clone(&slow);
        Joined::spawn("stuck", move || slow.poll_once()).unwrap()
    };
    let clock = SystemClock::new();
    for _ in 0..3 {
        assert_eq!(quick.poll_once().outcome, CycleOutcome::Ok);
    }
    assert!(clock.tick() < Tick::ZERO.after(5 * SECOND));
    assert_eq!(call.len(), 3);
    assert!(!stuck.is_finished());
    slow.shutdown();
}

/// Panics at everything.
struct Panicking;

impl Listener for Panicking {
    fn polled(&self, _: &CycleReport) {
        panic!("on purpose");
    }

    fn breaker_changed(&self, _: CircuitState, _: CircuitState, _: Option<Duration>, _: String) {
        panic!("on purpose");
    }
}

#[test]
fn a_listener_that_panics_does_not_end_the_poller() {
    let settings = PollerSettings { failure_threshold: 1, ..settings(&["a"]) };
    let stage = Stage::told(settings, Arc::new(Panicking), |_: &str, _: Duration| Err(super::scripted::malformed()));
    for cycle in 1..=3 {
        assert_eq!(stage.poll().poll_cycle, cycle);
    }
    assert!(!stage.poller.has_died());
}

/// Gives orders while it is told.
struct Meddling(parking_lot::Mutex<Option<std::sync::Weak<Poller>>>);

impl Listener for Meddling {
    fn polled(&self, _: &CycleReport) {
        let poller = self.0.lock().as_ref().and_then(std::sync::Weak::upgrade);
        if let Some(poller) = poller {
            poller.reset();
            poller.start();
            poller.stop();
            assert!(!poller.status().running);
        }
    }
}

#[test]
fn a_listener_may_give_orders() {
    let meddling = Arc::new(Meddling(parking_lot::Mutex::new(None)));
    let Stage { poller, .. } = Stage::told(settings(&["a"]), meddling.clone(), |_: &str, _: Duration| well());
    let poller = Arc::new(poller);
    *meddling.0.lock() = Some(Arc::downgrade(&poller));
    for cycle in 1..=3 {
        assert_eq!(poller.poll_once().poll_cycle, cycle);
    }
}
