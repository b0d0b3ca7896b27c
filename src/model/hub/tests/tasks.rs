//! The table of task states, walked word by word.

use super::*;
use crate::model::hub::{Cancel, Stop};
use crate::model::task::{OnCrash, TaskStatus};

/// Does to the task `t` what each word says and compares its states after each.
#[track_caller]
fn check(script: &str, expected: &str) {
    let mut desk = desk();
    let mut states = Vec::new();
    for word in script.split_whitespace() {
        act(&mut desk, word);
        if desk.rows.tables.tasks.values().any(|task| task.id.as_str() == "t") {
            states.push(desk.state("t"));
        }
    }
    assert_eq!(states.join(" > "), expected, "{script}");
    desk.assert_sound();
}

fn act(desk: &mut Driver, word: &str) {
    match word {
        "busy" => desk.occupy(),
        "free" => desk.finish("busy0", Ending::Succeeded),
        "submit" => drop(desk.submit("t")),
        "retries=1" => drop(desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("t") }))),
        "delay=5" => drop(desk.ask(Command::Submit(Submit { delay: 5 * SECOND, ..submit("t") }))),
        "requeue" => {
            let on_crash = Some(OnCrash::Requeue);
            desk.ask(Command::Submit(Submit { on_crash, ..submit("t") }));
        }
        "ok" => desk.finish("t", Ending::Succeeded),
        "fail" => desk.finish("t", Ending::Failed),
        "timeout" => desk.finish("t", Ending::TimedOut),
        "not-started" => desk.finish("t", Ending::NotStarted),
        "interrupted" => desk.finish("t", Ending::Interrupted),
        "ended" => desk.finish("t", Ending::Cancelled),
        "stale" => {
            let late = desk.report_as("t", Token(0), Ending::Succeeded);
            desk.batch(vec![late]);
        }
        "cancel" => drop(desk.cancel("t")),
        "stop" => desk.batch(vec![Input::Stopping]),
        "died" => {
            let slot = desk.rows.task("t").slot.expect("it was claimed");
            desk.batch(vec![Input::WorkerDied { pool: PoolId::new("local"), slot }]);
        }
        "crash" => desk.crash(),
        "1s" => desk.pass(SECOND),
        "5s" => desk.pass(5 * SECOND),
        other => panic!("the script has no word {other}"),
    }
}

#[test]
fn a_task_runs_as_soon_as_a_worker_is_idle() {
    check("submit ok", "running > completed");
    check("busy submit free ok", "pending queued > running > completed");
    check("delay=5 1s 5s", "pending delayed > pending delayed > running");
}

#[test]
fn a_failed_attempt_is_retried_until_none_is_left() {
    check("submit fail", "running > failed error");
    check("submit timeout", "running > failed timeout");
    check("retries=1 fail 1s ok", "running > pending retrying > running > completed");
    check("retries=1 timeout 1s timeout", "running > pending retrying > running > failed timeout");
    check("retries=1 not-started", "running > failed not_started");
}

#[test]
fn a_cancelled_task_ends_at_once_or_when_its_process_does() {
    check("busy submit cancel free", "pending queued > cancelled cancelled > cancelled cancelled");
    check("delay=5 cancel 5s", "pending delayed > cancelled cancelled > cancelled cancelled");
    check("retries=1 fail cancel 1s", "running > pending retrying > cancelled cancelled > cancelled cancelled");
    check("submit cancel ended", "running > running > cancelled cancelled");
    check("retries=1 cancel fail", "running > running > cancelled cancelled");
    check("submit cancel interrupted", "running > running > cancelled cancelled");
}

