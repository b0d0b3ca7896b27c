//! Tasks from submit to done, without a process: the queue alone, beside other queues that keep what they acknowledge.
//!
//! What each peer does for a task, and where it does less than ours, is said in its file under `peers`. Ours takes the
//! submit, claims, and records the end with the result and three events, all of it synced. `cargo bench --bench tasks`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod peers;
mod support;

use peers::beanstalkd::Beanstalkd;
use peers::redis::Redis;
use peers::{queue, sqlite};
use support::load::{self, echo_pool};
use support::{Daemon, Runs, has, quantile, runs, tell_load, tell_skipped, verdict_of_runs};

const TASKS: usize = 10_000;
const IN_FLIGHT: usize = 64;
const PRODUCERS: usize = 8;
/// Of each of several producers.
const TASKS_OF_PRODUCER: usize = 1_000;
const SINGLE: usize = 500;
/// For those that need some milliseconds for one.
const TASKS_OF_SLOW: usize = 1_000;
const POOL: &str = "echo";

fn main() {
    tell_load();
    let daemon = Daemon::start();
    echo_pool(&daemon, POOL);
    beside_beanstalkd(&daemon);
    beside_redis(&daemon);
    for library in ["huey", "litequeue"] {
        beside_sqlite(&daemon, library);
    }
}

fn ours(daemon: &Daemon) -> f64 {
    load::throughput(daemon, POOL, TASKS, IN_FLIGHT)
}

fn beside_beanstalkd(daemon: &Daemon) {
    let peer = has("beanstalkd", "Debian package beanstalkd");
    let (mut many, mut synced, mut lazy) = (Runs::default(), Runs::default(), Runs::default());
    let (mut several, mut several_synced) = (Runs::default(), Runs::default());
    let (mut one, mut one_synced) = (Runs::default(), Runs::default());
    for _ in 0..runs() {
        many.push(ours(daemon));
        several.push(load::producers(daemon, POOL, PRODUCERS, TASKS_OF_PRODUCER));
        one.push(quantile(&load::one_at_a_time(daemon, POOL, SINGLE), 0.5));
        if peer {
            let beanstalkd = Beanstalkd::start("-f0");
            synced.push(queue::throughput(&beanstalkd, TASKS, IN_FLIGHT));
            several_synced.push(queue::producers(&beanstalkd, PRODUCERS, TASKS_OF_PRODUCER));
            one_synced.push(quantile(&queue::one_at_a_time(&beanstalkd, SINGLE), 0.5));
            drop(beanstalkd);
            lazy.push(queue::throughput(&Beanstalkd::start("-f50"), TASKS, IN_FLIGHT));
        }
    }
    println!("\n{TASKS} tasks, one producer with {IN_FLIGHT} in flight, three workers (median, least … most)");
    println!("claude-comms, echo executor   {}", many.show("tasks/s"));
    if peer {
        println!("beanstalkd -f0                {}", synced.show("tasks/s"));
        println!("beanstalkd -f50 (may lose)    {}", lazy.show("tasks/s"));
        verdict_of_runs("submit to done, beside beanstalkd -f0", &many.over(&synced), 8.0, true);
        verdict_of_runs("submit to done, beside beanstalkd -f50", &many.over(&lazy), 1.0, true);
    }
    println!("\n{PRODUCERS} producers, each with one submit in flight, three workers");
    println!("claude-comms, echo executor   {}", several.show("tasks/s"));
    if peer {
        println!("beanstalkd -f0                {}", several_synced.show("tasks/s"));
        verdict_of_runs("8 producers, beside beanstalkd -f0", &several.over(&several_synced), 3.0, true);
    }
    println!("\none at a time, from submit to done, p50");
    println!("claude-comms, echo executor   {}", one.show("µs"));
    if peer {
        println!("beanstalkd -f0                {}", one_synced.show("µs"));
        verdict_of_runs("one task at a time, beside beanstalkd -f0", &one.over(&one_synced), 1.5, false);
    }
}

fn beside_redis(daemon: &Daemon) {
    if !has("redis-server", "Debian package redis-server") {
        return;
    }
    let (mut many, mut plain, mut together) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        many.push(ours(daemon));
        plain.push(queue::throughput(&Redis::start(false), TASKS, IN_FLIGHT));
        together.push(queue::throughput(&Redis::start(true), TASKS, IN_FLIGHT));
    }
    println!("\n{TASKS} tasks, one producer with {IN_FLIGHT} in flight, three workers");
    println!("claude-comms, echo executor   {}", many.show("tasks/s"));
    println!("Redis, log synced always      {}", plain.show("tasks/s"));
    println!("Redis, done and next at once  {}", together.show("tasks/s"));
    verdict_of_runs("submit to done, beside Redis", &many.over(&plain), 6.0, true);
    verdict_of_runs("submit to done, beside Redis, done and next at once", &many.over(&together), 6.0, true);
}

fn beside_sqlite(daemon: &Daemon, library: &str) {
    if !sqlite::is_installed(library) {
        return tell_skipped(library, "for python3, from PyPI");
    }
    let (mut many, mut theirs) = (Runs::default(), Runs::default());
    for _ in 0..runs() {
        many.push(ours(daemon));
        theirs.push(sqlite::throughput(library, TASKS_OF_SLOW));
    }
    println!(
        "\none producer, three workers; ours {TASKS} tasks, {IN_FLIGHT} in flight, theirs {TASKS_OF_SLOW} of any number"
    );
    println!("claude-comms, echo executor   {}", many.show("tasks/s"));
    println!("{library:<30}{}", theirs.show("tasks/s"));
    verdict_of_runs(&format!("submit to done, beside {library}"), &many.over(&theirs), 25.0, true);
}
