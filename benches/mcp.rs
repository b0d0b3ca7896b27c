//! Tools called over HTTP on connections that are kept, beside servers of FastMCP and of the SDK of TypeScript that answer the same
//! from memory; messages that are on the disk when the call is answered; calls beside many who wait.
//!
//! One thread calls on eight connections, one call in flight on each, and reads no more of an answer than where it ends. It has the
//! same two processors as the server. The floor is a thread that knows how long a request is and sends the bytes of our answer,
//! one read and one write for each: less than that nobody can do over a socket. `cargo bench --bench mcp`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod peers;
mod support;

use claude_comms::control::wire::{Empty, Request};
use peers::mcp::Peer;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Daemon, PROGRAM, Process, Runs, quantile, runs, scratch, tell_load, tell_skipped};
use support::{verdict_at_most, verdict_of_runs};

const CONNECTIONS: usize = 8;
/// Calls of one run.
const CALLS: usize = 20_000;
const CALLS_DURABLE: usize = 5_000;
const CALLS_OF_FASTMCP: usize = 400;
const CALLS_OF_TYPESCRIPT: usize = 2_000;
const IDLE_CONNECTIONS: usize = 1_000;
const STREAMS: usize = 200;
const MODERN: &str = "2026-07-28";

/// Where calls go, with what every one of them needs.
struct Server {
    address: String,
    pid: u32,
    headers: String,
}

/// What one run came to.
struct Run {
    calls_per_second: f64,
    /// Of the server, for one call.
    processor_micros: f64,
    p99_millis: f64,
}

fn main() {
    tell_load();
    let daemon = Daemon::start_with(scratch(), &["--listen", "127.0.0.1:0"]);
    let ours = Server::ours(&daemon);
    let answer = ours.structured("list_pools", &json!({})).to_string();
    let peers = peers(&answer);
    calls(&ours, &peers);
    waiting(&ours, &daemon);
}

/// Those that are installed: their names, how many calls a run has, what is asked for.
fn peers(answer: &str) -> Vec<(&'static str, usize, f64, Peer, Server)> {
    let found = [
        ("FastMCP 3.4", CALLS_OF_FASTMCP, 100.0, Peer::fastmcp("CLAUDE_COMMS_FASTMCP3", answer)),
        ("FastMCP 4.2", CALLS_OF_FASTMCP, 100.0, Peer::fastmcp("CLAUDE_COMMS_FASTMCP4", answer)),
        ("the SDK of TypeScript", CALLS_OF_TYPESCRIPT, 30.0, Peer::typescript(answer)),
    ];
    let there = found.into_iter().filter_map(|(name, calls, asked, peer)| {
        let Some(peer) = peer else {
            tell_skipped(name, "see .ci/run");
            return None;
        };
        let server = Server::peer(&peer);
        assert_eq!(server.structured("list_pools", &json!({}))["pools"][0]["pool_id"], "local", "{name}");
        Some((name, calls, asked, peer, server))
    });
    there.collect()
}

