//! `upstream`: a real daemon polls a server of the tests' own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use claude_comms::thread::Joined;
use serde_json::{Value, json};

use claude_comms::control::wire::{Request, UpstreamPoll};

use crate::support::{Daemon, wait_until};

/// An MCP server of the legacy era with two of the four tools.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    _thread: Joined<()>,
}

#[derive(Default)]
pub(crate) struct Shared {
    ends: AtomicBool,
    /// What `total_sessions` is at present.
    pub(crate) total: AtomicU64,
    /// And what `active_sessions` is, beyond three.
    pub(crate) more_active: AtomicU64,
    calls: AtomicU64,
    initialized: AtomicU64,
    /// It keeps sessions, and neither a call nor the end of a session is answered.
    hangs: AtomicBool,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = Joined::spawn("mcp", move || {
            let mut peers = Vec::new();
            for stream in listener.incoming() {
                if serving.ends.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                let stream = stream.unwrap();
                peers.push(Joined::spawn("mcp-peer", move || serve(stream, &shared)).unwrap());
            }
        });
        Server { address, shared, _thread: thread.unwrap() }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// One request a connection.
fn serve(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    let Ok(()) = reader.read_exact(&mut body) else { return };
    let request: Option<Value> = serde_json::from_slice(&body).ok();
    let method = request.as_ref().and_then(|request| request["method"].as_str()).unwrap_or("DELETE");
    let hangs = shared.hangs.load(Ordering::SeqCst);
    if hangs && ["tools/call", "DELETE"].contains(&method) {
        shared.calls.fetch_add(u64::from(method == "tools/call"), Ordering::SeqCst);
        // Until the client has enough of it.
        let _ = reader.read(&mut [0]);
        return;
    }
    let session = if hangs { "Mcp-Session-Id: one\r\n" } else { "" };
    let answer = request.and_then(|request| answer(&request, shared));
    let head = |status: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{session}Connection: close\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let response = match answer {
        None => head("202 Accepted", 0),
        Some(answer) => {
            let text = answer.to_string();
            head("200 OK", text.len()) + &text
        }
    };
    let _ = reader.get_mut().write_all(response.as_bytes());
}

/// `None` for a notification.
fn answer(request: &Value, shared: &Shared) -> Option<Value> {
    let id = request.get("id")?;
    let result = match request["method"].as_str()? {
        "initialize" => {
            shared.initialized.fetch_add(1, Ordering::SeqCst);
            let info = json!({"name": "test", "version": "1"});
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info})
        }
        "tools/call" => {
            let call = shared.calls.fetch_add(1, Ordering::SeqCst);
            let total = shared.total.load(Ordering::SeqCst);
            match request["params"]["name"].as_str()? {
                "get_activity_summary" => {
                    let active = 3 + shared.more_active.load(Ordering::SeqCst);
                    json!({"content": [], "structuredContent": {"active_sessions": active, "total_sessions": total}})
                }
                "get_changing" => {
                    let numbers = (0..32).map(|key| (format!("call{call}_key{key}"), Value::from(key)));
                    json!({"content": [], "structuredContent": Value::Object(numbers.collect())})
                }
                "get_performance_metrics" => json!({"content": [], "structuredContent": {"cpu_usage": 12.5}}),
                _ => json!({"content": [{"type": "text", "text": "Unknown tool"}], "isError": true}),
            }
        }
        _ => json!({}),
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn metric(daemon: &Daemon, line: &str) -> bool {
    daemon.run(&["upstream", "metrics"]).good().lines().any(|other| other == line)
}

#[test]
fn an_upstream_is_polled_and_its_numbers_are_shown() {
    let mut daemon = Daemon::start();
    let server = Server::start();
    server.shared.total.store(41, Ordering::SeqCst);
    let add = |name: &str, endpoint: &str| {
        let args =
            ["upstream", "add", name, endpoint, "--tool", "get_activity_summary", "--tool", "get_performance_metrics"];
        daemon.run(&args).good();
    };
    add("numbers", &server.endpoint());
    daemon.run(&["upstream", "stop", "numbers"]).good();
    assert!(daemon.run(&["upstream", "list"]).good().contains("stopped"));

    // By hand it is polled all the same, and twice the same is once.
    let polled = daemon.run(&["upstream", "poll", "numbers"]);
    assert_eq!(polled.code, 0, "{polled:?} {}", daemon.log());
    daemon.run(&["upstream", "poll", "numbers"]).good();
    for line in [
        "session_buddy_sessions_total{upstream=\"numbers\"} 41",
        "session_buddy_sessions_active{upstream=\"numbers\"} 3",
        "session_buddy_performance_cpu_usage{upstream=\"numbers\"} 12.5",
        "session_buddy_poller_circuit_breaker_state{upstream=\"numbers\"} 0",
    ] {
        assert!(metric(&daemon, line), "{line} is not in {}", daemon.run(&["upstream", "metrics"]).good());
    }
    let status = daemon.json(&["upstream", "status", "numbers"]);
    let seen = [&status["running"], &status["healthy"], &status["era"]];
    assert_eq!(seen, [&json!(false), &json!(true), &json!("legacy")], "{status}");
    // One by schedule may have been quicker than the stop.
    assert!(status["poll_cycles"].as_u64().is_some_and(|rounds| (2..=3).contains(&rounds)), "{status}");
    assert_eq!(status["tools"]["get_activity_summary"]["state"], "ok");
    let health = daemon.run(&["upstream", "status", "numbers", "--health", "--json"]);
    assert_eq!((health.code, &health.json()["healthy"]), (0, &json!(true)));
    let health = daemon.run(&["upstream", "status", "numbers", "--health"]).good();
    assert!(health.contains("is healthy: it is stopped, and judged by its last round, at "), "{health}");
    assert!(
        daemon.run(&["upstream", "status", "numbers", "--history"]).good().contains("session_buddy.sessions.total")
    );

    // The server begins to count anew, and so does the daemon's process: the total goes on.
    server.shared.total.store(2, Ordering::SeqCst);
    daemon.run(&["upstream", "start", "numbers"]).good();
    daemon.kill9();
    daemon.restart();
    assert_eq!(daemon.json(&["upstream", "status", "numbers"])["running"], true);
    daemon.run(&["upstream", "poll", "numbers"]).good();
    assert!(metric(&daemon, "session_buddy_sessions_total{upstream=\"numbers\"} 43"));
    let mut events = daemon.follow(&["upstream:numbers"]);
    let polled = events.wait_for(|frame| frame["event"] == "upstream.polled")["data"].clone();
    assert!(polled["metrics_collected"].as_array().is_some_and(|tools| tools.len() == 2), "{polled}");

    daemon.run(&["upstream", "remove", "numbers"]).good();
    assert!(daemon.run(&["upstream", "poll", "numbers"]).bad(5).contains("Upstream numbers not found"));
    daemon.run(&["upstream", "status", "numbers", "--history"]).bad(5);
    assert!(!daemon.run(&["upstream", "metrics"]).good().contains("numbers"));
    daemon.stop();
}

#[test]
fn a_dead_upstream_is_said_and_delays_nobody() {
    let mut daemon = Daemon::start();
    let server = Server::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}/mcp");
    for (name, endpoint) in [("dead", dead.as_str()), ("alive", &server.endpoint())] {
        daemon.run(&["upstream", "add", name, endpoint, "--interval", "5s", "--retry-delay", "1s"]).good();
    }
    let dying = daemon.spawn(&["upstream", "poll", "dead"]);
    let alive = daemon.run(&["upstream", "poll", "alive"]);
    // Two of its four tools are not there, which is no failed call.
    assert!(alive.code == 0 && alive.stdout.contains("2 tools with numbers\n  get_activity_summary"), "{alive:?}");
    let said = dying.wait();
    assert_eq!((said.code, said.stdout.contains("round")), (1, true), "{said:?}");
    let health = daemon.run(&["upstream", "status", "dead", "--health", "--json"]);
    assert_eq!((health.code, &health.json()["healthy"]), (1, &json!(false)));
    daemon.run(&["upstream", "reset", "dead"]).good();
    daemon.run(&["upstream", "poll", "dead"]);
    wait_until("a round by schedule", || {
        daemon.json(&["upstream", "status", "alive"])["poll_cycles"].as_u64() > Some(1)
    });
    let twice = daemon.run(&["upstream", "add", "twice", &dead, "--tool", "a", "--tool", "a"]);
    assert!(twice.bad(2).contains("none twice"));
    // What nobody can call is refused, without showing what may be secret.
    for (odd, fault) in [
        ("http://localhost:1/mcp#part", "with a # in it"),
        ("http://localhost:99999/mcp", "whose port is none"),
        ("http://me:hunter2@localhost:1/mcp", "with a user in it"),
        ("ftp://localhost", "of another scheme"),
    ] {
        let said = daemon.run(&["upstream", "add", "odd", odd]).bad(2);
        assert!(said.contains(fault) && !said.contains("hunter2"), "{said}");
    }
    daemon.run(&["upstream", "add", "key", "HTTP://localhost:1/mcp?key=hunter2"]).good();
    for args in [&["upstream", "list"][..], &["upstream", "status", "key"], &["upstream", "status", "key", "--json"]] {
        let shown = daemon.run(args).good();
        assert!(shown.contains("localhost:1/mcp?…") && !shown.contains("hunter2"), "{shown}");
    }
    // A server without any of the tools was called all the same.
    daemon.run(&["upstream", "add", "poor", &server.endpoint(), "--tool", "none", "--interval", "10m"]).good();
    // Nobody has switched this one on.
    let health = daemon.run(&["upstream", "status", "--health"]);
    assert_eq!(health.code, 1);
    assert!(health.stdout.contains("is not healthy: it has not been polled yet; it is stopped"), "{health:?}");
    assert_eq!(daemon.run(&["upstream", "poll", "poor"]).code, 0);
    assert_eq!(daemon.json(&["upstream", "status", "poor"])["errors"], 0);
    // What is wrong is in the log once, with the cause.
    let log = daemon.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("an upstream is not well"), lines("retries exhausted")), (1, 0), "{log}");
    assert!(log.lines().any(|line| line.contains("upstream=dead") && line.contains("could not connect to")), "{log}");
    // The configuration's own is there, switched off, and is not removed by hand.
    assert_eq!(daemon.json(&["upstream", "status"])["running"], false);
    assert!(daemon.run(&["upstream", "remove", "session-buddy"]).bad(1).contains("is always there"));
    daemon.stop();
}

