//! What 100,000 tasks cost those that come after them: finished ones while others are submitted, shown and followed;
//! waiting ones at the next start. `cargo bench --bench history`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::control::wire::{DaemonStatus, Empty, EventFollow, Request, Submitted, TaskId};
use claude_comms::control::{Client, Followed};
use std::time::{Duration, Instant};
use support::load::{self, PATIENCE, acknowledged, command_pool, echo_pool, follower, submits};
use support::{Daemon, Runs, quantile, runs, tell_load, verdict_at_most, verdict_of_runs};

const MANY: usize = 100_000;
/// In a store that counts as empty: enough to be shown and followed.
const FEW: usize = 300;
/// Requests that are not answered yet, while many tasks are submitted.
const UNANSWERED: usize = 512;
/// Operations of each kind in one run.
const OPERATIONS: usize = 500;
/// Followers in one run, and the events that each reads.
const FOLLOWERS: usize = 100;
const EVENTS: u64 = 200;
/// Seconds of processor in 2 s below which a daemon has nothing left to do.
const SETTLED: f64 = 0.002;
const POOL: &str = "bench";

fn main() {
    tell_load();
    finished_tasks();
    waiting_tasks();
}

fn finished_tasks() {
    let (mut empty, mut full) = (Store::with(FEW), Store::with(MANY));
    let mut costs = [
        Cost::of("submit, acknowledged", OPERATIONS, Store::submit),
        Cost::of("task.show, any of them", OPERATIONS, Store::show),
        Cost::of("follow, 200 events back", FOLLOWERS, Store::follow),
    ];
    for _ in 0..runs() {
        costs.iter_mut().for_each(|cost| cost.run(&mut empty, &mut full));
    }
    let memory = (empty.daemon.resident_megabytes(), full.daemon.resident_megabytes());
    println!("\none at a time, p50, with {FEW} and with {MANY} finished tasks stored (median, least … most)");
    for Cost { what, of_empty, of_full, .. } in &costs {
        println!("{what:<30}{}", of_empty.show("µs"));
        println!("  with {MANY} stored          {}", of_full.show("µs"));
        verdict_of_runs(&format!("{what}, {MANY} stored beside {FEW}"), &of_full.over(of_empty), 1.2, false);
    }
    println!("memory of the two daemons     {:.1} and {:.1} MB", memory.0, memory.1);
}

/// What an operation takes in either store.
struct Cost {
    what: &'static str,
    count: usize,
    operation: fn(&mut Store) -> f64,
    of_empty: Runs,
    of_full: Runs,
}

impl Cost {
    fn of(what: &'static str, count: usize, operation: fn(&mut Store) -> f64) -> Cost {
        Cost { what, count, operation, of_empty: Runs::default(), of_full: Runs::default() }
    }

    fn run(&mut self, empty: &mut Store, full: &mut Store) {
        // Alternating, so that a neighbour disturbs both.
        let times = (0..self.count).map(|_| ((self.operation)(empty), (self.operation)(full)));
        let (least, most): (Vec<_>, Vec<_>) = times.unzip();
        self.of_empty.push(quantile(&least, 0.5));
        self.of_full.push(quantile(&most, 0.5));
    }
}

/// A daemon whose tasks have all finished.
struct Store {
    daemon: Daemon,
    client: Client,
    ids: Vec<String>,
    /// Which of them was shown last.
    shown: usize,
}

impl Store {
    fn with(tasks: usize) -> Store {
        let daemon = Daemon::start();
        echo_pool(&daemon, POOL);
        let mut follower = follower(&daemon, POOL);
        let ids = std::thread::scope(|scope| {
            let submitter = scope.spawn(|| submit(&daemon, tasks));
            load::ended(&mut follower, tasks);
            submitter.join().unwrap()
        });
        settle(&daemon);
        Store { client: daemon.client(), daemon, ids, shown: 0 }
    }

    fn submit(&mut self) -> f64 {
        let start = Instant::now();
        self.client.send_lines(submits(POOL, 1).as_bytes()).unwrap();
        acknowledged(&mut self.client);
        start.elapsed().as_secs_f64() * 1e6
    }

