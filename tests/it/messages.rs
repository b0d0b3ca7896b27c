//! `message`, `thread` and `module`: what modules write to each other.

use serde_json::{Value, json};

use crate::support::Daemon;

/// Ids, statuses, or whatever stands there in each row.
fn column<'a>(rows: &'a Value, key: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[key].as_str().unwrap_or("-")).collect()
}

#[test]
fn a_question_is_answered() {
    let daemon = Daemon::start();
    let backend = daemon.path("backend");
    let sent = daemon.run(&["message", "send", "--to", &backend, "Which port?"]);
    let id = sent.good().trim().to_owned();
    let shown = daemon.json(&["message", "show", &id]);
    assert_eq!(shown["status"], "pending");
    assert_eq!(shown["thread_title"], "frontend-backend Communication");
    assert_eq!([&shown["module"], &shown["target_module"]], [&json!("frontend"), &json!("backend")]);

    let answer = daemon.run_with_input(&["message", "reply", &id, "-"], b"Port 8080.").good().trim().to_owned();
    let shown = daemon.json(&["message", "show", &answer]);
    assert_eq!([&shown["type"], &shown["status"]], [&json!("response"), &json!("complete")]);
    assert_eq!(shown["metadata"]["in_reply_to"], json!(id));
    assert_eq!(daemon.json(&["message", "show", &id])["status"], "complete");

    // The newest comes first in a list, and last in a conversation.
    let thread = shown["thread_id"].as_str().unwrap();
    let listed = daemon.json(&["message", "list", "--thread", thread]);
    assert_eq!(column(&listed["messages"], "content"), ["Port 8080.", "Which port?"]);
    let exported = daemon.run(&["thread", "export", thread]).good();
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let contents = lines[1..].iter().map(|line| &line["message"]["content"]);
    assert!(contents.eq(["Which port?", "Port 8080."]), "{exported}");
    assert_eq!(lines[0]["thread"]["modules"], json!(["frontend", "backend"]));
    assert_eq!(daemon.json(&["thread", "show", thread])["messages"], 2);
    assert_eq!(column(&daemon.json(&["thread", "list"])["threads"], "thread_id"), [thread]);
    assert!(daemon.run(&["thread", "show", thread]).good().contains("Port 8080."));
    let found = daemon.json(&["message", "list", "--module", &backend, "--status", "complete"]);
    assert_eq!(column(&found["messages"], "message_id"), [answer]);
}

#[test]
fn a_directory_is_the_module_that_works_there() {
    let daemon = Daemon::start();
    for other in ["other/backend", "api"] {
        std::fs::create_dir_all(daemon.path(other)).unwrap();
    }
    daemon.run(&["module", "add", "backend", &daemon.path("backend")]).good();
    daemon.run(&["module", "add", "interface", &daemon.path("api")]).good();
    let id = daemon.run(&["message", "send", "--to", &daemon.path("api"), "x"]).good().trim().to_owned();
    assert_eq!(daemon.json(&["message", "show", &id])["target_module"], "interface");
    for to in [daemon.path("api"), "interface".to_owned()] {
        let listed = daemon.json(&["message", "list", "--to", &to, "--module", "."]);
        assert_eq!(column(&listed["messages"], "message_id"), [id.as_str()], "{to}");
    }
    assert_eq!(daemon.json(&["message", "list", "--to", "frontend"])["messages"], json!([]));
    let other = daemon.path("other/backend");
    for verb in [&["message", "send"][..], &["ask"]] {
        let said = daemon.run(&[verb, &["--to", &other, "x"]].concat()).bad(1);
        assert!(said.contains("is the name of the module in") && said.contains("module add NAME"), "{said}");
    }
    daemon.run(&["message", "list", "--to", &other]).bad(1);
}

#[test]
fn statuses_go_forward_only() {
    let daemon = Daemon::start();
    let id = daemon.run(&["message", "send", "--to", ".", "x"]).good().trim().to_owned();
    let update = |status: &str| daemon.run(&["message", "update", &id, "--status", status]);
    update("processing").good();
    assert!(update("processing").good().contains("already"));
    let said = update("pending").bad(1);
    assert!(said.contains("processing") && said.contains("pending"), "{said}");
    daemon.run(&["message", "update", &id, "--content", "better", "--status", "complete"]).good();
    update("failed").bad(1);
    let shown = daemon.json(&["message", "show", &id]);
    assert_eq!([&shown["content"], &shown["status"]], ["better", "complete"]);
}

