//! `thread export` and `thread import`: conversations that move, and what happens when they are there already.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Daemon, spawn, wait_until};

/// A conversation of ours, one of another program's, and more messages than fit into one page.
fn with_conversations(daemon: &Daemon) -> String {
    let id = daemon.run(&["message", "send", "--to", "../backend", "Which port?"]).good().trim().to_owned();
    daemon.run(&["message", "reply", &id, "Port 8080, and\ntwo \"lines\"."]).good();
    let mut foreign = daemon.foreign();
    foreign.insert_with("odd", "in review", r#"{"b": 1, "a": [true, null]}"#);
    foreign.insert_with("no-json", "complete", "only words");
    for number in 0..150 {
        foreign.insert(&format!("m{number}"), "complete");
    }
    id
}

fn export(daemon: &Daemon) -> String {
    daemon.run(&["thread", "export", "--all"]).good()
}

fn count(daemon: &Daemon) -> Value {
    daemon.foreign().sql("SELECT count(*) FROM messages", json!([]))
}

#[test]
fn what_is_exported_is_the_same_when_it_was_imported() {
    let (one, other) = (Daemon::start(), Daemon::start());
    let question = with_conversations(&one);
    let exported = export(&one);
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["thread"].is_object()).count(), 2);
    assert_eq!(lines.iter().filter(|line| line["message"].is_object()).count(), 154);
    assert_eq!(lines[0]["thread"]["modules"], json!(["frontend", "backend"]));
    assert_eq!([&lines[1]["message"]["content"], &lines[1]["message"]["status"]], ["Which port?", "complete"]);

    // Who waits there for one of them is told.
    let waiter = other.waiter(&question);
    let said = other.run_with_input(&["thread", "import", "-"], exported.as_bytes()).good();
    assert_eq!(said, "2 threads and 154 messages were added, 0 were here already\n");
    assert_eq!(waiter.end().0, "complete");
    assert_eq!(export(&other), exported);
    let found = other.json(&["message", "search", "port"]);
    assert_eq!(found["messages"].as_array().unwrap().len(), 2, "{found}");
    let kept =
        other.foreign().sql("SELECT status, metadata, timestamp FROM messages WHERE message_id = 'odd'", json!([]));
    assert_eq!(kept[0][0], "in review");
    assert_eq!(kept[0][2], 2.0);
    let metadata: Value = serde_json::from_str(kept[0][1].as_str().unwrap()).unwrap();
    assert_eq!(metadata, json!({"a": [true, null], "b": 1}));

    let file = other.path("all.jsonl");
    fs::write(&file, &exported).unwrap();
    let again = other.json(&["thread", "import", &file]);
    assert_eq!(again, json!({"threads_added": 0, "messages_added": 0, "present": 156, "refused": 0}));
    assert_eq!(export(&other), exported);
}

#[test]
fn what_is_there_and_different_is_refused_and_the_rest_is_taken() {
    let (one, other) = (Daemon::start(), Daemon::start());
    let mut foreign = one.foreign();
    foreign.insert("m1", "complete");
    foreign.insert("m2", "complete");
    let exported = one.run(&["thread", "export", "th"]).good();
    let mut foreign = other.foreign();
    foreign.insert("m1", "pending");
    let ran = other.run_with_input(&["thread", "import", "-", "--json"], exported.as_bytes());
    assert_eq!(ran.json(), json!({"threads_added": 0, "messages_added": 1, "present": 1, "refused": 1}), "{ran:?}");
    let said = ran.bad(1);
    assert!(said.contains("line 2: there is another message m1 here, whose status is not the same"), "{said}");
    assert_eq!(other.json(&["message", "show", "m1"])["status"], "pending");
    assert_eq!(other.json(&["message", "show", "m2"])["status"], "complete");
    foreign.sql("UPDATE threads SET title = 'other'", json!([]));
    let said = other.run_with_input(&["thread", "import", "-"], exported.as_bytes()).bad(1);
    assert!(said.contains("line 1: there is another thread th here, whose title is not the same"), "{said}");
}

