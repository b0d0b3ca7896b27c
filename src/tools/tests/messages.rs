//! Messages between modules, and asking one.

use super::house::Calling;
use super::*;
use crate::control::wire::{self, Request};
use crate::model::hub::Stop;
use crate::model::task::Ending;
use std::time::Duration;

fn modules(house: &mut House) {
    let directory = house.directory.path().display().to_string();
    for name in ["a", "b"] {
        let add = wire::ModuleAdd { name: name.to_owned(), directory: directory.clone() };
        house.control(&Request::ModuleAdd(add));
    }
}

fn sent(house: &mut House) -> Value {
    modules(house);
    house
        .answer("send_message", json!({"from": "a", "to": "b", "content": "Which port?", "metadata": {"urgent": true}}))
}

#[test]
fn a_message_is_sent_read_listed_and_answered() {
    let mut house = House::new();
    let sent = sent(&mut house);
    assert_eq!(sent["status"], "pending");
    let id = sent["message_id"].as_str().unwrap();
    let read = house.answer("get_message", json!({"message_id": &id[id.len() - 8..]}));
    assert_eq!((&read["message_id"], &read["message"]["content"]), (&json!(id), &json!("Which port?")));
    assert_eq!(
        (&read["message"]["target_module"], &read["message"]["metadata"]["urgent"]),
        (&json!("b"), &json!(true))
    );
    let waiting = house.answer("list_messages", json!({"status": "pending", "module": "a", "target_module": "b"}));
    assert_eq!((&waiting["messages_count"], &waiting["next"]), (&json!(1), &Value::Null));
    let reply = house.answer("reply_to_message", json!({"message_id": id, "content": "8690"}));
    assert_eq!((&reply["thread_id"], &reply["status"]), (&sent["thread_id"], &json!("complete")));
    let thread = house.answer("list_messages", json!({"thread_id": sent["thread_id"], "limit": 1}));
    assert_eq!((&thread["messages"][0]["content"], thread["next"].is_i64()), (&json!("8690"), true));
    let rest = house.answer("list_messages", json!({"thread_id": sent["thread_id"], "before": thread["next"]}));
    assert_eq!(rest["messages"][0]["message_id"], id);
    let again = failure(&house.outcome("reply_to_message", json!({"message_id": id, "content": "8691"})));
    assert_eq!((&again["code"], &again["message_id"]), (&json!("conflict"), &json!(id)));
}

/// A directory within the house, made if need be.
fn directory(house: &House, name: &str) -> String {
    let path = house.directory.path().canonicalize().unwrap().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path.display().to_string()
}

#[test]
fn a_directory_stands_for_the_module_that_works_there_and_for_no_other() {
    let mut house = House::new();
    let (home, other, own) =
        (directory(&house, "src/backend"), directory(&house, "other/backend"), directory(&house, "api"));
    for (name, directory) in [("backend", &home), ("interface", &own)] {
        let add = wire::ModuleAdd { name: name.to_owned(), directory: directory.clone() };
        house.control(&Request::ModuleAdd(add));
    }
    let link = house.directory.path().join("backend");
    std::os::unix::fs::symlink(&home, &link).unwrap();
    for (to, name) in [
        (home.clone(), "backend"),
        (format!("{home}/"), "backend"),
        (link.display().to_string(), "backend"),
        (own.clone(), "interface"),
        (directory(&house, "unknown"), "unknown"),
    ] {
        let sent = house.answer("send_message", json!({"from": own, "to": to, "content": "x"}));
        let read = house.answer("get_message", json!({"message_id": sent["message_id"]}));
        assert_eq!(
            (&read["message"]["target_module"], &read["message"]["module"]),
            (&json!(name), &json!("interface"))
        );
    }
    for (from, to) in [(&own, &other), (&other, &own)] {
        for (tool, key) in [("send_message", "content"), ("ask_module", "prompt")] {
            let said = failure(&house.outcome(tool, json!({"from": from, "to": to, key: "x"})));
            assert_eq!(said["code"], "conflict", "{said}");
            let error = said["error"].as_str().unwrap();
            assert!(error.contains(&home) && error.contains(&format!("module add NAME {other}")), "{error}");
        }
    }
    let said = failure(&house.outcome("send_message", json!({"from": "../x", "to": "backend", "content": "x"})));
    assert_eq!(said["error"], "from is \"../x\"; it must be a module's name or an absolute path");
}

