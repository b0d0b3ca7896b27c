//! Tasks that go on by themselves: handed in, seen, cancelled, and followed by a client that knows how.

use super::*;
use crate::mcp::protocol::code;
use crate::mcp::server::Order;
use crate::model::task::Ending;
use std::time::Duration;

#[test]
fn a_task_is_handed_in_seen_and_cancelled() {
    let mut house = House::new();
    let arguments = json!({"prompt": "p", "key": "k", "priority": 3, "retries": 0, "delay": 60, "lock": "l"});
    let submitted = house.answer("submit_task", arguments.clone());
    assert_eq!((&submitted["pool_id"], &submitted["status"]), (&json!("local"), &json!("pending")));
    let again = house.answer("submit_task", arguments);
    assert_eq!((&again["task_id"], &again["duplicate"]), (&submitted["task_id"], &json!(true)));
    let after = house.answer("submit_task", json!({"prompt": "q", "after": [submitted["task_id"]]}));
    let id = submitted["task_id"].as_str().unwrap();
    let shown = house.answer("get_task", json!({"task_id": &id[id.len() - 8..]}));
    assert_eq!((&shown["task"]["priority"], &shown["task"]["reason"]), (&json!(3), &json!("delayed")));
    let listed = house.answer("list_tasks", json!({"pool_id": "local", "status": "pending", "limit": 1}));
    assert_eq!((&listed["tasks_count"], listed["next"].is_i64()), (&json!(1), true));
    let cancelled = house.answer("cancel_task", json!({"task_id": id}));
    assert_eq!(cancelled["status"], "cancelled");
    let shown = house.answer("get_task", json!({"task_id": after["task_id"]}));
    assert_eq!((&shown["task"]["status"], &shown["task"]["reason"]), (&json!("cancelled"), &json!("dependency")));
    assert_eq!(house.answer("cancel_task", json!({"task_id": id}))["status"], "cancelled");
    let ended = house.answer("submit_task", json!({"prompt": "p"}))["task_id"].clone();
    house.end_first(Ending::Succeeded, "yes");
    let said = failure(&house.outcome("cancel_task", json!({"task_id": ended})));
    assert_eq!((&said["code"], &said["task_id"]), (&json!("conflict"), &ended));
}

#[test]
fn a_task_of_anybody_can_be_waited_for() {
    let mut house = House::new();
    let id = house.answer("submit_task", json!({"prompt": "p"}))["task_id"].clone();
    let short = id.as_str().unwrap()[28..].to_owned();
    let mut waiting = house.call("wait_for_task", json!({"task_id": short}));
    assert!(waiting.told[0].message.as_ref().unwrap().contains("runs on local-worker-0"));
    // Giving up ends nothing.
    let mut other = house.call("wait_for_task", json!({"task_id": id}));
    house.give_up(&mut other);
    assert!(house.cancels.is_empty());
    house.end_first(Ending::Succeeded, "four");
    house.go_on(&mut waiting);
    let answer = house.answered("wait_for_task", &waiting.outcome());
    assert_eq!((&answer["result"], &answer["task_id"]), (&json!("four"), &id));
    // At once, when it has ended already; and it may have failed.
    assert_eq!(house.answer("wait_for_task", json!({"task_id": id}))["result"], "four");
    let failed = house.answer("submit_task", json!({"prompt": "p"}))["task_id"].clone();
    house.end_first(Ending::Failed, "it exited with 7");
    let said = failure(&house.outcome("wait_for_task", json!({"task_id": failed})));
    assert_eq!((&said["error"], &said["status"]), (&json!("it exited with 7"), &json!("failed")));
    let listed = house.answer("list_tasks", json!({"limit": 1}));
    assert_eq!((&listed["tasks"][0]["error"], listed["tasks"][0].get("result")), (&json!("it exited with 7"), None));
    let said = failure(&house.outcome("wait_for_message", json!({"message_id": id})));
    assert_eq!(said["code"], "not_found");
}

#[test]
fn a_wait_for_a_task_ends_when_its_time_is_up_and_says_how_it_stands() {
    let mut house = House::new();
    let id = house.answer("submit_task", json!({"prompt": "p", "delay": 3600}))["task_id"].clone();
    let mut waiting = house.call("wait_for_task", json!({"task_id": id, "timeout": 20}));
    house.pass(Duration::from_secs(21));
    house.go_on(&mut waiting);
    let said = failure(&waiting.outcome());
    assert_eq!((&said["code"], &said["task_id"]), (&json!("timed_out"), &id));
    assert!(
        said["error"].as_str().unwrap().contains("is not begun: it was to wait until 2027-01-15T09:00:00"),
        "{said}"
    );
    assert_eq!(house.answer("get_task", json!({"task_id": id}))["task"]["status"], "pending");
}

