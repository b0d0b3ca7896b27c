//! Prompts that are worked on while the call waits.

use super::house::Calling;
use super::*;
use crate::mcp::server::Progress;
use crate::model::breaker::{BreakerChange, BreakerState, Stands};
use crate::model::hub::{Input, Stop};
use crate::model::id::PoolId;
use crate::model::task::Ending;
use std::time::Duration;

fn execute(house: &mut House, more: Value) -> Calling {
    let mut arguments = json!({"pool_id": "local", "prompt": "Count."});
    arguments.as_object_mut().unwrap().extend(object(more));
    house.call("execute_on_pool", arguments)
}

fn done(told: &[Progress]) -> Vec<u64> {
    told.iter().map(|progress| progress.done as u64).collect()
}

#[test]
fn the_result_comes_back_with_who_ran_it() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({"context": {"repo": "/", "why": "trial"}}));
    assert!(!calling.is_over());
    let id = house.runs[0].id.to_string();
    let task = house.answer("get_task", json!({"task_id": id}))["task"].clone();
    assert_eq!((&task["dir"], &task["context"]["why"]), (&json!("/"), &json!("trial")));
    house.end_first(Ending::Succeeded, "four");
    house.go_on(&mut calling);
    let answer = house.answered("execute_on_pool", &calling.outcome());
    assert_eq!((&answer["result"], &answer["task_id"]), (&json!("four"), &json!(id)));
    assert_eq!((&answer["worker_id"], &answer["pool_id"]), (&json!("local-worker-0"), &json!("local")));
    assert_eq!((&answer["exit_code"], &answer["usage"]["turns"]), (&json!(0), &json!(3)));
}

#[test]
fn a_place_that_is_none_is_not_replaced_by_another() {
    let mut house = House::new();
    let file = house.directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (repo, part) in [
        (json!("/nonexistent/dir"), "is \"/nonexistent/dir\", which is no directory"),
        (json!(file), "which is no directory"),
        (json!("relative/dir"), "it must be an absolute path"),
        (json!("~/x"), "it must be an absolute path"),
        (json!(7), "is 7; it must be an absolute path"),
    ] {
        for (tool, what) in
            [("execute_on_pool", "prompt"), ("execute_batch_on_pool", "prompts"), ("submit_task", "prompt")]
        {
            let prompt = if what == "prompts" { json!(["x"]) } else { json!("x") };
            let said =
                failure(&house.outcome(tool, json!({"pool_id": "local", what: prompt, "context": {"repo": repo}})));
            assert_eq!(said["code"], "bad_request", "{tool} {repo}");
            let error = said["error"].as_str().unwrap();
            assert!(error.contains("context.repo") && error.contains(part), "{tool} {repo}: {error}");
        }
    }
    assert!(house.runs.is_empty());
    // Null is left out, and where dir says it repo is a fact like any other.
    house.answer("submit_task", json!({"prompt": "x", "context": {"repo": null}}));
    house.answer("submit_task", json!({"prompt": "x", "context": {"repo": "owner/name"}, "dir": "/"}));
    let said = failure(&house.outcome("create_pool", json!({"command": ["cat"], "dir": "/nonexist"})));
    assert_eq!(
        (&said["code"], &said["error"]),
        (&json!("bad_request"), &json!("dir is \"/nonexist\", which is no directory"))
    );
}

#[test]
fn a_failing_task_says_why_and_where_its_output_is() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    let id = house.runs[0].id.to_string();
    house.end_first(Ending::Failed, "it exited with 7");
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!(
        (&said["error"], &said["task_id"], &said["exit_code"]),
        (&json!("it exited with 7"), &json!(id), &json!(7))
    );
    assert_eq!((&said["reason"], &said["status"]), (&json!("error"), &json!("failed")));
    assert_eq!(said["log"], format!("claude-comms task log {id} --stderr"));
}

#[test]
fn a_task_that_runs_too_long_has_failed() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({"timeout": 5}));
    assert_eq!(house.runs[0].timeout, Duration::from_secs(5));
    house.pass(Duration::from_secs(6));
    house.go_on(&mut calling);
    assert!(!calling.is_over(), "it runs, and its own time is its worker's to keep");
    house.end_first(Ending::TimedOut, "it took longer than 5 s");
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    assert_eq!((&said["reason"], &said["status"]), (&json!("timeout"), &json!("failed")));
}

