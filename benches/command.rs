//! What the program costs when it does next to nothing: a cold `poll status`, a stop, an idle daemon.
//!
//! `cargo bench --bench command`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::control::wire::{PoolCreate, Request};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Daemon, PROGRAM, Runs, runs, tell_load, verdict, verdict_at_most};

/// Processes of each kind in one run.
const PROCESSES: usize = 200;
const IDLE_POOLS: usize = 4;
/// The daemon has settled after this.
const SETTLED: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    tell_load();
    cold_status();
    stop_when_idle();
    idle_daemon();
}

fn cold_status() {
    let daemon = Daemon::start();
    let (mut ours, mut floor, mut ratios) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        let (mut of_ours, mut of_floor) = (Vec::new(), Vec::new());
        // Alternating, so that a neighbour disturbs both.
        for _ in 0..PROCESSES {
            of_floor.push(microseconds(&mut Command::new("/bin/true")));
            of_ours.push(microseconds(program(&daemon).args(["poll", "status"])));
        }
        let (mine, least) = (support::quantile(&of_ours, 0.5), support::quantile(&of_floor, 0.5));
        ours.push(mine);
        floor.push(least);
        ratios.push(mine / least);
    }
    println!("\none process, from fork to wait, p50 of {PROCESSES}");
    println!("poll status                   {}", ours.show("µs"));
    println!("/bin/true                     {}", floor.show("µs"));
    println!("ratio                         {}", ratios.show("×"));
    verdict("cold poll status, beside /bin/true", ratios.median(), 2.0, false);
}

fn stop_when_idle() {
    let mut times = Runs::default();
    for _ in 0..runs() {
        let daemon = Daemon::start();
        times.push(microseconds(program(&daemon).args(["poll", "stop"])) / 1e6);
    }
    println!("\npoll stop of an idle daemon   {}", times.show("s"));
    verdict_at_most("poll stop of an idle daemon", times.median(), 1.0, "s");
}

fn idle_daemon() {
    let (mut at_start, mut settled, mut with_pools) = (Runs::default(), Runs::default(), Runs::default());
    let (mut wakes, mut processor) = (Runs::default(), Runs::default());
    for _ in 0..runs() {
        let daemon = Daemon::start();
        at_start.push(daemon.resident_megabytes());
        std::thread::sleep(SETTLED);
        settled.push(daemon.resident_megabytes());
        let mut client = daemon.client();
        for number in 0..IDLE_POOLS {
            let pool_id = format!("idle-{number}");
            let pool = PoolCreate { pool_id: Some(pool_id), executor: Some("echo".into()), ..PoolCreate::default() };
            client.call::<serde_json::Value>(&Request::PoolCreate(pool)).unwrap();
        }
        drop(client);
        std::thread::sleep(SETTLED);
        let before = (daemon.wake_ups(), daemon.processor_seconds());
        std::thread::sleep(IDLE);
        wakes.push((daemon.wake_ups() - before.0) / IDLE.as_secs_f64());
        processor.push((daemon.processor_seconds() - before.1) / IDLE.as_secs_f64() * 100.0);
        with_pools.push(daemon.resident_megabytes());
    }
    println!("\nan idle daemon");
    println!("memory after the start        {}", at_start.show("MB"));
    println!("memory 5 s later              {}", settled.show("MB"));
    println!("memory with {IDLE_POOLS} pools more      {}", with_pools.show("MB"));
    println!("wake-ups with {IDLE_POOLS} pools more    {}", wakes.show("/s"));
    println!("processor with {IDLE_POOLS} pools more   {}", processor.show("% of one"));
    verdict_at_most("memory of an idle daemon", settled.median(), 12.0, "MB");
    verdict_at_most("memory with four idle pools", with_pools.median(), 15.0, "MB");
    verdict_at_most("wake-ups with four idle pools", wakes.median(), 1.0, "/s");
}

fn program(daemon: &Daemon) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--state-dir").arg(daemon.dir.path());
    command
}

/// How long the process takes from the fork until it has been waited for.
fn microseconds(command: &mut Command) -> f64 {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let elapsed = start.elapsed().as_secs_f64() * 1e6;
    assert!(status.success(), "{status}");
    elapsed
}
