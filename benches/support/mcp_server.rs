//! A server of the Model Context Protocol, of the legacy era, that answers any tool and notes when it was asked.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Servers close a connection that nobody uses.
const IDLE: Duration = Duration::from_secs(5);

/// A call of a tool.
pub(crate) struct Arrival {
    /// The first part of the path.
    pub(crate) upstream: String,
    pub(crate) tool: String,
    /// When the request had been read.
    pub(crate) at: Instant,
    /// From then until the answer had been written.
    pub(crate) took: Duration,
}

/// Its threads end with the process.
pub(crate) struct McpServer {
    address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl McpServer {
    /// `work` is what one call of a tool takes.
    pub(crate) fn start(work: Duration) -> McpServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || serve(stream, work, &noted));
            }
        });
        McpServer { address, arrivals }
    }

    pub(crate) fn endpoint(&self, upstream: &str) -> String {
        format!("http://{}/{upstream}/mcp", self.address)
    }

    /// The calls since this was asked last.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals.lock().unwrap())
    }
}

/// Until the client has gone.
fn serve(stream: TcpStream, work: Duration, arrivals: &Mutex<Vec<Arrival>>) {
    stream.set_read_timeout(Some(IDLE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = read(&mut reader) {
        let at = Instant::now();
        let method = body["method"].as_str().unwrap_or_default();
        let tool = (method == "tools/call").then(|| body["params"]["name"].as_str().unwrap_or_default().to_owned());
        let (status, text) = match answer(method, tool.as_deref(), work) {
            Some(result) => ("200 OK", json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string()),
            None => ("202 Accepted", String::new()),
        };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
        if reader.get_mut().write_all((head + &text).as_bytes()).is_err() {
            return;
        }
        let upstream = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        if let Some(tool) = tool {
            arrivals.lock().unwrap().push(Arrival { upstream, tool, at, took: at.elapsed() });
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).ok()? > 2 {
        match line.to_ascii_lowercase().strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().ok()?,
            None if path.is_empty() => path = line.split(' ').nth(1)?.to_owned(),
            None => {}
        }
        line.clear();
    }
    if path.is_empty() {
        return None;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    // A farewell has no body.
    Some((path, serde_json::from_slice(&body).unwrap_or_default()))
}

/// `None` for a notification.
fn answer(method: &str, tool: Option<&str>, work: Duration) -> Option<Value> {
    if let Some(tool) = tool {
        std::thread::sleep(work);
        return Some(json!({"content": [], "structuredContent": numbers(tool)}));
    }
    match method {
        "initialize" => {
            let info = json!({"name": "bench", "version": "1"});
            Some(json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}))
        }
        method if method.starts_with("notifications/") => None,
        _ => Some(json!({})),
    }
}

/// What a Session-Buddy tells.
fn numbers(tool: &str) -> Value {
    match tool {
        "get_activity_summary" => json!({"active_sessions": 3, "total_sessions": 41}),
        "get_workflow_metrics" => json!({"workflows_completed": 10, "workflows_failed": 1, "avg_duration": 2.5}),
        "get_performance_metrics" => json!({"cpu_usage": 12.5, "memory_usage": 40.0, "response_time": 7.0}),
        _ => json!({"total_checkpoints": 41, "avg_checkpoint_size": 80.0, "avg_session_duration": 30.0}),
    }
}