#[test]
fn messages_are_listed_by_whom_they_are_for() {
    let mut house = House::new();
    let (a, b) = (directory(&house, "a"), directory(&house, "src/b"));
    for (name, directory) in [("a", &a), ("inbox", &b)] {
        let add = wire::ModuleAdd { name: name.to_owned(), directory: directory.clone() };
        house.control(&Request::ModuleAdd(add));
    }
    let id = house.answer("send_message", json!({"from": "a", "to": "inbox", "content": "x"}))["message_id"].clone();
    house.answer("reply_to_message", json!({"message_id": id, "content": "y"}));
    let mut count = |arguments: Value| house.answer("list_messages", arguments)["messages_count"].clone();
    for (arguments, expected) in [
        (json!({"target_module": "inbox"}), 1),
        (json!({"target_module": b}), 1),
        (json!({"module": b}), 1),
        (json!({"target_module": "inbox", "status": "pending"}), 0),
        (json!({"target_module": "a", "module": "inbox"}), 1),
        (json!({"target_module": "nobody"}), 0),
        (json!({"module": "nobody"}), 0),
    ] {
        assert_eq!(count(arguments.clone()), expected, "{arguments}");
    }
    let other = directory(&house, "other/a");
    for (path, code) in [(other.as_str(), "conflict"), ("/no/such", "not_found")] {
        for key in ["module", "target_module"] {
            assert_eq!(failure(&house.outcome("list_messages", json!({key: path})))["code"], code, "{path}");
        }
    }
}

#[test]
fn a_thread_may_be_named_by_part_of_its_id() {
    let mut house = House::new();
    let sent = sent(&mut house);
    let thread = sent["thread_id"].as_str().unwrap();
    let more = json!({"from": "a", "to": "b", "content": "And now?", "thread_id": &thread[thread.len() - 8..]});
    assert_eq!(house.answer("send_message", more)["thread_id"], thread);
    let mut calling = ask(&mut house, json!({"thread_id": &thread[thread.len() - 8..]}));
    house.end_first(Ending::Succeeded, "8690");
    house.go_on(&mut calling);
    assert_eq!(house.answered("ask_module", &calling.outcome())["thread_id"], thread);
    let said =
        failure(&house.outcome("send_message", json!({"from": "a", "to": "b", "content": "x", "thread_id": "no"})));
    assert_eq!((&said["error"], &said["code"]), (&json!("there is no thread no"), &json!("not_found")));
}

#[test]
fn whoever_waits_for_a_message_gets_the_reply() {
    let mut house = House::new();
    let sent = sent(&mut house);
    let id = sent["message_id"].as_str().unwrap();
    let mut calling = house.call("wait_for_message", json!({"message_id": id, "timeout": 60}));
    assert!(!calling.is_over());
    let reply = house.answer("reply_to_message", json!({"message_id": id, "content": "8690"}));
    house.go_on(&mut calling);
    let waited = house.answered("wait_for_message", &calling.outcome());
    assert_eq!((&waited["status"], &waited["message"]["status"]), (&json!("complete"), &json!("complete")));
    assert_eq!((&waited["reply"]["content"], &waited["reply"]["message_id"]), (&json!("8690"), &reply["message_id"]));
    // It is final already: at once.
    assert_eq!(house.answer("wait_for_message", json!({"message_id": id}))["reply"]["content"], "8690");
}

#[test]
fn a_wait_speaks_up_now_and_then_and_ends_when_its_time_is_up() {
    let mut house = House::new();
    let sent = sent(&mut house);
    let mut calling = house.call("wait_for_message", json!({"message_id": sent["message_id"], "timeout": 50}));
    for _ in 0..49 {
        house.pass(Duration::from_secs(1));
        house.go_on(&mut calling);
    }
    let told: Vec<u64> = calling.told.iter().map(|progress| progress.done as u64).collect();
    assert_eq!((told, calling.is_over()), (vec![15_000, 30_000, 45_000], false));
    house.pass(Duration::from_secs(1));
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!((&said["code"], &said["message_id"]), (&json!("timed_out"), &sent["message_id"]));
    let read = house.answer("get_message", json!({"message_id": sent["message_id"]}));
    assert_eq!(read["message"]["status"], "pending");
}

#[test]
fn a_reply_is_heard_however_long_it_takes() {
    let mut house = House::new();
    let sent = sent(&mut house);
    let mut calling = house.call("wait_for_message", json!({"message_id": sent["message_id"], "timeout": 3600}));
    for _ in 0..40 {
        house.pass(Duration::from_secs(60));
        house.go_on(&mut calling);
    }
    house.answer("reply_to_message", json!({"message_id": sent["message_id"], "content": "8690"}));
    house.go_on(&mut calling);
    assert_eq!(house.answered("wait_for_message", &calling.outcome())["reply"]["content"], "8690");
}

fn ask(house: &mut House, more: Value) -> Calling {
    modules(house);
    let mut arguments = json!({"from": "a", "to": "b", "prompt": "Which port?"});
    arguments.as_object_mut().unwrap().extend(object(more));
    house.call("ask_module", arguments)
}

