//! Tools that answer at once: what comes back, and what is refused in which words.

use super::*;
use crate::control::wire;
use crate::control::wire::Request;
use crate::model::hub::PollerOrder;
use crate::model::task::Ending;
use std::time::Duration;

#[test]
fn a_pool_comes_into_being_is_seen_and_ends() {
    let mut house = House::new();
    let made =
        house.answer("create_pool", json!({"executor": "echo", "queue_max": 7.0, "group": "g", "timeout": null}));
    let id = made["pool_id"].as_str().unwrap().to_owned();
    assert!(id.strip_prefix("pool_").is_some_and(|digits| digits.len() == 8), "{id}");
    assert_eq!(
        (&made["status"], &made["workers_count"], &made["queue_size"]),
        (&json!("running"), &json!(3), &json!(0))
    );
    let all = house.answer("list_pools", json!({}));
    assert_eq!((&all["pools_count"], all["pools"].as_array().unwrap().len()), (&json!(2), 2));
    let one = house.answer("get_pool_status", json!({"pool_id": id}));
    assert_eq!((&one["pool_id"], &one["status"]["queue_max"]), (&json!(id), &json!(7)));
    let health = house.answer("check_pool_health", json!({"pool_id": id}));
    assert_eq!((&health["health"]["status"], &health["health"]["workers_healthy"]), (&json!("healthy"), &json!(3)));
    let health = house.answer("check_pool_health", json!({}));
    assert_eq!(health["health"]["pools_healthy"], 2);
    let manager = house.answer("get_pool_manager_status", json!({}));
    assert_eq!((&manager["manager_running"], &manager["health"]["pools_total"]), (&json!(true), &json!(2)));
    let deleted = house.answer("delete_pool", json!({"pool_id": id}));
    assert_eq!(deleted, json!({"success": true, "pool_id": id, "deleted": true}));
}

#[test]
fn the_original_name_of_the_default_pool_is_known() {
    let mut house = House::new();
    assert_eq!(house.answer("get_pool_status", json!({"pool_id": "pool_local"}))["pool_id"], "local");
}

#[test]
fn what_is_refused_is_said_in_fixed_words() {
    let mut house = House::new();
    house.control(&Request::PoolPause(wire::PoolId { pool_id: "local".to_owned() }));
    for (tool, arguments, code, sentence) in [
        ("get_pool_status", json!({"pool_id": "X"}), "not_found", "Pool X not found"),
        ("check_pool_health", json!({"pool_id": "X"}), "not_found", "Pool X not found"),
        ("delete_pool", json!({"pool_id": "X"}), "not_found", "Pool X not found"),
        ("execute_on_pool", json!({"pool_id": "X", "prompt": "p"}), "not_found", "Pool X not found"),
        ("execute_batch_on_pool", json!({"pool_id": "X", "prompts": ["p"]}), "not_found", "Pool X not found"),
        ("submit_task", json!({"pool_id": "X", "prompt": "p"}), "not_found", "Pool X not found"),
        ("create_pool", json!({"pool_id": "local", "executor": "echo"}), "conflict", "Pool local already exists"),
        ("route_to_pool", json!({"prompt": "p", "selector": "X"}), "bad_request", "Unknown selector strategy: X"),
        ("route_to_pool", json!({"prompt": "p", "group": "none"}), "not_found", "there is no pool in group none"),
        ("get_upstream_status", json!({"name": "X"}), "not_found", "Upstream X not found"),
    ] {
        let said = failure(&house.outcome(tool, arguments.clone()));
        assert_eq!((said["error"].as_str(), said["code"].as_str()), (Some(sentence), Some(code)), "{tool} {arguments}");
        if let Some(pool) = arguments.get("pool_id") {
            assert_eq!(&said["pool_id"], pool, "{tool}");
        }
    }
    for (tool, arguments, part) in [
        ("get_task", json!({"task_id": "nowhere"}), "there is no task nowhere"),
        ("get_message", json!({"message_id": "nowhere"}), "there is no message nowhere"),
        ("wait_for_task", json!({"task_id": "nowhere"}), "there is no task nowhere"),
        ("get_task_log", json!({"task_id": "nowhere"}), "there is no task nowhere"),
        ("reply_to_message", json!({"message_id": "nowhere", "content": "x"}), "nowhere"),
        ("get_workflow_status", json!({"workflow_id": "nowhere"}), "there is no workflow nowhere"),
        (
            "wait_for_message",
            json!({"message_id": "nowhere"}),
            "there is no message nowhere; a task is waited for with wait_for_task",
        ),
        (
            "ask_module",
            json!({"from": "a", "to": "b", "prompt": "p"}),
            "there is no module a, nor any other; give the absolute",
        ),
        ("send_message", json!({"from": "a", "to": "b", "content": "p"}), "there is no module a, nor any other"),
        ("execute_on_pool", json!({"pool_id": "local", "prompt": ""}), "prompt is empty"),
        (
            "list_messages",
            json!({"before": 9_223_372_036_854_775_808_u64}),
            "before is 9223372036854776000; it goes from 0",
        ),
        ("create_pool", json!({"executor": "shell"}), "it is command or echo"),
        ("create_pool", json!({"pool_id": "a/b"}), "is no name"),
        ("list_tasks", json!({"status": "done"}), "it is one of pending, running"),
        ("submit_task", json!({"prompt": "p", "on_crash": "shrug"}), "requeue or fail"),
    ] {
        let said = failure(&house.outcome(tool, arguments.clone()));
        assert!(said["error"].as_str().unwrap().contains(part), "{tool} {arguments}: {said}");
    }
}

