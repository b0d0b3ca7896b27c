//! The MCP client against the servers that most programs are written with. CLAUDE_COMMS_FASTMCP3 and CLAUDE_COMMS_FASTMCP4
//! name a Python that has FastMCP of that version; what is missing on a machine is said and skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

#[path = "support/fastmcp.rs"]
mod fastmcp;

use claude_comms::mcp::client::{CallError, Client, ClientSettings, ToolAnswer};
use claude_comms::mcp::protocol::Era;
use claude_comms::resilience::{Backoff, Curve, Effects, Fault, RetryPolicy, RetrySettings};
use fastmcp::{Server, python};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

fn client(server: &Server, first: Era) -> Client {
    Client::new(&server.endpoint(), &ClientSettings::default().first_era(first)).unwrap()
}

fn call(client: &Client, tool: &str) -> Result<ToolAnswer, CallError> {
    client.call_tool(tool, &Map::new(), TIMEOUT)
}

/// Calls until the server is up.
fn patiently(client: &Client, tool: &str) -> ToolAnswer {
    let settings = RetrySettings::attempts(100, Backoff::of(Curve::Fixed { delay: Duration::from_millis(100) }));
    RetryPolicy::new(settings, &Effects::system()).unwrap().call(tool, |_| call(client, tool)).unwrap()
}

fn object(answer: ToolAnswer) -> Value {
    match answer {
        ToolAnswer::Object(object) => object.into(),
        other => panic!("{other:?}"),
    }
}

/// What the server says that it was asked, by a client of its own.
fn seen(server: &Server, count: &str) -> u64 {
    let seen = server.seen();
    seen["asked"][count].as_u64().or(seen[count].as_u64()).unwrap_or_default()
}

fn check_tools(client: &Client) {
    assert_eq!(object(patiently(client, "numbers")), json!({"active_sessions": 3, "nested": {"total": 41}}));
    assert_eq!(object(call(client, "json_text").unwrap()), json!({"active_sessions": 3}));
    assert_eq!(call(client, "text").unwrap(), ToolAnswer::TextOnly("hello".to_owned()));
    assert_eq!(call(client, "listed").unwrap(), ToolAnswer::Value(json!([1, 2])));
    let kind = |tool: &str| call(client, tool).unwrap_err().verdict().kind;
    assert_eq!((kind("broken"), kind("unsuccessful"), kind("nothing")), ("tool_failed", "tool_failed", "tool_missing"));
    let tools = client.list_tools(TIMEOUT).unwrap();
    assert!(["numbers", "text", "seen"].iter().all(|name| tools.iter().any(|tool| tool.name == *name)));
}

/// One session for the life of a server, ended when the client is closed; another after a restart, unnoticed.
fn check_sessions(python: &str) {
    let server = Server::start(python, 0);
    let client = client(&server, Era::Legacy);
    check_tools(&client);
    assert_eq!(client.era(), Some(Era::Legacy));
    // One is ours, the others belong to who asks.
    assert_eq!((seen(&server, "initialize"), seen(&server, "sessions"), seen(&server, "DELETE")), (2, 3, 2));
    let port = server.port;
    drop(server);
    assert!(call(&client, "numbers").unwrap_err().verdict().retryable);
    let server = Server::start(python, port);
    for _ in 0..3 {
        assert_eq!(object(patiently(&client, "numbers"))["active_sessions"], 3);
    }
    client.close(TIMEOUT);
    assert_eq!((seen(&server, "initialize"), seen(&server, "sessions"), seen(&server, "DELETE")), (2, 3, 3));
}

#[test]
fn fastmcp_3() {
    let Some(python) = python("CLAUDE_COMMS_FASTMCP3") else { return };
    check_sessions(&python);
    let server = Server::start(&python, 0);
    let client = client(&server, Era::Modern);
    check_tools(&client);
    assert_eq!(client.era(), Some(Era::Legacy));
    client.close(TIMEOUT);
}

#[test]
fn fastmcp_4() {
    let Some(python) = python("CLAUDE_COMMS_FASTMCP4") else { return };
    check_sessions(&python);
    let server = Server::start(&python, 0);
    let client = client(&server, Era::Modern);
    check_tools(&client);
    assert_eq!(client.era(), Some(Era::Modern));
    client.close(TIMEOUT);
    assert_eq!((seen(&server, "server/discover"), seen(&server, "DELETE")), (1, 1));
}

/// Its own certificate, for a day, for 127.0.0.1.
fn certificate(folder: &Path) -> Result<String, String> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]);
    command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    command.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder);
    let made = command.output().map_err(|error| format!("openssl: {error}"))?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    Ok(fs::read_to_string(folder.join("cert.pem")).unwrap())
}

#[test]
fn over_tls() {
    let Some(python) = python("CLAUDE_COMMS_FASTMCP4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let certificate = match certificate(folder.path()) {
        Ok(certificate) => certificate,
        Err(reason) => return println!("skipped: no certificate: {reason}"),
    };
    let folder = folder.path().to_str().unwrap().to_owned();
    let server = Server::with_arguments(&python, &["0".to_owned(), folder]);
    let endpoint = format!("https://127.0.0.1:{}/mcp", server.port);
    let client = Client::new(&endpoint, &ClientSettings::default().root_certificates(&certificate)).unwrap();
    check_tools(&client);
    client.close(TIMEOUT);
    // Nobody vouches for it in public.
    let client = Client::new(&endpoint, &ClientSettings::default()).unwrap();
    let error = call(&client, "numbers").unwrap_err();
    assert!(error.is_configuration(), "{error}");
    println!("{error}");
}