#[test]
fn texts_are_found_by_their_words() {
    let daemon = Daemon::start();
    for text in ["the port of the database", "ports are closed", "nothing", "gr\u{fc}\u{df}e"] {
        daemon.run(&["message", "send", "--to", ".", text]).good();
    }
    daemon.foreign().insert("foreign", "pending");
    let found = |query: &str| {
        let found = daemon.json(&["message", "search", query]);
        found["messages"].as_array().unwrap().len()
    };
    assert_eq!(found("port"), 2, "the stem is what counts");
    assert_eq!(found("port NOT database"), 1);
    assert_eq!(found("gr\u{fc}\u{df}e"), 1);
    assert_eq!(found("foreign question"), 1);
    assert_eq!(found("absent"), 0);
    // What is no query of the index is looked for as it stands.
    assert_eq!(found("\"unclosed"), 0);
}

#[test]
fn modules_have_names() {
    let daemon = Daemon::start();
    let backend = daemon.path("backend");
    daemon.run(&["module", "add", "api", &backend]).good();
    let listed = daemon.json(&["module", "list"]);
    let whole = std::fs::canonicalize(&backend).unwrap();
    assert_eq!(listed["modules"][0]["directory"], json!(whole.to_str().unwrap()));
    daemon.run(&["message", "send", "--to", "api", "--title", "About", "--metadata", r#"{"a": 1}"#, "x"]).good();
    let sent = daemon.json(&["message", "list"])["messages"][0].clone();
    assert_eq!([&sent["target_module"], &sent["thread_title"]], ["api", "About"]);
    assert_eq!(sent["metadata"]["a"], 1);
    daemon.run(&["module", "remove", "api"]).good();
    daemon.run(&["message", "send", "--to", "api", "x"]).bad(5);
}

#[test]
fn an_id_may_be_shortened_unless_it_becomes_ambiguous() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    for id in ["abcd-1111", "abcd-2222", "efgh-1111"] {
        foreign.insert(id, "pending");
    }
    assert_eq!(daemon.json(&["message", "show", "efgh"])["message_id"], "efgh-1111");
    assert_eq!(daemon.json(&["message", "show", "2222"])["message_id"], "abcd-2222");
    let said = daemon.run(&["message", "show", "abcd"]).bad(5);
    assert!(said.contains("abcd-1111") && said.contains("abcd-2222"), "{said}");
    // Too short to be an end.
    daemon.run(&["message", "show", "222"]).bad(5);
    let said = daemon.run(&["poll", "show", "abcd-"]).bad(5);
    assert!(said.contains("abcd-1111"), "{said}");
}

#[test]
fn whatever_a_foreign_program_stores_is_listed_and_shown() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m0", "pending");
    for row in [
        "('blob', 'th', 'a', x'00ff41', 'question', 2.0, 'pending', x'ff')",
        "('json', 'th', 'a', 'x', 'question', 2.0, 'pending', '{\"broken')",
        "('array', 'th', 'a', 'x', 'question', 2.0, 'pending', '[1]')",
        "('status', 'th', 'a', 'x', 'question', 2.0, NULL, NULL)",
        "('word', 'th', 'a', 'x', 'question', 2.0, 'half-done', NULL)",
        "('numbers', 'th', 7, 8, 9, 'soon', 10, 11)",
        "('orphan', 'no thread', 'a', 'x', 'question', -1e300, 'pending', NULL)",
        "(x'c3', 'th', 'a', 'x', 'question', 1e300, 'pending', NULL)",
        "('escape\u{1b}[2J', 'th', 'a', 'x', 'question', 2.0, 'pending', NULL)",
        "(NULL, 'th', 'a', 'x', 'question', 2.0, 'pending', NULL)",
        "('nul', 'th', 'a', 'be' || char(0) || 'hind', 'question', 2.0, 'pending', '{\"target_module\": 5}')",
        "('', 'th', 'a', 'x', 'question', 2.0, 'pending', NULL)",
    ] {
        foreign.sql(&format!("INSERT INTO messages VALUES {row}"), json!([]));
    }
    foreign.sql("INSERT INTO messages VALUES (?, 'th', 'a', 'x', 'q', 2.0, 'pending', NULL)", json!(["i".repeat(300)]));
    foreign.sql("INSERT INTO threads VALUES ('odd', x'ff00', 'no json', '{', 'never')", json!([]));

    daemon.follow(&["messages"]).wait_for(|frame| frame["data"]["message_id"] == "nul");
    let listed = daemon.json(&["message", "list"]);
    let rows = listed["messages"].as_array().unwrap();
    assert!(rows.len() >= 12, "{listed:#}");
    assert_eq!(daemon.json(&["message", "show", "status"])["status"], "unknown");
    assert_eq!(daemon.json(&["message", "show", "word"])["status"], "half-done");
    assert_eq!(daemon.json(&["message", "show", "orphan"])["thread_title"], Value::Null);
    assert_eq!(daemon.json(&["message", "show", "numbers"])["content"], "8");
    assert_eq!(daemon.json(&["message", "show", "blob"])["content"], "\u{0}\u{fffd}A");
    for id in ["json", "array", "orphan", "nul", "status", "word"] {
        daemon.run(&["message", "show", id]).good();
        daemon.run(&["poll", "add", "--message-id", id]).good();
        daemon.run(&["poll", "show", id]).good();
    }
    let tables = [
        daemon.run(&["message", "list"]).good(),
        daemon.run(&["poll", "list"]).good(),
        daemon.run(&["thread", "list"]).good(),
        daemon.run(&["thread", "show", "odd"]).good(),
        daemon.run(&["thread", "export", "th"]).good(),
        daemon.run(&["message", "search", "x"]).good(),
    ];
    assert!(tables.iter().all(|table| !table.contains('\u{1b}') && !table.contains('\u{0}')), "{tables:?}");
    assert_eq!(daemon.status()["degraded"], Value::Null);
}

