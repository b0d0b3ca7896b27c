//! What other programs do to the database, while somebody asks for something else.

use std::fs;
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use claude_comms::control::Followed;
use claude_comms::control::wire::{MessageSend, Request};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, ends_within, processes_of, wait_until};

/// A pool whose tasks wait at the gate that their prompt names, and answer what comes through it.
fn gated(daemon: &Daemon) {
    daemon.run(&["pool", "create", "gated", "--", "sh", "-c", "read line < {prompt}; echo $line"]).good();
}

fn gate(daemon: &Daemon, name: &str) -> String {
    let gate = daemon.path(name);
    mkfifoat(CWD, &gate, Mode::RWXU).unwrap();
    gate
}

fn wait_at(daemon: &Daemon, gate: &str) -> String {
    daemon.run(&["pool", "run", "gated", "--no-wait", gate]).good().trim().to_owned()
}

fn newest_task(daemon: &Daemon) -> String {
    daemon.json(&["task", "list", "--limit", "1"])["tasks"][0]["task_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_question_whose_thread_was_deleted_stops_nobody() {
    let daemon = Daemon::start();
    gated(&daemon);
    let gates = ["one", "two", "three", "asked"].map(|name| gate(&daemon, name));
    let busy: Vec<String> = gates[..3].iter().map(|gate| wait_at(&daemon, gate)).collect();
    let asked = daemon.json(&["ask", "--to", "../backend", "--pool", "gated", "--no-wait", &gates[3]]);
    let mut foreign = daemon.foreign();
    foreign.sql("DELETE FROM threads WHERE thread_id = ?", json!([asked["thread_id"]]));
    for (gate, id) in gates.iter().zip(&busy) {
        fs::write(gate, "go\n").unwrap();
        daemon.run(&["task", "wait", id]).good();
    }
    // Whose task runs as any other, and whose answer can be read.
    fs::write(&gates[3], "because\n").unwrap();
    daemon.run(&["task", "wait", &newest_task(&daemon)]).good();
    let response = daemon.json(&["message", "show", asked["response_msg_id"].as_str().unwrap()]);
    assert_eq!([&response["content"], &response["status"]], [&json!("because"), &json!("complete")]);
    assert_eq!(daemon.status()["degraded"], Value::Null);
    assert_eq!(daemon.log().matches("ERROR").count(), 0, "{}", daemon.log());
}

#[test]
fn what_a_foreign_trigger_forbids_is_refused_to_whom_it_concerns() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.sql(
        "CREATE TRIGGER no BEFORE INSERT ON messages WHEN new.content LIKE '%forbidden%'
           BEGIN SELECT RAISE(ABORT, 'not in this house'); END",
        json!([]),
    );
    let mut client = daemon.connect();
    let mut lines = Vec::new();
    for number in 0..20 {
        let content = if number == 7 { "forbidden".to_owned() } else { format!("fine {number}") };
        let args = json!({"from": "/tmp", "to": "/tmp", "content": content});
        lines.push(json!({"v": 1, "id": number, "command": "message.send", "args": args}).to_string());
    }
    client.send_lines(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    let mut refused = Vec::new();
    for _ in 0..20 {
        let Followed::Answer { result, .. } = client.receive(Some(Duration::from_secs(20))).unwrap() else { continue };
        refused.extend(result.err().map(|error| error.to_string()));
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("not in this house"), "{refused:?}");
    let kept = foreign.sql("SELECT COUNT(*) FROM messages WHERE content LIKE 'fine%'", json!([]));
    assert_eq!(kept, json!([[19]]));
    // What nobody asked for at that moment is left out: the task whose answer is forbidden ends all the same.
    let asked = daemon.json(&["ask", "--to", "../backend", "--no-wait", "fine"]);
    foreign.sql(
        "CREATE TRIGGER never BEFORE UPDATE ON messages BEGIN SELECT RAISE(ABORT, 'nothing changes'); END",
        json!([]),
    );
    daemon.run(&["task", "wait", &newest_task(&daemon)]).good();
    daemon.run(&["module", "add", "m", "/tmp"]).good();
    assert_eq!(daemon.status()["degraded"], Value::Null);
    let id = asked["question_msg_id"].as_str().unwrap();
    let update = daemon.run(&["message", "update", id, "--content", "new"]);
    assert!(update.code == 1, "{update:?}");
}

#[test]
fn whoever_asks_while_a_lock_is_waited_for_is_answered_whatever_comes() {
    let daemon = Daemon::start();
    gated(&daemon);
    let gate = gate(&daemon, "gate");
    let task = wait_at(&daemon, &gate);
    wait_until("its process", || !processes_of(&daemon.epoch).is_empty());
    let mut foreign = daemon.foreign();
    foreign.sql("BEGIN EXCLUSIVE", json!([]));
    let first = daemon.spawn(&["message", "send", "--to", ".", "first"]);
    wait_until("the warning", || daemon.log().contains("holds the database's write lock"));
    let mut client = daemon.connect();
    let send =
        MessageSend { from: "/tmp".into(), to: "/tmp".into(), content: "second".into(), ..MessageSend::default() };
    client.send(&Request::MessageSend(send)).unwrap();
    fs::write(&gate, "kept\n").unwrap();
    wait_until("the end of its process", || processes_of(&daemon.epoch).is_empty());
    // Now the very batch that waits comes to nothing.
    let (database, aside) = (daemon.database(), daemon.database().with_extension("aside"));
    fs::rename(&database, &aside).unwrap();
    first.wait().bad(75);
    let Followed::Answer { result, .. } = client.receive(Some(Duration::from_secs(20))).unwrap() else { panic!() };
    assert!(result.is_err());
    fs::rename(&aside, &database).unwrap();
    foreign.sql("ROLLBACK", json!([]));
    assert_eq!(daemon.run(&["task", "wait", &task]).good(), "kept\n");
    assert_eq!(daemon.status()["tasks_running"], 0);
}

#[test]
fn a_wait_ends_in_time_while_nothing_can_be_written() {
    let daemon = Daemon::start();
    gated(&daemon);
    let gate = gate(&daemon, "gate");
    let task = wait_at(&daemon, &gate);
    let message = daemon.run(&["message", "send", "--to", ".", "findable"]).good().trim().to_owned();
    daemon.run(&["poll", "add", "--message-id", &message]).good();
    daemon.run(&["message", "search", "findable"]).good();
    let mut foreign = daemon.foreign();
    foreign.sql("BEGIN EXCLUSIVE", json!([]));
    let asked = daemon.spawn(&["message", "send", "--to", ".", "x"]);
    wait_until("the warning", || daemon.log().contains("holds the database's write lock"));
    let clock = SystemClock::new();
    let began = clock.tick();
    let waits = [
        daemon.spawn(&["task", "wait", &task, "--timeout", "1"]),
        daemon.spawn(&["poll", "wait", &message, "--timeout", "1"]),
    ];
    assert!(daemon.run(&["message", "search", "findable"]).good().contains("findable"));
    for wait in waits {
        wait.wait().bad(124);
    }
    assert!(clock.tick().since(began) < Duration::from_secs(4));
    foreign.sql("ROLLBACK", json!([]));
    drop(asked.wait());
    fs::write(&gate, "go\n").unwrap();
    daemon.run(&["task", "wait", &task]).good();
}

#[test]
fn a_daemon_that_cannot_write_is_calm_and_stops_at_once() {
    let mut daemon = Daemon::start();
    daemon.run(&["module", "add", "here", "."]).good();
    let send = ["message", "send", "--from", "here", "--to", "here", "x"];
    for _ in 0..3 {
        daemon.run(&send).good();
    }
    let (database, aside) = (daemon.database(), daemon.database().with_extension("aside"));
    fs::rename(&database, &aside).unwrap();
    daemon.run(&send).bad(75);
    let spent = daemon.cpu_ticks();
    assert!(!ends_within(daemon.pid(), Duration::from_secs(1)));
    assert!(daemon.cpu_ticks() - spent < 20, "{} ticks in a second", daemon.cpu_ticks() - spent);
    let clock = SystemClock::new();
    let began = clock.tick();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 0);
    let took = clock.tick().since(began);
    assert!(took < Duration::from_secs(2), "{took:?}");
}
