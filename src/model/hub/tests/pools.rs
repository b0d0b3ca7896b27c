//! Creating pools, and what they show.

use super::*;
use crate::model::hub::driver::Fate;

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
        desk.ask(Command::Submit(Submit {
            to: Destination::Pool(PoolId::new("echo")),
            ..submit(&format!("e{number}"))
        }));
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
        desk.ask(Command::Submit(Submit {
            to: Destination::Pool(PoolId::new("echo")),
            ..submit(&format!("e{number}"))
        }));
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
    let (_, second) = desk.question(Command::Submit(Submit { to: Destination::Pool(pool_id.clone()), ..submit("t") }));
    let delayed = Submit { to: Destination::Pool(pool_id), delay: SECOND, ..submit("u") };
    let (_, third) = desk.question(Command::Submit(delayed));
    let (wait, fourth) = desk.question(Command::WaitTask { id: TaskId::new("t"), timeout: None, beyond: None });
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

fn deleted(desk: &Driver, ask: AskId) -> bool {
    matches!(desk.answer(ask), Some(Ok(Reply::Deleted(_))))
}

fn pool_state(desk: &Driver, id: &str) -> &'static str {
    desk.rows.tables.pools[id].status.as_str()
}

impl Driver {
    fn pause(&mut self, id: &str) -> AskId {
        self.ask(Command::PausePool { id: PoolId::new(id) })
    }

    fn resume(&mut self, id: &str) -> AskId {
        self.ask(Command::ResumePool { id: PoolId::new(id) })
    }

    fn delete(&mut self, id: &str, timeout: Duration) -> AskId {
        self.ask(Command::DeletePool { id: PoolId::new(id), timeout })
    }
}

#[test]
fn a_paused_pool_takes_tasks_and_begins_none() {
    let mut desk = desk();
    desk.submit("before");
    desk.pause("local");
    let ask = desk.submit("meanwhile");
    assert_eq!(refusal(&desk, ask), None);
    desk.finish("before", Ending::Succeeded);
    assert_eq!((pool_state(&desk, "local"), desk.state("meanwhile").as_str()), ("paused", "pending queued"));
    desk.crash();
    assert_eq!((pool_state(&desk, "local"), desk.state("meanwhile").as_str()), ("paused", "pending queued"));
    desk.resume("local");
    assert_eq!(desk.state("meanwhile"), "running");
}

#[test]
fn a_deleted_pool_finishes_what_it_has_and_takes_nothing_new() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("fourth");
    let ask = desk.delete("local", 5 * SECOND);
    let late = desk.submit("late");
    assert_eq!(refusal(&desk, late), Some(Code::NotRunning));
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(desk.state("fourth"), "running");
    for id in ["busy1", "busy2"] {
        desk.finish(id, Ending::Failed);
    }
    assert!(desk.answer(ask).is_none());
    desk.facts();
    desk.finish("fourth", Ending::Succeeded);
    assert!(deleted(&desk, ask));
    assert_eq!(desk.facts(), ["task.completed", "pool.closed"]);
    assert_eq!(desk.dismissed, [PoolId::new("local")]);
    assert_eq!(pool_state(&desk, "local"), "stopped");
    desk.assert_silent_after_an_interval();
}

