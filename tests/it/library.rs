//! The library for Rust programs, against the built binary: callbacks, waits and questions, over a restart too.

use std::path::Path;
use std::time::Duration;

use claude_comms::comms::{Comms, CommsError, Question, Watching};
use claude_comms::control::ClientError;
use claude_comms::thread::Joined;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::support::{BINARY, Daemon, LIMIT, wait_until};

fn comms(daemon: &Daemon) -> Comms {
    Comms::in_directory(&daemon.state_dir())
}

/// Tells each call as `kind id text`.
fn telling(watching: Watching, told: &Sender<String>) -> Watching {
    let tell = |kind: &'static str| {
        let told = told.clone();
        move |id: &str, text: &str| told.send(format!("{kind} {id} {text}")).unwrap()
    };
    watching.on_complete(tell("complete")).on_fail(tell("fail")).on_status(tell("status"))
}

fn heard(calls: &Receiver<String>) -> String {
    calls.recv_timeout(LIMIT).unwrap()
}

#[test]
fn callbacks_are_made_for_every_status_and_over_a_restart() {
    let mut daemon = Daemon::start();
    let (told, calls) = bounded(16);
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    daemon.follow(&["message:m1"]).wait_for_status("pending");
    let watching = comms(&daemon).add_message(telling(Watching::message("m1"), &told)).unwrap();
    assert_eq!(heard(&calls), "status m1 pending");
    foreign.set("m1", "processing");
    assert_eq!(heard(&calls), "status m1 processing");
    daemon.kill9();
    daemon.restart();
    foreign.sql("UPDATE messages SET content = 'the answer', status = 'complete'", serde_json::json!([]));
    assert_eq!(heard(&calls), "status m1 complete");
    assert_eq!(heard(&calls), "complete m1 the answer");
    drop(watching);
    drop(told);
    assert!(calls.recv().is_err(), "it was called again");
}

#[test]
fn a_failure_an_expiry_and_a_removal_are_told_as_such() {
    let daemon = Daemon::start();
    let comms = comms(&daemon);
    let (told, calls) = bounded(16);
    let mut foreign = daemon.foreign();
    foreign.insert_with("m1", "pending", r#"{"error": "no login"}"#);
    daemon.follow(&["message:m1"]).wait_for_status("pending");
    let failing = comms.add_message(telling(Watching::message("m1"), &told)).unwrap();
    assert_eq!(heard(&calls), "status m1 pending");
    foreign.set("m1", "failed");
    assert_eq!(heard(&calls), "status m1 failed");
    assert_eq!(heard(&calls), "fail m1 no login");
    drop(failing);

    let short = Watching::message("never").timeout(Duration::from_millis(300)).source_module("a").target_module("b");
    let expiring = comms.add_message(telling(short, &told)).unwrap();
    let watches = comms.active_messages().unwrap();
    assert_eq!(watches[0].message_id.as_deref(), Some("never"));
    assert_eq!(watches[0].source_module.as_deref(), Some("a"));
    assert_eq!(heard(&calls), "status never unknown");
    assert_eq!(heard(&calls), "status never expired");
    assert_eq!(heard(&calls), "fail never its time ran out");
    drop(expiring);
    assert!(comms.active_messages().unwrap().is_empty());

    comms.add_message(Watching::message("gone")).unwrap();
    comms.remove_message("gone").unwrap();
    let missing = comms.remove_message("gone").unwrap_err();
    assert!(matches!(missing, CommsError::Client(ClientError::Refused { .. })), "{missing}");
}

#[test]
fn a_message_is_awaited_with_its_progress() {
    let daemon = Daemon::start();
    let comms = comms(&daemon);
    let mut foreign = daemon.foreign();
    foreign.insert("m1", "pending");
    daemon.follow(&["message:m1"]).wait_for_status("pending");
    let late = comms.poll_message_until_complete("m1", Duration::from_millis(200), |_| {}).unwrap_err();
    assert!(matches!(&late, CommsError::TimedOut { id, status } if id == "m1" && status == "pending"), "{late}");

    let asking = comms.clone();
    let waiting = Joined::spawn("waiting", move || {
        let mut seen = Vec::new();
        let ended = asking.poll_message_until_complete("m1", LIMIT, |status| seen.push(status.to_owned()));
        (ended.unwrap(), seen)
    })
    .unwrap();
    wait_until("the wait", || daemon.status()["active_messages"] == 1);
    foreign.set("m1", "processing");
    foreign.set("m1", "complete");
    let (message, seen) = waiting.join().unwrap();
    assert_eq!(message.content.as_deref(), Some("a foreign question"));
    assert_eq!(seen, ["processing", "complete"]);
    let unknown = comms.poll_message_until_complete("nothing", LIMIT, |_| {}).unwrap_err();
    assert!(unknown.to_string().contains("nothing"), "{unknown}");
}

#[test]
fn a_module_is_asked_before_and_after_a_restart() {
    let mut daemon = Daemon::start();
    let comms = comms(&daemon);
    let (from, to) = (daemon.path("frontend"), daemon.path("backend"));
    for round in ["first", "second"] {
        let answer = comms.ask_module(Question::new(&from, &to, round).timeout(LIMIT)).unwrap();
        assert_eq!((answer.success, answer.content.as_deref()), (true, Some(round)));
        let again = Question::new(&from, &to, "within").thread(&answer.thread_id).no_wait();
        let asked = comms.ask_module(again).unwrap();
        assert_eq!(asked.thread_id, answer.thread_id);
        let message = comms.poll_message_until_complete(&asked.question_msg_id, LIMIT, |_| {}).unwrap();
        assert_eq!(message.watch.status, "complete");
        daemon.stop();
        let gone = comms.status().unwrap_err();
        assert!(matches!(gone, CommsError::Client(ClientError::NoDaemon { .. })), "{gone}");
        daemon.restart();
    }
}

#[test]
fn the_daemon_is_started_when_it_is_needed() {
    let daemon = Daemon::none();
    daemon.configure("[daemon]\nlisten = \"none\"\n");
    let comms = comms(&daemon);
    comms.start(Path::new(BINARY)).unwrap();
    comms.start(Path::new(BINARY)).unwrap();
    assert!(comms.status().unwrap().running);
    comms.stop().unwrap();
    daemon.run(&["poll", "stop"]).good();
    daemon.configure("junk");
    let failed = comms.start(Path::new(BINARY)).unwrap_err();
    assert!(failed.to_string().contains("config.toml"), "{failed}");
}