/// Calls without storage and with it, beside the peers.
fn calls(ours: &Server, peers: &[(&'static str, usize, f64, Peer, Server)]) {
    let list = |server: &Server| server.requests("list_pools", &json!({}));
    let status = |server: &Server| server.requests("get_pool_status", &json!({"pool_id": "local"}));
    let sent = ours.structured("send_message", &message(None));
    let send = ours.requests("send_message", &message(sent["thread_id"].as_str()));
    let (mut listing, mut listing_cpu, mut p99) = (Runs::default(), Runs::default(), Runs::default());
    let (mut asking, mut durable, mut floor) = (Runs::default(), Runs::default(), Runs::default());
    let bare = Server::floor(ours, &list(ours));
    let mut theirs: Vec<[Runs; 3]> = peers.iter().map(|_| Default::default()).collect();
    for _ in 0..runs() {
        let run = ours.run(&list(ours), CALLS);
        listing.push(run.calls_per_second);
        listing_cpu.push(run.processor_micros);
        p99.push(run.p99_millis);
        asking.push(ours.run(&status(ours), CALLS).calls_per_second);
        durable.push(ours.run(&send, CALLS_DURABLE).calls_per_second);
        floor.push(bare.run(&list(ours), CALLS).calls_per_second);
        for ((_, calls, _, _, server), runs) in peers.iter().zip(&mut theirs) {
            let run = server.run(&list(server), *calls);
            runs[0].push(run.calls_per_second);
            runs[1].push(run.processor_micros);
            runs[2].push(server.run(&status(server), *calls).calls_per_second);
        }
    }
    println!("\ntools called on {CONNECTIONS} connections (median, least … most)");
    println!("list_pools             {}, {}", listing.show("calls/s"), listing_cpu.show("µs of processor a call"));
    println!("get_pool_status        {}", asking.show("calls/s"));
    println!("send_message, durable  {}", durable.show("calls/s"));
    println!("the floor              {}", floor.show("calls/s"));
    println!("list_pools beside the floor {}", listing.over(&floor).show("×"));
    for ((name, ..), runs) in peers.iter().zip(&theirs) {
        println!("{name}: list_pools      {}, {}", runs[0].show("calls/s"), runs[1].show("µs of processor a call"));
        println!("{name}: get_pool_status {}", runs[2].show("calls/s"));
    }
    verdict_at_most(&format!("p99 of list_pools on {CONNECTIONS} connections"), p99.median(), 2.0, "ms");
    for ((name, _, asked, ..), runs) in peers.iter().zip(&theirs) {
        verdict_of_runs(&format!("list_pools beside {name}"), &listing.over(&runs[0]), *asked, true);
        verdict_of_runs(&format!("get_pool_status beside {name}"), &asking.over(&runs[2]), *asked, true);
        if name.starts_with("FastMCP") {
            verdict_of_runs(&format!("processor of a call beside {name}"), &listing_cpu.over(&runs[1]), 0.01, false);
            let what = format!("a durable message a call beside list_pools of {name}");
            verdict_of_runs(&what, &durable.over(&runs[0]), 20.0, true);
        }
    }
}

fn message(thread: Option<&str>) -> Value {
    let content = "Which port does the staging server listen on, and who may open it from outside?";
    let mut message = json!({"from": "/tmp", "to": "/usr", "content": content});
    if let Some(thread) = thread {
        message["thread_id"] = thread.into();
    }
    message
}

/// What those cost who wait, and what they do to the others.
fn waiting(ours: &Server, daemon: &Daemon) {
    // Both ends of all connections, and some.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap();
    let list = ours.requests("list_pools", &json!({}));
    let (mut alone, mut beside) = (Runs::default(), Runs::default());
    let (mut idle_kilobytes, mut stream_kilobytes) = (Runs::default(), Runs::default());
    for runs in 0..runs() {
        alone.push(ours.run(&list, CALLS).p99_millis);
        let before = daemon.resident_megabytes();
        let idle: Vec<TcpStream> = (0..IDLE_CONNECTIONS).map(|_| ours.after_a_call(&list[0])).collect();
        let with_idle = daemon.resident_megabytes();
        let streams: Vec<TcpStream> = (0..STREAMS).map(|_| ours.stream()).collect();
        let with_streams = daemon.resident_megabytes();
        if runs == 0 {
            // Later ones find what the first have left.
            idle_kilobytes.push((with_idle - before) * 1024.0 / IDLE_CONNECTIONS as f64);
            stream_kilobytes.push((with_streams - with_idle) * 1024.0 / STREAMS as f64);
        }
        beside.push(ours.run(&list, CALLS).p99_millis);
        drop((idle, streams));
        // Until all have been let go.
        while open_files(daemon.pid()) > 100 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    println!("\nbeside {IDLE_CONNECTIONS} idle connections and {STREAMS} streams (median, least … most)");
    println!("p99 alone  {}", alone.show("ms"));
    println!("p99 beside {}", beside.show("ms"));
    verdict_at_most("memory of an idle connection", idle_kilobytes.median(), 64.0, "kB");
    verdict_at_most("memory of a stream", stream_kilobytes.median(), 64.0, "kB");
    verdict_of_runs("p99 beside those who wait", &beside.over(&alone), 2.0, false);
}

/// Open files of a process.
fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

impl Server {
    fn ours(daemon: &Daemon) -> Server {
        let status: Value = daemon.client().call(&Request::PollStatus(Empty {})).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("--state-dir").arg(daemon.dir.path()).args(["config", "token"]);
        let token = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let headers = format!("Authorization: Bearer {}\r\n", token.trim());
        let address = status["listen"].as_str().unwrap().to_owned();
        Server { address, pid: daemon.pid(), headers }.initialized()
    }

    fn peer(peer: &Peer) -> Server {
        let server = Server { address: peer.address.clone(), pid: peer.pid(), headers: String::new() };
        let start = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "{} does not answer", server.address);
            std::thread::sleep(Duration::from_millis(10));
        }
        server.initialized()
    }

    /// The same answers as `other` gives, from a thread of this process that looks at nothing. It ends with the process.
    fn floor(other: &Server, requests: &[Vec<u8>]) -> Server {
        let (head, body) = Connection::open(&other.address).exchange(&requests[0]);
        let answer = format!("{head}\r\n\r\n{body}").into_bytes();
        let request_bytes = requests[0].len();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            loop {
                let some: Vec<TcpStream> = (0..CONNECTIONS).map(|_| listener.accept().unwrap().0).collect();
                answer_all(some, request_bytes, &answer);
            }
        });
        Server { address, pid: std::process::id(), headers: String::new() }
    }

    /// With a session, where the server wants one.
    fn initialized(mut self) -> Server {
        let client = json!({"name": "bench", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let mut connection = Connection::open(&self.address);
        let (head, _) = connection.exchange(&self.post(&body, ""));
        let session = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        self.headers += "MCP-Protocol-Version: 2025-11-25\r\n";
        if let Some(session) = session {
            self.headers += &format!("Mcp-Session-Id: {session}\r\n");
        }
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        connection.exchange(&self.post(&body, ""));
        self
    }

    fn post(&self, body: &Value, more: &str) -> Vec<u8> {
        let (address, headers, body) = (&self.address, &self.headers, body.to_string());
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{headers}{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// One for each connection: in a session, what is under way has ids of its own.
    fn requests(&self, tool: &str, arguments: &Value) -> Vec<Vec<u8>> {
        let params = json!({"name": tool, "arguments": arguments});
        let body = |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        (100..100 + CONNECTIONS).map(|id| self.post(&body(id), "")).collect()
    }

    /// What a tool answers.
    fn structured(&self, tool: &str, arguments: &Value) -> Value {
        let (_, body) = Connection::open(&self.address).exchange(&self.requests(tool, arguments)[0]);
        let start = body.find('{').unwrap_or_else(|| panic!("{tool}: {body}"));
        let end = body.rfind('}').unwrap();
        let answer: Value = serde_json::from_str(&body[start..=end]).unwrap();
        assert!(answer["result"]["structuredContent"].is_object(), "{tool}: {answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// So many calls on all connections together, one in flight on each.
    fn run(&self, requests: &[Vec<u8>], calls: usize) -> Run {
        let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| Connection::open(&self.address)).collect();
        // Warm, on each side.
        connections.iter_mut().zip(requests).for_each(|(connection, request)| drop(connection.exchange(request)));
        let (start, processor) = (Instant::now(), Process(self.pid).processor_seconds());
        let mut latencies = Vec::with_capacity(calls);
        together(&mut connections, requests, calls, &mut latencies);
        let seconds = start.elapsed().as_secs_f64();
        Run {
            calls_per_second: calls as f64 / seconds,
            processor_micros: (Process(self.pid).processor_seconds() - processor) * 1e6 / calls as f64,
            p99_millis: quantile(&latencies, 0.99),
        }
    }

    /// A connection that has been used, and is kept.
    fn after_a_call(&self, request: &[u8]) -> TcpStream {
        let mut connection = Connection::open(&self.address);
        connection.exchange(request);
        connection.stream
    }

    /// A stream of changes, which has begun.
    fn stream(&self) -> TcpStream {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}});
        let params = json!({"notifications": {"resourceSubscriptions": ["comms://pools/local"]}, "_meta": meta});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params});
        let headers = self.headers.replace("2025-11-25", MODERN);
        let modern = Server { address: self.address.clone(), pid: self.pid, headers };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(&modern.post(&body, "Mcp-Method: subscriptions/listen\r\n")).unwrap();
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while !said.windows(12).any(|part| part == b"acknowledged") {
            let bytes = stream.read(&mut buffer).unwrap();
            assert!(bytes > 0, "{}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&buffer[..bytes]);
        }
        stream
    }
}

