//! Each fault of a server once, over real sockets and with the waits in virtual time: how often the tool was called, what the
//! breaker counted, and what became of the tool.

use super::super::{CycleOutcome, Poller, PollerSettings, ToolState};
use super::{SECOND, settings, states};
use crate::clock::{Clock, ManualClock, SystemClock, Tick};
use crate::mcp::client::{Client, ClientSettings};
use crate::mcp::faulty::{FaultyServer, Reaction, Seen, event_stream};
use crate::resilience::Effects;
use ToolState::{Failing, Missing, Ok, Unmapped};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

type React = fn(&Seen) -> Reaction;

/// Calls of the tool, failures of the breaker, state of the tool.
type Expected = (usize, u32, ToolState);

const TRANSIENT: Expected = (4, 1, Failing);
const ONCE_MORE: Expected = (2, 1, Failing);
const THROTTLED: Expected = (4, 0, Failing);
const CONFIGURATION: Expected = (1, 0, Failing);

/// What a poller makes of a server that reacts so to every call of its tool.
fn observed(react: React) -> (Expected, String) {
    let server = FaultyServer::legacy(react);
    let clock = ManualClock::new();
    // Time for all retries.
    let settings = PollerSettings { interval: 600 * SECOND, endpoint: server.endpoint(), ..settings(&["a"]) };
    let poller = Poller::new(settings, &Effects::manual(&clock, 1), Arc::new(())).unwrap();
    let report = poller.poll_once();
    let failures = poller.status().consecutive_failures;
    ((server.count("tools/call"), failures, states(&report)[0]), report.errors.join("; "))
}

fn check(faults: &[(&str, Expected, React)]) {
    for (fault, expected, react) in faults {
        let (observed, errors) = observed(*react);
        assert_eq!(observed, *expected, "{fault}: {errors}");
        assert_eq!(errors.is_empty(), expected.2 == Ok, "{fault}: {errors}");
    }
}

fn answer(seen: &Seen, result: Value) -> Reaction {
    Reaction::json(&seen.result(&result))
}

fn error(seen: &Seen, code: i64) -> Reaction {
    Reaction::json(&seen.error(code, "oops"))
}

#[test]
fn connections_that_break() {
    check(&[
        ("reset", TRANSIENT, |_| Reaction::Reset),
        ("closed before a byte", TRANSIENT, |_| Reaction::Bytes(vec![])),
        ("cut within the body", TRANSIENT, |_| {
            Reaction::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{".to_vec(),
            )
        }),
        ("cut within a stream", TRANSIENT, |_| Reaction::Bytes(event_stream("data: {\"json"))),
    ]);
}

#[test]
fn statuses_that_are_tried_again() {
    check(&[
        ("408", TRANSIENT, |_| Reaction::status(408, "")),
        ("425", TRANSIENT, |_| Reaction::status(425, "")),
        ("500", TRANSIENT, |_| Reaction::status(500, "")),
        ("502", TRANSIENT, |_| Reaction::status(502, "")),
        ("503", TRANSIENT, |_| Reaction::status(503, "")),
        ("504", TRANSIENT, |_| Reaction::status(504, "")),
        ("503, later", TRANSIENT, |_| Reaction::status(503, "").with("retry-after", "7")),
        ("503, much later", (1, 1, Failing), |_| Reaction::status(503, "").with("retry-after", "86400")),
        ("429", THROTTLED, |_| Reaction::status(429, "")),
        ("429, later", THROTTLED, |_| Reaction::status(429, "").with("retry-after", "7")),
        ("501", (1, 1, Failing), |_| Reaction::status(501, "")),
    ]);
}

#[test]
fn answers_that_cannot_be_read_are_asked_for_once_more() {
    check(&[
        ("internal error", ONCE_MORE, |seen| error(seen, -32603)),
        ("-32000", ONCE_MORE, |seen| error(seen, -32000)),
        ("-32019", ONCE_MORE, |seen| error(seen, -32019)),
        ("half of JSON", ONCE_MORE, |_| Reaction::status(200, "{\"jsonrpc\": ")),
        ("empty", ONCE_MORE, |_| Reaction::status(200, "")),
        ("a web page", ONCE_MORE, |_| Reaction::status(200, "<html>hello</html>").with("content-type", "text/html")),
        ("another id", ONCE_MORE, |_| Reaction::json(&json!({"jsonrpc": "2.0", "id": 999_999, "result": {}}))),
        ("too large", ONCE_MORE, |_| Reaction::status(200, &" ".repeat(9 << 20))),
        ("NaN outside of a text", ONCE_MORE, |seen| {
            Reaction::status(
                200,
                &format!("{{\"id\": {}, \"result\": {{\"structuredContent\": {{\"x\": NaN}}}}}}", seen.body["id"]),
            )
        }),
    ]);
}