#[test]
fn a_pool_that_ends_takes_nothing_and_without_any_there_is_no_route() {
    let mut house = House::new();
    let mut running = house.call("execute_on_pool", json!({"pool_id": "local", "prompt": "p"}));
    let mut deleting = house.call("delete_pool", json!({"pool_id": "local", "timeout": 60}));
    assert!(!deleting.is_over());
    let said = failure(&house.outcome("execute_on_pool", json!({"pool_id": "local", "prompt": "p"})));
    assert_eq!((&said["error"], &said["code"]), (&json!("Pool local is not running"), &json!("not_running")));
    let said = failure(&house.outcome("route_to_pool", json!({"prompt": "p"})));
    assert_eq!(said["error"], "No pools available for routing");
    house.end_first(Ending::Succeeded, "yes");
    house.go_on(&mut running);
    house.go_on(&mut deleting);
    assert_eq!(house.answered("execute_on_pool", &running.outcome())["result"], "yes");
    assert_eq!(house.answered("delete_pool", &deleting.outcome())["deleted"], true);
}

#[test]
fn a_pool_that_is_full_says_when_to_try_again() {
    let mut house = House::new();
    house.control(&Request::PoolPause(wire::PoolId { pool_id: "local".to_owned() }));
    for _ in 0..5 {
        house.answer("submit_task", json!({"pool_id": "local", "prompt": "p"}));
    }
    let full = failure(&house.outcome("submit_task", json!({"pool_id": "local", "prompt": "p"})));
    assert_eq!((&full["code"], &full["pool_id"]), (&json!("queue_full"), &json!("local")));
    assert_eq!(full["retry_after_ms"], 250);
}

#[test]
fn without_the_first_pool_it_is_said_what_to_do() {
    let mut house = House::new();
    house.answer("delete_pool", json!({"pool_id": "local"}));
    for (tool, arguments) in [("submit_task", json!({"prompt": "p"})), ("get_pool_status", json!({"pool_id": "local"}))]
    {
        let said = failure(&house.outcome(tool, arguments));
        let error = said["error"].as_str().unwrap();
        assert!(error.starts_with("Pool local not found; it is meant when none is named: create it again"), "{error}");
    }
}

#[test]
fn a_module_that_is_misspelt_is_told_from_those_that_there_are() {
    let mut house = House::new();
    let directory = house.directory.path().display().to_string();
    for name in ["alpha", "backend", "zeta"] {
        house.control(&Request::ModuleAdd(wire::ModuleAdd { name: name.to_owned(), directory: directory.clone() }));
    }
    for (tool, key) in [("ask_module", "prompt"), ("send_message", "content")] {
        let said = failure(&house.outcome(tool, json!({"from": "alpha", "to": "backlog", key: "x"})));
        let error = "there is no module backlog; list_modules names those that there are, such as backend, alpha, zeta; or give \
                     the absolute path of a directory";
        assert_eq!((&said["error"], &said["code"]), (&json!(error), &json!("not_found")), "{tool}");
    }
}

#[test]
fn modules_can_be_found() {
    let mut house = House::new();
    assert_eq!(house.answer("list_modules", json!({}))["modules_count"], 0);
    let directory = house.directory.path().display().to_string();
    house.control(&Request::ModuleAdd(wire::ModuleAdd { name: "docs".to_owned(), directory: directory.clone() }));
    let found = house.answer("list_modules", json!({}));
    assert_eq!((&found["modules"][0]["name"], &found["modules"][0]["directory"]), (&json!("docs"), &json!(directory)));
}

#[test]
fn a_workflow_shows_its_stages_and_tasks() {
    let mut house = House::new();
    let source = "name = \"release\"\n[[stage]]\nname = \"build\"\n[[stage.task]]\nname = \"one\"\nprompt = \"p\"\n";
    let run = wire::WorkflowRun { source: source.to_owned(), ..wire::WorkflowRun::default() };
    let started = house.control(&Request::WorkflowRun(run));
    let id = started["workflow_id"].as_str().unwrap();
    let shown = house.answer("get_workflow_status", json!({"workflow_id": &id[id.len() - 8..]}));
    assert_eq!((&shown["workflow_id"], &shown["workflow"]["status"]), (&json!(id), &json!("running")));
    assert_eq!(shown["workflow"]["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn an_upstream_is_polled_and_shown() {
    let mut house = House::new();
    assert_eq!(house.answer("get_upstream_status", json!({}))["upstreams_count"], 0);
    let endpoint = "http://localhost:8678/mcp".to_owned();
    let add = wire::UpstreamAdd { name: "session-buddy".to_owned(), endpoint, ..wire::UpstreamAdd::default() };
    house.control(&Request::UpstreamAdd(add));
    let shown = house.answer("get_upstream_status", json!({"name": "session-buddy"}));
    assert_eq!((&shown["upstreams_count"], &shown["upstreams"][0]["poll_cycles"]), (&json!(1), &json!(0)));
    let mut polling = house.call("poll_upstream", json!({"name": "session-buddy", "timeout": 60}));
    assert!(!polling.is_over());
    assert!(matches!(house.orders.last(), Some((_, PollerOrder::Poll(_)))), "{:?}", house.orders);
    let polled = walk::polled(&house, "session-buddy");
    house.batch(vec![polled]);
    house.go_on(&mut polling);
    let polled = house.answered("poll_upstream", &polling.outcome());
    assert_eq!((&polled["poll_cycle"], &polled["healthy"]), (&json!(1), &json!(false)));
    assert_eq!(polled["errors"], json!(["get_session_analytics failed"]));
    let mut late = house.call("poll_upstream", json!({"name": "session-buddy", "timeout": 60}));
    house.pass(Duration::from_secs(61));
    house.go_on(&mut late);
    assert_eq!(failure(&late.outcome())["code"], "timed_out");
    assert_eq!(house.answer("get_upstream_status", json!({}))["upstreams_count"], 1);
}