#[test]
fn a_task_that_no_worker_takes_in_time_is_cancelled() {
    let mut house = House::new();
    let busy: Vec<Calling> = (0..3).map(|_| execute(&mut house, json!({}))).collect();
    // Echo workers claim ahead; these are full.
    house.control(&crate::control::wire::Request::PoolPause(crate::control::wire::PoolId { pool_id: "local".into() }));
    let mut calling = execute(&mut house, json!({"timeout": 5}));
    house.pass(Duration::from_secs(4));
    house.go_on(&mut calling);
    assert!(!calling.is_over());
    house.pass(Duration::from_secs(2));
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    let error = "pool local is paused; the task was not begun within 5 s, and was cancelled";
    assert_eq!((&said["error"], &said["code"]), (&json!(error), &json!("not_running")));
    assert_eq!((&said["status"], said.get("log")), (&json!("cancelled"), None));
    assert_eq!(house.answer("list_tasks", json!({"status": "running"}))["tasks_count"], 3);
    drop(busy);
}

/// The pool's breaker opens for so long, after a task that has failed so.
fn hold(house: &mut House, error: &str, wait: Duration) {
    house.answer("submit_task", json!({"pool_id": "local", "prompt": "x"}));
    house.end_first(Ending::Failed, error);
    let change = BreakerChange {
        from: BreakerState::Closed,
        to: BreakerState::Open,
        wait: Some(wait),
        stands: Stands { state: BreakerState::Open, wait },
        snapshot: "open".to_owned(),
    };
    house.batch(vec![Input::BreakerChanged { pool: PoolId::new("local"), change }]);
}

#[test]
fn a_pool_that_is_held_is_not_called_busy() {
    let mut house = House::new();
    hold(&mut house, "not logged in", Duration::from_secs(60));
    for health in [json!({}), json!({"pool_id": "local"})] {
        let shown = house.answer("check_pool_health", health);
        let pool = shown["health"]["pool_details"].get(0).unwrap_or(&shown["health"]).clone();
        assert_eq!((&pool["circuit_breaker"], &pool["held_because"]), (&json!("OPEN"), &json!("not logged in")));
    }
    let mut calling = execute(&mut house, json!({"timeout": 5}));
    house.pass(Duration::from_secs(1));
    house.go_on(&mut calling);
    let told = calling.told.last().unwrap().message.clone().unwrap();
    assert!(told.contains("is not begun: pool local is held until 2027-01-15T08:01:00"), "{told}");
    house.pass(Duration::from_secs(5));
    house.go_on(&mut calling);
    let said = failure(&calling.outcome());
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("its command fails (not logged in); the task was not begun within 5 s"), "{error}");
    assert_eq!(
        (&said["code"], &said["retry_after_ms"], &said["status"]),
        (&json!("busy"), &json!(54_000), &json!("cancelled"))
    );
    assert!(said["held_until"].as_str().unwrap().starts_with("2027-01-15T08:01:00"), "{said}");
    // A client that follows by itself sees it too.
    let task = house.call_with("execute_on_pool", json!({"pool_id": "local", "prompt": "p"}), true);
    let Ok(Done::Task(task)) = task.outcome() else { panic!("no task") };
    assert!(task["statusMessage"].as_str().unwrap().contains("pool local is held until"), "{task:?}");
}

#[test]
fn a_task_that_has_ended_is_not_said_to_wait() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    house.pass(Duration::from_secs(2));
    // Its output is heard of, and before it is looked at the task has ended.
    let run = house.runs[0].clone();
    house.write(&run, 8);
    house.end_first(Ending::Succeeded, "four");
    house.go_on(&mut calling);
    assert!(calling.is_over());
    assert_eq!(done(&calling.told), [0]);
}

