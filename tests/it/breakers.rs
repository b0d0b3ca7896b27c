//! Pools whose command keeps failing by itself: what is queued waits, also over a restart, until it may be tried again.

use std::fs;
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::{Daemon, Events, wait_until};

/// An agent that answers, in stream-json, what stands in the file `answer`.
fn agent(daemon: &Daemon, settings: &str) {
    let script = format!("cat >/dev/null; cat {}", daemon.path("answer"));
    let argv = json!(["sh", "-c", script, "sh", "--output-format", "stream-json"]);
    daemon.configure(&format!("[executor]\ncommand = {argv}\n{settings}\n"));
}

fn answer(daemon: &Daemon, is_error: bool, result: &str) {
    let line = json!({"type": "result", "subtype": "success", "is_error": is_error, "result": result});
    fs::write(daemon.path("answer"), format!("{line}\n")).unwrap();
}

fn submit(daemon: &Daemon) -> String {
    daemon.run(&["pool", "run", "local", "--no-wait", "go"]).good().trim().to_owned()
}

fn task(daemon: &Daemon, id: &str) -> Value {
    daemon.json(&["task", "show", id])
}

fn pool(daemon: &Daemon) -> Value {
    daemon.json(&["pool", "status", "local"])
}

/// The next change of a breaker.
fn changed(events: &mut Events) -> Value {
    events.wait_for(|frame| frame["event"] == "pool.breaker_changed")["data"].clone()
}

#[test]
fn an_agent_over_its_limit_is_left_alone_until_the_limit_is_lifted() {
    let mut daemon = Daemon::none();
    agent(&daemon, "");
    daemon.restart();
    let lifted = SystemClock::new().wall().after(Duration::from_secs(3600));
    let seconds = lifted.as_unix_seconds().round();
    answer(&daemon, true, &format!("Claude AI usage limit reached|{seconds}"));
    let ran = daemon.run(&["pool", "run", "local", "go"]);
    assert!(ran.bad(1).contains("usage limit reached"), "{}", daemon.log());
    wait_until("the pool to be held", || pool(&daemon)["circuit_breaker"] == "OPEN");

    let ran = daemon.run(&["pool", "run", "local", "--no-wait", "go"]);
    assert!(ran.stderr.contains("pool resume local tries at once"), "{ran:?}");
    let waiting = ran.good().trim().to_owned();
    let health = daemon.run(&["pool", "health", "local", "--json"]);
    assert_eq!((health.code, &health.json()["status"]), (1, &json!("degraded")));
    let until = |daemon: &Daemon| pool(daemon)["held_until"].as_str().unwrap()[..16].to_owned();
    let told = until(&daemon);

    // The next daemon knows it too.
    daemon.kill9();
    daemon.restart();
    assert_eq!((pool(&daemon)["circuit_breaker"].as_str(), until(&daemon)), (Some("OPEN"), told));
    assert_eq!(task(&daemon, &waiting)["status"], "pending");

    let metrics = daemon.run(&["upstream", "metrics"]).good();
    for line in [
        "circuit_breaker_state{breaker_name=\"pool:local\",state=\"open\"} 1",
        "circuit_breaker_state{breaker_name=\"pool:local\",state=\"closed\"} 0",
        "claude_comms_pool_queue_size{pool=\"local\"} 1",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
    }

    // Whoever has another login need not wait.
    answer(&daemon, false, "done");
    daemon.run(&["pool", "resume", "local"]).good();
    assert_eq!(daemon.run(&["task", "wait", &waiting]).good(), "done\n");
    assert_eq!(pool(&daemon)["circuit_breaker"], "CLOSED");
}

