//! What Session-Buddy says of its pools, and that pools do not slow each other down. `cargo bench --bench neighbours`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::control::{Client, Followed};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::load::{self, PATIENCE, command_pool, echo_pool, follower, submits, together};
use support::{Daemon, Runs, quantile, runs, tell_load, verdict_at_least, verdict_at_most, verdict_of_runs};

const POOL: &str = "echo";
const NEIGHBOUR: &str = "neighbour";
/// Submitted one after the other.
const TASKS: usize = 1_000;
/// In one run, of one task and of three at once.
const BATCHES: usize = 500;
const BATCH: usize = 3;
/// In one run, in each surrounding.
const ROUNDS: usize = 2_000;
const QUEUE_MAX: usize = 1_000;
/// What the refusal says.
const RETRY_AFTER: Duration = Duration::from_millis(250);

fn main() {
    tell_load();
    one_pool();
    beside_a_neighbour();
}

fn one_pool() {
    let daemon = Daemon::start();
    echo_pool(&daemon, POOL);
    let mut client = follower(&daemon, POOL);
    let (mut rate, mut slowest, mut one, mut three) =
        (Runs::default(), Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        rate.push(load::throughput(&daemon, POOL, TASKS, 1));
        drain(&mut client);
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            times.0.push(together(&mut client, POOL, 1));
            times.1.push(together(&mut client, POOL, BATCH));
        }
        slowest.push(quantile(&times.0, 1.0) / 1e3);
        one.push(quantile(&times.0, 0.5));
        three.push(quantile(&times.1, 0.5));
    }
    println!("\none pool, echo executor (median, least … most)");
    println!("{TASKS} one after the other     {}", rate.show("tasks/s"));
    println!("one task, the slowest of {BATCHES}  {}", slowest.show("ms"));
    println!("one task, p50                 {}", one.show("µs"));
    println!("a batch of {BATCH}, p50             {}", three.show("µs"));
    verdict_at_least("tasks of one pool, one after the other", rate.median(), 30.0, "tasks/s");
    verdict_at_most("one task, the slowest", slowest.median(), 100.0, "ms");
    verdict_of_runs("a batch of 3, beside one task", &three.over(&one), 1.2, false);
}

/// Takes the events that have come meanwhile.
fn drain(client: &mut Client) {
    while client.receive(Some(Duration::from_millis(50))).is_ok() {}
}

/// One task at a time in one pool, while its neighbour has nothing to do, is full, or hangs. Each surrounding is a daemon
/// of its own; they take turns with every task, so that whatever else the machine does disturbs all of them.
fn beside_a_neighbour() {
    let daemons = [idle(), full(), hanging()];
    let mut clients = daemons.each_ref().map(|daemon| follower(daemon, POOL));
    let mut p99: [Runs; 3] = Default::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| knock(&daemons[1], &stop));
        for _ in 0..runs() {
            let mut times: [Vec<f64>; 3] = Default::default();
            for _ in 0..ROUNDS {
                for (client, times) in clients.iter_mut().zip(&mut times) {
                    times.push(together(client, POOL, 1));
                }
            }
            for (p99, times) in p99.iter_mut().zip(&times) {
                p99.push(quantile(times, 0.99));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [alone, full, hanging] = &p99;
    println!("\none task at a time in one pool, p99 of {ROUNDS}, while another pool");
    println!("has nothing to do             {}", alone.show("µs"));
    println!("is full, and asked for more   {}", full.show("µs"));
    println!("has three children that hang  {}", hanging.show("µs"));
    verdict_of_runs("p99 beside a pool that is full", &full.over(alone), 1.2, false);
    verdict_of_runs("p99 beside a pool that hangs", &hanging.over(alone), 1.2, false);
}

fn idle() -> Daemon {
    let daemon = Daemon::start();
    echo_pool(&daemon, POOL);
    command_pool(&daemon, NEIGHBOUR, &["/bin/true"], QUEUE_MAX);
    daemon
}

/// Its three workers are busy, and its queue takes nothing more.
fn full() -> Daemon {
    let daemon = Daemon::start();
    echo_pool(&daemon, POOL);
    command_pool(&daemon, NEIGHBOUR, &["/bin/sleep", "600"], QUEUE_MAX);
    let mut client = daemon.client();
    while submit(&mut client) {}
    daemon
}

/// Its children ignore everything but SIGKILL and never end.
fn hanging() -> Daemon {
    let daemon = Daemon::start();
    echo_pool(&daemon, POOL);
    command_pool(&daemon, NEIGHBOUR, &["/bin/sh", "-c", "trap '' TERM INT; exec sleep 600"], QUEUE_MAX);
    let mut client = daemon.client();
    (0..2 * BATCH).for_each(|_| assert!(submit(&mut client)));
    daemon
}

/// Tries to get more into a full queue, as often as the refusal allows.
fn knock(daemon: &Daemon, stop: &AtomicBool) {
    let mut client = daemon.client();
    while !stop.load(Ordering::Relaxed) {
        assert!(!submit(&mut client));
        std::thread::sleep(RETRY_AFTER);
    }
}

/// Whether the neighbour took a task.
fn submit(client: &mut Client) -> bool {
    client.send_lines(submits(NEIGHBOUR, 1).as_bytes()).unwrap();
    match client.receive(Some(PATIENCE)).unwrap() {
        Followed::Answer { result, .. } => result.is_ok(),
        Followed::Frame(frame) => panic!("nobody asked for {frame}"),
    }
}
