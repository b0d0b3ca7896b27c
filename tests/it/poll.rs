//! `poll`: what is watched, whoever writes it, and whoever waits for it.

use serde_json::json;

use crate::support::{Daemon, wait_until};

#[test]
fn a_status_written_by_another_program_is_seen() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    daemon.follow(&["message:m1"]).wait_for_status("pending");
    let mut waiting = daemon.spawn(&["poll", "wait", "m1"]);
    wait_until("the watch", || daemon.status()["active_messages"] == 1);
    foreign.set("m1", "processing");
    waiting.wait_for_output("Status changed: pending -> processing\n");
    assert!(!waiting.has_ended());
    foreign.set("m1", "complete");
    let printed = waiting.wait().good();
    assert_eq!(printed, "Status changed: pending -> processing\nStatus changed: processing -> complete\ncomplete\n");
    assert_eq!(daemon.run(&["poll", "wait", "m1", "--quiet"]).good(), "complete\n");
}

#[test]
fn a_watch_may_be_older_than_its_message() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    let added = daemon.run(&["poll", "add", "--message-id", "later", "--source", "frontend", "--target", "backend"]);
    assert!(added.stderr.contains("it does not exist yet"), "{added:?}");
    assert_eq!(added.good(), "later unknown\n");
    let waiting = daemon.spawn(&["poll", "wait", "later"]);
    let waiter = daemon.waiter("later");
    foreign.insert("later", "pending");
    foreign.set("later", "processing");
    foreign.set("later", "failed");
    let said = waiting.wait().bad(1);
    assert!(said.contains("later failed; see why with: claude-comms poll show later"), "{said}");
    let (end, changes) = waiter.end();
    assert_eq!(end, "failed");
    assert_eq!(json!(changes), json!([[null, "pending"], ["pending", "processing"], ["processing", "failed"]]));
}

#[test]
fn a_task_id_in_the_metadata_of_a_message_is_enough() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert_with("m1", "pending", r#"{"task_id": "job-1"}"#);
    let shown = daemon.json(&["poll", "add", "--task-id", "job-1"]);
    assert_eq!((&shown["message_id"], &shown["status"]), (&json!("m1"), &json!("pending")));
    // And of one that comes later.
    assert_eq!(daemon.json(&["poll", "add", "--task-id", "job-2"])["status"], "unknown");
    let waiting = daemon.spawn(&["poll", "wait", "job-2"]);
    foreign.insert_with("m2", "pending", r#"{"task_id": "job-2"}"#);
    foreign.set("m2", "complete");
    assert!(waiting.wait().good().ends_with("complete\n"));
}

#[test]
fn replaced_and_deleted_rows_are_seen() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    foreign.insert("m2", "pending");
    let (replaced, deleted) = (daemon.waiter("m1"), daemon.waiter("m2"));
    foreign.sql(
        "INSERT OR REPLACE INTO messages VALUES ('m1', 'th', 'frontend', 'anew', 'question', 3.0, 'complete', NULL)",
        json!([]),
    );
    foreign.sql("DELETE FROM messages WHERE message_id = 'm2'", json!([]));
    assert_eq!(replaced.end().0, "complete");
    assert_eq!(deleted.end().0, "failed");
    let shown = daemon.json(&["poll", "list", "--status", "all"]);
    let statuses: Vec<_> = shown["messages"].as_array().unwrap().iter().map(|watch| &watch["status"]).collect();
    assert_eq!(statuses, ["failed", "complete"]);
}

#[test]
fn a_watch_survives_a_restart() {
    let mut daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    daemon.run(&["poll", "add", "--message-id", "m1", "--timeout", "1h"]).good();
    let before = daemon.json(&["poll", "list"]);
    daemon.stop();
    // What happens meanwhile is not lost either.
    foreign.set("m1", "processing");
    daemon.restart();
    let after = daemon.json(&["poll", "show", "m1"]);
    assert_eq!(after["expires_at"], before["messages"][0]["expires_at"]);
    assert_eq!(after["status"], "processing");
    let waiter = daemon.waiter("m1");
    foreign.set("m1", "complete");
    assert_eq!(waiter.end().0, "complete");
    let history = daemon.json(&["poll", "show", "m1"])["history"].clone();
    let steps: Vec<_> = history.as_array().unwrap().iter().map(|step| json!([step["from"], step["to"]])).collect();
    assert_eq!(json!(steps), json!([[null, "pending"], ["pending", "processing"], ["processing", "complete"]]));
}

