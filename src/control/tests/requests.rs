//! What may stand in a line, and what is said to what may not.

use super::super::wire::Request;
use super::*;
use crate::model::limits;
use serde_json::json;

#[test]
fn what_is_no_request_is_refused_and_the_next_one_served() {
    let door = Door::open();
    let mut peer = door.connect();
    let deep = "[".repeat(100_000);
    let deep_args = format!("{{\"id\":1,\"command\":\"poll.add\",\"args\":{deep}}}");
    let table: [(&[u8], Value, &str, &str); 22] = [
        (b"hello", Value::Null, "bad_request", "no request"),
        (b"{}", Value::Null, "bad_request", "no \"command\""),
        (b"[]", Value::Null, "bad_request", "no request"),
        (b"7", Value::Null, "bad_request", "no request"),
        (b"\"daemon.stop\"", Value::Null, "bad_request", "no request"),
        (b"{\"id\":1,", Value::Null, "bad_request", "no request"),
        (b"{\"id\":1,\"command\":\"daemon.stop\"}{}", Value::Null, "bad_request", "no request"),
        (b"\xff\xfe\x00", Value::Null, "bad_request", "not UTF-8"),
        (b"{\"id\":1,\"command\":\"\xff\"}", Value::Null, "bad_request", "not UTF-8"),
        (deep.as_bytes(), Value::Null, "bad_request", "no request"),
        (deep_args.as_bytes(), Value::Null, "bad_request", "no request"),
        (b"{\"v\":2,\"id\":1,\"command\":\"daemon.stop\"}", json!(1), "bad_request", "version 1"),
        (b"{\"id\":2,\"command\":\"daemon.restart\"}", json!(2), "unknown_command", "\"daemon.restart\""),
        (b"{\"id\":3,\"command\":\"daemon.stop\",\"args\":{\"now\":1}}", json!(3), "bad_request", "`now`"),
        (
            b"{\"id\":4,\"command\":\"message.show\"}",
            json!(4),
            "bad_request",
            "args of message.show: missing field `id`",
        ),
        (b"{\"id\":5,\"command\":\"message.show\",\"args\":{\"id\":5}}", json!(5), "bad_request", "expected a string"),
        (b"{\"id\":6,\"command\":7}", json!(6), "bad_request", "no request"),
        (b"{\"v\":\"1\",\"id\":7,\"command\":\"daemon.stop\"}", json!(7), "bad_request", "no request"),
        (b"[1,7,\"daemon.stop\",{}]", Value::Null, "bad_request", "no request"),
        (b"{\"id\":8,\"command\":\"message.show\",\"args\":[\"m\"]}", json!(8), "bad_request", "a JSON object"),
        (b"{\"id\":9,\"command\":\"daemon.stop\",\"args\":[]}", json!(9), "bad_request", "a JSON object"),
        (b"{\"id\":10,\"command\":\"daemon.stop\",\"args\":\"\"}", json!(10), "bad_request", "a JSON object"),
    ];
    for (line, id, code, part) in table {
        // Lines of nothing but blanks are no requests and no mistakes.
        peer.send(b"\n  \r\n");
        peer.send(line);
        peer.send(b"\r\n");
        let (found, found_code, message) = peer.refusal();
        let shown = String::from_utf8_lossy(&line[..line.len().min(60)]);
        assert_eq!((found, found_code.as_str()), (id, code), "{shown}: {message}");
        assert!(message.contains(part), "{shown}: {message}");
    }
    peer.send("{\"id\":99,\"command\":\"daemon.stop\",\"v\":1,\"unknown\":{\"keys\":[\"are ignored\"]}}\n");
    door.answer_one();
    assert_eq!(peer.value()["id"], 99);
}