/// Calls on all connections, one in flight on each.
fn together(connections: &mut [Connection], requests: &[Vec<u8>], calls: usize, latencies: &mut Vec<f64>) {
    let mut in_flight: Vec<(&mut Connection, &Vec<u8>)> = connections.iter_mut().zip(requests).collect();
    in_flight.iter_mut().for_each(|(connection, request)| connection.send(request));
    let mut sent = in_flight.len();
    while !in_flight.is_empty() {
        let mut fds: Vec<PollFd<'_>> = in_flight.iter().map(|(it, _)| PollFd::new(&it.stream, PollFlags::IN)).collect();
        poll(&mut fds, None).unwrap();
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.iter();
        in_flight.retain_mut(|(connection, request)| {
            if ready.next() != Some(&true) || connection.read().is_none() {
                return true;
            }
            latencies.push(connection.sent_at.elapsed().as_secs_f64() * 1e3);
            let more = sent < calls;
            if more {
                connection.send(request);
                sent += 1;
            }
            more
        });
    }
}

/// Answers each request of these connections, until all of them have ended.
fn answer_all(mut connections: Vec<TcpStream>, request_bytes: usize, answer: &[u8]) {
    let mut buffer = [0; 4096];
    for stream in &connections {
        stream.set_nodelay(true).unwrap();
    }
    while !connections.is_empty() {
        let mut fds: Vec<PollFd<'_>> = connections.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        poll(&mut fds, None).unwrap();
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.iter();
        connections.retain_mut(|stream| {
            if ready.next() != Some(&true) {
                return true;
            }
            let bytes = stream.read(&mut buffer).unwrap_or(0);
            assert!(bytes == 0 || bytes == request_bytes, "a part of a request: {bytes}");
            bytes > 0 && stream.write_all(answer).is_ok()
        });
    }
}