#[test]
fn who_cancels_is_told_what_came_of_it_also_the_second_time() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("t");
    for _ in 0..2 {
        let ask = desk.cancel("t");
        let Some(Ok(Reply::Task(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
        assert_eq!(view.outcome.error.as_deref(), Some("cancelled before it ran"));
    }
}

#[test]
fn done_is_done_also_when_a_cancel_was_asked_for() {
    check("submit cancel ok", "running > running > completed");
}

#[test]
fn what_is_final_stays_so() {
    for last in ["stale", "cancel", "crash", "1s", "died"] {
        check(&format!("submit ok {last}"), "running > completed > completed");
        check(&format!("submit fail {last}"), "running > failed error > failed error");
        check(&format!("submit cancel ended {last}"), "running > running > cancelled cancelled > cancelled cancelled");
    }
}

#[test]
fn an_orderly_stop_puts_a_task_back_uncounted() {
    check("submit stop interrupted crash", "running > running > pending queued > running");
    check("retries=1 fail 1s stop interrupted", "running > pending retrying > running > running > pending queued");
}

#[test]
fn a_crash_does_what_the_task_says() {
    check("requeue crash", "running > running");
    check("requeue crash crash crash", "running > running > running > failed dead");
    check("submit crash", "running > failed crashed");
    check("retries=1 crash 1s", "running > pending retrying > running");
    check("submit cancel crash", "running > running > cancelled cancelled");
    check("busy submit crash", "pending queued > running");
    check("delay=5 crash 5s", "pending delayed > pending delayed > running");
}

#[test]
fn a_crash_counts_but_an_interruption_does_not() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { on_crash: Some(OnCrash::Requeue), ..submit("t") }));
    desk.crash();
    let task = desk.rows.task("t");
    assert_eq!((task.crashes, task.failures, task.attempt), (1, 0, 2));
    desk.finish("t", Ending::Interrupted);
    let task = desk.rows.task("t");
    assert_eq!((task.crashes, task.failures, task.attempt), (1, 0, 3));
}

#[test]
fn what_is_configured_holds_for_tasks_that_do_not_say() {
    for (configured, own, expected) in [
        (None, None, OnCrash::Fail),
        (Some(OnCrash::Requeue), None, OnCrash::Requeue),
        (Some(OnCrash::Requeue), Some(OnCrash::Fail), OnCrash::Fail),
    ] {
        let mut desk = desk();
        desk.hub.settings.on_crash = configured;
        desk.ask(Command::Submit(Submit { on_crash: own, ..submit("t") }));
        assert_eq!(desk.rows.task("t").on_crash, expected, "{configured:?} {own:?}");
    }
    let mut desk = desk();
    desk.hub.settings.on_crash = Some(OnCrash::Fail);
    desk.ask(Command::Ask(ask(1)));
    assert_eq!(desk.rows.task("t1").on_crash, OnCrash::Fail, "questions too");
}

#[test]
fn a_worker_that_dies_costs_its_task_an_attempt() {
    check("submit died", "running > failed crashed");
    check("retries=1 died 1s", "running > pending retrying > running");
}

#[test]
fn late_reports_are_ignored_and_counted() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("t") }));
    let first = desk.rows.task("t").token.unwrap();
    desk.finish("t", Ending::Failed);
    desk.pass(SECOND);
    assert!(desk.rows.task("t").token.unwrap() > first);
    let late = desk.report_as("t", first, Ending::Succeeded);
    desk.batch(vec![late.clone(), late]);
    assert_eq!(desk.state("t"), "running");
    assert_eq!(desk.hub.stale_reports(), 2);
    desk.finish("t", Ending::Failed);
    assert_eq!((desk.state("t").as_str(), desk.rows.task("t").failures), ("failed error", 2));
}

#[test]
fn tokens_only_grow_also_over_a_crash() {
    let mut desk = desk();
    desk.submit("x");
    desk.submit("y");
    let before: Vec<_> = desk.runs.iter().map(|run| run.token).collect();
    desk.crash();
    desk.submit("z");
    assert!(desk.runs[0].token > before[1] && before[1] > before[0]);
}

