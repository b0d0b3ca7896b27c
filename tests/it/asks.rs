//! `ask`: a question to a module, the agent that answers it, and how that is seen meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::support::{Daemon, processes_of, wait_until};

#[test]
fn a_question_is_answered_in_the_other_ones_directory() {
    let daemon = Daemon::with(&["sh", "-c", "pwd; cat"], &[]);
    let (backend, whole) = (daemon.path("backend"), fs::canonicalize(daemon.path("backend")).unwrap());
    let answer = daemon.run(&["ask", "--to", &backend, "Which port?"]).good();
    assert_eq!(answer, format!("{}\nWhich port?", whole.display()) + "\n");

    let document = daemon.json(&["ask", "--to", &backend, "Which port?"]);
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    assert_eq!([&document["success"], &document["final_status"]], [&json!(true), &json!("complete")]);
    let thread = document["thread_id"].as_str().unwrap();
    let shown = daemon.json(&["thread", "show", thread]);
    assert_eq!(shown["title"], "frontend-backend Communication");
    let question = daemon.json(&["message", "show", document["question_msg_id"].as_str().unwrap()]);
    let response = daemon.json(&["message", "show", document["response_msg_id"].as_str().unwrap()]);
    assert_eq!([&question["status"], &question["type"]], ["complete", "question"]);
    assert_eq!([&response["status"], &response["type"]], ["complete", "response"]);
    assert_eq!([&response["module"], &response["target_module"]], ["backend", "frontend"]);
    assert_eq!(response["content"], document["content"]);
    assert_eq!(response["metadata"]["in_reply_to"], question["message_id"]);

    // Within a thread that exists, from standard input, and without waiting for the answer.
    let ran = daemon.run_with_input(&["ask", "--to", &backend, "--thread", thread, "--no-wait", "-"], b"And now?");
    let id = ran.good().trim().to_owned();
    daemon.run(&["poll", "wait", &id]).good();
    assert_eq!(daemon.json(&["thread", "show", thread])["messages"], 4);
}

#[test]
fn every_change_of_a_question_is_told() {
    let daemon = Daemon::start();
    let asked = daemon.json(&["ask", "x"]);
    let id = asked["question_msg_id"].as_str().unwrap();
    let mut events = daemon.follow(&[&format!("message:{id}")]);
    for status in ["pending", "processing", "complete"] {
        events.wait_for_status(status);
    }
}

#[test]
fn a_question_that_is_not_answered_in_time_is_124_and_goes_on() {
    let daemon = Daemon::with(&["sh", "-c", "cat ../gate"], &[]);
    mkfifoat(CWD, daemon.path("gate"), Mode::RWXU).unwrap();
    let late = daemon.run(&["ask", "--timeout", "0.4", "--json", "x"]);
    assert_eq!(late.code, 124, "{late:?}");
    assert_eq!([&late.json()["success"], &late.json()["final_status"]], [&json!(false), &json!("expired")]);
    // What it advises works.
    let answer = late.json();
    let (_, task) = answer["error"].as_str().unwrap().split_once("claude-comms task wait ").unwrap();
    wait_until("its process", || !processes_of(&daemon.epoch).is_empty());
    fs::write(daemon.path("gate"), "late\n").unwrap();
    assert_eq!(daemon.run(&["task", "wait", task]).good(), "late\n");
    let id = late.json()["question_msg_id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.json(&["message", "show", &id])["status"], "complete");
}

#[test]
fn a_failing_agent_fails_both_messages() {
    let daemon = Daemon::with(&["sh", "-c", "echo no login >&2; exit 1"], &[]);
    let asked = daemon.run(&["ask", "--json", "x"]);
    let answer = asked.json();
    asked.bad(1);
    assert!(answer["error"].as_str().unwrap().contains("no login"), "{answer}");
    for key in ["question_msg_id", "response_msg_id"] {
        let message = daemon.json(&["message", "show", answer[key].as_str().unwrap()]);
        assert_eq!([&message["status"], &message["error"]], [&json!("failed"), &answer["error"]], "{key}");
    }
}

/// What `claude -p --output-format stream-json` prints, with a gate in the middle.
const AGENT: &str = r#"#!/usr/bin/env python3
import json, sys
assert "stream-json" in sys.argv, sys.argv
question = sys.stdin.read()
def say(**line):
    print(json.dumps(line), flush=True)
def speak(text):
    say(type="assistant", parent_tool_use_id=None, session_id="s-1",
        message={"role": "assistant", "content": [{"type": "text", "text": text}]})
say(type="system", subtype="init", session_id="s-1", cwd="/", tools=[], model="m")
speak("Let me look.")
open("../gate").read()
say(type="user", message={"role": "user", "content": [{"type": "tool_result", "content": "8080"}]})
speak("It is 8080.")
say(type="result", subtype="success", is_error=False, num_turns=2, result="Port 8080, as you asked: " + question,
    session_id="s-1", total_cost_usd=0.25, usage={"input_tokens": 7, "output_tokens": 42})
"#;

#[test]
fn an_agent_is_heard_while_it_works() {
    let agent = tempfile::tempdir().unwrap();
    let program = agent.path().join("claude");
    fs::write(&program, AGENT).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let daemon = Daemon::with(&[program.to_str().unwrap(), "-p", "--output-format", "stream-json", "--verbose"], &[]);
    mkfifoat(CWD, daemon.path("gate"), Mode::RWXU).unwrap();

    let question = daemon.run(&["ask", "--to", "../backend", "--no-wait", "Which port?"]).good().trim().to_owned();
    let thread = daemon.json(&["message", "show", &question])["thread_id"].as_str().unwrap().to_owned();
    let response = || {
        let listed = daemon.json(&["message", "list", "--thread", &thread]);
        let messages = listed["messages"].as_array().unwrap().clone();
        messages.into_iter().find(|message| message["type"] == "response").unwrap_or(Value::Null)
    };
    wait_until("its first words", || response()["content"] == "Let me look.");
    assert_eq!(response()["status"], "processing");
    fs::write(daemon.path("gate"), "").unwrap();
    daemon.run(&["poll", "wait", &question]).good();
    assert_eq!(response()["content"], "Port 8080, as you asked: Which port?");

    let task = daemon.json(&["task", "list"])["tasks"][0]["task_id"].as_str().unwrap().to_owned();
    let usage = daemon.json(&["task", "show", &task])["usage"].clone();
    assert_eq!(
        usage,
        json!({"cost_usd": 0.25, "input_tokens": 7, "output_tokens": 42, "turns": 2, "session_id": "s-1"})
    );
    assert!(daemon.run(&["task", "show", &task]).good().contains("cost_usd"));
}
