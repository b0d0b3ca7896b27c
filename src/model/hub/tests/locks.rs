//! Locks, retries by hand, and workers of which nothing is heard.

use super::*;
use crate::model::command::{Seen, Written};
use crate::model::hub::{Cancel, Stop};
use crate::model::pool::OnStuck;

fn locked(id: &str) -> Submit {
    Submit { lock: Some("repo".to_owned()), ..submit(id) }
}

#[test]
fn tasks_with_one_lock_run_one_at_a_time_across_pools() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(pool("second")));
    desk.batch(Vec::new());
    let elsewhere = Submit { to: Destination::Pool(PoolId::new("second")), ..locked("b") };
    for task in [locked("a"), elsewhere, locked("c")] {
        desk.ask(Command::Submit(task));
    }
    desk.submit("free");
    assert_eq!(desk.dispatched(), ["a", "free"]);
    desk.finish("a", Ending::Succeeded);
    // The first of each pool has a turn, and the pools take theirs in the order of their names.
    assert_eq!(desk.dispatched(), ["c"]);
    desk.finish("c", Ending::Failed);
    assert_eq!(desk.dispatched(), ["b"]);
    desk.finish("b", Ending::Succeeded);
    assert!(desk.hub.tasks.locks.by_key.is_empty());
}

#[test]
fn a_lock_is_free_while_its_task_waits_for_another_try() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..locked("a") }));
    desk.ask(Command::Submit(locked("b")));
    desk.finish("a", Ending::Failed);
    assert_eq!(desk.dispatched(), ["a", "b"]);
    desk.pass(SECOND);
    assert_eq!(desk.state("a"), "pending queued", "its time has come, and the lock is another's");
    desk.finish("b", Ending::Succeeded);
    assert_eq!(desk.dispatched(), ["a"]);
}

#[test]
fn the_next_has_a_turn_when_a_candidate_is_cancelled() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(pool("second")));
    desk.batch(Vec::new());
    desk.ask(Command::Submit(Submit { to: Destination::Pool(PoolId::new("second")), ..locked("holder") }));
    for id in ["b", "c"] {
        desk.ask(Command::Submit(locked(id)));
    }
    // The pool is full when the lock gets free, so that the candidate stands in its queue.
    desk.occupy();
    desk.finish("holder", Ending::Succeeded);
    desk.cancel("b");
    desk.dispatched();
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(desk.dispatched(), ["c"]);
}

#[test]
fn a_lock_survives_a_crash() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { on_crash: Some(OnCrash::Requeue), ..locked("a") }));
    desk.ask(Command::Submit(locked("b")));
    desk.dispatched();
    desk.crash();
    assert_eq!(desk.dispatched(), ["a"]);
}

#[test]
fn a_task_that_failed_is_retried_with_all_its_retries() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("t") }));
    desk.finish("t", Ending::Failed);
    desk.pass(SECOND);
    desk.finish("t", Ending::Failed);
    assert_eq!(desk.state("t"), "failed error");
    let before = desk.rows.task("t").token;
    let ask = desk.ask(Command::RetryTask { id: TaskId::new("t") });
    assert!(matches!(desk.answer(ask), Some(Ok(Reply::Task(_)))));
    let task = desk.rows.task("t").clone();
    assert_eq!((task.attempt, task.failures, task.completed_at), (3, 0, None));
    assert!(task.token > before);
    assert_eq!(desk.hub.pools["local"].row.submitted, 2);
    desk.finish("t", Ending::Failed);
    assert_eq!(desk.state("t"), "pending retrying");
}

#[test]
fn only_what_failed_or_was_cancelled_is_retried() {
    let mut desk = desk();
    for (id, ending) in [("done", Some(Ending::Succeeded)), ("runs", None)] {
        desk.submit(id);
        if let Some(ending) = ending {
            desk.finish(id, ending);
        }
        let ask = desk.ask(Command::RetryTask { id: TaskId::new(id) });
        assert_eq!(refusal(&desk, ask), Some(Code::Conflict), "{id}");
    }
    let ask = desk.ask(Command::RetryTask { id: TaskId::new("nobody") });
    assert_eq!(refusal(&desk, ask), Some(Code::NotFound));
    desk.cancel("runs");
    desk.finish("runs", Ending::Cancelled);
    let ask = desk.ask(Command::RetryTask { id: TaskId::new("runs") });
    assert_eq!(refusal(&desk, ask), None);
    assert_eq!(desk.state("runs"), "running");
    desk.assert_sound();
}

fn output(desk: &Driver, id: &str, stdout: u64) -> Input {
    let task = desk.rows.task(id);
    Input::Output { seq: task.seq, token: task.token.expect("it runs"), written: Written { stdout, stderr: 0 } }
}

fn is_healthy(desk: &mut Driver) -> bool {
    desk.hub.pools["local"].is_healthy()
}

#[test]
fn a_worker_of_which_nothing_is_heard_is_stuck_until_something_is() {
    let mut desk = desk();
    desk.submit("t");
    desk.pass(299 * SECOND);
    let heard = output(&desk, "t", 1);
    desk.batch(vec![heard]);
    desk.pass(299 * SECOND);
    assert!(is_healthy(&mut desk));
    desk.pass(SECOND);
    assert!(!is_healthy(&mut desk));
    assert!(desk.cancels.is_empty());
    let heard = output(&desk, "t", 2);
    desk.batch(vec![heard]);
    assert!(is_healthy(&mut desk));
    desk.pass(300 * SECOND);
    desk.finish("t", Ending::Succeeded);
    assert!(is_healthy(&mut desk));
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_pool_may_have_what_is_stuck_ended() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(PoolRow { on_stuck: OnStuck::Kill, ..pool("strict") }));
    desk.batch(Vec::new());
    let to = Destination::Pool(PoolId::new("strict"));
    desk.ask(Command::Submit(Submit { to, retries_max: 1, ..submit("t") }));
    desk.pass(300 * SECOND);
    let token = desk.rows.task("t").token.expect("it runs");
    assert_eq!(desk.cancels, [Cancel { pool: PoolId::new("strict"), slot: 0, token, stop: Stop::Stuck }]);
    desk.finish("t", Ending::Stuck);
    assert_eq!(desk.state("t"), "pending retrying");
    desk.pass(SECOND);
    desk.finish("t", Ending::Stuck);
    assert_eq!(desk.state("t"), "failed stuck");
}

#[test]
fn whoever_waits_for_output_is_told_of_more_of_a_new_attempt_and_of_the_end() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("t") }));
    let wait = |stdout| Command::WaitTask {
        id: TaskId::new("t"),
        timeout: None,
        beyond: Some(Seen { attempt: Some(1), written: Written { stdout, stderr: u64::MAX } }),
    };
    let first = desk.ask(wait(0));
    assert!(desk.answer(first).is_none());
    let heard = output(&desk, "t", 5);
    desk.batch(vec![heard]);
    assert!(desk.answer(first).is_some());
    let second = desk.ask(wait(4));
    assert!(desk.answer(second).is_some(), "it was written before it was asked for");
    let third = desk.ask(wait(5));
    desk.finish("t", Ending::Failed);
    assert!(desk.answer(third).is_none());
    desk.pass(SECOND);
    assert!(desk.answer(third).is_some(), "another attempt has begun");
    let fourth = desk.ask(wait(0));
    assert!(desk.answer(fourth).is_some(), "it is not the first attempt any more");
    desk.assert_sound();
}
