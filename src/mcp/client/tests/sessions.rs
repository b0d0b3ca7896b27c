//! Sessions: begun once, lost, begun anew by one for all; and streams that are taken up again.

use super::*;
use crate::mcp::faulty::legacy_opening;
use crate::thread::Joined;
use std::sync::Arc;

/// Begins sessions `s1`, `s2`, …; whether one is known is for the script to say.
fn sessions(mut call: impl FnMut(&Seen, usize) -> Reaction + Send + 'static) -> FaultyServer {
    let mut begun = 0;
    FaultyServer::start(move |seen| {
        if seen.method == "initialize" {
            begun += 1;
            let result = json!({"protocolVersion": "2025-06-18"});
            return Reaction::json(&seen.result(&result)).with("mcp-session-id", &format!("s{begun}"));
        }
        legacy_opening(seen).unwrap_or_else(|| call(seen, begun))
    })
}

#[test]
fn a_session_begins_once_and_is_named_in_every_request() {
    let server = sessions(|seen, _| Reaction::json(&seen.result(&numbers())).with("mcp-session-id", "another"));
    let client = client(&server);
    for _ in 0..3 {
        call(&client).unwrap();
    }
    client.close(TIMEOUT);
    let seen = server.seen();
    let line: Vec<_> = seen.iter().map(|seen| if seen.method.is_empty() { &seen.verb } else { &seen.method }).collect();
    assert_eq!(line, ["initialize", "notifications/initialized", "tools/call", "tools/call", "tools/call", "DELETE"]);
    assert_eq!((seen[0].header("mcp-session-id"), seen[0].header("mcp-protocol-version")), ("", ""));
    assert_eq!(seen[0].body["params"]["protocolVersion"], "2025-11-25");
    for seen in &seen[1..] {
        assert_eq!((seen.header("mcp-session-id"), seen.header("mcp-protocol-version")), ("s1", "2025-06-18"));
    }
    assert!(seen[..5].iter().all(|seen| seen.header("accept") == "application/json, text/event-stream"));
    assert!(seen.iter().all(|seen| seen.header("mcp-method").is_empty()));
}

#[test]
fn a_server_without_sessions_is_served_without() {
    let server = FaultyServer::legacy_but("initialize", |seen| {
        Reaction::json(&seen.result(&json!({"protocolVersion": "2025-11-25"})))
    });
    let client = client(&server);
    client.close(TIMEOUT);
    assert_eq!(server.count("DELETE"), 0);
}

#[test]
fn a_lost_session_is_begun_anew_and_no_failure() {
    let losses: [fn(&Seen) -> Reaction; 4] = [
        |_| Reaction::status(404, "no such session"),
        |seen| Reaction::json(&seen.error(-32600, "Session not found")).and_status(404),
        |seen| Reaction::json(&seen.error(-32000, "Bad Request: No valid session ID provided")).and_status(400),
        |seen| Reaction::json(&seen.error(-32600, "Session not found")),
    ];
    for lost in losses {
        let server = sessions(move |seen, begun| match begun {
            1 => lost(seen),
            _ => Reaction::json(&seen.result(&numbers())),
        });
        let client = client(&server);
        assert_eq!(call(&client).unwrap(), object(json!({"active": 3})));
        assert_eq!((server.count("initialize"), server.count("tools/call")), (2, 2));
        let ids: Vec<_> = server
            .seen()
            .iter()
            .filter(|seen| seen.method == "tools/call")
            .map(|seen| seen.body["id"].clone())
            .collect();
        assert_ne!(ids[0], ids[1]);
    }
}

#[test]
fn a_session_that_is_lost_again_at_once_is_a_failure() {
    let server = sessions(|_, _| Reaction::status(404, ""));
    let expected = Expected { kind: "session_lost", tried: Once, counted: true };
    check_client("lost for ever", &client(&server), &expected);
    assert_eq!((server.count("initialize"), server.count("tools/call")), (2, 2));
}

