//! Alerts: a number crosses a threshold, the daemon dies, and the number comes back.

use std::sync::atomic::Ordering;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, Events, wait_until};
use crate::upstreams::Server;

/// Whose pool has more than two tasks waiting, and whether another has any.
const CROWDED: &str = r#"
    [[alert]]
    name = "crowded"
    metric = "claude_comms.pool.queue_size"
    labels = { pool = "local" }
    above = 2
    [[alert]]
    name = "other"
    metric = "claude_comms_pool_queue_size"
    labels = { pool = "other" }
    above = 0
"#;

/// `raised crowded`, of the next event that is about one.
fn next(events: &mut Events) -> (String, Value) {
    let frame = events.wait_for(|_| true);
    let data = frame["data"].clone();
    let word = frame["event"].as_str().unwrap().trim_start_matches("alert.");
    (format!("{word} {}", data["rule"].as_str().unwrap()), data)
}

fn raised(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.json(&["alert", "list"]);
    listed["alerts"].as_array().unwrap().iter().map(|alert| alert["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn without_rules_nothing_is_raised() {
    let mut daemon = Daemon::start();
    assert!(daemon.run(&["alert", "list"]).stderr.contains("no alert is raised"));
    assert_eq!(daemon.json(&["alert", "list"]), json!({"alerts": []}));
    assert_eq!(daemon.json(&["poll", "status"])["alerts"], json!([]));
    daemon.stop();
}

#[test]
fn a_queue_that_is_too_long_is_told_once_also_by_the_next_daemon() {
    let mut daemon = Daemon::none();
    daemon.configure(&format!("[executor]\ncommand = [\"sh\", \"-c\", \"cat\"]\n{CROWDED}"));
    daemon.restart();
    let mut events = daemon.follow(&["alerts"]);
    daemon.run(&["pool", "pause", "local"]).good();
    let ids: Vec<String> =
        (0..4).map(|_| daemon.run(&["pool", "run", "local", "--no-wait", "go"]).good().trim().to_owned()).collect();
    let (what, data) = next(&mut events);
    assert_eq!(what, "raised crowded");
    assert_eq!(
        (&data["severity"], &data["bound"], &data["threshold"]),
        (&json!("error"), &json!("above"), &json!(2.0))
    );
    assert_eq!((&data["metric"], &data["labels"]), (&json!("claude_comms_pool_queue_size"), &json!({"pool": "local"})));
    let shown = || daemon.json(&["poll", "status"])["alerts"][0].clone();
    // It may have been raised while the last one was on its way.
    wait_until("all four to be seen", || shown()["value"] == 4.0);
    assert_eq!((&shown()["rule"], &shown()["since"]), (&json!("crowded"), &data["since"]));
    let status = daemon.run(&["poll", "status"]).good();
    assert!(status.contains("crowded: claude_comms_pool_queue_size{pool=\"local\"} is 4, above 2 since "), "{status}");

    // That the other is raised shows that the first was looked at as well.
    daemon.kill9();
    daemon.restart();
    let mut events = daemon.follow(&["alerts"]);
    assert_eq!(next(&mut events).0, "raised crowded");
    daemon.run(&["pool", "create", "other", "--executor", "echo"]).good();
    daemon.run(&["pool", "pause", "other"]).good();
    daemon.run(&["pool", "run", "other", "--no-wait", "go"]).good();
    assert_eq!(next(&mut events).0, "raised other");
    assert_eq!(raised(&daemon), ["crowded", "other"]);

    daemon.run(&["pool", "resume", "local"]).good();
    let (what, data) = next(&mut events);
    assert_eq!((what.as_str(), data["severity"].as_str()), ("cleared crowded", Some("info")));
    assert!(data["value"].as_f64().is_some_and(|value| value <= 2.0), "{data}");
    for id in &ids {
        daemon.run(&["task", "wait", id]).good();
    }
    assert_eq!(raised(&daemon), ["other"]);
    // A pool that is gone has no queue.
    daemon.run(&["pool", "delete", "other"]).good();
    let (what, data) = next(&mut events);
    assert_eq!((what.as_str(), &data["value"]), ("cleared other", &Value::Null));
    daemon.stop();
}

#[test]
fn what_an_upstream_tells_may_come_back_late_after_a_start() {
    let mut daemon = Daemon::none();
    let server = Server::start();
    server.shared.more_active.store(10, Ordering::SeqCst);
    daemon.configure(
        "[[alert]]\nname = \"active\"\nmetric = \"session_buddy.sessions.active\"\nabove = 9\nclear = 5\n\
         [[alert]]\nname = \"awake\"\nmetric = \"claude_comms_threads\"\nabove = 0\nhold_seconds = 1\n",
    );
    daemon.restart();
    daemon.run(&["upstream", "add", "numbers", &server.endpoint(), "--tool", "get_activity_summary"]).good();
    daemon.run(&["upstream", "stop", "numbers"]).good();
    daemon.run(&["upstream", "poll", "numbers"]).good();
    wait_until("both", || raised(&daemon) == ["active", "awake"]);

    // Without its rule, what is raised is cleared; with it again, it holds anew, which takes two looks.
    let rule = |name: &str| {
        format!("[[alert]]\nname = \"{name}\"\nmetric = \"claude_comms_threads\"\nabove = 0\nhold_seconds = 1\n")
    };
    let active = "[[alert]]\nname = \"active\"\nmetric = \"session_buddy_sessions_active\"\nabove = 9\nclear = 5\n";
    daemon.kill9();
    daemon.configure(&format!("{active}{}", rule("again")));
    daemon.restart();
    let mut events = daemon.follow(&["alerts"]);
    let mut told: Vec<String> = (0..4).map(|_| next(&mut events).0).collect();
    told[..2].sort();
    assert_eq!(told, ["raised active", "raised awake", "cleared awake", "raised again"]);
    assert_eq!(raised(&daemon), ["active", "again"]);

    // It has not changed, and is back.
    daemon.run(&["upstream", "poll", "numbers"]).good();
    daemon.configure(&format!("{active}{}", rule("third")));
    daemon.signal(Signal::HUP);
    assert_eq!([next(&mut events).0, next(&mut events).0], ["cleared again", "raised third"]);
    assert!(
        daemon.log().contains("alert again is cleared: the rule about claude_comms_threads is gone"),
        "{}",
        daemon.log()
    );
    server.shared.more_active.store(0, Ordering::SeqCst);
    daemon.run(&["upstream", "poll", "numbers"]).good();
    let (what, data) = next(&mut events);
    assert_eq!((what.as_str(), &data["value"]), ("cleared active", &json!(3.0)));
    daemon.stop();
}