#[test]
fn a_waiter_is_told_the_result_when_the_task_ends() {
    let mut desk = desk();
    desk.submit("t");
    let (first, second) = (desk.wait_task("t"), desk.wait_task("t"));
    assert!(desk.answer(first).is_none());
    desk.finish("t", Ending::Succeeded);
    let late = desk.wait_task("t");
    for ask in [first, second, late] {
        let Some(Ok(Reply::Task(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
        assert_eq!(view.task.status, TaskStatus::Completed);
        assert_eq!(view.outcome.result.as_deref(), Some("result of t"));
    }
    let unknown = desk.wait_task("nobody");
    assert_eq!(refusal(&desk, unknown), Some(Code::NotFound));
}

#[test]
fn a_wait_for_a_task_ends_in_time_and_the_task_goes_on() {
    let mut desk = desk();
    desk.submit("t");
    let wait = desk.ask(Command::WaitTask { id: TaskId::new("t"), timeout: Some(5 * SECOND), beyond: None });
    desk.pass(5 * SECOND);
    assert_eq!(refusal(&desk, wait), Some(Code::TimedOut));
    assert_eq!(desk.state("t"), "running");
    desk.finish("t", Ending::Succeeded);
    desk.answer(wait);
    desk.assert_silent_after_an_interval();
}

#[test]
fn cancelling_answers_what_it_did() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("waiting");
    for (id, expected) in [("waiting", None), ("waiting", None), ("busy0", None), ("nobody", Some(Code::NotFound))] {
        let ask = desk.cancel(id);
        assert_eq!(refusal(&desk, ask), expected, "{id}");
    }
    let token = desk.rows.task("busy0").token.unwrap();
    assert_eq!(desk.cancels, [Cancel { pool: PoolId::new("local"), slot: 0, token, stop: Stop::Cancelled }]);
    desk.finish("busy1", Ending::Succeeded);
    let ask = desk.cancel("busy1");
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
}

#[test]
fn the_events_of_a_task_tell_its_life() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("t") }));
    desk.finish("t", Ending::Failed);
    desk.pass(SECOND);
    desk.finish("t", Ending::Succeeded);
    assert_eq!(desk.facts(), ["task.assigned", "task.retrying", "task.assigned", "task.completed"]);
    let now = desk.clock.now().wall;
    assert_eq!(desk.rows.task("t").completed_at, Some(now));
}

#[test]
fn a_cancel_is_kept_when_the_worker_dies() {
    check("retries=1 cancel died 1s", "running > running > cancelled cancelled > cancelled cancelled");
}

#[test]
fn the_first_of_several_that_ends_is_told() {
    let mut desk = desk();
    desk.occupy();
    let any = |desk: &mut Driver, ids: &[&str], seconds: u64| {
        let ids = ids.iter().map(|id| TaskId::new(id)).collect();
        desk.ask(Command::WaitAnyTask { ids, timeout: Some(Duration::from_secs(seconds)) })
    };
    let told = |desk: &Driver, ask: AskId| match desk.answer(ask) {
        None => "waits".to_owned(),
        Some(Ok(Reply::Task(view))) => view.task.id.to_string(),
        Some(other) => code(other),
    };
    let (all, one) = (any(&mut desk, &["busy0", "busy1", "busy2"], 60), any(&mut desk, &["busy0"], 60));
    assert_eq!((told(&desk, all), told(&desk, one)), ("waits".to_owned(), "waits".to_owned()));
    desk.finish("busy1", Ending::Failed);
    assert_eq!((told(&desk, all), told(&desk, one)), ("busy1".to_owned(), "waits".to_owned()));
    // At once, when one has ended already.
    let again = any(&mut desk, &["busy0", "busy1"], 60);
    assert_eq!(told(&desk, again), "busy1");
    let late = any(&mut desk, &["busy0", "busy2"], 1);
    desk.pass(SECOND);
    assert_eq!(told(&desk, late), "timed_out");
    let nowhere = any(&mut desk, &["busy0", "nowhere"], 1);
    assert_eq!(told(&desk, nowhere), "not_found");
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(told(&desk, one), "busy0");
    desk.assert_sound();
}
