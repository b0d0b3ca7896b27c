//! An HTTP server that misbehaves as it is told, for tests of whatever calls MCP servers.

use crate::thread::Joined;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How soon a connection that waits for its client notices that the test is over.
const LOOK: Duration = Duration::from_millis(20);

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Of HTTP.
    pub(crate) verb: String,
    /// Of JSON-RPC; empty without a body.
    pub(crate) method: String,
    /// Names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// An answer to this request.
    pub(crate) fn result(&self, result: &Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result})
    }

    pub(crate) fn error(&self, code: i64, message: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": self.body["id"], "error": {"code": code, "message": message}})
    }
}

/// What the server does about one request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// A well-formed answer, after which the connection stays.
    Reply { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// These bytes, and then nothing for as long as the client waits.
    Stall(Vec<u8>),
    /// These bytes, then the rest again and again, a piece at a time with a pause between two.
    Repeat { first: Vec<u8>, rest: Vec<u8>, pause: Duration },
    /// The connection is reset.
    Reset,
}

impl Reaction {
    pub(crate) fn status(status: u16, body: &str) -> Reaction {
        Reaction::Reply { status, headers: vec![("content-type", "text/plain".to_owned())], body: body.to_owned() }
    }

    pub(crate) fn json(body: &Value) -> Reaction {
        Reaction::Reply { status: 200, headers: vec![], body: body.to_string() }
            .with("content-type", "application/json")
    }