#[test]
fn a_result_that_is_cut_says_where_the_rest_is() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    let run = house.runs.remove(0);
    house.end_cut(&run, "four");
    house.go_on(&mut calling);
    let answer = house.answered("execute_on_pool", &calling.outcome());
    assert_eq!((&answer["result"], &answer["result_truncated"]), (&json!("four"), &json!(true)));
    assert_eq!(answer["log"], format!("claude-comms task log {}", run.id));
}

#[test]
fn progress_is_told_as_the_output_grows_and_the_end_at_once() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    let run = house.runs[0].clone();
    assert_eq!(done(&calling.told), [0]);
    assert!(calling.told[0].message.as_ref().unwrap().contains("was handed to pool local"));
    house.write(&run, 10);
    house.pass(Duration::from_secs(2));
    house.go_on(&mut calling);
    assert_eq!(done(&calling.told), [0, 2000]);
    assert!(calling.told[1].message.as_ref().unwrap().contains("runs on local-worker-0, 10 bytes of output, 2 s"));
    // For a while nothing more is told, however much is written.
    house.write(&run, 20);
    house.go_on(&mut calling);
    house.write(&run, 30);
    house.go_on(&mut calling);
    assert_eq!(done(&calling.told), [0, 2000]);
    house.pass(Duration::from_secs(1));
    house.go_on(&mut calling);
    assert_eq!(done(&calling.told), [0, 2000, 3000]);
    assert!(calling.told[2].message.as_ref().unwrap().contains("30 bytes"));
    // The end comes while it is quiet.
    house.end_first(Ending::Succeeded, "four");
    house.go_on(&mut calling);
    assert!(calling.is_over());
}

#[test]
fn a_task_that_writes_nothing_is_spoken_of_now_and_then() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    for _ in 0..61 {
        house.pass(Duration::from_secs(1));
        house.go_on(&mut calling);
    }
    assert_eq!(done(&calling.told), [0, 1_000, 16_000, 31_000, 46_000, 61_000]);
    assert!(calling.told[1].message.as_ref().unwrap().contains("runs on local-worker-0, 0 bytes"));
}

#[test]
fn output_that_the_log_has_no_room_for_is_not_looked_for_again_and_again() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    let run = house.runs[0].clone();
    house.pass(Duration::from_secs(1));
    house.go_on(&mut calling);
    house.pass(Duration::from_secs(1));
    house.go_on(&mut calling);
    house.write(&run, 10);
    house.go_on(&mut calling);
    // More is said to be written than the log holds.
    let written = crate::model::command::Written { stdout: 1000, stderr: 0 };
    house.batch(vec![crate::model::hub::Input::Output { seq: run.seq, token: run.token, written }]);
    for _ in 0..10 {
        house.pass(Duration::from_secs(1));
        house.go_on(&mut calling);
    }
    assert_eq!(done(&calling.told), [0, 1000, 2000, 3000]);
}

#[test]
fn giving_up_ends_what_runs_and_what_waits() {
    let mut house = House::new();
    let mut calling = execute(&mut house, json!({}));
    house.give_up(&mut calling);
    let run = house.runs[0].clone();
    assert!(
        matches!(house.cancels.as_slice(), [cancel] if cancel.token == run.token && cancel.stop == Stop::Cancelled)
    );
    house.end(&run, Ending::Cancelled, "cancelled");
    assert_eq!(house.answer("get_task", json!({"task_id": run.id.as_str()}))["task"]["status"], "cancelled");
}

#[test]
fn a_route_names_the_pool_and_how_it_was_chosen() {
    let mut house = House::new();
    house.answer("create_pool", json!({"pool_id": "other", "executor": "echo", "group": "g"}));
    let mut calling = house.call("route_to_pool", json!({"prompt": "p", "selector": "round_robin", "group": "g"}));
    house.end_first(Ending::Succeeded, "yes");
    house.go_on(&mut calling);
    let answer = house.answered("route_to_pool", &calling.outcome());
    assert_eq!((&answer["pool_id"], &answer["strategy"]), (&json!("other"), &json!("round_robin")));
    let mut calling = house.call("route_to_pool", json!({"prompt": "p"}));
    house.end_first(Ending::Failed, "no");
    house.go_on(&mut calling);
    assert_eq!(failure(&calling.outcome())["strategy"], "least_loaded");
}
