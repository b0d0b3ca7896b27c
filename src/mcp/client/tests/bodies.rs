//! Every shape of a body, right and wrong.

use super::*;
use crate::mcp::client::reply::BODY_BYTES_MAX;
use crate::mcp::faulty::event_stream;
use proptest::prelude::*;

/// What a call makes of a body.
fn answered(reaction: impl FnMut(&Seen) -> Reaction + Send + 'static) -> ToolAnswer {
    let server = FaultyServer::legacy(reaction);
    let answer = call(&client(&server)).unwrap();
    assert_eq!((server.count("tools/call"), server.count("GET")), (1, 0));
    answer
}

fn expected() -> ToolAnswer {
    object(json!({"active": 3}))
}

#[test]
fn an_object() {
    assert_eq!(answered(|seen| Reaction::json(&seen.result(&numbers()))), expected());
}

#[test]
fn an_array_with_our_answer_in_it() {
    let array =
        |seen: &Seen| Reaction::json(&json!([{"method": "x"}, {"id": 999, "result": 0}, seen.result(&numbers())]));
    assert_eq!(answered(array), expected());
}

#[test]
fn a_stream_that_stays_open() {
    // Nothing comes after the answer, and the call returns all the same.
    let stream = |seen: &Seen| {
        let answer = seen.result(&numbers());
        let id = &seen.body["id"];
        Reaction::Stall(event_stream(&format!(
            "\u{feff}: hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\rdata: {{\"method\":\"progress\"}}\r\rdata: \
             {{\"id\":{id},\"method\":\"ping\"}}\n\nevent: other\ndata: <\n\ndata: [{{\"id\":77,\"result\":1}}]\n\ndata: {answer}\n\n"
        )))
    };
    assert_eq!(answered(stream), expected());
}

#[test]
fn a_stream_with_an_answer_over_several_lines() {
    let stream = |seen: &Seen| {
        let pretty = serde_json::to_string_pretty(&seen.result(&numbers())).unwrap();
        let lines: String = pretty.lines().map(|line| format!("data: {line}\r\n")).collect();
        Reaction::events(&format!("{lines}\r\n"))
    };
    assert_eq!(answered(stream), expected());
}

#[test]
fn a_chunked_body_of_unknown_type() {
    let chunked = |seen: &Seen| {
        let body = seen.result(&numbers()).to_string();
        let (first, rest) = body.split_at(7);
        Reaction::Bytes(
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
                rest.len()
            )
            .into_bytes(),
        )
    };
    assert_eq!(answered(chunked), expected());
}

#[test]
fn what_cannot_be_read_is_asked_for_once_more() {
    let malformed = once_more("malformed");
    let said =
        |body: &'static str| move |_: &Seen| Reaction::Reply { status: 200, headers: vec![], body: body.to_owned() };
    check("no JSON", said("{\"id\": 1,"), &malformed);
    check("a number", said("7"), &malformed);
    check("an empty array", said("[]"), &malformed);
    let error = check("empty", said(" \n"), &malformed);
    assert!(error.to_string().ends_with("it is empty"), "{error}");
    let error = check("HTML", said("<!DOCTYPE html>\n<title>Sign in</title>"), &malformed);
    assert!(error.to_string().contains("web page (<!DOCTYPE html> <title>Sign in"), "{error}");
    check("not UTF-8", |_| Reaction::Bytes(b"HTTP/1.1 200 OK\r\n\r\n{\"\xff\xfe\":1}".to_vec()), &malformed);
    check("no result", |seen| Reaction::json(&json!({"id": seen.body["id"]})), &malformed);
    check("broken event", |_| Reaction::events("data: {\"id\"\n\n"), &malformed);
}

#[test]
fn an_answer_to_somebody_else_is_none() {
    for id in [json!(999), json!("1"), json!(null), json!("server-error")] {
        check("wrong id", move |_| Reaction::json(&json!({"id": id, "result": numbers()})), &once_more("malformed"));
    }
}

#[test]
fn success_without_an_answer_is_none() {
    for status in [201, 202, 204] {
        check(&status.to_string(), move |_| Reaction::status(status, ""), &once_more("malformed"));
    }
    // The right id counts only with 200.
    check("206", |seen| Reaction::json(&seen.result(&numbers())).and_status(206), &once_more("malformed"));
}

