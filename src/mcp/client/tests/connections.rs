//! Faults below HTTP: nobody there, gone in the middle, too slow.

use super::*;
use crate::thread::Joined;
use std::io::{Read, Write};
use std::net::TcpListener;

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = client_at(&format!("http://127.0.0.1:{port}/mcp"));
    let error = check_client("refused", &client, &transient("connect"));
    assert!(error.is_unreachable());
}

#[test]
fn a_host_that_does_not_exist() {
    let client = client_at("http://nowhere.invalid:1/mcp");
    let error = client.call_tool("numbers", &Map::new(), Duration::from_secs(5)).unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.verdict(), Verdict::transient("resolve"), "{error:?}");
}

#[test]
fn the_connection_is_reset() {
    check("reset", |_| Reaction::Reset, &transient("disconnected"));
}

#[test]
fn the_connection_ends_without_an_answer() {
    check("closed", |_| Reaction::Bytes(vec![]), &transient("disconnected"));
}

#[test]
fn the_head_is_cut() {
    check("cut head", |_| Reaction::Bytes(bytes("HTTP/1.1 200 OK\r\ncontent-ty")), &transient("disconnected"));
}

#[test]
fn the_body_is_cut() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"id\":";
    check("cut body", move |_| Reaction::Bytes(bytes(head)), &transient("disconnected"));
}

#[test]
fn a_chunked_body_is_cut() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{\"id\":";
    check("cut chunk", move |_| Reaction::Bytes(bytes(head)), &transient("disconnected"));
}

#[test]
fn a_stream_is_cut() {
    check("cut stream", |_| Reaction::events("data: {\"id\":"), &transient("disconnected"));
    check("empty stream", |_| Reaction::events(""), &transient("disconnected"));
    check("only notifications", |_| Reaction::events("data: {\"method\":\"x\"}\n\n"), &transient("disconnected"));
}

#[test]
fn nothing_comes() {
    check("hang", |_| Reaction::Stall(vec![]), &transient("timeout"));
}

#[test]
fn nothing_comes_after_the_head() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{";
    check("hang in body", move |_| Reaction::Stall(bytes(head)), &transient("timeout"));
    let stream = crate::mcp::faulty::event_stream("data: {\"method\":\"x\"}\n\n");
    check("hang in stream", move |_| Reaction::Stall(stream.clone()), &transient("timeout"));
}

#[test]
fn bytes_trickle() {
    let drip = |first: &str, rest: &str| {
        let (first, rest) = (bytes(first), bytes(rest));
        move |_: &Seen| Reaction::Repeat { first: first.clone(), rest: rest.clone(), pause: Duration::from_millis(5) }
    };
    check("drip head", drip("HTTP/1.1 200 OK\r\n", "x-a: b\r\n"), &transient("timeout"));
    check("drip body", drip("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", " "), &transient("timeout"));
    check(
        "drip stream",
        drip("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", ": x\n"),
        &transient("timeout"),
    );
}

#[test]
fn the_server_hangs_while_the_session_begins() {
    for method in ["initialize", "notifications/initialized"] {
        let server = FaultyServer::legacy_but(method, |_| Reaction::Stall(vec![]));
        check_client(method, &client(&server), &transient("timeout"));
        assert_eq!(server.count("tools/call"), 0);
    }
}

#[test]
fn what_is_no_tls_is_a_matter_of_configuration() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client_at(&format!("https://{}/mcp", listener.local_addr().unwrap()));
    let _plain = Joined::spawn("plain", move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // Reads what comes, so that closing is no reset.
        let _ = stream.read(&mut [0; 4_096]);
    })
    .unwrap();
    let error = call(&client).unwrap_err();
    assert_eq!(error.verdict().kind, "configuration", "{error:?}");
}

#[test]
fn a_connection_is_used_again() {
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&numbers())));
    let client = client(&server);
    for _ in 0..5 {
        assert_eq!(call(&client).unwrap(), object(json!({"active": 3})));
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn no_time_left_is_a_timeout_without_a_request() {
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&numbers())));
    let error = client(&server).call_tool("numbers", &Map::new(), Duration::ZERO).unwrap_err();
    assert_eq!(error.verdict().kind, "timeout");
    assert_eq!(server.seen().len(), 0);
}