    fn show(&mut self) -> f64 {
        // A stride without a common factor: one after the other, all over the table.
        self.shown = (self.shown + 61_803) % self.ids.len();
        let show = Request::TaskShow(TaskId { task_id: self.ids[self.shown].clone() });
        let start = Instant::now();
        self.client.call_raw(&show, Some(PATIENCE)).unwrap();
        start.elapsed().as_secs_f64() * 1e6
    }

    /// A new connection, from the connect until it has read what it had missed.
    fn follow(&mut self) -> f64 {
        let since = Some(newest_event(&mut self.client) - EVENTS);
        let start = Instant::now();
        let mut client = self.daemon.client();
        client.follow(EventFollow { since, ..EventFollow::default() }).unwrap();
        (0..EVENTS).for_each(|_| next_event(&mut client));
        start.elapsed().as_secs_f64() * 1e6
    }
}

fn newest_event(client: &mut Client) -> u64 {
    client.call::<DaemonStatus>(&Request::PollStatus(Empty {})).unwrap().seq
}

fn next_event(client: &mut Client) {
    assert!(matches!(client.receive(Some(PATIENCE)).unwrap(), Followed::Frame(_)));
}

/// Submits so many tasks and returns their ids.
fn submit(daemon: &Daemon, tasks: usize) -> Vec<String> {
    let mut client = daemon.client();
    let mut ids = Vec::with_capacity(tasks);
    let mut sent = 0;
    while ids.len() < tasks {
        if sent - ids.len() <= UNANSWERED / 2 {
            let count = (UNANSWERED - (sent - ids.len())).min(tasks - sent);
            client.send_lines(submits(POOL, count).as_bytes()).unwrap();
            sent += count;
        }
        let answer = acknowledged(&mut client);
        ids.push(serde_json::from_str::<Submitted>(answer.get()).unwrap().task_id);
    }
    ids
}

/// Waits until the daemon has done what it does in its spare time.
fn settle(daemon: &Daemon) {
    let mut before = f64::NEG_INFINITY;
    while daemon.processor_seconds() - before > SETTLED {
        before = daemon.processor_seconds();
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// From the start of the process until a follower has the first task.assigned, while all workers were busy before.
fn waiting_tasks() {
    let mut daemon = Daemon::start();
    // Nothing but the restart frees these workers.
    command_pool(&daemon, POOL, &["/bin/sleep", "600"], MANY);
    submit(&daemon, MANY);
    let (mut in_order, mut killed) = (Runs::default(), Runs::default());
    for _ in 0..runs() {
        let seq = newest_event(&mut daemon.client());
        daemon = first_dispatch(daemon.stop(), seq, &mut in_order);
        let seq = newest_event(&mut daemon.client());
        daemon = first_dispatch(daemon.kill(), seq, &mut killed);
    }
    let status: DaemonStatus = daemon.client().call(&Request::PollStatus(Empty {})).unwrap();
    // A command that was running at a kill counts as failed; nothing else is missing.
    assert_eq!(status.tasks_queued + status.tasks_running, MANY - 3 * runs());
    println!("\nfrom the start of the daemon to the first dispatch, {MANY} tasks waiting");
    println!("after a stop                  {}", in_order.show("s"));
    println!("after kill -9, 3 were running {}", killed.show("s"));
    println!("memory of the daemon          {:.1} MB", daemon.resident_megabytes());
    verdict_at_most("restart to first dispatch", in_order.median(), 1.0, "s");
    verdict_at_most("restart to first dispatch after kill -9", killed.median(), 1.0, "s");
}

fn first_dispatch(dir: tempfile::TempDir, seq: u64, seconds: &mut Runs) -> Daemon {
    let start = Instant::now();
    let daemon = Daemon::start_in(dir);
    let mut client = daemon.client();
    let events = vec!["task.assigned".into()];
    client.follow(EventFollow { since: Some(seq), events, ..EventFollow::default() }).unwrap();
    next_event(&mut client);
    seconds.push(start.elapsed().as_secs_f64());
    daemon
}
