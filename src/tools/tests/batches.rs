//! Several prompts of one call.

use super::*;
use crate::model::limits::BATCH_PROMPTS_MAX;
use crate::model::task::Ending;

fn prompts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("prompt {number}")).collect()
}

#[test]
fn results_come_in_the_order_of_the_prompts_and_progress_counts_them() {
    let mut house = House::new();
    let mut calling = house.call("execute_batch_on_pool", json!({"pool_id": "local", "prompts": prompts(3)}));
    let runs = std::mem::take(&mut house.runs);
    assert_eq!(runs.len(), 3);
    house.end(&runs[2], Ending::Succeeded, "two");
    house.go_on(&mut calling);
    assert_eq!(calling.told.last().unwrap().done, 1.0);
    house.end(&runs[0], Ending::Succeeded, "zero");
    house.go_on(&mut calling);
    assert_eq!((calling.told.last().unwrap().done, calling.told.last().unwrap().total), (2.0, Some(3)));
    house.end(&runs[1], Ending::Failed, "no");
    house.go_on(&mut calling);
    let told: Vec<u64> = calling.told.iter().map(|progress| progress.done as u64).collect();
    assert_eq!(told, [0, 1, 2, 3]);
    let answer = house.answered("execute_batch_on_pool", &calling.outcome());
    assert_eq!((&answer["results_count"], &answer["failed_count"]), (&json!(3), &json!(1)));
    let results: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|it| (&it["success"], &it["result"])).collect();
    assert_eq!(results[0], (&json!(true), &json!("zero")));
    assert_eq!(results[1].0, &json!(false));
    assert_eq!(results[2], (&json!(true), &json!("two")));
    assert_eq!(answer["results"][1]["error"], "no");
}

#[test]
fn a_batch_speaks_up_while_none_ends_and_says_what_keeps_it() {
    let mut house = House::new();
    house.control(&crate::control::wire::Request::PoolPause(crate::control::wire::PoolId { pool_id: "local".into() }));
    let mut calling = house.call("execute_batch_on_pool", json!({"pool_id": "local", "prompts": prompts(2)}));
    for _ in 0..31 {
        house.pass(std::time::Duration::from_secs(1));
        house.go_on(&mut calling);
    }
    let told: Vec<f64> = calling.told.iter().map(|progress| progress.done).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0] == 0.0 && told.is_sorted_by(|one, next| one < next) && told[2] < 1.0, "{told:?}");
    let message = calling.told[2].message.as_deref();
    assert_eq!(message, Some("0 of 2 tasks have ended; pool local is paused"));
}

#[test]
fn giving_up_cancels_all_that_have_not_ended() {
    let mut house = House::new();
    let mut calling = house.call("execute_batch_on_pool", json!({"pool_id": "local", "prompts": prompts(4)}));
    house.end_first(Ending::Succeeded, "zero");
    house.go_on(&mut calling);
    house.give_up(&mut calling);
    for run in std::mem::take(&mut house.runs) {
        house.end(&run, Ending::Cancelled, "cancelled");
    }
    let tasks = house.answer("list_tasks", json!({}));
    let statuses: Vec<&str> =
        tasks["tasks"].as_array().unwrap().iter().filter_map(|it| it["status"].as_str()).collect();
    assert_eq!(statuses, ["cancelled", "cancelled", "cancelled", "completed"]);
}

#[test]
fn what_finds_no_room_has_failed_by_itself() {
    let mut house = House::new();
    house.control(&crate::control::wire::Request::PoolPause(crate::control::wire::PoolId { pool_id: "local".into() }));
    let mut calling = house.call("execute_batch_on_pool", json!({"pool_id": "local", "prompts": prompts(7)}));
    house.control(&crate::control::wire::Request::PoolResume(crate::control::wire::PoolId { pool_id: "local".into() }));
    while !house.runs.is_empty() {
        house.end_first(Ending::Succeeded, "yes");
    }
    while !calling.is_over() {
        house.go_on(&mut calling);
    }
    let answer = house.answered("execute_batch_on_pool", &calling.outcome());
    assert_eq!((&answer["results_count"], &answer["failed_count"]), (&json!(7), &json!(2)));
    assert_eq!(answer["results"][6]["code"], "queue_full");
    assert_eq!(answer["results"][6]["retry_after_ms"], 250);
}

#[test]
fn long_results_are_left_out_and_marked() {
    let mut house = House::new();
    let mut calling = house.call("execute_batch_on_pool", json!({"pool_id": "local", "prompts": prompts(3)}));
    let long = "x".repeat(600 << 10);
    for text in [long.as_str(), long.as_str(), "short"] {
        house.end_first(Ending::Succeeded, text);
    }
    while !calling.is_over() {
        house.go_on(&mut calling);
    }
    let answer = house.answered("execute_batch_on_pool", &calling.outcome());
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[0]["result"].as_str().map(str::len), Some(long.len()));
    assert_eq!((&results[1]["result"], &results[1]["result_truncated"]), (&Value::Null, &json!(true)));
    assert_eq!(results[2]["result"], "short");
}

#[test]
fn a_batch_has_a_size() {
    let mut house = House::new();
    for count in [0, BATCH_PROMPTS_MAX + 1] {
        let said =
            failure(&house.outcome("execute_batch_on_pool", json!({"pool_id": "local", "prompts": prompts(count)})));
        let expected = format!("prompts has a length of {count}; it goes from 1 to {BATCH_PROMPTS_MAX}");
        assert_eq!(said["error"], expected);
    }
}
