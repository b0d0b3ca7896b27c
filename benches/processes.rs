//! Tasks that are real processes, `true`: supervised, output captured, exit recorded.
//!
//! Beside what the machine can do at all, and beside other programs that run commands from a queue with three slots.
//! `cargo bench --bench processes`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod peers;
mod support;

use peers::pueue::Pueue;
use peers::task_spooler::TaskSpooler;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::load::{self, command_pool};
use support::{Daemon, PROGRAM, Runs, has, quantile, runs, scratch, tell_load, verdict_of_runs};

const POOL: &str = "true";
const TRUE: &str = "/bin/true";
const THREADS: usize = 3;
/// Multiple of [`THREADS`].
const PROCESSES: usize = 3_000;
/// Enough for a worker to find its next task there.
const IN_FLIGHT: usize = 16;
const SINGLE: usize = 500;
/// Processes that submit one task each.
const SUBMITS: usize = 300;
/// For one that starts some of them a second.
const TASKS_OF_SLOW: usize = 30;

fn main() {
    tell_load();
    let daemon = Daemon::start();
    command_pool(&daemon, POOL, &[TRUE], 100_000);
    busy_workers(&daemon);
    one_at_a_time(&daemon);
    one_process_per_submit(&daemon);
}

/// Three workers that always have a next task.
fn busy_workers(daemon: &Daemon) {
    let pueue = pueue();
    let (mut ours, mut floor, mut theirs) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        ours.push(load::throughput(daemon, POOL, PROCESSES, IN_FLIGHT));
        floor.push(spawn_rate());
        if let Some(pueue) = &pueue {
            theirs.push(pueue.throughput(TASKS_OF_SLOW));
        }
    }
    println!("\nprocesses `true`, three at a time (median, least … most)");
    println!("claude-comms                  {}", ours.show("tasks/s"));
    println!("bare, from {THREADS} threads          {}", floor.show("processes/s"));
    verdict_of_runs("processes, beside three threads that spawn", &ours.over(&floor), 0.6, true);
    if pueue.is_some() {
        println!("pueue, from first start to end{}", theirs.show("tasks/s"));
        verdict_of_runs("processes, beside pueue with three slots", &ours.over(&theirs), 80.0, true);
    }
}

fn one_at_a_time(daemon: &Daemon) {
    let (mut ours, mut floor) = (Runs::default(), Runs::default());
    for _ in 0..runs() {
        ours.push(quantile(&load::one_at_a_time(daemon, POOL, SINGLE), 0.5));
        floor.push(quantile(&spawns_and_appends(), 0.5));
    }
    println!("\none process `true` at a time, from submit to done, p50");
    println!("claude-comms                  {}", ours.show("µs"));
    println!("spawn + append + sync         {}", floor.show("µs"));
    let what = "one process at a time, beside a bare spawn and a synced append";
    verdict_of_runs(what, &ours.over(&floor), 1.5, false);
}

/// As a shell script would do it. All of it until the last task has ended, as that is what somebody waits for.
fn one_process_per_submit(daemon: &Daemon) {
    let spooler = has("tsp", "Debian package task-spooler").then(TaskSpooler::start);
    let pueue = pueue();
    let (mut ours, mut spooled, mut theirs) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        ours.push(submits(daemon));
        if let Some(spooler) = &spooler {
            spooled.push(spooler.submits(SUBMITS));
        }
        if let Some(pueue) = &pueue {
            theirs.push(pueue.submits(TASKS_OF_SLOW));
        }
    }
    println!("\none process of the command line for each task `true`, from the first submit to the last end");
    println!("claude-comms                  {}", ours.show("tasks/s"));
    if spooler.is_some() {
        println!("task-spooler (keeps nothing)  {}", spooled.show("tasks/s"));
        verdict_of_runs("a process per submit, beside task-spooler", &ours.over(&spooled), 0.8, true);
    }
    if pueue.is_some() {
        println!("pueue                         {}", theirs.show("tasks/s"));
        verdict_of_runs("a process per submit, beside pueue", &ours.over(&theirs), 15.0, true);
    }
}

fn pueue() -> Option<Pueue> {
    (has("pueued", "crate pueue") && has("pueue", "crate pueue")).then(Pueue::start)
}

/// Tasks per second, each submitted by a process of its own.
fn submits(daemon: &Daemon) -> f64 {
    let mut follower = load::follower(daemon, POOL);
    let start = Instant::now();
    for _ in 0..SUBMITS {
        let mut program = Command::new(PROGRAM);
        program.arg("--state-dir").arg(daemon.dir.path()).args(["pool", "run", POOL, "--no-wait", "x"]);
        let status = program.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{status}");
    }
    load::ended(&mut follower, SUBMITS);
    SUBMITS as f64 / start.elapsed().as_secs_f64()
}

/// Processes per second of three threads that do nothing but spawn, read what comes, and wait.
fn spawn_rate() -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..PROCESSES / THREADS {
                    let mut command = Command::new(TRUE);
                    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
                    assert!(child.wait_with_output().unwrap().status.success());
                }
            });
        }
    });
    PROCESSES as f64 / start.elapsed().as_secs_f64()
}

/// The least that a durable process costs on this machine: times in microseconds.
fn spawns_and_appends() -> Vec<f64> {
    let dir = scratch();
    let mut file = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut one = || {
        let start = Instant::now();
        let status = Command::new(TRUE).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        file.write_all(format!("{status}\n").as_bytes()).unwrap();
        file.sync_data().unwrap();
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..SINGLE).map(|_| one()).collect()
}