#[test]
fn what_a_task_has_written_is_read_from_its_end_or_in_parts() {
    let mut house = House::new();
    let id = house.answer("submit_task", json!({"prompt": "p"}))["task_id"].clone();
    let run = house.runs[0].clone();
    let empty = house.answer("get_task_log", json!({"task_id": id}));
    assert_eq!((&empty["text"], &empty["length"], &empty["offset"]), (&json!(""), &json!(0), &json!(0)));
    house.write(&run, 20_000);
    let end = house.answer("get_task_log", json!({"task_id": id}));
    assert_eq!(
        (&end["offset"], &end["next"], &end["length"]),
        (&json!(20_000 - 16_384), &json!(20_000), &json!(20_000))
    );
    assert_eq!(end["text"].as_str().unwrap().len(), 16_384);
    let part = house.answer("get_task_log", json!({"task_id": id, "offset": 5, "limit": 10, "stream": "stdout"}));
    assert_eq!((&part["text"], &part["offset"], &part["next"]), (&json!("x".repeat(10)), &json!(5), &json!(15)));
    let other = house.answer("get_task_log", json!({"task_id": id, "stream": "stderr"}));
    assert_eq!((&other["text"], &other["attempt"], &other["stream"]), (&json!(""), &json!(1), &json!("stderr")));
}

/// The task with which a call is answered.
fn begun(house: &mut House) -> Value {
    let calling = house.call_with("execute_on_pool", json!({"pool_id": "local", "prompt": "p"}), true);
    match calling.outcome() {
        Ok(Done::Task(task)) => Value::Object(task),
        other => panic!("no task: {other:?}"),
    }
}

fn follow(house: &mut House, task: &Value) -> Value {
    let id = task["taskId"].as_str().unwrap().to_owned();
    complete(&house.begin(Order::Task { id }).outcome())
}

#[test]
fn a_call_may_go_on_as_a_task() {
    let mut house = House::new();
    let task = begun(&mut house);
    assert_eq!(task["taskId"], house.runs[0].id.as_str());
    assert_eq!(
        (&task["status"], &task["ttlMs"], &task["pollIntervalMs"]),
        (&json!("working"), &Value::Null, &json!(1000))
    );
    assert!(task["createdAt"].is_string() && task["lastUpdatedAt"].is_string());
    let working = follow(&mut house, &task);
    assert_eq!((&working["status"], working.get("result")), (&json!("working"), None));
    assert!(working["statusMessage"].as_str().unwrap().contains("local-worker-0"), "{working}");
    house.end_first(Ending::Succeeded, "four");
    let ended = follow(&mut house, &task);
    assert_eq!(ended["status"], "completed");
    let answer = house.answered("execute_on_pool", &Ok(Done::Complete(object(ended["result"].clone()))));
    assert_eq!(answer["result"], "four");
}

#[test]
fn a_task_whose_tool_failed_is_completed_with_what_it_says() {
    let mut house = House::new();
    let task = begun(&mut house);
    house.end_first(Ending::Failed, "it exited with 7");
    let ended = follow(&mut house, &task);
    assert_eq!(ended["status"], "completed");
    let said = failure(&Ok(Done::Complete(object(ended["result"].clone()))));
    assert_eq!((&said["error"], &said["task_id"]), (&json!("it exited with 7"), &task["taskId"]));
}

#[test]
fn a_followed_task_can_be_cancelled_and_one_that_has_ended_stays_as_it_is() {
    let mut house = House::new();
    let task = begun(&mut house);
    let id = task["taskId"].as_str().unwrap().to_owned();
    assert_eq!(complete(&house.begin(Order::CancelTask { id: id.clone() }).outcome()), json!({}));
    house.end_first(Ending::Cancelled, "cancelled");
    let ended = follow(&mut house, &task);
    assert_eq!((&ended["status"], ended.get("result")), (&json!("cancelled"), None));
    let other = begun(&mut house);
    house.end_first(Ending::Succeeded, "four");
    let id = other["taskId"].as_str().unwrap().to_owned();
    assert_eq!(complete(&house.begin(Order::CancelTask { id }).outcome()), json!({}));
    assert_eq!(follow(&mut house, &other)["status"], "completed");
    assert_eq!(
        complete(&house.begin(Order::CancelTask { id: task["taskId"].as_str().unwrap().into() }).outcome()),
        json!({})
    );
}

#[test]
fn a_task_that_is_not_there_is_an_error_of_the_parameters() {
    let mut house = House::new();
    for order in [Order::Task { id: "nowhere".into() }, Order::CancelTask { id: "nowhere".into() }] {
        let outcome = house.begin(order).outcome();
        assert_eq!(error(&outcome).code, code::INVALID_PARAMS);
        assert!(error(&outcome).message.contains("nowhere"));
    }
}

#[test]
fn what_is_refused_does_not_become_a_task() {
    let mut house = House::new();
    let calling = house.call_with("execute_on_pool", json!({"pool_id": "X", "prompt": "p"}), true);
    assert_eq!(failure(&calling.outcome())["error"], "Pool X not found");
}
