//! The two eras: found out, remembered, changed; and the headers of the modern one.

use super::*;
use crate::mcp::faulty::{legacy_opening, modern_opening};
use crate::mcp::protocol::Era;

fn modern_first(server: &FaultyServer) -> Client {
    Client::new(&server.endpoint(), &ClientSettings::default().first_era(Era::Modern)).unwrap()
}

fn answers(seen: &Seen) -> Reaction {
    Reaction::json(&seen.result(&numbers()))
}

#[test]
fn a_modern_server_is_found_out_and_remembered() {
    let refusals: [fn(&Seen) -> Reaction; 5] = [
        |seen| Reaction::json(&seen.error(-32601, "Method not found")).and_status(404),
        |seen| Reaction::json(&seen.error(-32601, "Method not found")),
        |seen| Reaction::json(&seen.error(-32020, "Missing MCP-Protocol-Version header")).and_status(400),
        |seen| Reaction::json(&seen.error(-32022, "Unsupported protocol version")).and_status(400),
        |seen| Reaction::json(&seen.error(-32600, "this server speaks 2026-07-28")).and_status(400),
    ];
    for refuse in refusals {
        let server = FaultyServer::modern_but("initialize", refuse, answers);
        let client = client(&server);
        assert_eq!(client.era(), None);
        for _ in 0..3 {
            call(&client).unwrap();
        }
        assert_eq!(client.era(), Some(Era::Modern));
        let counts = ["initialize", "server/discover", "tools/call"].map(|method| server.count(method));
        assert_eq!(counts, [1, 1, 3]);
        client.close(TIMEOUT);
        assert_eq!((server.count("DELETE"), client.era()), (0, None));
    }
}

#[test]
fn an_initialize_that_is_answered_with_the_modern_version_is_taken_at_its_word() {
    let answer = |seen: &Seen| Reaction::json(&seen.result(&json!({"protocolVersion": "2026-07-28"})));
    let server = FaultyServer::modern_but("initialize", answer, answers);
    call(&client(&server)).unwrap();
    assert_eq!(server.count("server/discover"), 1);
}

#[test]
fn a_modern_request_says_everything_about_itself() {
    let server = FaultyServer::modern(answers);
    let client = modern_first(&server);
    client.call_tool("größe", &Map::new(), TIMEOUT).unwrap();
    let seen = server.seen();
    assert_eq!(seen.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["server/discover", "tools/call"]);
    for seen in &seen {
        assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28");
        assert_eq!(seen.header("mcp-method"), seen.method);
        let meta = &seen.body["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "claude-comms");
        assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    }
    assert_eq!(seen[1].header("mcp-name"), "=?base64?Z3LDtsOfZQ==?=");
}

#[test]
fn a_client_that_expects_the_modern_era_gets_along_with_a_legacy_server() {
    let refusals: [fn(&Seen) -> Reaction; 4] = [
        |_| Reaction::status(404, "Not Found"),
        |seen| Reaction::json(&seen.error(-32600, "Bad Request: Missing session ID")).and_status(400),
        |seen| Reaction::json(&seen.error(-32601, "Method not found")),
        |seen| Reaction::json(&seen.result(&json!({"supportedVersions": ["2025-11-25"]}))),
    ];
    for refuse in refusals {
        let server = FaultyServer::start(move |seen| match seen.method.as_str() {
            "server/discover" => refuse(seen),
            _ => legacy_opening(seen).unwrap_or_else(|| answers(seen)),
        });
        let client = modern_first(&server);
        call(&client).unwrap();
        assert_eq!((client.era(), server.count("server/discover")), (Some(Era::Legacy), 1));
    }
}

#[test]
fn a_server_that_is_down_does_not_change_the_era() {
    let server = FaultyServer::start(|_| Reaction::status(503, ""));
    check_client("503 at discover", &modern_first(&server), &transient("unavailable"));
    assert_eq!((server.count("server/discover"), server.count("initialize")), (4, 0));
}

#[test]
fn a_server_that_changes_its_era_is_followed() {
    let mut calls = 0;
    let server = FaultyServer::start(move |seen| {
        calls += usize::from(seen.method == "tools/call");
        let modern = seen.header("mcp-protocol-version") == "2026-07-28";
        match (calls, modern) {
            (0 | 1, _) => legacy_opening(seen).unwrap_or_else(|| answers(seen)),
            (_, false) => Reaction::json(&seen.error(-32601, "Method not found")).and_status(404),
            (_, true) => modern_opening(seen).unwrap_or_else(|| answers(seen)),
        }
    });
    let client = client(&server);
    call(&client).unwrap();
    assert_eq!(client.era(), Some(Era::Legacy));
    call(&client).unwrap();
    assert_eq!(client.era(), Some(Era::Modern));
}

#[test]
fn no_version_in_common_is_a_matter_of_configuration() {
    let answer = |seen: &Seen| Reaction::json(&seen.result(&json!({"protocolVersion": "1999-01-01"})));
    let server = FaultyServer::legacy_but("initialize", answer);
    let error = check_client("too old", &client(&server), &configuration());
    assert!(error.to_string().contains("1999-01-01"), "{error}");
    let server = FaultyServer::start(|seen| {
        let mut error = seen.error(-32022, "Unsupported protocol version");
        error["error"]["data"] = json!({"supported": ["2099-01-01"]});
        Reaction::json(&error).and_status(400)
    });
    let error = check_client("too new", &client(&server), &configuration());
    assert!(error.to_string().contains("2099-01-01") || error.to_string().contains("Unsupported"), "{error}");
}

#[test]
fn a_server_that_knows_neither_beginning_is_not_asked_for_ever() {
    let server = FaultyServer::start(|seen| Reaction::json(&seen.error(-32601, "Method not found")));
    check_client("neither", &client(&server), &configuration());
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn arguments_become_headers_once_the_server_asks_for_them() {
    let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let server = FaultyServer::modern(move |seen| match seen.method.as_str() {
        "tools/list" => Reaction::json(&seen.result(&json!({"tools": [
            {"name": "numbers", "inputSchema": schema},
            {"name": "bad", "inputSchema": {"properties": {"a": {"type": "object", "x-mcp-header": "A"}}}},
        ]}))),
        _ if seen.header("mcp-param-region") == "west" => answers(seen),
        _ => Reaction::json(&seen.error(-32020, "Header mismatch: Mcp-Param-Region is missing")).and_status(400),
    });
    let client = modern_first(&server);
    let arguments = Map::from_iter([("region".to_owned(), json!("west"))]);
    for _ in 0..2 {
        client.call_tool("numbers", &arguments, TIMEOUT).unwrap();
    }
    assert_eq!((server.count("tools/list"), server.count("tools/call")), (1, 3));
    let error = client.call_tool("bad", &arguments, TIMEOUT).unwrap_err();
    assert_eq!(error.verdict().kind, "tool_invalid");
    assert_eq!(server.count("tools/call"), 3);
    // Told once, not for ever.
    assert_eq!(client.call_tool("numbers", &Map::new(), TIMEOUT).unwrap_err().verdict().kind, "configuration");
    assert_eq!(server.count("tools/call"), 5);
}

#[test]
fn a_modern_stream_that_is_cut_is_not_taken_up() {
    let server = FaultyServer::modern(|_| Reaction::events("id: 5\nretry: 1\ndata:\n\n"));
    assert_eq!(call(&modern_first(&server)).unwrap_err().verdict().kind, "disconnected");
    assert_eq!(server.count("GET"), 0);
}
