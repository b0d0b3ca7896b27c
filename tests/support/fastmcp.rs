//! Servers as most programs write them. CLAUDE_COMMS_FASTMCP3 and CLAUDE_COMMS_FASTMCP4 name a Python that has FastMCP of that
//! version; what is missing on a machine is said and skipped.
#![allow(dead_code, reason = "each test uses its part")]

use claude_comms::mcp::client::{CallError, Client, ClientSettings, ToolAnswer};
use claude_comms::resilience::{Backoff, Curve, Effects, RetryPolicy, RetrySettings};
use serde_json::{Map, Value};
use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn python(variable: &str) -> Option<String> {
    let python = env::var(variable).ok().filter(|python| Path::new(python).exists());
    if python.is_none() {
        println!("skipped: {variable} names no Python that has FastMCP");
    }
    python
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(python: &str, port: u16) -> Server {
        Server::started(&mut Server::command(python, &[port.to_string()]))
    }

    pub(crate) fn with_arguments(python: &str, arguments: &[String]) -> Server {
        Server::started(&mut Server::command(python, arguments))
    }

    /// One that does not answer `get_session_analytics` while there is this file, and makes another beside it when it is
    /// asked.
    pub(crate) fn held_by(python: &str, file: &Path) -> Server {
        Server::started(Server::command(python, &["0".to_owned()]).env("HOLD", file))
    }

    fn command(python: &str, arguments: &[String]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/fastmcp_server.py");
        let mut command = Command::new(python);
        // It would show the failure that a tool has on purpose over half a screen.
        command.env("FASTMCP_LOG_LEVEL", "CRITICAL");
        command.arg(script).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn started(command: &mut Command) -> Server {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Server { port: line.trim().parse().unwrap(), child }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// What the server says that it was asked, by a client of its own, which is counted too, but for its farewell.
    pub(crate) fn seen(&self) -> Value {
        self.look().unwrap()
    }

    /// As [`seen`](Server::seen), once the server is up: one that is not has counted nothing.
    pub(crate) fn wait_until_it_answers(&self) {
        let settings = RetrySettings::attempts(300, Backoff::of(Curve::Fixed { delay: Duration::from_millis(100) }));
        RetryPolicy::new(settings, &Effects::system()).unwrap().call("seen", |_| self.look()).unwrap();
    }

    fn look(&self) -> Result<Value, CallError> {
        let client = Client::new(&self.endpoint(), &ClientSettings::default()).unwrap();
        let answer = client.call_tool("seen", &Map::new(), TIMEOUT)?;
        client.close(TIMEOUT);
        match answer {
            ToolAnswer::Object(object) => Ok(object.into()),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