/// One that is kept.
struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of it that are filled.
    filled: usize,
    /// Where the answer ends, once that is known.
    end: Option<usize>,
    sent_at: Instant,
}

impl Connection {
    fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, input: vec![0; 64 << 10], filled: 0, end: None, sent_at: Instant::now() }
    }

    fn send(&mut self, request: &[u8]) {
        (self.filled, self.end, self.sent_at) = (0, None, Instant::now());
        self.stream.write_all(request).unwrap();
    }

    /// Reads once. The length of the answer when it is whole.
    fn read(&mut self) -> Option<usize> {
        let bytes = self.stream.read(&mut self.input[self.filled..]).unwrap();
        assert!(bytes > 0, "cut off: {}", String::from_utf8_lossy(&self.input[..self.filled]));
        self.filled += bytes;
        let input = &self.input[..self.filled];
        if self.end.is_none() {
            let head_end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            let head = std::str::from_utf8(&input[..head_end]).unwrap();
            assert!(head.starts_with("HTTP/1.1 20"), "{}", String::from_utf8_lossy(input));
            self.end = match length(head) {
                Some(length) => Some(head_end + length),
                None if head.starts_with("HTTP/1.1 202") => Some(head_end),
                // In chunks, the last of which is empty.
                None => input.ends_with(b"0\r\n\r\n").then_some(self.filled),
            };
        }
        self.end.filter(|end| self.filled >= *end)
    }

    /// The head and the body of the answer.
    fn exchange(&mut self, request: &[u8]) -> (String, String) {
        self.send(request);
        let end = loop {
            if let Some(end) = self.read() {
                break end;
            }
        };
        let text = String::from_utf8_lossy(&self.input[..end]).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    })
}
