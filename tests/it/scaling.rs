//! `pool scale`: groups of pools that grow and shrink, by hand and by themselves.

use std::fs;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Daemon, wait_until};

/// A group `web` whose tasks run a shell with the prompt as their script.
fn web() -> Daemon {
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "web-1", "--group", "web", "--", "sh", "-c", "{prompt}"]).good();
    daemon
}

fn submit(daemon: &Daemon, script: &str) -> String {
    let args = ["pool", "route", "--group", "web", "--no-wait", script];
    daemon.run(&args).good().trim().to_owned()
}

fn pools(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.json(&["pool", "scale", "web"]);
    listed["pools"].as_array().unwrap().iter().map(|pool| pool["pool_id"].as_str().unwrap().to_owned()).collect()
}

fn running(daemon: &Daemon) -> u64 {
    daemon.status()["tasks_running"].as_u64().unwrap()
}

/// Scripts that wait until the gate is opened.
fn gate(daemon: &Daemon, name: &str) -> (String, String) {
    let path = daemon.path(name);
    mkfifoat(CWD, &path, Mode::RWXU).unwrap();
    let script = format!("read line < {path}; echo $line");
    (path, script)
}

#[test]
fn a_group_is_scaled_by_hand_under_running_tasks() {
    let daemon = web();
    let scaled = daemon.json(&["pool", "scale", "web", "3"]);
    assert_eq!(scaled["started"], serde_json::json!(["web-2", "web-3"]));
    let gates: Vec<(String, String)> = (0..9).map(|number| gate(&daemon, &format!("gate{number}"))).collect();
    let tasks: Vec<String> = gates.iter().map(|(_, script)| submit(&daemon, script)).collect();
    wait_until("nine running tasks", || running(&daemon) == 9);
    let listed = daemon.run(&["pool", "list"]).good();
    assert!(listed.contains("GROUP") && listed.contains("web-3"), "{listed}");

    let scaled = daemon.json(&["pool", "scale", "web", "1"]);
    assert_eq!(scaled["drained"], serde_json::json!(["web-3", "web-2"]));
    assert_eq!(running(&daemon), 9);
    for (path, _) in &gates {
        fs::write(path, "done\n").unwrap();
    }
    for id in &tasks {
        assert_eq!(daemon.run(&["task", "wait", id]).good(), "done\n");
    }
    wait_until("one pool", || pools(&daemon) == ["web-1"]);
    assert_eq!(daemon.run(&["pool", "run", "web-1", "echo still here"]).good(), "still here\n");
}

#[test]
fn a_group_scales_itself_and_still_does_after_a_restart() {
    let mut daemon = web();
    let flags = ["--min", "1", "--max", "2", "--up-queue", "2", "--down-idle", "0.2"];
    daemon.run(&[&["pool", "scale", "web"], &flags[..]].concat()).good();
    daemon.kill9();
    daemon.restart();
    assert_eq!(daemon.json(&["pool", "scale", "web"])["automatic"]["max_pools"], 2);
    let gates: Vec<(String, String)> = (0..5).map(|number| gate(&daemon, &format!("gate{number}"))).collect();
    let tasks: Vec<String> = gates.iter().map(|(_, script)| submit(&daemon, script)).collect();
    wait_until("a second pool", || pools(&daemon) == ["web-1", "web-2"]);
    for (path, _) in &gates {
        fs::write(path, "done\n").unwrap();
    }
    for id in &tasks {
        assert_eq!(daemon.run(&["task", "wait", id]).good(), "done\n");
    }
    wait_until("one pool", || pools(&daemon) == ["web-1"]);
}

#[test]
fn what_cannot_be_scaled_says_what_to_do() {
    let daemon = web();
    let complaint = daemon.run(&["pool", "scale", "none", "2"]).bad(5);
    assert!(complaint.contains("claude-comms pool create none-1 --group none"), "{complaint}");
    for args in [&["0"][..], &["257"], &["--min", "3", "--max", "2"], &["--max", "2", "--up-queue", "0"]] {
        let complaint = daemon.run(&[&["pool", "scale", "web"], args].concat()).bad(2);
        assert!(complaint.contains("it goes from 1 to"), "{complaint}");
    }
    daemon.run(&["pool", "scale", "web", "256"]).bad(1);
    daemon.run(&["pool", "scale", "web", "--max", "2"]).good();
    let complaint = daemon.run(&["pool", "scale", "web", "3"]).bad(1);
    assert!(complaint.contains("between 1 and 2"), "{complaint}");
    daemon.run(&["pool", "scale", "web", "--off"]).good();
    assert_eq!(daemon.json(&["pool", "scale", "web"])["automatic"], serde_json::Value::Null);
}