#[test]
fn wrong_settings_are_not_tried_again() {
    check(&[
        ("400", CONFIGURATION, |_| Reaction::status(400, "no")),
        ("401", CONFIGURATION, |_| Reaction::status(401, "")),
        ("403", CONFIGURATION, |_| Reaction::status(403, "")),
        ("405", CONFIGURATION, |_| Reaction::status(405, "")),
        ("406", CONFIGURATION, |_| Reaction::status(406, "")),
        ("413", CONFIGURATION, |_| Reaction::status(413, "")),
        ("415", CONFIGURATION, |_| Reaction::status(415, "")),
        ("a redirect", CONFIGURATION, |_| Reaction::status(307, "").with("location", "http://elsewhere.example/")),
        ("-32600", CONFIGURATION, |seen| error(seen, -32600)),
        ("-32601", CONFIGURATION, |seen| error(seen, -32601)),
        ("-32602", CONFIGURATION, |seen| error(seen, -32602)),
    ]);
}

#[test]
fn what_tools_say_is_neither_tried_again_nor_counted() {
    check(&[
        ("isError", (1, 0, Failing), |seen| {
            answer(seen, json!({"isError": true, "content": [{"type": "text", "text": "disk full"}]}))
        }),
        ("success: false", (1, 0, Failing), |seen| {
            answer(seen, json!({"structuredContent": {"success": false, "error": "no database"}}))
        }),
        ("unknown, by a tool's error", (1, 0, Missing), |seen| {
            answer(seen, json!({"isError": true, "content": [{"type": "text", "text": "Unknown tool: a"}]}))
        }),
        ("unknown, by the request's error", (1, 0, Missing), |seen| {
            Reaction::json(&seen.error(-32602, "Unknown tool: a"))
        }),
        ("text only", (1, 0, Unmapped), |seen| answer(seen, json!({"content": [{"type": "text", "text": "well"}]}))),
        ("nothing", (1, 0, Unmapped), |seen| answer(seen, json!({"content": []}))),
        ("a list", (1, 0, Unmapped), |seen| answer(seen, json!({"structuredContent": {"result": [1, 2]}}))),
        ("no numbers", (1, 0, Unmapped), |seen| answer(seen, json!({"structuredContent": {"x": "y"}}))),
        ("numbers", (1, 0, Ok), |seen| answer(seen, json!({"structuredContent": {"x": 1}}))),
    ]);
}

#[test]
fn a_lost_session_counts_only_when_it_is_lost_again() {
    check(&[("lost again and again", (2, 1, Failing), |_| Reaction::status(404, "Session not found"))]);

    let mut calls = 0;
    let server = FaultyServer::legacy(move |seen| {
        calls += 1;
        if calls == 1 { Reaction::status(404, "") } else { answer(seen, json!({"structuredContent": {"x": 1}})) }
    });
    let settings = PollerSettings { endpoint: server.endpoint(), ..settings(&["a", "b"]) };
    let poller = Poller::new(settings, &Effects::manual(&ManualClock::new(), 1), Arc::new(())).unwrap();
    assert_eq!(poller.poll_once().outcome, CycleOutcome::Ok);
    assert_eq!((server.count("initialize"), server.count("tools/call")), (2, 3));
    assert_eq!(poller.status().consecutive_failures, 0);
}

#[test]
fn nobody_listening_ends_the_cycle_and_is_one_failure() {
    let endpoint = {
        let server = FaultyServer::legacy(|_| Reaction::Reset);
        server.endpoint()
    };
    let settings = PollerSettings { endpoint, ..settings(&["a", "b"]) };
    let poller = Poller::new(settings, &Effects::manual(&ManualClock::new(), 1), Arc::new(())).unwrap();
    let report = poller.poll_once();
    assert_eq!(states(&report), [Failing, ToolState::Untried]);
    assert!(report.errors[0].starts_with("a: could not connect to http://127.0.0.1:"), "{:?}", report.errors);
    assert_eq!((report.errors.len(), poller.status().consecutive_failures), (1, 1));
}

/// In real time, with a shorter interval than settings may have.
#[test]
fn no_server_can_make_a_cycle_last_longer() {
    let drip: React = |_| Reaction::Repeat {
        first: event_stream(""),
        rest: b": still here\n\n".to_vec(),
        pause: Duration::from_millis(5),
    };
    let stalls: [React; 3] = [|_| Reaction::Stall(vec![]), |_| Reaction::Stall(event_stream("data: {")), drip];
    for react in stalls {
        let server = FaultyServer::legacy(react);
        let endpoint = server.endpoint();
        let (interval, retry_delay) = (Duration::from_millis(500), Duration::from_millis(50));
        let settings = PollerSettings { interval, retry_delay, endpoint, ..settings(&["a", "b"]) };
        let client = Client::new(&settings.endpoint, &ClientSettings::default()).unwrap();
        let poller = Poller::with_tools(settings, &Effects::system(), Arc::new(()), Box::new(client)).unwrap();
        let clock = SystemClock::new();
        let report = poller.poll_once();
        assert_eq!(report.outcome, CycleOutcome::Failed);
        assert!(report.took >= Duration::from_millis(300), "{:?}", report.took);
        // Far less than the three seconds that the timeouts of its calls would come to.
        assert!(report.took < Duration::from_secs(2), "{:?}", report.took);
        assert!(server.count("tools/call") >= 2, "a retry fits");
        drop(poller);
        assert!(clock.tick() < Tick::ZERO.after(Duration::from_secs(4)));
    }
}