#[test]
fn what_a_deleted_pool_has_not_done_in_time_is_cancelled() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("fourth");
    desk.ask(Command::Submit(Submit { delay: 100 * SECOND, ..submit("delayed") }));
    let ask = desk.delete("local", 5 * SECOND);
    let wait = desk.wait_task("fourth");
    desk.pass(5 * SECOND);
    assert_eq!(
        (desk.state("fourth").as_str(), desk.state("delayed").as_str()),
        ("cancelled cancelled", "cancelled cancelled")
    );
    assert!(desk.answer(wait).is_some());
    assert_eq!(desk.cancels.len(), 3);
    for id in ["busy0", "busy1", "busy2"] {
        assert!(desk.answer(ask).is_none());
        desk.finish(id, Ending::Cancelled);
    }
    assert!(deleted(&desk, ask));
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_second_delete_can_be_in_more_of_a_hurry() {
    let mut desk = desk();
    desk.submit("t");
    let patient = desk.delete("local", 600 * SECOND);
    let hurried = desk.delete("local", Duration::ZERO);
    assert_eq!(desk.cancels.len(), 1);
    desk.finish("t", Ending::Cancelled);
    assert!(deleted(&desk, patient) && deleted(&desk, hurried));
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_paused_pool_is_deleted_without_its_queue() {
    let mut desk = desk();
    desk.submit("runs");
    desk.pause("local");
    desk.submit("queued");
    let ask = desk.delete("local", 600 * SECOND);
    assert_eq!((desk.state("queued").as_str(), desk.state("runs").as_str()), ("cancelled cancelled", "running"));
    desk.finish("runs", Ending::Succeeded);
    assert!(deleted(&desk, ask));
}

#[test]
fn a_deleted_pool_may_be_made_again() {
    let mut desk = desk();
    desk.submit("t");
    desk.finish("t", Ending::Succeeded);
    let ask = desk.delete("local", SECOND);
    assert!(deleted(&desk, ask));
    let gone = desk.ask(Command::ShowPool { id: PoolId::new("local") });
    assert_eq!(refusal(&desk, gone), Some(Code::NotFound));
    let ask = desk.ask(Command::CreatePool(pool("local")));
    desk.batch(Vec::new());
    let Some(Ok(Reply::Pool(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!((view.row.completed, view.row.deleted_at), (0, None));
}

#[test]
fn a_pool_deleted_before_it_is_staffed_ends_all_the_same() {
    let mut desk = desk();
    let (create, make) = desk.question(Command::CreatePool(pool("second")));
    let (delete, unmake) = desk.question(Command::DeletePool { id: PoolId::new("second"), timeout: SECOND });
    desk.batch(vec![make, unmake]);
    desk.batch(Vec::new());
    assert_eq!(refusal(&desk, create), None);
    assert!(deleted(&desk, delete));
    desk.hire_fails = Some("no more threads".to_owned());
    let (create, make) = desk.question(Command::CreatePool(pool("third")));
    let (delete, unmake) = desk.question(Command::DeletePool { id: PoolId::new("third"), timeout: SECOND });
    desk.batch(vec![make, unmake]);
    desk.batch(Vec::new());
    assert_eq!(refusal(&desk, create), Some(Code::Internal));
    assert!(deleted(&desk, delete));
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_restart_ends_what_was_being_deleted() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("queued");
    desk.ask(Command::Submit(Submit { on_crash: Some(OnCrash::Requeue), ..submit("again") }));
    desk.delete("local", 600 * SECOND);
    desk.crash();
    assert_eq!(pool_state(&desk, "local"), "stopped");
    assert_eq!(
        (desk.state("queued").as_str(), desk.state("again").as_str()),
        ("cancelled cancelled", "cancelled cancelled")
    );
    assert_eq!(desk.state("busy0"), "failed crashed");
    desk.assert_sound();
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_commit_that_fails_forgets_no_deadline() {
    let mut desk = desk();
    desk.submit("t");
    desk.delete("local", 5 * SECOND);
    desk.clock.advance(5 * SECOND);
    desk.batch_with(Vec::new(), Fate::CommitFails);
    desk.batch(Vec::new());
    assert!(desk.rows.task("t").cancel_requested);
}

/// Which verb leads where, from every state of a pool.
#[test]
fn every_state_of_a_pool_allows_what_it_should() {
    let verbs = [
        ("pause", "running paused"),
        ("resume", "running paused"),
        ("delete", "running paused draining"),
        ("submit", "running paused"),
    ];
    for state in ["running", "paused", "draining", "stopped"] {
        for (verb, allowed) in verbs {
            let mut desk = desk();
            desk.submit("holds it open");
            match state {
                "paused" => drop(desk.pause("local")),
                "draining" => drop(desk.delete("local", 600 * SECOND)),
                "stopped" => {
                    desk.finish("holds it open", Ending::Succeeded);
                    desk.delete("local", SECOND);
                }
                _ => {}
            }
            let ask = match verb {
                "pause" => desk.pause("local"),
                "resume" => desk.resume("local"),
                "delete" => desk.delete("local", SECOND),
                _ => desk.submit("t"),
            };
            let refused = desk.answer(ask).and_then(|answer| answer.as_ref().err().map(|refusal| refusal.code));
            let expected = match (allowed.contains(state), state) {
                (true, _) => None,
                (false, "stopped") => Some(Code::NotFound),
                (false, _) => Some(Code::NotRunning),
            };
            assert_eq!(refused, expected, "{verb} while {state}");
        }
    }
}

#[test]
fn a_pool_whose_end_was_not_written_works_on() {
    let mut desk = desk();
    desk.submit("t");
    desk.pause("local");
    let report = desk.report("t", Ending::Succeeded);
    let (_, delete) = desk.question(Command::DeletePool { id: PoolId::new("local"), timeout: SECOND });
    desk.batch_with(vec![report, delete], Fate::CommitFails);
    assert_eq!(pool_state(&desk, "local"), "paused");
    desk.batch(Vec::new());
    desk.resume("local");
    desk.submit("next");
    assert_eq!(desk.state("next"), "running");
}