#[test]
fn what_came_before_a_line_that_is_none_is_here_and_counted() {
    let daemon = Daemon::start();
    let thread = r#"{"thread":{"thread_id":"t","modules":[],"created_at":"2026-01-01T00:00:00Z"}}"#;
    let message = |id: usize| {
        format!(
            "{{\"message\":{{\"message_id\":\"m{id}\",\"thread_id\":\"t\",\"module\":\"a\",\"type\":\"note\",\
             \"status\":\"complete\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"content\":\"c\"}}}}"
        )
    };
    let lines: Vec<String> = std::iter::once(thread.to_owned()).chain((1..=100).map(message)).collect();
    let input = format!("{}\n{}", lines.join("\n"), &message(101)[..40]);
    let said = daemon.run_with_input(&["thread", "import", "-"], input.as_bytes()).bad(2);
    assert!(said.contains("101 lines are here") && said.contains("line 102 is none of an export"), "{said}");
    assert_eq!(daemon.json(&["thread", "list"])["threads"][0]["messages"], 100);
}

#[test]
fn lines_that_are_none_of_an_export_are_named() {
    let daemon = Daemon::start();
    let message = |extra: &str| {
        format!(
            "{{\"message\":{{\"message_id\":\"m\",\"thread_id\":\"t\",\"module\":\"a\",\"type\":\"note\",\
             \"status\":\"complete\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"content\":\"c\"{extra}}}}}\n"
        )
    };
    for (input, code, expected) in [
        ("junk\n".to_owned(), 2, "line 1 is none of an export"),
        ("{\"thread\":{\"thread_id\":\"t\"}}\n".to_owned(), 2, "line 1 is none of an export: missing field"),
        ("\n{\"event\":{}}\n".to_owned(), 2, "line 2 is none of an export"),
        ("x".repeat(9 << 20), 2, "line 1 has more than"),
        ("{}\n".to_owned(), 1, "line 1: give either thread or message"),
        (message(""), 1, "line 1: there is no thread t; bring it before its messages"),
        (message(",\"content_truncated\":true"), 1, "line 1: the content of m was cut"),
        (message("").replace("2026-01-01T00:00:00Z", "yesterday"), 1, "line 1: timestamp is \"yesterday\""),
        (message("").replace("\"c\"", &json!("x".repeat(2 << 20)).to_string()), 1, "line 1: content has 2097152 bytes"),
    ] {
        let said = daemon.run_with_input(&["thread", "import", "-"], input.as_bytes()).bad(code);
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    assert_eq!(count(&daemon), json!([[0]]));
    daemon.run(&["thread", "import", "/none/file"]).bad(5);
    daemon.run(&["thread", "export"]).bad(2);
    daemon.run(&["thread", "export", "--all", "th"]).bad(2);
    daemon.run(&["thread", "export", "none"]).bad(5);
}

#[test]
fn an_import_that_a_kill_breaks_off_is_gone_on_with() {
    let mut daemon = Daemon::start();
    let mut lines = json!({"thread": {"thread_id": "t", "title": null, "modules": [], "metadata": null,
        "created_at": "2026-01-01T00:00:00Z"}})
    .to_string();
    const MESSAGES: usize = 3000;
    for number in 0..MESSAGES {
        let message = json!({"message": {"message_id": format!("m{number}"), "thread_id": "t", "module": "a",
            "type": "note", "status": "complete", "timestamp": "2026-01-01T00:00:00Z", "content": "c"}});
        lines.push('\n');
        lines.push_str(&message.to_string());
    }
    let importing = spawn(&mut daemon.command(&["thread", "import", "-"]), lines.as_bytes());
    wait_until("some of it", || daemon.status()["seq"].as_u64() > Some(10));
    daemon.kill9();
    let broken = importing.wait();
    daemon.restart();
    // Should it have been faster than the kill, there is nothing to go on with.
    if broken.code != 0 {
        assert!(broken.stderr.contains("import the file again to go on"), "{broken:?}");
        assert_eq!(broken.code, 3, "{broken:?}");
    }
    let ran = spawn(&mut daemon.command(&["thread", "import", "-", "--json"]), lines.as_bytes()).wait();
    let said = ran.json();
    let sum = ["threads_added", "messages_added", "present"].map(|key| said[key].as_u64().unwrap()).iter().sum::<u64>();
    assert_eq!((ran.code, sum), (0, MESSAGES as u64 + 1), "{ran:?}");
    assert_eq!(count(&daemon), json!([[MESSAGES]]));
    daemon.foreign().integrity();
}