#[test]
fn a_stopped_upstream_with_an_open_breaker_is_shown_so_by_the_next_daemon() {
    let mut daemon = Daemon::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}/mcp");
    let settings = ["--threshold", "1", "--max-retries", "1", "--retry-delay", "1s", "--tool", "a"];
    daemon.run(&[&["upstream", "add", "dead", &dead][..], &settings].concat()).good();
    daemon.run(&["upstream", "stop", "dead"]).good();
    daemon.run(&["upstream", "poll", "dead"]);
    let breaker = |daemon: &Daemon| daemon.json(&["upstream", "status", "dead"])["circuit_breaker"].clone();
    wait_until("the breaker to open", || breaker(&daemon) == "OPEN");
    daemon.kill9();
    daemon.restart();
    assert_eq!(breaker(&daemon), "OPEN");
    daemon.run(&["upstream", "reset", "dead"]).good();
    assert_eq!(breaker(&daemon), "CLOSED");
    let mut events = daemon.follow(&["upstream:dead"]);
    events.wait_for(|frame| frame["data"]["from"] == "OPEN" && frame["data"]["to"] == "CLOSED");
    daemon.stop();
}

#[test]
fn what_the_configuration_says_is_polled() {
    let mut daemon = Daemon::none();
    let server = Server::start();
    let configure = |enabled: bool| {
        daemon.configure(&format!(
            "[session_buddy_polling]\nenabled = {enabled}\nendpoint = {:?}\ninterval_seconds = 5\n",
            server.endpoint()
        ));
    };
    configure(true);
    daemon.restart();
    wait_until("the first round", || daemon.json(&["upstream", "status"])["poll_cycles"].as_u64() > Some(0));
    // Switched off by hand it stays so, until the configuration says something else.
    daemon.run(&["upstream", "stop"]).good();
    daemon.stop();
    daemon.restart();
    assert_eq!(daemon.json(&["upstream", "status"])["running"], false);
    daemon.stop();
    daemon.configure("");
    daemon.restart();
    assert_eq!(daemon.json(&["upstream", "status"])["endpoint"], "http://localhost:8678/mcp");
    daemon.stop();
}

