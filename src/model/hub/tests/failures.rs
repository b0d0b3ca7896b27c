//! Batches that cannot be persisted: nothing of them happened, and nobody is forgotten.

use super::*;
use crate::model::hub::driver::Fate;

#[test]
fn a_batch_that_fails_leaves_everything_as_it_was() {
    let mut desk = desk();
    desk.occupy();
    let before = format!("{:?}", desk.rows.tables);
    desk.runs.clear();
    let (asker, input) = desk.question(Command::Ask(ask(1)));
    let report = desk.report("busy0", Ending::Succeeded);
    desk.batch_with(vec![input, report], Fate::CommitFails);
    assert_eq!(refusal(&desk, asker), Some(Code::Busy));
    assert_eq!(format!("{:?}", desk.rows.tables), before);
    assert!(desk.runs.is_empty());
    // The report is a fact and comes again by itself.
    desk.batch(Vec::new());
    assert_eq!(desk.state("busy0"), "completed");
    assert_eq!(desk.hub.status().tasks_running, 2);
    desk.assert_sound();
}

#[test]
fn who_waited_before_a_failed_batch_waits_on() {
    for fate in [Fate::CommitFails, Fate::NothingWorks] {
        waits_on(fate);
    }
}

fn waits_on(fate: Fate) {
    let mut desk = desk();
    desk.occupy();
    desk.add_watch(watch_task("t"));
    let (task, watch) = (desk.wait_task("busy0"), desk.wait_watch("t", 30));
    let asker = desk.ask(Command::Ask(ask(1)));
    let (ask, submit) = desk.question(Command::Submit(submit("other")));
    desk.batch_with(vec![submit], fate);
    assert_eq!(refusal(&desk, ask), Some(Code::Busy));
    for ask in [task, watch, asker] {
        assert!(desk.answer(ask).is_none());
    }
    desk.rows.foreign_insert("t", "complete", None);
    desk.finish("busy0", Ending::Succeeded);
    desk.finish("t1", Ending::Succeeded);
    for ask in [task, watch, asker] {
        assert_eq!(refusal(&desk, ask), None);
    }
}

#[test]
fn a_failed_read_is_a_failed_batch() {
    let mut desk = desk();
    desk.occupy();
    desk.rows.reads_left = Some(2);
    let asker = desk.ask(Command::Ask(ask(1)));
    assert_eq!(refusal(&desk, asker), Some(Code::Busy));
    assert!(desk.rows.tables.messages.is_empty());
    let asker = desk.ask(Command::Ask(ask(1)));
    assert!(desk.answer(asker).is_none());
    assert_eq!(desk.message_status("q1"), "pending");
}

#[test]
fn a_pool_whose_start_could_not_be_written_is_reported_later() {
    let mut desk = desk();
    let ask = desk.ask(Command::CreatePool(pool("second")));
    desk.batch_with(Vec::new(), Fate::CommitFails);
    assert!(desk.answer(ask).is_none());
    desk.batch(Vec::new());
    assert_eq!(refusal(&desk, ask), None);
    assert!(desk.rows.tables.pools["second"].started_at.is_some());
}

#[test]
fn numbers_and_tokens_go_on_after_a_failed_batch() {
    let mut desk = desk();
    let (_, input) = desk.question(Command::Submit(submit("lost")));
    desk.batch_with(vec![input], Fate::CommitFails);
    desk.submit("kept");
    let seq = desk.rows.task("kept").seq;
    desk.crash();
    desk.submit("next");
    assert_eq!(desk.rows.task("next").seq.0, seq.0 + 1);
    desk.assert_sound();
}

#[test]
fn who_would_have_been_answered_by_a_failed_batch_is_answered_by_the_next() {
    for fate in [Fate::CommitFails, Fate::NothingWorks] {
        let mut desk = desk();
        desk.occupy();
        desk.add_watch(watch_task("t"));
        let (task, watch) = (desk.wait_task("busy0"), desk.wait_watch("t", 30));
        let timed = desk.ask(Command::WaitTask { id: TaskId::new("busy1"), timeout: Some(SECOND), beyond: None });
        let gone = desk.wait_task("busy0");
        let report = desk.report("busy0", Ending::Succeeded);
        desk.rows.foreign_insert("t", "complete", None);
        desk.clock.advance(SECOND);
        desk.batch_with(vec![report, Input::Forget(gone)], fate);
        for ask in [task, watch, timed, gone] {
            assert!(desk.answer(ask).is_none(), "{ask:?}");
        }
        desk.batch(Vec::new());
        assert_eq!((refusal(&desk, task), refusal(&desk, timed)), (None, Some(Code::TimedOut)));
        assert_eq!(desk.waited(watch), "complete");
        assert!(desk.answer(gone).is_none());
        desk.assert_sound();
    }
}

#[test]
fn a_picture_that_was_held_back_is_shown_after_a_failed_batch() {
    let mut desk = desk();
    desk.submit("t");
    desk.finish("t", Ending::Succeeded);
    desk.events.clear();
    desk.batch_with(Vec::new(), Fate::CommitFails);
    desk.pass(crate::model::limits::PICTURE_INTERVAL);
    assert_eq!(desk.pictures().len(), 2, "one of the pool and one of the worker");
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_report_counts_once_however_often_its_batch_failed() {
    let mut desk = desk();
    desk.submit("t");
    let report = desk.report("t", Ending::Failed);
    desk.batch_with(vec![report], Fate::CommitFails);
    for fate in [Fate::CommitFails, Fate::NothingWorks, Fate::Committed] {
        desk.batch_with(Vec::new(), fate);
    }
    let ask = desk.ask(Command::ShowPool { id: PoolId::new("local") });
    let Some(Ok(Reply::Pool(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!((view.workers[0].failed, view.workers[0].healthy, view.row.failed), (1, true, 1));
}