#[test]
fn a_watch_expires_and_frees_its_place() {
    let daemon = Daemon::with(&["sh", "-c", "cat"], &["--max-messages", "1"]);
    let waiting = daemon.run(&["poll", "add", "--message-id", "never", "--timeout", "0.3"]);
    assert_eq!(waiting.good(), "never unknown\n");
    let refused = daemon.run(&["poll", "add", "--message-id", "other", "--json"]);
    assert_eq!(refused.json()["error"]["code"], "busy");
    assert!(refused.bad(75).contains("--max-messages"));

    let said = daemon.run(&["poll", "wait", "never"]).bad(124);
    assert!(said.contains("nothing came of never before its watch expired"), "{said}");
    assert_eq!(daemon.json(&["poll", "list", "--status", "expired"])["messages"][0]["message_id"], "never");
    daemon.run(&["poll", "wait", "never"]).bad(124);
    daemon.run(&["poll", "add", "--message-id", "other"]).good();
}

#[test]
fn a_wait_gives_up_and_a_removed_watch_is_told() {
    let daemon = Daemon::start();
    daemon.run(&["poll", "add", "--message-id", "never"]).good();
    daemon.run(&["poll", "wait", "never", "--timeout", "0.2"]).bad(124);
    let waiting = daemon.spawn(&["poll", "wait", "never"]);
    let waiter = daemon.waiter("never");
    let said = daemon.run(&["poll", "remove", "never"]);
    assert!(said.stderr.contains("never is watched no longer"), "{said:?}");
    assert_eq!(waiter.end().0, "removed");
    // It may have come too late to be told; then nothing of that name is known.
    let waited = waiting.wait();
    assert!([1, 5].contains(&waited.code), "{waited:?}");
    daemon.run(&["poll", "remove", "never"]).bad(5);
    daemon.run(&["poll", "wait", "never"]).bad(5);
    daemon.run(&["poll", "add", "--task-id", "never", "--must-exist"]).bad(5);

    // What is said to be removed is what was.
    daemon.run(&["poll", "add", "--message-id", "neverland"]).good();
    let said = daemon.run(&["poll", "remove", "neve"]);
    assert!(said.stderr.contains("neverland is watched no longer"), "{said:?}");
}

#[test]
fn a_shown_message_can_be_followed() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert_with("m1", "pending", r#"{"target_module": "backend"}"#);
    let mut following = daemon.spawn(&["poll", "show", "m1", "--follow", "--json"]);
    following.wait_for_output("\n");
    foreign.set("m1", "complete");
    let printed = following.wait().good();
    let lines: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["content"], "a foreign question");
    assert_eq!(lines[0]["target_module"], "backend");
    assert_eq!(lines.last().unwrap()["data"]["current_status"], "complete");
}

#[test]
fn a_word_of_another_program_is_shown_and_ends_nothing() {
    let mut daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    let mut following = daemon.spawn(&["poll", "show", "m1", "--follow"]);
    following.wait_for_output("a foreign question\n");
    for word in ["expired", "deleted", "unknown", "expired"] {
        foreign.set("m1", word);
        following.wait_for_output(&format!("-> {word}\n"));
    }
    // Nor does it when it is there from the beginning, or read again by another daemon.
    daemon.run(&["poll", "add", "--message-id", "m1"]).good();
    let mut late = daemon.spawn(&["poll", "show", "m1", "--follow"]);
    late.wait_for_output("a foreign question\n");
    assert_eq!(daemon.json(&["poll", "show", "m1"])["final"], false);
    foreign.set("m1", "complete");
    assert!(following.wait().good().ends_with("Status changed: expired -> complete\n"));
    assert!(late.wait().good().ends_with("Status changed: expired -> complete\n"));
    assert_eq!(daemon.json(&["poll", "show", "m1"])["final"], true);

    foreign.insert("m2", "expired");
    daemon.run(&["poll", "add", "--message-id", "m2"]).good();
    daemon.stop();
    daemon.restart();
    assert_eq!(daemon.json(&["poll", "list"])["messages"][0]["status"], "expired");
    let waiter = daemon.waiter("m2");
    foreign.set("m2", "failed");
    assert_eq!(waiter.end().0, "failed");
}

#[test]
fn a_watch_whose_message_was_deleted_says_so() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    let mut following = daemon.spawn(&["poll", "show", "m1", "--follow"]);
    following.wait_for_output("a foreign question\n");
    let waiter = daemon.waiter("m1");
    foreign.sql("DELETE FROM messages WHERE message_id = 'm1'", json!([]));
    assert_eq!(waiter.end().0, "failed");
    assert!(following.wait().good().ends_with("Status changed: pending -> deleted\n"));
    let shown = daemon.json(&["poll", "show", "m1"]);
    assert_eq!([&shown["status"], &shown["error"]], ["failed", "message deleted"]);
}