#[test]
fn an_id_comes_back_as_it_was_given() {
    let door = Door::open();
    let mut peer = door.connect();
    let long = format!("\"{}\"", "i".repeat(254));
    let ids = [
        "0",
        "-7",
        "1.50",
        "18446744073709551616",
        "\"text\"",
        "\"\\u00e9\\n\"",
        "{\"a\": [1,  2]}",
        "[]",
        "true",
        &long,
    ];
    for id in ids {
        peer.send(format!("{{\"command\":\"daemon.stop\",\"id\":{id}}}\n"));
        door.answer_one();
        assert_eq!(peer.line(), format!("{{\"v\":1,\"id\":{id},\"ok\":true,\"result\":{{}}}}\n"));
    }
    for none in ["", ",\"id\":null"] {
        peer.send(format!("{{\"command\":\"daemon.stop\"{none}}}\n"));
        door.answer_one();
        assert_eq!(peer.line(), "{\"v\":1,\"id\":null,\"ok\":true,\"result\":{}}\n");
    }
}

#[test]
fn an_id_that_is_too_long_is_refused_not_dropped() {
    let door = Door::open();
    let mut peer = door.connect();
    peer.send(format!("{{\"command\":\"daemon.stop\",\"id\":\"{}\"}}\n", "i".repeat(255)));
    let (id, code, message) = peer.refusal();
    assert_eq!((id, code.as_str()), (Value::Null, "bad_request"));
    assert!(message.contains("256 bytes"), "{message}");
    assert!(door.asked.try_recv().is_err(), "it was done all the same");
}

#[test]
fn an_answer_that_fits_in_no_line_is_refused_and_the_next_one_given() {
    let door = Door::open();
    let mut peer = door.connect();
    for (bytes, fits) in [(9 << 20, false), (8_387_000, true), (3, true)] {
        peer.request(bytes, "message.show", &json!({"id": bytes.to_string()}).to_string());
        let line = peer.line();
        assert!(line.len() <= super::super::wire::LINE_BYTES_MAX, "{}", line.len());
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(bytes), &json!(fits)));
        if !fits {
            assert_eq!(answer["error"]["code"], "too_large");
        }
    }
}

#[test]
fn a_search_waits_for_the_index() {
    let door = Door::open();
    let mut peer = door.connect();
    peer.request(1, "message.search", "{\"query\":\"geese\"}");
    let ask = door.next_ask();
    assert_eq!(ask.command, Command::IndexSearch);
    ask.done();
    assert_eq!(peer.refusal().2, "the database could not be read: geese was looked for");
    peer.request(2, "message.search", "{\"query\":\"geese\"}");
    door.next_ask().refused(Refusal::new(crate::model::command::Code::Busy, "later"));
    assert_eq!((peer.refusal().2).as_str(), "later");
}