#[test]
fn a_module_that_is_asked_answers() {
    let mut house = House::new();
    let mut calling = ask(&mut house, json!({"pool_id": "local"}));
    assert!(!calling.is_over());
    house.pass(Duration::from_secs(15));
    house.go_on(&mut calling);
    assert!(calling.told.last().unwrap().message.as_ref().unwrap().contains("runs on local-worker-0"));
    house.end_first(Ending::Succeeded, "8690");
    house.go_on(&mut calling);
    let answer = house.answered("ask_module", &calling.outcome());
    assert_eq!((&answer["content"], &answer["final_status"]), (&json!("8690"), &json!("complete")));
    let waited = house.answer("wait_for_message", json!({"message_id": answer["question_msg_id"]}));
    assert_eq!(waited["reply"]["message_id"], answer["response_msg_id"]);
}

#[test]
fn a_module_that_cannot_answer_says_why() {
    let mut house = House::new();
    let mut calling = ask(&mut house, json!({}));
    house.end_first(Ending::NotStarted, "`claude` is not on PATH");
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!((&said["error"], &said["final_status"]), (&json!("`claude` is not on PATH"), &json!("failed")));
    assert_eq!((&said["status"], &said["reason"]), (&json!("failed"), &json!("not_started")));
    assert_eq!((&said["exit_code"], &said["exit_signal"]), (&json!(7), &Value::Null));
    assert_eq!(said["log"], format!("claude-comms task log {} --stderr", said["task_id"].as_str().unwrap()));
    assert!(said["task_id"].is_string() && said["question_msg_id"].is_string(), "{said}");
}

#[test]
fn an_ask_that_takes_too_long_goes_on_and_says_how_to_wait() {
    let mut house = House::new();
    let mut calling = ask(&mut house, json!({"timeout": 30}));
    house.pass(Duration::from_secs(31));
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!((&said["code"], &said["final_status"]), (&json!("timed_out"), &json!("expired")));
    assert!(said["next"].as_str().unwrap().contains("wait_for_message"), "{said}");
    assert_eq!(said["error"], "no answer within 30 s; the module is still at work");
    assert!(house.cancels.is_empty());
    // The answer still comes.
    house.end_first(Ending::Succeeded, "8690");
    let waited = house.answer("wait_for_message", json!({"message_id": said["question_msg_id"]}));
    assert_eq!(waited["reply"]["content"], "8690");
}

#[test]
fn an_ask_that_was_not_begun_is_not_said_to_be_at_work() {
    let mut house = House::new();
    house.control(&Request::PoolPause(wire::PoolId { pool_id: "local".into() }));
    let mut calling = ask(&mut house, json!({"timeout": 1}));
    house.pass(Duration::from_secs(2));
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!(said["error"], "no answer within 1 s; the question waits: pool local is paused");
    assert_eq!((&said["code"], &said["final_status"]), (&json!("timed_out"), &json!("expired")));
    // All workers have other things to do, and have been given as much ahead as they take.
    let mut house = House::new();
    let directory = house.directory.path().display().to_string();
    house.answer("create_pool", json!({"pool_id": "p", "command": ["cat"], "dir": directory}));
    for _ in 0..3 {
        house.answer("submit_task", json!({"pool_id": "p", "prompt": "x"}));
    }
    let mut calling = ask(&mut house, json!({"timeout": 1, "pool_id": "p"}));
    house.pass(Duration::from_secs(2));
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!(said["error"], "no answer within 1 s; the question still waits for a worker of pool p");
}

#[test]
fn an_answer_that_is_cut_says_so_and_where_the_rest_is() {
    let mut house = House::new();
    let mut calling = ask(&mut house, json!({}));
    let run = house.runs.remove(0);
    house.end_cut(&run, "8690");
    house.go_on(&mut calling);
    let answer = house.answered("ask_module", &calling.outcome());
    assert_eq!((&answer["content"], &answer["content_truncated"]), (&json!("8690"), &json!(true)));
    assert_eq!(answer["log"], format!("claude-comms task log {}", run.id));
}

#[test]
fn giving_up_an_ask_ends_its_task() {
    let mut house = House::new();
    let mut calling = ask(&mut house, json!({}));
    house.give_up(&mut calling);
    assert!(matches!(house.cancels.as_slice(), [cancel] if cancel.stop == Stop::Cancelled), "{:?}", house.cancels);
}

#[test]
fn a_list_of_long_messages_goes_on_before_it_is_too_long() {
    let mut house = House::new();
    modules(&mut house);
    let content = "x".repeat(1 << 20);
    for _ in 0..5 {
        house.answer("send_message", json!({"from": "a", "to": "b", "content": content}));
    }
    let (mut found, mut lists, mut before) = (0, 0, Value::Null);
    loop {
        let list = house.answer("list_messages", json!({"before": before}));
        assert!(list.to_string().len() < 4 << 20);
        (found, lists) = (found + list["messages_count"].as_u64().unwrap(), lists + 1);
        before = list["next"].clone();
        if before.is_null() {
            break;
        }
    }
    assert_eq!((found, lists), (5, 2));
    let said =
        failure(&house.outcome("send_message", json!({"from": "a", "to": "b", "content": format!("{content}x")})));
    assert_eq!(said["code"], "too_large");
}
