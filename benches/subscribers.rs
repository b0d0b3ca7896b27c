//! What it costs to tell thousands of WebSocket subscribers, and how soon they know.
//!
//! The same crowd of clients, on one thread of this process, listens to the daemon and to servers that tell the same frames;
//! a delivery is one event at one client, which checks that it hears of each once and in order. What a server's process was
//! charged with by the scheduler is divided by that; ours also commits each event to disk. `cargo bench --bench subscribers`,
//! with names of its parts (many, most, delays, stalled) for those alone.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod peers;
mod support;

use claude_comms::control::wire::{DaemonStatus, Empty, Request};
use claude_comms::control::{Client, Followed};
use peers::broadcaster::Broadcaster;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::crowd::{Crowd, follow, raise_descriptors};
use support::load::PATIENCE;
use support::{Daemon, Process, Runs, quantile, runs, scratch, tell_load, verdict, verdict_at_most, verdict_of_runs};

const CONNECTIONS_MAX: usize = 6_000;
/// Subscribers, events a second, and events in one run.
const MANY: (usize, u32, u64) = (1_000, 50, 100);
const MOST: (usize, u32, u64) = (5_000, 10, 20);
/// Events of one burst.
const BURST: u64 = 1_000;
/// Publications that wait for their answer at most.
const IN_FLIGHT_MAX: u64 = 500;
/// Those whose delays are measured, how often something happens, and how much in one run.
const FEW: (usize, u32, u64) = (100, 200, 200);
const STALLED: usize = 100;
/// More than is kept in memory.
const FILLING: u64 = 16_000;

fn main() {
    raise_descriptors();
    tell_load();
    let parts: [(&str, fn()); 4] = [("many", many), ("most", most), ("delays", delays), ("stalled", stalled)];
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for (name, part) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            part();
        }
    }
}

/// Somebody who tells a crowd.
struct Server {
    name: &'static str,
    source: Source,
    process: Process,
    /// The number of the next event.
    next: u64,
}

enum Source {
    Daemon(Box<(Daemon, Client)>),
    Peer(Broadcaster),
}

impl Server {
    fn ours() -> Server {
        let dir = scratch();
        std::fs::write(dir.path().join("config.toml"), format!("[web]\nconnections_max = {CONNECTIONS_MAX}\n"))
            .unwrap();
        let daemon = Daemon::start_with(dir, &["--listen", "127.0.0.1:0"]);
        let (process, client) = (Process(daemon.pid()), daemon.client());
        Server { name: "claude-comms", source: Source::Daemon(Box::new((daemon, client))), process, next: 0 }
    }

    /// Ours first, and those peers that are installed.
    fn all() -> Vec<Server> {
        let peer = |name, peer: Broadcaster| {
            let process = Process(peer.pid());
            Server { name, source: Source::Peer(peer), process, next: 0 }
        };
        let python = Broadcaster::websockets().map(|server| peer("websockets (Python)", server));
        let node = Broadcaster::ws().map(|server| peer("ws (npm)", server));
        [Some(Server::ours()), python, node].into_iter().flatten().collect()
    }

    fn address(&mut self) -> String {
        match &mut self.source {
            Source::Daemon(daemon) => {
                let status: DaemonStatus = daemon.1.call(&Request::PollStatus(Empty {})).unwrap();
                status.listen.unwrap()
            }
            Source::Peer(peer) => peer.address.clone(),
        }
    }

