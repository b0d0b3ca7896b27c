//! The built daemon and the clients that most programs use: Python's `websockets` and npm's `ws`. CLAUDE_COMMS_WEBSOCKETS names a
//! Python that has the first, CLAUDE_COMMS_NPM a folder with the second; what is missing on a machine is said and skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

use claude_comms::control::wire::{Empty, EventPublish, PoolCreate, Request};
use claude_comms::control::{Client, Followed};
use serde_json::{Value, json};
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// More than stays in memory.
const BACKLOG: u64 = 20_000;
/// Publications that wait for their answer at a time.
const IN_FLIGHT: usize = 256;

/// A daemon on a port that it keeps over restarts.
struct Daemon {
    dir: TempDir,
    listen: String,
    child: Option<Child>,
}

impl Daemon {
    fn start() -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Daemon { dir, listen: "127.0.0.1:0".to_owned(), child: None };
        daemon.restart();
        daemon.listen = daemon.call(&Request::PollStatus(Empty {}))["listen"].as_str().unwrap().to_owned();
        daemon
    }

    fn restart(&mut self) {
        let path = self.dir.path().join("notify");
        let _ = std::fs::remove_file(&path);
        let supervisor = UnixDatagram::bind(&path).unwrap();
        supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_claude-comms"));
        command.arg("--state-dir").arg(self.dir.path().join("s")).args(["daemon", "--listen", &self.listen]);
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let mut said = [0; 256];
        let bytes = supervisor.recv(&mut said).unwrap();
        assert!(said[..bytes].starts_with(b"READY=1\n"));
    }

    fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn control(&self) -> Client {
        Client::connect(&self.dir.path().join("s/control.sock")).unwrap()
    }

    fn call(&self, request: &Request) -> Value {
        self.control().call(request).unwrap()
    }

    /// Events with these numbers in their data.
    fn publish(&self, numbers: impl Iterator<Item = u64>) {
        let mut control = self.control();
        let mut owed = 0;
        let answered = |control: &mut Client| match control.receive(Some(PATIENCE)).unwrap() {
            Followed::Answer { result, .. } => drop(result.unwrap()),
            Followed::Frame(frame) => panic!("nobody asked for {frame}"),
        };
        for number in numbers {
            let (channel, event) = ("notes:mine".to_owned(), "note.taken".to_owned());
            let data = Some(json!({"number": number}));
            let publish = EventPublish { channel, event, data, ..EventPublish::default() };
            control.send(&Request::EventPublish(publish)).unwrap();
            owed += 1;
            if owed == IN_FLIGHT {
                (0..std::mem::take(&mut owed)).for_each(|_| answered(&mut control));
            }
        }
        (0..owed).for_each(|_| answered(&mut control));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A client in another language: it is told what to do line by line, and says what it has seen.
struct Foreign {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Foreign {
    fn start(command: &mut Command) -> Foreign {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Foreign { child, stdin, stdout }
    }

    #[track_caller]
    fn ask(&mut self, order: &Value) -> Value {
        writeln!(self.stdin, "{order}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{order}: {error}: {line:?}"))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

fn python(name: &str) -> Option<Command> {
    let Some(python) = env::var_os("CLAUDE_COMMS_WEBSOCKETS") else {
        println!("skipped: CLAUDE_COMMS_WEBSOCKETS names no Python that has websockets");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(script(name));
    Some(command)
}

fn node() -> Option<Command> {
    let modules = env::var_os("CLAUDE_COMMS_NPM").map(|folder| Path::new(&folder).join("node_modules"));
    let Some(modules) = modules.filter(|modules| modules.join("ws").is_dir()) else {
        println!("skipped: CLAUDE_COMMS_NPM names no folder with ws");
        return None;
    };
    let own = modules.join(".bin/node");
    let mut command = Command::new(if own.exists() { own.into_os_string() } else { OsString::from("node") });
    command.arg(script("ws_client.cjs")).env("NODE_PATH", std::fs::canonicalize(modules).unwrap());
    Some(command)
}

/// Subscribes, asks, is asked for a sign of life, resumes over a kill -9, and reads what has left the memory.
fn check_client(command: &mut Command) {
    let mut daemon = Daemon::start();
    let mut client = Foreign::start(command);
    let url = format!("ws://{}", daemon.listen);
    let welcome = client.ask(&json!({"do": "connect", "url": url}));
    assert_eq!((&welcome["event"], &welcome["data"]["server"]), (&json!("session.created"), &json!("claude-comms")));
    let subscribe = |since: Value| {
        let data = json!({"channel": "notes:mine", "since": since});
        json!({"do": "send", "message": {"type": "request", "event": "subscribe", "data": data, "id": "sub"}})
    };
    let answer = client.ask(&subscribe(Value::Null));
    assert_eq!((&answer["status"], &answer["correlation_id"]), (&json!("subscribed"), &json!("sub")));
    // A control frame of either side's, and the message of that name.
    assert_eq!(client.ask(&json!({"do": "ping"})), json!("pong"));
    assert_eq!(client.ask(&json!({"do": "send", "message": {"type": "ping", "id": 7}}))["type"], "pong");
    daemon.publish(0..10);
    let seen = client.ask(&json!({"do": "events", "count": 10}));
    assert_eq!(seen["numbers"], json!((0..10).collect::<Vec<u64>>()));

    daemon.kill9();
    assert_eq!(client.ask(&json!({"do": "closed"})), 1006);
    daemon.restart();
    daemon.publish(10..20);
    let welcome = client.ask(&json!({"do": "connect", "url": url}));
    let since = json!({"epoch": welcome["data"]["epoch"], "seq": seen["seq"]});
    assert_eq!(client.ask(&subscribe(since))["data"]["recovered"], true);
    let seen = client.ask(&json!({"do": "events", "count": 10}));
    assert_eq!(seen["numbers"], json!((10..20).collect::<Vec<u64>>()));

    daemon.publish(20..20 + BACKLOG);
    let seen = client.ask(&json!({"do": "events", "count": BACKLOG}));
    assert_eq!(seen["numbers"], json!((20..20 + BACKLOG).collect::<Vec<u64>>()));
    let left = client.ask(&json!({"do": "close"}));
    assert_eq!(left, 1000);
}

#[test]
fn python_websockets() {
    if let Some(mut command) = python("websockets_client.py") {
        check_client(&mut command);
    }
}

#[test]
fn npm_ws() {
    if let Some(mut command) = node() {
        check_client(&mut command);
    }
}

/// Three connections, each of which takes the frame after its subscribe for the answer, as existing dashboards do.
#[test]
fn a_dashboard_that_takes_the_next_frame_for_the_answer() {
    let Some(mut command) = python("dashboard_client.py") else { return };
    let daemon = Daemon::start();
    let mut busy = daemon.control();
    let pool = PoolCreate { pool_id: Some("echo".into()), executor: Some("echo".into()), ..PoolCreate::default() };
    let _: Value = busy.call(&Request::PoolCreate(pool)).unwrap();
    let mut client = Foreign::start(command.arg(format!("ws://{}", daemon.listen)));
    let answers = client.ask(&json!("connect"));
    for (channel, answer) in ["global", "pool:local", "insights"].iter().zip(answers.as_array().unwrap()) {
        assert_eq!(answer["welcome"]["type"], "event");
        assert!(answer["welcome"]["message"].is_string());
        assert_eq!(
            (&answer["answer"]["type"], &answer["answer"]["status"]),
            (&json!("response"), &json!("subscribed"))
        );
        assert_eq!(answer["answer"]["data"]["channel"], *channel);
    }
    let publish = EventPublish {
        channel: "insights".into(),
        event: "insight.generated".into(),
        data: Some(json!({"insight_type": "trend", "description": "more of it"})),
        ..EventPublish::default()
    };
    let _: Value = busy.call(&Request::EventPublish(publish)).unwrap();
    let pool = PoolCreate { pool_id: Some("other".into()), executor: Some("echo".into()), ..PoolCreate::default() };
    let _: Value = busy.call(&Request::PoolCreate(pool)).unwrap();
    let seen = client.ask(&json!("listen"));
    assert_eq!(seen["insights"]["event"], "insight.generated");
    assert_eq!(seen["insights"]["data"]["insight_type"], "trend");
    assert!(seen["global"]["data"]["pool_id"].is_string());
    assert_eq!(seen["status"]["data"]["status"], "running");
}
