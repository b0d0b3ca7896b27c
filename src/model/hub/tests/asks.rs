//! From a question to its answer.

use super::*;
use crate::model::command;

fn answer(desk: &Driver, ask: AskId) -> command::Answer {
    match desk.answer(ask) {
        Some(Ok(Reply::Asked(answer))) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ask_is_a_thread_a_question_a_task_and_a_watch() {
    let mut desk = desk();
    desk.occupy();
    let asker = desk.ask(Command::Ask(ask(1)));
    assert!(desk.answer(asker).is_none());
    assert!(desk.rows.tables.threads.contains("thread1"));
    let question = desk.rows.message("q1");
    assert_eq!((question.kind.as_str(), question.status.as_str(), &*question.content), ("question", "pending", "why?"));
    assert_eq!(question.task_id.as_deref(), Some("t1"));
    assert_eq!(desk.state("t1"), "pending queued");
    assert_eq!(desk.rows.tables.inputs[&desk.rows.task("t1").seq].directory.as_deref(), Some("/b"));
    assert_eq!(desk.watch_status("q1"), "active pending");
    assert_eq!(desk.watch_status("t1"), "active pending");
    assert!(!desk.rows.tables.messages.contains_key("r1"), "a response begins with the work on it");
}

#[test]
fn the_work_on_it_shows_and_its_completion_is_one_step() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(ask(1)));
    assert_eq!((desk.message_status("q1"), desk.message_status("r1")), ("processing", "processing"));
    assert_eq!(desk.rows.message("r1").in_reply_to, Some(MessageId::new("q1")));
    assert_eq!((desk.rows.message("r1").module.as_str(), desk.watch_status("q1").as_str()), ("b", "active processing"));
    desk.finish("t1", Ending::Succeeded);
    assert_eq!((desk.message_status("q1"), desk.message_status("r1")), ("complete", "complete"));
    assert_eq!(&*desk.rows.message("r1").content, "result of t1");
    assert_eq!((desk.state("t1").as_str(), desk.watch_status("q1").as_str()), ("completed", "ended complete"));
    let answer = answer(&desk, asker);
    assert_eq!((answer.content.as_deref(), answer.error), (Some("result of t1"), None));
    assert_eq!(answer.status, Status::Complete);
    desk.assert_sound();
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_failure_fails_both_with_the_reason() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(ask(1)));
    desk.finish("t1", Ending::Failed);
    for id in ["q1", "r1"] {
        assert_eq!(desk.message_status(id), "failed");
        assert_eq!(desk.rows.message(id).error.as_deref(), Some("t1 went wrong"));
    }
    let answer = answer(&desk, asker);
    assert_eq!((answer.status, answer.error.as_deref()), (Status::Failed, Some("t1 went wrong")));
}

#[test]
fn a_cancelled_ask_fails_its_question() {
    let mut desk = desk();
    desk.occupy();
    let asker = desk.ask(Command::Ask(ask(1)));
    desk.cancel("t1");
    assert_eq!(desk.message_status("q1"), "failed");
    assert_eq!(answer(&desk, asker).error.as_deref(), Some("cancelled before it ran"));
}

#[test]
fn progress_replaces_the_content_of_the_response() {
    let mut desk = desk();
    desk.ask(Command::Ask(ask(1)));
    let run = desk.runs.pop().unwrap();
    assert!(run.progress);
    for text in ["be", "becau"] {
        desk.batch(vec![Input::Progress { seq: run.seq, token: run.token, text: text.into() }]);
    }
    assert_eq!(&*desk.rows.message("r1").content, "becau");
    desk.batch(vec![Input::Progress { seq: run.seq, token: Token(0), text: "late".into() }]);
    assert_eq!((&*desk.rows.message("r1").content, desk.hub.stale_reports()), ("becau", 1));
}

#[test]
fn another_attempt_writes_into_the_response_of_the_first() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(ask(1)));
    desk.crash();
    assert_eq!(desk.rows.task("t1").attempt, 2);
    assert_eq!((desk.message_status("q1"), desk.message_status("r1")), ("processing", "processing"));
    desk.finish("t1", Ending::Succeeded);
    assert_eq!(desk.message_status("r1"), "complete");
    assert!(desk.answer(asker).is_none(), "the asker's daemon is gone");
    desk.assert_sound();
}

#[test]
fn who_does_not_wait_is_answered_at_once() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(Ask { no_wait: true, ..ask(1) }));
    let answer = answer(&desk, asker);
    assert_eq!((answer.status, answer.content, answer.task), (Status::Pending, None, TaskId::new("t1")));
    desk.finish("t1", Ending::Succeeded);
    assert_eq!(desk.message_status("r1"), "complete");
}

#[test]
fn who_waits_too_long_is_told_and_the_work_goes_on() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(ask(1)));
    desk.pass(Duration::from_secs(600));
    let answer = answer(&desk, asker);
    assert_eq!(answer.status, Status::Expired);
    let error = "no answer in time, the question is processing; wait for it with: claude-comms task wait t1";
    assert_eq!(answer.error.as_deref(), Some(error));
    assert_eq!((desk.watch_status("q1").as_str(), desk.state("t1").as_str()), ("ended expired", "running"));
    desk.finish("t1", Ending::Succeeded);
    assert_eq!(desk.message_status("r1"), "complete");
    desk.assert_silent_after_an_interval();
}

#[test]
fn an_impatient_asker_does_not_cut_the_work_short() {
    let mut desk = desk();
    for (number, patience, expected) in [(1, 1, 1800), (2, 600, 1800), (3, 7200, 7200)] {
        desk.ask(Command::Ask(Ask { timeout: Duration::from_secs(patience), ..ask(number) }));
        assert_eq!(desk.rows.task(&format!("t{number}")).timeout, Duration::from_secs(expected), "{patience}");
    }
}

#[test]
fn an_asker_that_is_gone_is_not_answered() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(ask(1)));
    desk.batch(vec![Input::Forget(asker)]);
    desk.finish("t1", Ending::Succeeded);
    assert!(desk.answer(asker).is_none());
    assert_eq!(desk.message_status("r1"), "complete");
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_refused_ask_leaves_nothing_behind() {
    let mut desk = desk();
    let before = format!("{:?}", desk.rows.tables);
    for wrong in [
        Ask { to: module("nobody"), ..ask(1) },
        Ask { from: module("nobody"), ..ask(1) },
        Ask { pool: PoolId::new("nowhere"), ..ask(1) },
        Ask { thread: IntoThread::Existing(ThreadId::new("none")), ..ask(1) },
    ] {
        let asker = desk.ask(Command::Ask(wrong));
        assert_eq!(refusal(&desk, asker), Some(Code::NotFound));
    }
    assert_eq!(format!("{:?}", desk.rows.tables), before);
    let asker = desk.ask(Command::Ask(ask(1)));
    assert!(desk.answer(asker).is_none());
    desk.assert_sound();
}

#[test]
fn what_a_foreign_program_has_ended_or_deleted_is_left_as_it_is() {
    let mut desk = desk();
    let asker = desk.ask(Command::Ask(ask(1)));
    desk.rows.foreign_update("q1", "complete");
    desk.rows.foreign_delete("r1");
    desk.finish("t1", Ending::Failed);
    assert_eq!(desk.message_status("q1"), "complete");
    assert!(!desk.rows.tables.messages.contains_key("r1"));
    assert_eq!(answer(&desk, asker).status, Status::Failed);
    desk.assert_sound();
}