#[test]
fn what_is_no_http_is_asked_for_once_more() {
    check("garbage", |_| Reaction::Bytes(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()), &once_more("malformed"));
}

#[test]
fn an_internal_error_is_asked_about_once_more() {
    for code in [-32603, -32000, -32019] {
        let error = check("internal", move |seen| Reaction::json(&seen.error(code, "oops")), &once_more("internal"));
        assert!(error.to_string().contains(&format!("({code}): oops")), "{error}");
    }
    let stream = |seen: &Seen| Reaction::events(&format!("data: {}\n\n", seen.error(-32603, "oops")));
    check("in a stream", stream, &once_more("internal"));
}

#[test]
fn a_rejected_request_is_a_matter_of_configuration() {
    for code in [-32700, -32600, -32601, -32602, -32021, -32099, 5] {
        let error = check("rejected", move |seen| Reaction::json(&seen.error(code, "no")), &configuration());
        assert!(error.to_string().contains(&format!("({code}): no")), "{error}");
    }
    let error = check("400", |seen| Reaction::json(&seen.error(-32602, "no")).and_status(400), &configuration());
    assert!(error.to_string().contains("(-32602): no"), "{error}");
}

/// No body, of whatever kind, is read beyond the limit by more than the buffers of the sockets hold.
#[test]
fn a_body_without_end_is_given_up() {
    let buffers_max = 16 * 1024 * 1024;
    let heads: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
    ];
    let rests: [&[u8]; 4] =
        [&[b' '; 65_536], &[b'x'; 65_536], &b"data: {\"method\":\"x\"}\n\n".repeat(3_000), &[b' '; 65_536]];
    for (head, rest) in heads.into_iter().zip(rests) {
        let (first, rest) = (head.to_vec(), rest.to_vec());
        let server = FaultyServer::legacy(move |_| Reaction::Repeat {
            first: first.clone(),
            rest: rest.clone(),
            pause: Duration::ZERO,
        });
        let client = client(&server);
        let error = client.call_tool("numbers", &Map::new(), Duration::from_secs(20)).unwrap_err();
        assert_eq!((error.verdict(), error.attempts_max()), (Verdict::transient("too_large"), Some(2)), "{error}");
        assert!(server.bytes_sent() < BODY_BYTES_MAX + buffers_max, "{}", server.bytes_sent());
    }
}

#[test]
fn a_head_without_end_is_given_up() {
    let endless = |rest: &[u8]| {
        let rest = rest.to_vec();
        move |_: &Seen| Reaction::Repeat {
            first: b"HTTP/1.1 200 OK\r\nx: ".to_vec(),
            rest: rest.clone(),
            pause: Duration::ZERO,
        }
    };
    check("endless header", endless(&[b'x'; 1_000]), &once_more("too_large"));
    check("endless headers", endless(&b"x\r\nx: ".repeat(100)), &once_more("malformed"));
}

#[test]
fn a_compressed_body_is_not_asked_for() {
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&numbers())));
    call(&client(&server)).unwrap();
    let seen = server.seen();
    assert!(seen.iter().all(|seen| matches!(seen.header("accept-encoding"), "" | "identity")), "{seen:?}");
}

/// An answer as it should be, in both framings.
fn right(id: &Value, as_stream: bool) -> Vec<u8> {
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": numbers()});
    if as_stream {
        return event_stream(&format!("event: message\nretry: 1\ndata: {answer}\n\n"));
    }
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{answer}").into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever becomes of an answer on its way, the call ends, with an answer or an error of a known kind.
    #[test]
    fn a_damaged_answer_does_no_harm(
        as_stream: bool,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        whole: bool,
    ) {
        let server = FaultyServer::legacy(move |seen| {
            let mut bytes = right(&seen.body["id"], as_stream);
            for (place, byte) in &damages {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            Reaction::Bytes(bytes)
        });
        let client = client(&server);
        if let Err(error) = call(&client) {
            let odd = matches!(error, CallError::Timeout { .. } | CallError::Unsendable { .. });
            prop_assert!(!odd && !error.is_unreachable(), "{error:?}");
        }
        prop_assert!(server.count("tools/call") <= 2);
    }
}
