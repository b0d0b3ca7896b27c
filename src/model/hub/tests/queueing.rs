//! Who is served next: priorities, first-in first-out, delays, keys, and full queues.

use super::*;

#[test]
fn equal_tasks_are_served_in_the_order_of_submission() {
    let mut desk = desk();
    desk.occupy();
    for id in ["one", "two", "three"] {
        desk.submit(id);
    }
    desk.dispatched();
    for id in ["busy0", "busy1", "busy2"] {
        desk.finish(id, Ending::Succeeded);
    }
    assert_eq!(desk.dispatched(), ["one", "two", "three"]);
}

#[test]
fn the_order_survives_a_clock_that_is_set_back_and_a_crash() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("one");
    desk.clock.set_wall(Timestamp::from_unix_seconds(5.0));
    desk.submit("two");
    desk.dispatched();
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(desk.dispatched(), ["one"]);
    desk.submit("three");
    desk.crash();
    assert_eq!(desk.dispatched(), ["two", "three"]);
}

#[test]
fn greater_priority_is_served_first() {
    let mut desk = desk();
    desk.occupy();
    for (id, priority) in [("low", -5), ("plain", 0), ("high", 5)] {
        desk.ask(Command::Submit(Submit { priority, ..submit(id) }));
    }
    desk.dispatched();
    for id in ["busy0", "busy1", "busy2"] {
        desk.finish(id, Ending::Succeeded);
    }
    assert_eq!(desk.dispatched(), ["high", "plain", "low"]);
}

#[test]
fn who_has_waited_long_overtakes_a_greater_priority() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("old");
    desk.pass(Duration::from_secs(151));
    desk.ask(Command::Submit(Submit { priority: 5, ..submit("new") }));
    desk.dispatched();
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(desk.dispatched(), ["old"]);
}

#[test]
fn a_retry_keeps_its_place() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("first") }));
    desk.occupy();
    desk.submit("second");
    desk.finish("first", Ending::Failed);
    desk.dispatched();
    desk.clock.advance(SECOND);
    let report = desk.report("busy0", Ending::Succeeded);
    desk.batch(vec![report]);
    assert_eq!(desk.dispatched(), ["first"]);
}

#[test]
fn a_delay_is_measured_on_the_monotonic_clock() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { delay: 5 * SECOND, ..submit("t") }));
    desk.clock.set_wall(Timestamp::from_unix_seconds(9e9));
    desk.pass(SECOND);
    assert_eq!(desk.state("t"), "pending delayed");
    desk.clock.set_wall(Timestamp::from_unix_seconds(0.0));
    desk.pass(4 * SECOND);
    assert_eq!(desk.state("t"), "running");
    assert_eq!(desk.rows.task("t").not_before, None);
}

#[test]
fn retries_wait_one_second_then_two() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { retries_max: 2, ..submit("t") }));
    desk.finish("t", Ending::Failed);
    desk.pass(Duration::from_millis(999));
    assert_eq!(desk.state("t"), "pending retrying");
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.state("t"), "running");
    desk.finish("t", Ending::Failed);
    desk.pass(Duration::from_millis(1999));
    assert_eq!(desk.state("t"), "pending retrying");
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.state("t"), "running");
}

fn submitted(desk: &Driver, ask: AskId) -> (String, bool) {
    match desk.answer(ask) {
        Some(Ok(Reply::Submitted { task, duplicate, .. })) => (task.to_string(), *duplicate),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_key_is_the_same_task() {
    let mut desk = desk();
    let keyed = |id: &str| Command::Submit(Submit { key: Some("k".to_owned()), ..submit(id) });
    let (first, one) = desk.question(keyed("one"));
    let (second, two) = desk.question(keyed("two"));
    desk.batch(vec![one, two]);
    assert_eq!(submitted(&desk, first), ("one".to_owned(), false));
    assert_eq!(submitted(&desk, second), ("one".to_owned(), true));
    let running = desk.ask(keyed("three"));
    desk.finish("one", Ending::Succeeded);
    let done = desk.ask(keyed("four"));
    desk.crash();
    let later = desk.ask(keyed("five"));
    for ask in [running, done, later] {
        assert_eq!(submitted(&desk, ask), ("one".to_owned(), true));
    }
    assert_eq!(desk.rows.tables.tasks.len(), 1);
}

#[test]
fn the_same_key_in_the_batch_in_which_its_task_ends_is_the_same_task() {
    let mut desk = desk();
    let keyed = |id: &str| Command::Submit(Submit { key: Some("k".to_owned()), ..submit(id) });
    desk.ask(keyed("one"));
    let report = desk.report("one", Ending::Succeeded);
    let (again, two) = desk.question(keyed("two"));
    let (wait, waiting) = desk.question(Command::WaitTask { id: TaskId::new("one"), timeout: None, beyond: None });
    let (cancel, cancelling) = desk.question(Command::CancelTask { id: TaskId::new("one") });
    desk.batch(vec![report, two, waiting, cancelling]);
    assert_eq!(submitted(&desk, again), ("one".to_owned(), true));
    let Some(Ok(Reply::Task(view))) = desk.answer(wait) else { panic!("{:?}", desk.answer(wait)) };
    assert_eq!(view.outcome.result.as_deref(), Some("result of one"));
    assert_eq!(refusal(&desk, cancel), Some(Code::Conflict));
}

#[test]
fn a_full_queue_refuses_and_says_when_to_try_again() {
    let mut desk = desk();
    desk.occupy();
    for number in 0..5 {
        desk.submit(&format!("queued{number}"));
        desk.ask(Command::Submit(Submit { delay: SECOND, ..submit(&format!("delayed{number}")) }));
    }
    let ask = desk.submit("too much");
    let Some(Err(refusal)) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!((refusal.code, refusal.retry_after_ms), (Code::QueueFull, Some(250)));
    assert_eq!(refusal.message, "the queue of pool local is full (10 tasks); try again later");
    desk.cancel("delayed0");
    let ask = desk.submit("fits");
    assert_eq!(super::refusal(&desk, ask), None);
}

#[test]
fn a_task_without_a_directory_is_refused_with_what_to_set() {
    let mut desk = desk();
    let homeless = Submit { input: TaskInput::default(), ..submit("t") };
    let ask = desk.ask(Command::Submit(homeless));
    assert_eq!(refusal(&desk, ask), Some(Code::BadRequest));
}

#[test]
fn nothing_starts_once_the_daemon_is_stopping() {
    let mut desk = desk();
    desk.occupy();
    desk.submit("t");
    desk.batch(vec![Input::Stopping]);
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(desk.state("t"), "pending queued");
    let ask = desk.submit("late");
    assert_eq!(refusal(&desk, ask), Some(Code::NotRunning));
}