#[test]
fn one_task_shows_that_the_command_works_again_and_the_others_follow() {
    let mut daemon = Daemon::none();
    agent(&daemon, "failure_threshold = 2\nrecovery_timeout_seconds = 0.2");
    daemon.restart();
    let mut events = daemon.follow(&["pool:local"]);
    answer(&daemon, true, "Invalid API key");
    let failed: Vec<String> = (0..2).map(|_| submit(&daemon)).collect();
    for id in &failed {
        daemon.run(&["task", "wait", id]).bad(1);
    }
    let opened = changed(&mut events);
    assert_eq!(
        (&opened["from"], &opened["to"], &opened["severity"]),
        (&json!("CLOSED"), &json!("OPEN"), &json!("error"))
    );
    answer(&daemon, false, "done");
    let waiting: Vec<String> = (0..5).map(|_| submit(&daemon)).collect();
    for id in &waiting {
        assert_eq!(daemon.run(&["task", "wait", id]).good(), "done\n");
    }
    let mut words = Vec::new();
    while words.last() != Some(&json!("CLOSED")) {
        words.push(changed(&mut events)["to"].clone());
    }
    assert!(words.ends_with(&[json!("HALF_OPEN"), json!("CLOSED")]), "{words:?}");
    // Who waits in vain is not many: two opened it, and each try is one.
    assert_eq!(pool(&daemon)["tasks_failed"], 2 + words.iter().filter(|word| **word == "OPEN").count());
}

#[test]
fn a_program_that_is_not_there_burns_a_few_tasks_and_not_the_queue() {
    let mut daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"no-such-agent\"]\n");
    daemon.restart();
    let ids: Vec<String> = (0..8).map(|_| submit(&daemon)).collect();
    wait_until("the pool to be held", || pool(&daemon)["circuit_breaker"] == "OPEN");
    wait_until("all workers to be idle", || pool(&daemon)["tasks_running"] == 0);
    // Three open it, and two more may have been under way.
    let failed = ids.iter().filter(|id| task(&daemon, id)["status"] == "failed").count();
    assert!((3..=5).contains(&failed), "{failed} failed");
    // What is wrong with a task alone says nothing about the program.
    assert!(task(&daemon, &ids[0])["error"].as_str().unwrap().contains("is not on PATH"));
}

#[test]
fn another_command_is_not_held_for_what_the_last_one_did() {
    let mut daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"no-such-agent\"]\n");
    daemon.restart();
    for _ in 0..3 {
        daemon.run(&["pool", "run", "local", "go"]).bad(1);
    }
    wait_until("the pool to be held", || pool(&daemon)["circuit_breaker"] == "OPEN");
    // Whoever asks is told why nothing happens.
    let ask = daemon.run(&["ask", "--to", ".", "--timeout", "0.1", "why?"]);
    assert!(ask.stderr.contains("pool local is held: its command cannot work at present"), "{ask:?}");
    daemon.stop();
    daemon.configure("[executor]\ncommand = [\"cat\"]\n");
    daemon.restart();
    assert_eq!(pool(&daemon)["circuit_breaker"], "CLOSED");
    assert_eq!(daemon.run(&["pool", "run", "local", "go"]).good(), "go\n");
}

#[test]
fn a_pool_that_comes_again_has_another_breaker() {
    let daemon = Daemon::start();
    let create = || daemon.run(&["pool", "create", "other", "--", "no-such-agent"]).good();
    create();
    for _ in 0..3 {
        daemon.run(&["pool", "run", "other", "go"]).bad(1);
    }
    wait_until("the pool to be held", || daemon.json(&["pool", "status", "other"])["circuit_breaker"] == "OPEN");
    let waiting = daemon.run(&["pool", "run", "other", "--no-wait", "go"]).good().trim().to_owned();
    // What would not be served in time is cancelled at once.
    daemon.run(&["pool", "delete", "other", "--timeout", "20s"]).good();
    assert_eq!(daemon.json(&["task", "show", &waiting])["status"], "cancelled");
    assert!(!daemon.run(&["upstream", "metrics"]).good().contains("pool:other"));
    create();
    assert_eq!(daemon.json(&["pool", "status", "other"])["circuit_breaker"], "CLOSED");
}

#[test]
fn a_task_whose_directory_is_gone_holds_nobody_up() {
    let daemon = Daemon::start();
    let gone = daemon.path("gone");
    fs::create_dir(&gone).unwrap();
    daemon.run(&["pool", "create", "other", "--dir", &gone, "--", "true"]).good();
    fs::remove_dir(&gone).unwrap();
    for _ in 0..5 {
        daemon.run(&["pool", "run", "other", "--dir", &gone, "x"]);
    }
    assert_eq!(daemon.json(&["pool", "status", "other"])["circuit_breaker"], "CLOSED");
}