    /// Connections that follow, ours at the default rate unless told otherwise.
    fn followers(&mut self, count: usize, rate_hz: Option<u32>) -> Vec<TcpStream> {
        let address = self.address();
        let rate = rate_hz.map(|rate| format!(",\"max_rate_hz\":{rate}")).unwrap_or_default();
        let request = format!(r#"{{"type":"subscribe","data":{{"channel":"load:bench"{rate}}}}}"#);
        let (request, until) = match &self.source {
            Source::Daemon(_) => (Some(request.as_str()), "\"subscribed\""),
            Source::Peer(_) => (None, "welcome"),
        };
        (0..count).map(|_| follow(&address, request, until)).collect()
    }

    /// How many are connected to ours.
    fn connections(&mut self) -> usize {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let number = text.lines().find_map(|line| line.strip_prefix("claude_comms_ws_connections "));
        number.unwrap().parse().unwrap()
    }

    fn crowd(&mut self, count: usize, rate_hz: Option<u32>) -> Crowd {
        let streams = self.followers(count, rate_hz);
        Crowd::gather(self.next, streams)
    }

    /// As fast as it goes.
    fn publish(&mut self, count: u64) {
        let numbers = self.next..self.next + count;
        self.next += count;
        match &mut self.source {
            Source::Daemon(daemon) => publish(&mut daemon.1, numbers),
            Source::Peer(peer) => peer.tell(&numbers.map(frame).collect::<String>()),
        }
    }

    /// One after the other, evenly, so many a second.
    fn publish_paced(&mut self, count: u64, rate_hz: u32) {
        paced(count, rate_hz, |_| self.publish(1));
    }

    /// Microseconds of processor for each delivery while `publish` does its work.
    fn cost(&mut self, crowd: &Crowd, publish: impl FnOnce(&mut Server)) -> f64 {
        let before = self.process.processor_seconds();
        let first = self.next;
        publish(self);
        crowd.wait_for(self.next);
        let deliveries = (self.next - first) * crowd.size as u64;
        (self.process.processor_seconds() - before) * 1e6 / deliveries as f64
    }
}

/// Does something so often, evenly, so many times a second.
fn paced(count: u64, rate_hz: u32, mut act: impl FnMut(u64)) {
    let start = Instant::now();
    for number in 0..count {
        let due = start + Duration::from_secs(1) * number as u32 / rate_hz;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        act(number);
    }
}

/// Over one connection, with many that wait for their answer; returns when all are on disk.
fn publish(client: &mut Client, numbers: std::ops::Range<u64>) {
    let (mut next, mut in_flight) = (numbers.start, 0);
    while next < numbers.end || in_flight > 0 {
        let mut lines = String::new();
        while next < numbers.end && in_flight < IN_FLIGHT_MAX {
            let args = format!(r#"{{"channel":"load:bench","event":"load.tick","data":{{{}}}}}"#, data(next));
            writeln!(lines, r#"{{"v":1,"id":1,"command":"event.publish","args":{args}}}"#).unwrap();
            next += 1;
            in_flight += 1;
        }
        client.send_lines(lines.as_bytes()).unwrap();
        while in_flight > 0 && (next == numbers.end || in_flight > IN_FLIGHT_MAX / 2) {
            match client.receive(Some(PATIENCE)).unwrap() {
                Followed::Answer { result, .. } => drop(result.unwrap()),
                Followed::Frame(frame) => panic!("nobody asked for {frame}"),
            }
            in_flight -= 1;
        }
    }
}

fn data(number: u64) -> String {
    format!(r#""n":{number},"note":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#)
}

/// What ours makes of it, as a line.
fn frame(number: u64) -> String {
    let data = data(number);
    format!(
        "{{\"id\":\"{number}\",\"correlation_id\":null,\"type\":\"event\",\"event\":\"load.tick\",\
         \"data\":{{{data},\"severity\":\"info\"}},\"timestamp\":\"2026-01-01T00:00:00.000000+00:00\",\
         \"room\":\"load:bench\",\"error_code\":null,\"error_message\":null,\"seq\":{number}}}\n"
    )
}

/// Costs of a delivery, run by run, of each server.
fn costs(servers: &mut [Server], crowds: &[Crowd], publish: impl Fn(&mut Server)) -> Vec<Runs> {
    let mut costs: Vec<Runs> = servers.iter().map(|_| Runs::default()).collect();
    for _ in 0..runs() {
        for ((server, crowd), costs) in servers.iter_mut().zip(crowds).zip(&mut costs) {
            costs.push(server.cost(crowd, &publish));
        }
    }
    costs
}

/// Ours beside each of the others.
fn tell_costs(what: &str, servers: &[Server], costs: &[Runs], asked: f64) {
    println!("\nprocessor for each delivery, {what} (median, least … most)");
    for (server, costs) in servers.iter().zip(costs) {
        println!("{:<29} {}", server.name, costs.show("µs"));
    }
    for (peer, theirs) in servers.iter().zip(costs).skip(1) {
        verdict_of_fraction(&format!("{what}, beside {}", peer.name), &costs[0], theirs, asked);
    }
}

/// `asked` is the whole number that theirs is to be divided by.
fn verdict_of_fraction(what: &str, ours: &Runs, theirs: &Runs, asked: f64) {
    verdict_of_runs(&format!("{what}: how often ours fits into theirs"), &theirs.over(ours), asked, true);
}

fn many() {
    let (size, rate, events) = MANY;
    let mut servers = Server::all();
    let crowds: Vec<Crowd> = servers.iter_mut().map(|server| server.crowd(size, None)).collect();
    let paced = costs(&mut servers, &crowds, |server| server.publish_paced(events, rate));
    tell_costs(&format!("{size} subscribers, {rate} events/s"), &servers, &paced, 2.0);
    let bursts = costs(&mut servers, &crowds, |server| server.publish(BURST));
    tell_costs(&format!("{size} subscribers, bursts of {BURST} events"), &servers, &bursts, 75.0);
}

fn most() {
    let (size, rate, events) = MOST;
    let mut servers = Server::all();
    let crowds: Vec<Crowd> = servers.iter_mut().map(|server| server.crowd(size, None)).collect();
    let paced = costs(&mut servers, &crowds, |server| server.publish_paced(events, rate));
    tell_costs(&format!("{size} subscribers, {rate} events/s"), &servers, &paced, 2.0);
    let resident: Vec<f64> = servers.iter().map(|server| server.process.resident_megabytes()).collect();
    println!("\nmemory with {size} subscribers");
    for (server, resident) in servers.iter().zip(&resident) {
        println!("{:<29} {resident:>10.1} MB", server.name);
    }
    for (peer, theirs) in servers.iter().zip(&resident).skip(1) {
        verdict(&format!("memory, beside {}", peer.name), resident[0] / theirs, 0.125, false);
    }
}

/// From the decision until a client has the event, the commit included.
fn delays() {
    let (size, rate, events) = FEW;
    let mut server = Server::ours();
    let crowd = server.crowd(size, Some(0));
    let (mut median, mut p99) = (Runs::default(), Runs::default());
    for _ in 0..runs() {
        crowd.delays();
        server.publish_paced(events, rate);
        crowd.wait_for(server.next);
        let delays = crowd.delays();
        median.push(quantile(&delays, 0.5));
        p99.push(quantile(&delays, 0.99));
    }
    println!("\nfrom an event's timestamp until a client has it, {size} subscribers told at once");
    println!("p50                           {}", median.show("ms"));
    println!("p99                           {}", p99.show("ms"));
    verdict_at_most("event until client, p99", p99.median(), 10.0, "ms");
}

/// Subscribers that never read: what they cost, and whether the others notice.
fn stalled() {
    let (size, rate, events) = FEW;
    let mut servers = [0, 1, STALLED].map(|count| (Server::ours(), count));
    let stalled: Vec<_> = servers.iter_mut().map(|(server, count)| server.followers(*count, Some(0))).collect();
    let mut resident = Vec::new();
    for (server, _) in &mut servers {
        server.publish(FILLING);
        resident.push(server.process.resident_megabytes());
    }
    println!("\nmemory when more has happened than is kept in it, by subscribers that never read");
    for ((_, count), resident) in servers.iter().zip(&resident) {
        println!("{count:>4}                          {resident:>10.2} MB");
    }
    verdict("memory with 100 that never read, beside one", resident[2] / resident[1], 1.05, false);

    let [(without, _), _, (with, _)] = &mut servers;
    let mut contenders = [without, with].map(|server| {
        let crowd = server.crowd(size, Some(0));
        (server, crowd, Runs::default())
    });
    for _ in 0..runs() {
        for (_, crowd, _) in &contenders {
            crowd.delays();
        }
        // In turns, and each first every other time: whatever else the machine does disturbs both.
        paced(2 * events, 2 * rate, |number| contenders[usize::from(matches!(number % 4, 1 | 2))].0.publish(1));
        for (server, crowd, p99) in &mut contenders {
            crowd.wait_for(server.next);
            p99.push(quantile(&crowd.delays(), 0.99));
        }
    }
    let [(.., alone), (server, _, beside)] = &mut contenders;
    assert_eq!(server.connections(), STALLED + size, "of those that never read, some were given up meanwhile");
    println!("\nfrom an event's timestamp until one of {size} clients has it, p99");
    println!("alone                         {}", alone.show("ms"));
    println!("beside {STALLED} that never read     {}", beside.show("ms"));
    verdict_of_runs("p99 beside subscribers that never read", &beside.over(alone), 1.1, false);
    drop(stalled);
}