    /// With another status.
    pub(crate) fn and_status(self, status: u16) -> Reaction {
        match self {
            Reaction::Reply { headers, body, .. } => Reaction::Reply { status, headers, body },
            other => other,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Reaction {
        if let Reaction::Reply { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    /// A stream of events that ends after these.
    pub(crate) fn events(text: &str) -> Reaction {
        Reaction::Bytes(event_stream(text))
    }
}

/// The head of a stream of events, and its first ones.
pub(crate) fn event_stream(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{text}").into_bytes()
}

type Script = Box<dyn FnMut(&Seen) -> Reaction + Send>;

/// A running server; it ends when dropped.
pub(crate) struct FaultyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Closing this is what ends the threads, so it must go before they are joined.
    stop: Option<Sender<()>>,
    accepting: Option<Joined<()>>,
}

struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    bytes_sent: AtomicUsize,
    stopped: Receiver<()>,
}

impl FaultyServer {
    /// Answers every request by the script.
    pub(crate) fn start(script: impl FnMut(&Seen) -> Reaction + Send + 'static) -> FaultyServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = bounded(0);
        let (script, seen) = (Mutex::new(Box::new(script) as Script), Mutex::default());
        let shared = Arc::new(Shared {
            script,
            seen,
            connections: AtomicUsize::new(0),
            bytes_sent: AtomicUsize::new(0),
            stopped,
        });
        let accepting = Joined::spawn("faulty", {
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        FaultyServer { address, shared, stop: Some(stop), accepting: Some(accepting.unwrap()) }
    }

    /// A server of the legacy era that keeps a session and answers calls of tools by the script.
    pub(crate) fn legacy(mut script: impl FnMut(&Seen) -> Reaction + Send + 'static) -> FaultyServer {
        FaultyServer::start(move |seen| legacy_opening(seen).unwrap_or_else(|| script(seen)))
    }

    /// A server of the modern era that answers calls of tools by the script.
    pub(crate) fn modern(mut script: impl FnMut(&Seen) -> Reaction + Send + 'static) -> FaultyServer {
        FaultyServer::start(move |seen| modern_opening(seen).unwrap_or_else(|| script(seen)))
    }

    /// A legacy server that answers one method by the script.
    pub(crate) fn legacy_but(
        method: &'static str,
        mut script: impl FnMut(&Seen) -> Reaction + Send + 'static,
    ) -> FaultyServer {
        FaultyServer::start(move |seen| match seen.method.as_str() {
            this if this == method => script(seen),
            _ => legacy_opening(seen).unwrap_or_else(|| Reaction::status(500, "not expected")),
        })
    }

    /// A modern server that answers one method by one script, and all others by another.
    pub(crate) fn modern_but(
        method: &'static str,
        mut script: impl FnMut(&Seen) -> Reaction + Send + 'static,
        mut others: impl FnMut(&Seen) -> Reaction + Send + 'static,
    ) -> FaultyServer {
        FaultyServer::start(move |seen| match seen.method.as_str() {
            this if this == method => script(seen),
            _ => modern_opening(seen).unwrap_or_else(|| others(seen)),
        })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many requests there were of a method, or of an HTTP verb.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.shared.seen.lock().iter().filter(|seen| seen.method == what || seen.verb == what).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn bytes_sent(&self) -> usize {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.stop = None;
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        self.accepting = None;
    }
}

pub(crate) fn legacy_opening(seen: &Seen) -> Option<Reaction> {
    let result =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}});
    match (seen.verb.as_str(), seen.method.as_str()) {
        ("POST", "initialize") => Some(Reaction::json(&seen.result(&result)).with("mcp-session-id", "one")),
        ("POST", "notifications/initialized") => Some(Reaction::status(202, "")),
        ("DELETE", _) => Some(Reaction::status(200, "")),
        _ => None,
    }
}

pub(crate) fn modern_opening(seen: &Seen) -> Option<Reaction> {
    let unknown = || Reaction::json(&seen.error(-32601, "Method not found")).and_status(404);
    match seen.method.as_str() {
        "server/discover" => Some(Reaction::json(&seen.result(&json!({"supportedVersions": ["2026-07-28"]})))),
        "initialize" => Some(unknown()),
        _ => None,
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    for stream in listener.incoming() {
        if matches!(shared.stopped.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected)) {
            return;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (stream, shared) = (stream.unwrap(), shared.clone());
        connections.push(Joined::spawn("faulty-conn", move || serve(stream, &shared)).unwrap());
    }
}

/// Reads requests and reacts until one side has had enough. That the client goes away is what a fault is for.
fn serve(stream: TcpStream, shared: &Shared) {
    stream.set_read_timeout(Some(LOOK)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(seen) = read_request(&mut reader, shared) {
        shared.seen.lock().push(seen.clone());
        let reaction = (shared.script.lock())(&seen);
        if !react(&stream, shared, &reaction) {
            return;
        }
    }
}

/// Returns whether the connection stays.
fn react(mut stream: &TcpStream, shared: &Shared, reaction: &Reaction) -> bool {
    match reaction {
        Reaction::Reply { status, headers, body } => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
        }
        Reaction::Bytes(bytes) => {
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Both);
            false
        }
        Reaction::Stall(bytes) => {
            let _ = stream.write_all(bytes);
            let mut nothing = [0; 1];
            while !over(shared, Duration::ZERO) && would_block(&stream.read(&mut nothing)) {}
            false
        }
        Reaction::Repeat { first, rest, pause } => {
            let mut sent = stream.write_all(first);
            while sent.is_ok() && !over(shared, *pause) {
                sent = stream.write_all(rest);
                shared.bytes_sent.fetch_add(rest.len(), Ordering::SeqCst);
            }
            false
        }
        Reaction::Reset => {
            // With this, closing sends a reset instead of the usual farewell.
            rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
            false
        }
    }
}

/// Waits; returns whether the test is over.
fn over(shared: &Shared, wait: Duration) -> bool {
    !matches!(shared.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
}

fn would_block(read: &std::io::Result<usize>) -> bool {
    read.as_ref()
        .is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

/// `None` when the client has gone, or the test is over.
fn read_request(reader: &mut BufReader<TcpStream>, shared: &Shared) -> Option<Seen> {
    let mut seen = Seen { verb: read_line(reader, shared)?.split(' ').next()?.to_owned(), ..Seen::default() };
    loop {
        let line = read_line(reader, shared)?;
        let Some((name, value)) = line.split_once(": ") else { break };
        seen.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; seen.header("content-length").parse().unwrap_or(0)];
    let mut filled = 0;
    while filled < body.len() {
        match reader.read(&mut body[filled..]) {
            Ok(0) => return None,
            Ok(read) => filled += read,
            again if would_block(&again) && !over(shared, Duration::ZERO) => {}
            _ => return None,
        }
    }
    seen.body = serde_json::from_slice(&body).unwrap_or_default();
    seen.method = seen.body["method"].as_str().unwrap_or_default().to_owned();
    Some(seen)
}

fn read_line(reader: &mut BufReader<TcpStream>, shared: &Shared) -> Option<String> {
    let mut line = Vec::new();
    loop {
        match reader.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => return Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Ok(_) => return None,
            again if would_block(&again) && !over(shared, Duration::ZERO) => {}
            _ => return None,
        }
    }
}