#[test]
fn a_tool_that_tells_ever_new_numbers_leaves_room_for_all_others() {
    let mut daemon = Daemon::start();
    let server = Server::start();
    daemon.run(&["upstream", "add", "odd", &server.endpoint(), "--tool", "get_changing", "--interval", "10m"]).good();
    daemon.run(&["upstream", "stop", "odd"]).good();
    for _ in 0..8 {
        daemon.run(&["upstream", "poll", "odd"]).good();
    }
    let metrics = daemon.run(&["upstream", "metrics"]).good();
    let own = metrics.lines().filter(|line| line.starts_with("upstream_get_changing_")).count();
    assert_eq!(own, 128, "{metrics}");
    let tool = daemon.json(&["upstream", "status", "odd"])["tools"]["get_changing"].clone();
    assert_eq!(tool["state"], "ok");
    assert!(tool["error"].as_str().is_some_and(|error| error.contains("were forgotten")), "{tool}");
    let lines = daemon.log().lines().filter(|line| line.contains("too many different numbers upstream=odd")).count();
    assert_eq!(lines, 1, "{}", daemon.log());
    daemon.stop();
}

/// Idle, it stops within a second, and in 1.2 at most for these; a busy machine is granted more.
#[test]
fn servers_that_hang_delay_neither_a_removal_nor_the_stop() {
    let mut daemon = Daemon::start();
    let server = Server::start();
    server.shared.hangs.store(true, Ordering::SeqCst);
    let names: Vec<String> = (0..16).map(|number| format!("hang{number}")).collect();
    let settings = ["--tool", "a", "--interval", "10m", "--timeout", "60s"];
    for name in &names {
        daemon.run(&[&["upstream", "add", name, &server.endpoint()][..], &settings].concat()).good();
        let poll = Request::UpstreamPoll(UpstreamPoll { name: name.clone(), timeout_seconds: Some(0.001) });
        // It times out, and the round goes on.
        assert!(daemon.connect().call::<Value>(&poll).is_err());
    }
    wait_until("all calls", || server.shared.calls.load(Ordering::SeqCst) >= 16);
    let clock = SystemClock::new();
    let from = clock.tick();
    daemon.stop();
    let took = clock.tick().since(from);
    assert!(took < Duration::from_millis(2500), "{took:?}");
}
