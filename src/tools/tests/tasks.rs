//! Tasks that go on by themselves: handed in, seen, cancelled, and followed by a client that knows how.

use super::*;
use crate::mcp::protocol::code;
use crate::mcp::server::Order;
use crate::model::task::Ending;

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