/// Every way in which a request can be wrong, with the code and what its sentence must hold.
fn wrong_requests() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let much = json!({"x": long(limits::JSON_BYTES_MAX)});
    let task = |more: Value| {
        let mut args = json!({"prompt": "p"});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let pool = |more: Value| {
        let mut args = json!({"pool_id": "p"});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let bad = "bad_request";
    vec![
        ("poll.wait", json!({"id": "many"}), "not_found", "\"many\" could be any of many-1, many-2; give more of it"),
        (
            "poll.wait",
            json!({"id": "m", "timeout_seconds": -1}),
            bad,
            "timeout_seconds is -1; it goes from 0 to 31536000",
        ),
        ("poll.wait", json!({"id": "m", "timeout_seconds": 1e300}), bad, "it goes from 0 to 31536000"),
        ("poll.add", json!({"message_id": ""}), bad, "message_id must have 1 to 256 bytes"),
        ("poll.add", json!({"task_id": long(256)}), bad, "task_id must have 1 to 256 bytes"),
        ("poll.add", json!({"message_id": "m", "thread_id": ""}), bad, "thread_id must have"),
        ("poll.add", json!({"message_id": "m", "source": ""}), bad, "source must have"),
        ("poll.add", json!({"message_id": "m", "target": ""}), bad, "target must have"),
        (
            "poll.list",
            json!({"status": "new"}),
            bad,
            "status is \"new\"; it is one of active, completed, failed, expired",
        ),
        ("poll.list", json!({"limit": 0}), bad, "limit is 0; it goes from 1 to 1000"),
        ("poll.list", json!({"limit": 1001}), bad, "limit is 1001; it goes from 1 to 1000"),
        ("poll.list", json!({"limit": -1}), bad, "args of poll.list"),
        ("poll.show", json!({"id": "many"}), "not_found", "could be any of"),
        ("poll.show", json!({"id": "none"}), "not_found", "none is neither watched nor a message or task"),
        ("poll.show", json!({"id": "strange"}), "not_found", "strange is neither watched nor known"),
        ("message.send", json!({"from": "", "to": "b", "content": "x"}), bad, "from must have 1 to 256 bytes"),
        (
            "message.send",
            json!({"from": "a", "to": "b/c", "content": "x"}),
            bad,
            "to is \"b/c\"; it must be a module's name or an absolute path",
        ),
        (
            "message.send",
            json!({"from": "a", "to": "/no/such", "content": "x"}),
            "not_found",
            "/no/such is no directory",
        ),
        (
            "message.send",
            json!({"from": "a", "to": "b", "content": long(1 << 20)}),
            "too_large",
            "content has 1048577 bytes",
        ),
        ("message.send", json!({"from": "a", "to": "b", "content": "x", "thread": ""}), bad, "thread must have"),
        (
            "message.send",
            json!({"from": "a", "to": "b", "content": "x", "title": long(1024)}),
            "too_large",
            "title has",
        ),
        (
            "message.send",
            json!({"from": "a", "to": "b", "content": "x", "metadata": [1]}),
            bad,
            "metadata must be a JSON object",
        ),
        (
            "message.send",
            json!({"from": "a", "to": "b", "content": "x", "metadata": much}),
            "too_large",
            "metadata has",
        ),
        (
            "message.update",
            json!({"id": "m", "status": "done"}),
            bad,
            "it is one of pending, processing, complete and failed",
        ),
        ("message.update", json!({"id": "m", "status": "expired"}), bad, "status is \"expired\""),
        ("message.show", json!({"id": "none"}), "not_found", "there is no message none"),
        ("thread.show", json!({"id": "t"}), "not_found", "there is no thread t"),
        ("module.add", json!({"name": "a b", "directory": "/"}), bad, "name \"a b\" is no name: letters, digits"),
        (
            "module.add",
            json!({"name": "a", "directory": "relative"}),
            bad,
            "directory is \"relative\"; it must be an absolute",
        ),
        ("module.add", json!({"name": "a", "directory": "/\u{0}"}), bad, "must be an absolute path"),
        ("module.add", json!({"name": "a", "directory": format!("/{}", long(4096))}), "too_large", "directory has"),
        ("ask", json!({"from": "a", "to": "b", "prompt": long(1 << 20)}), "too_large", "prompt has 1048577 bytes"),
        ("ask", json!({"from": "a", "to": "b", "prompt": "p", "context": 1}), bad, "context must be a JSON object"),
        (
            "ask",
            json!({"from": "a", "to": "b", "prompt": "p", "timeout_seconds": 0}),
            bad,
            "timeout_seconds is 0; it goes from 0.1",
        ),
        (
            "ask",
            json!({"from": "a", "to": "b", "prompt": "p", "system_prompt": long(1 << 18)}),
            "too_large",
            "system_prompt has",
        ),
        ("pool.create", json!({"pool_id": "-"}), bad, "pool_id \"-\" is no name"),
        ("pool.create", pool(json!({"group": "a/b"})), bad, "group \"a/b\" is no name"),
        ("pool.create", pool(json!({"executor": "magic"})), bad, "executor is \"magic\"; it is command or echo"),
        ("pool.create", pool(json!({"command": []})), bad, "command needs at least the program's name"),
        ("pool.create", pool(json!({"command": [""]})), bad, "command needs at least the program's name"),
        (
            "pool.create",
            pool(json!({"executor": "echo", "command": ["true"]})),
            bad,
            "the echo executor runs no command",
        ),
        ("pool.create", pool(json!({"queue_max": 0})), bad, "queue_max is 0; it goes from 1 to 1000000"),
        ("pool.create", pool(json!({"queue_max": 1_000_001})), bad, "queue_max is 1000001"),
        ("pool.create", pool(json!({"dir": "here"})), bad, "dir is \"here\"; it must be an absolute path"),
        ("pool.create", pool(json!({"dir": "/no/such"})), bad, "dir is \"/no/such\", which is no directory"),
        (
            "task.submit",
            task(json!({"context": {"repo": "/no/such"}})),
            bad,
            "context.repo is \"/no/such\", which is no",
        ),
        (
            "task.submit",
            task(json!({"context": {"repo": "no"}})),
            bad,
            "context.repo is \"no\"; it must be an absolute",
        ),
        (
            "pool.create",
            pool(json!({"timeout_seconds": 1e9})),
            bad,
            "timeout_seconds is 1000000000; it goes from 0.1 to 604800",
        ),
        ("task.submit", json!({"prompt": long(1 << 20)}), "too_large", "prompt has 1048577 bytes"),
        ("task.submit", task(json!({"priority": 101})), bad, "priority is 101; it goes from -100 to 100"),
        ("task.submit", task(json!({"retries": 101})), bad, "retries is 101; at most 100 are"),
        ("task.submit", task(json!({"dir": "."})), bad, "dir is \".\"; it must be an absolute path"),
        ("task.submit", task(json!({"key": long(256)})), "too_large", "key has 257 bytes; at most 256 are"),
        ("task.submit", task(json!({"key": ""})), "bad_request", "key is empty"),
        ("task.submit", task(json!({"lock": ""})), "bad_request", "lock is empty"),
        ("task.submit", task(json!({"delay_seconds": -0.5})), bad, "delay_seconds is -0.5"),
        ("task.submit", task(json!({"on_crash": "panic"})), bad, "on_crash is \"panic\"; it is requeue or fail"),
        ("task.submit", task(json!({"context": "text"})), bad, "context must be a JSON object"),
        ("task.list", json!({"status": "done"}), bad, "status is \"done\"; it is one of pending, running, completed"),
        ("task.show", json!({"task_id": "t"}), "not_found", "there is no task t"),
        ("task.log", json!({"task_id": "t", "stream": "stdin"}), bad, "stream is \"stdin\"; it is stdout or stderr"),
        ("task.log", json!({"task_id": "t"}), "not_found", "there is no task t"),
    ]
}

#[test]
fn every_wrong_request_is_told_what_is_wrong() {
    let door = Door::open();
    let mut peer = door.connect();
    for (number, (command, args, code, part)) in wrong_requests().into_iter().enumerate() {
        let args = args.to_string();
        peer.request(number, command, &args);
        let shown = format!("{command} {}", args.chars().take(80).collect::<String>());
        let (id, found, message) = peer.refusal();
        assert_eq!((id, found.as_str()), (json!(number), code), "{shown}: {message}");
        assert!(message.contains(part), "{shown}: {message}");
        assert!(door.asked.try_recv().is_err(), "{shown}");
    }
}

#[test]
fn every_command_that_exists_is_known() {
    let door = Door::open();
    let mut peer = door.connect();
    for command in Request::COMMANDS {
        peer.send(format!("{{\"id\":1,\"command\":\"{command}\",\"args\":{{\"no such key\":1}}}}\n"));
        assert_eq!(peer.refusal().1, "bad_request", "{command}");
    }
}
