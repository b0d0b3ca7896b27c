//! Creating pools, and what they show.

use super::*;

#[test]
fn a_pool_is_stored_then_staffed_then_reported() {
    let mut desk = desk();
    let ask = desk.ask(Command::CreatePool(pool("second")));
    assert!(desk.rows.tables.pools.contains_key("second"));
    assert!(desk.answer(ask).is_none());
    desk.batch(Vec::new());
    let Some(Ok(Reply::Pool(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!((view.workers.len(), view.workers[0].status), (3, "idle"));
    assert_eq!(desk.facts(), ["pool.spawned"]);
}

#[test]
fn a_pool_whose_threads_do_not_start_was_never_there() {
    let mut desk = desk();
    desk.hire_fails = Some("no more threads".to_owned());
    let ask = desk.ask(Command::CreatePool(pool("second")));
    desk.batch(Vec::new());
    assert_eq!(refusal(&desk, ask), Some(Code::Internal));
    assert!(!desk.rows.tables.pools.contains_key("second"));
    desk.hire_fails = None;
    let ask = desk.ask(Command::CreatePool(pool("second")));
    desk.batch(Vec::new());
    assert_eq!(refusal(&desk, ask), None);
}

#[test]
fn a_name_is_taken_once() {
    let mut desk = desk();
    let ask = desk.ask(Command::CreatePool(pool("local")));
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
    for (id, expected) in [("local", None), ("other", Some(Code::NotFound))] {
        let ask = desk.ask(Command::ShowPool { id: PoolId::new(id) });
        assert_eq!(refusal(&desk, ask), expected);
    }
}

#[test]
fn three_workers_run_three_tasks_and_the_fourth_waits() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("fourth");
    let status = desk.hub.status();
    assert_eq!((status.tasks_running, status.tasks_queued), (3, 1));
    let mut slots: Vec<_> = desk.rows.running().map(|task| task.slot).collect();
    slots.sort();
    assert_eq!(slots, [Some(0), Some(1), Some(2)]);
}

#[test]
fn an_echo_pool_is_given_tasks_ahead_evenly() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(PoolRow { executor: ExecutorKind::Echo, queue_max: 20, ..pool("echo") }));
    desk.batch(Vec::new());
    for number in 0..8 {
        desk.ask(Command::Submit(Submit { pool: PoolId::new("echo"), ..submit(&format!("e{number}")) }));
    }
    let slots: Vec<u8> = desk.runs.iter().map(|run| run.slot).collect();
    assert_eq!(slots, [0, 1, 2, 0, 1, 2, 0, 1]);
    // The one that runs fails, those ahead go back to the queue and on to the next free place.
    desk.runs.clear();
    desk.batch(vec![Input::WorkerDied { pool: PoolId::new("echo"), slot: 0 }]);
    assert_eq!(desk.state("e0"), "failed crashed");
    assert_eq!(desk.dispatched(), ["e3", "e6"]);
}

#[test]
fn a_worker_that_keeps_failing_is_shown_as_such() {
    let mut desk = desk();
    for number in 0..3 {
        let id = format!("t{number}");
        desk.submit(&id);
        desk.finish(&id, Ending::Failed);
    }
    let ask = desk.ask(Command::ShowPool { id: PoolId::new("local") });
    let Some(Ok(Reply::Pool(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!(view.workers.iter().map(|worker| worker.status).collect::<Vec<_>>(), ["error", "idle", "idle"]);
    assert_eq!((view.row.submitted, view.row.failed, view.row.completed), (3, 3, 0));
    assert_eq!(desk.rows.tables.pools["local"], view.row);
}

#[test]
fn a_cancel_is_kept_when_the_worker_dies_before_it_begins() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(PoolRow { executor: ExecutorKind::Echo, ..pool("echo") }));
    desk.batch(Vec::new());
    for number in 0..4 {
        desk.ask(Command::Submit(Submit { pool: PoolId::new("echo"), ..submit(&format!("e{number}")) }));
    }
    desk.cancel("e3");
    desk.batch(vec![Input::WorkerDied { pool: PoolId::new("echo"), slot: 0 }]);
    assert_eq!(desk.state("e3"), "cancelled cancelled");
}

#[test]
fn tasks_of_a_pool_that_does_not_start_fail_with_the_reason() {
    let mut desk = desk();
    desk.hire_fails = Some("no more threads".to_owned());
    let pool_id = PoolId::new("second");
    let (create, first) = desk.question(Command::CreatePool(pool("second")));
    let (_, second) = desk.question(Command::Submit(Submit { pool: pool_id.clone(), ..submit("t") }));
    let delayed = Submit { pool: pool_id, delay: SECOND, ..submit("u") };
    let (_, third) = desk.question(Command::Submit(delayed));
    let (wait, fourth) = desk.question(Command::WaitTask { id: TaskId::new("t"), timeout: None });
    desk.batch(vec![first, second, third, fourth]);
    desk.batch(Vec::new());
    assert_eq!(refusal(&desk, create), Some(Code::Internal));
    assert_eq!((desk.state("t").as_str(), desk.state("u").as_str()), ("failed not_started", "failed not_started"));
    let Some(Ok(Reply::Task(view))) = desk.answer(wait) else { panic!("{:?}", desk.answer(wait)) };
    let error = "the workers of pool second could not be started: no more threads";
    assert_eq!(view.outcome.error.as_deref(), Some(error));
    assert!(!desk.rows.tables.pools.contains_key("second"));
    desk.assert_sound();
    desk.assert_silent_after_an_interval();
}
