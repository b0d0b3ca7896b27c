//! What polling costs: a hundred upstreams at once, and one cycle beside the time that its server takes.
//!
//! `cargo bench --bench upstreams`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::resilience::Effects;
use claude_comms::upstream::{CycleOutcome, DEFAULT_TOOLS, Poller, PollerSettings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::mcp_server::{Arrival, McpServer};
use support::{Daemon, Runs, quantile, runs, scratch, tell_load, verdict_at_most};

const UPSTREAMS: usize = 100;
/// The least that a setting allows.
const INTERVAL: Duration = Duration::from_secs(5);
/// First cycles are spread over a second, and bring the tables and histograms into being.
const SETTLED: Duration = Duration::from_secs(11);
/// Of one run.
const WATCHED: Duration = Duration::from_secs(20);
/// Cycles of one run, one after the other.
const CYCLES: usize = 40;
/// What the server needs for one tool.
const WORK: Duration = Duration::from_millis(5);

fn main() {
    tell_load();
    cycles();
    a_hundred();
}

fn a_hundred() {
    let server = McpServer::start(Duration::ZERO);
    let dir = scratch();
    let config = dir.path().join("config.toml");
    let upstream = |number| {
        let endpoint = server.endpoint(&format!("u{number}"));
        format!(
            "[[upstream]]\nname = \"u{number}\"\nendpoint = \"{endpoint}\"\nenabled = true\ninterval_seconds = 5\ntimeout_seconds = 1\n"
        )
    };
    std::fs::write(&config, (0..UPSTREAMS).map(upstream).collect::<String>()).unwrap();
    let daemon = Daemon::start_with(dir, &["--config", config.to_str().unwrap(), "--listen", "none"]);
    std::thread::sleep(SETTLED);
    let (mut processor, mut memory, mut lateness) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        server.arrivals();
        let (before, start) = (daemon.processor_ticks(), Instant::now());
        std::thread::sleep(WATCHED);
        // In hundredths of a second: per cent of one processor.
        processor.push((daemon.processor_ticks() - before) / start.elapsed().as_secs_f64());
        memory.push(daemon.resident_megabytes());
        lateness.push(quantile(&milliseconds_late(&server.arrivals()), 0.99));
    }
    println!("\n{UPSTREAMS} upstreams with four tools each, every {INTERVAL:?}, watched for {WATCHED:?}");
    println!("processor                     {}", processor.show("% of one"));
    println!("memory                        {}", memory.show("MB"));
    println!("cycles begin late, p99        {}", lateness.show("ms"));
    verdict_at_most("processor of a daemon that polls a hundred upstreams", processor.median(), 3.0, "%");
    verdict_at_most("its memory", memory.median(), 40.0, "MB");
    verdict_at_most("how late its cycles begin, p99", lateness.median(), 100.0, "ms");
}

/// How long after their times the cycles began. The plan of an upstream is one grid, and the earliest arrival with regard to
/// it stands for no lateness.
fn milliseconds_late(arrivals: &[Arrival]) -> Vec<f64> {
    let mut late = Vec::new();
    for number in 0..UPSTREAMS {
        let name = format!("u{number}");
        let of_this = arrivals.iter().filter(|arrival| arrival.upstream == name && arrival.tool == DEFAULT_TOOLS[0]);
        let times: Vec<Instant> = of_this.map(|arrival| arrival.at).collect();
        let expected = (WATCHED.as_secs_f64() / INTERVAL.as_secs_f64()) as usize;
        assert!(times.len() + 1 >= expected, "{name} was polled {} times", times.len());
        let first = times[0];
        let off_grid = |(cycle, at): (usize, &Instant)| {
            at.duration_since(first).as_secs_f64() - INTERVAL.as_secs_f64() * cycle as f64
        };
        let off: Vec<f64> = times.iter().enumerate().map(off_grid).collect();
        let earliest = quantile(&off, 0.0);
        late.extend(off.iter().map(|seconds| (seconds - earliest) * 1e3));
    }
    late
}

fn cycles() {
    let server = McpServer::start(WORK);
    let settings = PollerSettings::new("bench", &server.endpoint("bench"));
    let poller = Poller::new(settings, &Effects::system(), Arc::new(())).unwrap();
    // The handshake belongs to the life of the server, not to a cycle.
    assert_eq!(poller.poll_once().outcome, CycleOutcome::Ok);
    let (mut whole, mut served, mut beyond) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        let (mut times, mut of_server, mut differences) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CYCLES {
            server.arrivals();
            let start = Instant::now();
            assert_eq!(poller.poll_once().outcome, CycleOutcome::Ok);
            let took = start.elapsed().as_secs_f64() * 1e3;
            let took_server = server.arrivals().iter().map(|arrival| arrival.took.as_secs_f64() * 1e3).sum::<f64>();
            times.push(took);
            of_server.push(took_server);
            differences.push(took - 1.2 * took_server);
        }
        whole.push(quantile(&times, 0.5));
        served.push(quantile(&of_server, 0.5));
        beyond.push(quantile(&differences, 0.5));
    }
    println!("\none cycle of four tools, p50 of {CYCLES}");
    println!("the cycle                     {}", whole.show("ms"));
    println!("of that, in the server        {}", served.show("ms"));
    verdict_at_most("a cycle beyond 1.2 times what its server takes", beyond.median(), 2.0, "ms");
}
