//! Against a server that misbehaves: each fault once, what it is called, whether it is tried again and counted, and how
//! often the server was asked.

mod bodies;
mod closing;
mod connections;
mod eras;
mod sessions;
mod statuses;
mod tools;

use super::{CallError, Client, ClientSettings, Deadline, ToolAnswer};
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::mcp::faulty::{FaultyServer, Reaction, Seen};
use crate::resilience::{Backoff, Curve, Effects, Fault, Operation, RetryError, RetryPolicy, RetrySettings, Verdict};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::time::Duration;

/// Of one call. Every one is local, so it takes this long on no machine that is not very busy.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of one call that is expected to hang.
const HANGING_TIMEOUT: Duration = Duration::from_millis(100);
/// What a call may take beyond its limit on a busy machine.
const SLACK: Duration = Duration::from_secs(3);
const ATTEMPTS_MAX: u32 = 4;

/// How often a call that keeps failing is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Once = 1,
    Twice = 2,
    AsOftenAsAllowed = ATTEMPTS_MAX as isize,
}

use Tried::{AsOftenAsAllowed, Once, Twice};

/// What a fault is expected to be.
struct Expected {
    kind: &'static str,
    tried: Tried,
    counted: bool,
}

fn transient(kind: &'static str) -> Expected {
    Expected { kind, tried: AsOftenAsAllowed, counted: true }
}

fn once_more(kind: &'static str) -> Expected {
    Expected { kind, tried: Twice, counted: true }
}

fn ignored(kind: &'static str) -> Expected {
    Expected { kind, tried: Once, counted: false }
}

fn configuration() -> Expected {
    ignored("configuration")
}

fn client(server: &FaultyServer) -> Client {
    client_at(&server.endpoint())
}

fn client_at(endpoint: &str) -> Client {
    Client::new(endpoint, &ClientSettings::default()).unwrap()
}

fn call(client: &Client) -> Result<ToolAnswer, CallError> {
    client.call_tool("numbers", &Map::new(), TIMEOUT)
}

/// Calls under a policy, as a poller does, until that gives up. No time passes between two attempts.
fn polled(client: &Client, timeout: Duration) -> (CallError, u32) {
    let attempts = Cell::new(0);
    let judge = |error: &CallError| -> Verdict { error.verdict_after(attempts.get()) };
    let settings = RetrySettings::attempts(ATTEMPTS_MAX, Backoff::of(Curve::Fixed { delay: Duration::from_secs(1) }));
    let policy = RetryPolicy::new(settings, &Effects::manual(&ManualClock::new(), 1)).unwrap();
    let result = policy.run(Operation::judged("call", &judge), |attempt| {
        attempts.set(attempt.number);
        client.call_tool("numbers", &Map::new(), timeout)
    });
    match result {
        Err(RetryError::Permanent(error)) => (error, attempts.get()),
        Err(RetryError::MaxRetriesExceeded(exceeded)) => (exceeded.last, attempts.get()),
        other => panic!("{other:?}"),
    }
}

/// One fault: it has that kind, is tried and counted like that, within its time, and its sentence names the endpoint or
/// the tool.
fn check_client(fault: &str, client: &Client, expected: &Expected) -> CallError {
    let clock = SystemClock::new();
    let began = clock.tick();
    let timeout = if expected.kind == "timeout" { HANGING_TIMEOUT } else { TIMEOUT };
    let (error, attempts) = polled(client, timeout);
    let took = clock.tick().since(began);
    let verdict = error.verdict();
    assert_eq!(verdict.kind, expected.kind, "{fault}: {error:?}");
    assert_eq!(attempts, expected.tried as u32, "{fault}: attempts, {error}");
    assert_eq!(verdict.counted, expected.counted, "{fault}: counted, {error}");
    assert!(took < timeout * attempts + SLACK, "{fault} took {took:?}");
    let said = error.to_string();
    assert!(said.contains("://") || said.contains("numbers"), "{fault}: {said}");
    assert!(said.len() < 1_000 && !said.contains('\n'), "{fault}: {said}");
    error
}

/// A fault of one call on a server whose session is well.
fn check(fault: &str, mut reaction: impl FnMut(&Seen) -> Reaction + Send + 'static, expected: &Expected) -> CallError {
    let server = FaultyServer::legacy(move |seen| reaction(seen));
    let client = client(&server);
    client.link(Deadline::after(TIMEOUT, &client.clock)).unwrap();
    let error = check_client(fault, &client, expected);
    assert_eq!(server.count("tools/call"), expected.tried as usize, "{fault}: requests");
    assert_eq!(server.count("initialize"), 1, "{fault}: no session is begun for a fault of another kind");
    error
}

fn numbers() -> Value {
    json!({"structuredContent": {"active": 3}, "content": []})
}

fn object(value: Value) -> ToolAnswer {
    match value {
        Value::Object(object) => ToolAnswer::Object(object),
        other => panic!("{other}"),
    }
}
