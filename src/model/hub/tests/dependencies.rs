//! Tasks that need others.

use super::*;

fn after(id: &str, needs: &[&str]) -> Command {
    let after = needs.iter().map(|needs| TaskId::new(needs)).collect();
    Command::Submit(Submit { after, ..submit(id) })
}

#[test]
fn a_task_waits_for_all_that_it_needs() {
    let mut desk = desk();
    desk.submit("a");
    desk.submit("b");
    desk.ask(after("c", &["a", "b", "a"]));
    assert_eq!(desk.state("c"), "pending blocked");
    desk.finish("a", Ending::Succeeded);
    assert_eq!(desk.state("c"), "pending blocked");
    desk.finish("b", Ending::Succeeded);
    assert_eq!(desk.state("c"), "running");
    // What is completed already need not be waited for.
    desk.ask(after("d", &["a"]));
    assert_eq!(desk.state("d"), "running");
}

#[test]
fn a_delay_counts_from_the_submission_and_not_from_the_release() {
    let mut desk = desk();
    desk.submit("a");
    let blocked = Submit { after: vec![TaskId::new("a")], delay: 10 * SECOND, ..submit("b") };
    desk.ask(Command::Submit(blocked.clone()));
    desk.ask(Command::Submit(Submit { delay: 60 * SECOND, id: TaskId::new("c"), ..blocked }));
    desk.pass(20 * SECOND);
    desk.finish("a", Ending::Succeeded);
    assert_eq!((desk.state("b").as_str(), desk.state("c").as_str()), ("running", "pending delayed"));
    desk.pass(40 * SECOND);
    assert_eq!(desk.state("c"), "running");
}

#[test]
fn what_fails_takes_with_it_all_that_need_it() {
    let mut desk = desk();
    desk.submit("a");
    desk.ask(after("b", &["a"]));
    desk.ask(after("c", &["b"]));
    desk.ask(after("d", &["c"]));
    let wait = desk.wait_task("d");
    desk.finish("a", Ending::Failed);
    for id in ["b", "c", "d"] {
        assert_eq!(desk.state(id), "cancelled dependency", "{id}");
    }
    assert!(desk.answer(wait).is_some());
    let error = desk.rows.tables.results[&desk.rows.task("b").seq].error.clone();
    assert_eq!(error.as_deref(), Some("task a, which it needs, failed"));
}

#[test]
fn a_chain_as_long_as_a_queue_ends_at_once() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(PoolRow { queue_max: 20_000, ..pool("long") }));
    desk.batch(Vec::new());
    let to = || Destination::Pool(PoolId::new("long"));
    desk.ask(Command::Submit(Submit { to: to(), ..submit("0") }));
    for number in 1..5_000 {
        let after = vec![TaskId::from((number - 1).to_string())];
        let (_, input) = desk.question(Command::Submit(Submit { to: to(), after, ..submit(&number.to_string()) }));
        desk.carried.push(input);
    }
    desk.batch(Vec::new());
    desk.cancel("0");
    desk.finish("0", Ending::Cancelled);
    assert_eq!(desk.state("4999"), "cancelled dependency");
}

#[test]
fn what_will_never_be_completed_cannot_be_waited_for() {
    let mut desk = desk();
    desk.submit("a");
    desk.finish("a", Ending::Failed);
    for (needs, code) in [("a", Code::Conflict), ("nobody", Code::NotFound)] {
        let ask = desk.ask(after("b", &[needs]));
        assert_eq!(refusal(&desk, ask), Some(code));
    }
}

#[test]
fn a_dependency_survives_a_crash() {
    let mut desk = desk();
    desk.ask(Command::Submit(Submit { on_crash: Some(OnCrash::Requeue), ..submit("a") }));
    desk.ask(after("b", &["a"]));
    desk.crash();
    assert_eq!((desk.state("a").as_str(), desk.state("b").as_str()), ("running", "pending blocked"));
    desk.finish("a", Ending::Succeeded);
    assert_eq!(desk.state("b"), "running");
}

#[test]
fn a_retry_of_both_runs_both_in_their_order() {
    let mut desk = desk();
    desk.submit("a");
    desk.ask(after("b", &["a"]));
    desk.finish("a", Ending::Failed);
    let early = desk.ask(Command::RetryTask { id: TaskId::new("b") });
    assert_eq!(refusal(&desk, early), Some(Code::Conflict));
    for id in ["a", "b"] {
        let ask = desk.ask(Command::RetryTask { id: TaskId::new(id) });
        assert_eq!(refusal(&desk, ask), None, "{id}");
    }
    assert_eq!(desk.state("b"), "pending blocked");
    desk.finish("a", Ending::Succeeded);
    assert_eq!(desk.state("b"), "running");
    desk.assert_sound();
}

#[test]
fn whoever_was_cancelled_and_retried_still_waits_for_all() {
    let mut desk = desk();
    desk.submit("a");
    desk.submit("b");
    desk.ask(after("c", &["a", "b"]));
    desk.cancel("c");
    desk.ask(Command::RetryTask { id: TaskId::new("c") });
    desk.finish("a", Ending::Succeeded);
    assert_eq!(desk.state("c"), "pending blocked");
    desk.finish("b", Ending::Succeeded);
    assert_eq!(desk.state("c"), "running");
}