#[test]
fn a_session_that_cannot_be_begun_anew_fails_like_that() {
    let mut begun = 0;
    let server = FaultyServer::start(move |seen| {
        begun += usize::from(seen.method == "initialize");
        match legacy_opening(seen) {
            Some(_) if begun > 1 => Reaction::status(503, ""),
            Some(reaction) => reaction,
            None => Reaction::status(404, ""),
        }
    });
    check_client("503 at the second beginning", &client(&server), &transient("unavailable"));
    assert_eq!(server.count("tools/call"), 1);
}

#[test]
fn several_threads_share_one_session_also_after_a_loss() {
    let server = sessions(|seen, begun| match (seen.header("mcp-session-id"), begun) {
        ("s1", _) => Reaction::status(404, ""),
        _ => Reaction::json(&seen.result(&numbers())),
    });
    let client = Arc::new(client(&server));
    let callers: Vec<_> = (0..8)
        .map(|number| {
            let client = client.clone();
            Joined::spawn(format!("caller-{number}"), move || client.call_tool("numbers", &Map::new(), SLACK).is_ok())
                .unwrap()
        })
        .collect();
    assert!(callers.into_iter().all(|caller| caller.join() == Some(true)));
    assert_eq!(server.count("initialize"), 2);
}

#[test]
fn waiting_for_somebody_elses_beginning_has_a_limit() {
    const SLOW: Duration = Duration::from_millis(800);
    let server = FaultyServer::legacy_but("initialize", |_| Reaction::Stall(vec![]));
    let client = Arc::new(client(&server));
    let slow = Joined::spawn("slow", {
        let client = client.clone();
        move || client.call_tool("numbers", &Map::new(), SLOW).is_err()
    })
    .unwrap();
    while server.count("initialize") == 0 {
        std::thread::yield_now();
    }
    let clock = SystemClock::new();
    let error = client.call_tool("numbers", &Map::new(), HANGING_TIMEOUT).unwrap_err();
    assert_eq!(error.verdict().kind, "timeout");
    assert!(clock.tick().since(crate::clock::Tick::ZERO) < SLOW);
    assert_eq!((slow.join(), server.count("initialize")), (Some(true), 1));
}

#[test]
fn a_stream_is_taken_up_where_it_stopped() {
    let mut waiting = Value::Null;
    let server = sessions(move |seen, _| match seen.verb.as_str() {
        "POST" => {
            waiting = seen.result(&numbers());
            Reaction::events("id: 5\nretry: 30\ndata:\n\nid: 6\ndata: {\"method\"")
        }
        _ => Reaction::events(&format!("id: 7\ndata: {waiting}\n\n")),
    });
    let client = client(&server);
    assert_eq!(call(&client).unwrap(), object(json!({"active": 3})));
    let seen = server.seen();
    let again = seen.last().unwrap();
    assert_eq!((again.header("last-event-id"), again.header("mcp-session-id")), ("5", "s1"));
    assert_eq!((server.count("GET"), server.count("tools/call")), (1, 1));
}

#[test]
fn a_stream_that_cannot_be_taken_up_is_cut() {
    const EARLY: &str = "id: 5\nretry: 1\ndata:\n\n";
    let by =
        |get: fn() -> Reaction| move |seen: &Seen, _| if seen.verb == "GET" { get() } else { Reaction::events(EARLY) };
    let no_gets = sessions(by(|| Reaction::status(405, "")));
    check_client("405", &client(&no_gets), &transient("disconnected"));
    assert_eq!((no_gets.count("GET"), no_gets.count("tools/call")), (4, 4));
    let again_and_again = sessions(by(|| Reaction::events(EARLY)));
    assert_eq!(call(&client(&again_and_again)).unwrap_err().verdict().kind, "disconnected");
    assert_eq!(again_and_again.count("GET"), 5);
    // It asks for a longer wait than there is time.
    let slow = sessions(|_, _| Reaction::events("id: 5\nretry: 99999999999999999999\ndata:\n\n"));
    assert_eq!(call(&client(&slow)).unwrap_err().verdict().kind, "disconnected");
    assert_eq!(slow.count("GET"), 0);
}