#[test]
fn what_another_program_wrote_too_long_or_wrong_is_shown_and_said() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "complete");
    for id in ["m2", "m3"] {
        foreign.insert(id, "complete");
        foreign.sql("UPDATE messages SET timestamp = 'today' WHERE message_id = ?", json!([id]));
    }
    foreign.sql(
        "INSERT INTO messages SELECT NULL, thread_id, module, content, type, timestamp, status, metadata FROM messages",
        json!([]),
    );
    // Each of these is six bytes in JSON.
    foreign.sql(
        "UPDATE messages SET content = replace(hex(zeroblob(1500000)), '0', char(1)) WHERE message_id = 'm1'",
        json!([]),
    );
    for _ in 0..2 {
        let listed = daemon.json(&["message", "list"]);
        assert_eq!(column(&listed["messages"], "message_id"), ["m3", "m2", "m1"]);
    }
    let shown = daemon.json(&["message", "show", "m1"]);
    assert_eq!(shown["content_truncated"], true);
    assert_eq!(daemon.json(&["poll", "show", "m1"])["content_truncated"], true);
    assert_eq!(daemon.json(&["message", "show", "m2"])["content_truncated"], Value::Null);
    for verb in ["message", "poll"] {
        let said = daemon.run(&[verb, "show", "m1"]);
        assert!(said.stderr.contains("the text is cut here"), "{}", said.stderr);
    }
    let said = |what: &str| daemon.log().matches(what).count();
    assert_eq!(said("the timestamp of \"m"), 1, "{}", daemon.log());
    assert_eq!(said("a message without a message_id is ignored"), 1, "{}", daemon.log());
}

#[test]
fn triggers_that_were_dropped_are_put_back() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    daemon.run(&["poll", "add", "--task-id", "later"]).good();
    let later = daemon.spawn(&["poll", "wait", "later", "--quiet"]);
    let waiter = daemon.waiter("m1");
    let triggers = foreign.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'", json!([]));
    for trigger in triggers.as_array().unwrap() {
        foreign.sql(&format!("DROP TRIGGER {}", trigger[0].as_str().unwrap()), json!([]));
    }
    // Nothing tells of these; they are found when it is seen that the triggers are gone, whoever does nothing else.
    foreign.set("m1", "complete");
    assert_eq!(waiter.end().0, "complete");
    let again = foreign.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'", json!([]));
    assert_eq!(again.as_array().unwrap().len(), triggers.as_array().unwrap().len());
    assert!(daemon.log().contains("the triggers on messages were missing"), "{}", daemon.log());

    // In one transaction, so that they cannot be put back in between.
    foreign.sql("BEGIN IMMEDIATE", json!([]));
    foreign.sql("DROP TRIGGER messages_inserted", json!([]));
    foreign.insert_with("m2", "complete", r#"{"task_id": "later"}"#);
    foreign.sql("COMMIT", json!([]));
    assert_eq!(later.wait().good(), "complete\n");
    let found = daemon.json(&["message", "search", "foreign"]);
    assert_eq!(found["messages"].as_array().unwrap().len(), 2, "{found}");
}

#[test]
fn a_checkpoint_by_another_program_loses_nothing() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    for round in 0..3 {
        let id = format!("m{round}");
        foreign.insert(&id, "pending");
        let waiter = daemon.waiter(&id);
        let sent = daemon.run(&["message", "send", "--to", ".", "ours"]).good();
        let cut = foreign.sql("PRAGMA wal_checkpoint(TRUNCATE)", json!([]));
        assert!(cut[0][0].is_i64(), "{cut}");
        foreign.set(&id, "complete");
        assert_eq!(waiter.end().0, "complete");
        daemon.run(&["message", "show", sent.trim()]).good();
    }
    foreign.integrity();
}
