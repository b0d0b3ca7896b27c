//! Queues that wait while the breaker of their pool's executor is open.

use super::*;
use crate::model::breaker::{BreakerChange, BreakerState, Stands};
use crate::model::command::Selector;
use crate::model::hub::driver::Fate;
use crate::model::pool::Health;

fn local() -> PoolId {
    PoolId::new("local")
}

fn change(from: BreakerState, to: BreakerState, wait: Option<Duration>) -> Input {
    let (snapshot, stands) = (format!("{to:?}"), Stands { state: to, wait: wait.unwrap_or_default() });
    Input::BreakerChanged { pool: local(), change: BreakerChange { from, to, wait, stands, snapshot } }
}

fn opened() -> Input {
    change(BreakerState::Closed, BreakerState::Open, Some(60 * SECOND))
}

fn view(desk: &mut Driver) -> Box<crate::model::pool::PoolView> {
    let ask = desk.ask(Command::ShowPool { id: local() });
    let Some(Ok(Reply::Pool(view))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    view.clone()
}

#[test]
fn while_it_is_open_the_queue_waits_and_then_one_task_tries() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    for id in ["a", "b", "c"] {
        desk.submit(id);
    }
    assert_eq!(desk.dispatched(), [""; 0]);
    assert_eq!(view(&mut desk).health(), Health::Degraded);
    desk.pass(59 * SECOND);
    assert_eq!(desk.dispatched(), [""; 0]);
    desk.pass(SECOND);
    assert_eq!(desk.dispatched(), ["a"]);
    desk.batch(vec![change(BreakerState::Open, BreakerState::HalfOpen, None)]);
    assert_eq!(desk.dispatched(), [""; 0]);
    let report = desk.report("a", Ending::Succeeded);
    desk.batch(vec![change(BreakerState::HalfOpen, BreakerState::Closed, None), report]);
    assert_eq!(desk.dispatched(), ["b", "c"]);
    assert_eq!(view(&mut desk).health(), Health::Healthy);
}

#[test]
fn a_try_that_fails_costs_one_task_and_holds_the_others_again() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    desk.submit("a");
    desk.submit("b");
    desk.pass(60 * SECOND);
    assert_eq!(desk.dispatched(), ["a"]);
    let report = desk.report("a", Ending::Failed);
    desk.batch(vec![change(BreakerState::HalfOpen, BreakerState::Open, Some(120 * SECOND)), report]);
    assert_eq!((desk.state("a"), desk.state("b")), ("failed error".to_owned(), "pending queued".to_owned()));
    desk.pass(119 * SECOND);
    assert_eq!(desk.dispatched(), [""; 0]);
    desk.pass(SECOND);
    assert_eq!(desk.dispatched(), ["b"]);
}

#[test]
fn a_try_that_tells_nothing_is_followed_by_another() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    desk.submit("a");
    desk.submit("b");
    desk.pass(60 * SECOND);
    desk.cancel("a");
    assert_eq!(desk.dispatched(), ["a"]);
    desk.finish("a", Ending::Cancelled);
    assert_eq!(desk.dispatched(), ["b"]);
}

#[test]
fn what_ran_before_neither_tries_nor_keeps_others_from_trying() {
    let mut desk = desk();
    desk.submit("before");
    desk.dispatched();
    desk.batch(vec![opened()]);
    desk.submit("a");
    desk.submit("b");
    desk.pass(60 * SECOND);
    assert_eq!(desk.dispatched(), ["a"]);
}

#[test]
fn resuming_a_held_pool_tries_one_task_at_once() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    desk.submit("a");
    desk.submit("b");
    desk.facts();
    let ask = desk.ask(Command::ResumePool { id: local() });
    assert_eq!(refusal(&desk, ask), None);
    assert_eq!((desk.dispatched(), desk.breakers_tried.clone()), (vec!["a".to_owned()], vec![local()]));
    assert_eq!(desk.facts(), ["pool.breaker_changed", "task.assigned"]);
    assert!(desk.rows.tables.breakers.is_empty());
}

#[test]
fn a_try_that_goes_wrong_without_a_word_is_not_followed_at_once() {
    for ending in [Ending::Failed, Ending::TimedOut, Ending::Stuck] {
        let mut desk = desk();
        desk.batch(vec![opened()]);
        desk.submit("a");
        desk.submit("b");
        desk.pass(60 * SECOND);
        assert_eq!(desk.dispatched(), ["a"]);
        desk.batch(vec![change(BreakerState::Open, BreakerState::HalfOpen, None)]);
        desk.finish("a", ending);
        assert_eq!(desk.dispatched(), [""; 0], "{ending:?}");
        desk.pass(60 * SECOND);
        assert_eq!(desk.dispatched(), ["b"], "{ending:?}");
    }
}

#[test]
fn a_breaker_that_closed_unheard_is_heard_with_the_first_task_that_went_through() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    desk.submit("a");
    desk.submit("b");
    desk.pass(60 * SECOND);
    desk.dispatched();
    desk.facts();
    let Input::Finished(report) = desk.report("a", Ending::Succeeded) else { unreachable!() };
    let closed = change(BreakerState::HalfOpen, BreakerState::Closed, None);
    desk.batch(vec![Input::Finished(Report { breaker: Some(BreakerState::Closed), ..report }), closed]);
    assert_eq!(desk.dispatched(), ["b"]);
    let changes = desk.facts().iter().filter(|name| **name == "pool.breaker_changed").count();
    assert_eq!(changes, 1);
}

#[test]
fn what_was_told_too_late_holds_nobody() {
    let mut desk = desk();
    let (from, to, wait) = (BreakerState::Closed, BreakerState::Open, Some(7200 * SECOND));
    let stands = Stands { state: BreakerState::Closed, wait: Duration::ZERO };
    let change = BreakerChange { from, to, wait, stands, snapshot: String::new() };
    desk.batch(vec![Input::BreakerChanged { pool: local(), change }]);
    desk.submit("a");
    assert_eq!(desk.dispatched(), ["a"]);
    assert!(desk.rows.tables.breakers.is_empty());
}

#[test]
fn who_was_turned_away_does_not_make_a_hold_shorter() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    desk.batch(vec![Input::BreakerHolds { pool: local(), wait: SECOND }]);
    desk.submit("a");
    desk.pass(59 * SECOND);
    assert_eq!(desk.dispatched(), [""; 0]);
    desk.pass(SECOND);
    assert_eq!(desk.dispatched(), ["a"]);
}

#[test]
fn deleting_a_pool_that_is_held_for_longer_waits_for_nothing() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    desk.submit("a");
    let ask = desk.ask(Command::DeletePool { id: local(), timeout: 5 * SECOND });
    assert_eq!(desk.state("a"), "cancelled cancelled");
    assert!(desk.answer(ask).is_some());
}

#[test]
fn it_is_stored_until_it_closes_or_its_pool_is_gone() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    assert_eq!(desk.rows.tables.breakers["pool:local"], "Open");
    desk.batch(vec![change(BreakerState::Open, BreakerState::HalfOpen, None)]);
    assert_eq!(desk.rows.tables.breakers["pool:local"], "HalfOpen");
    desk.batch(vec![change(BreakerState::HalfOpen, BreakerState::Closed, None)]);
    assert!(desk.rows.tables.breakers.is_empty());
    desk.batch(vec![opened()]);
    desk.ask(Command::DeletePool { id: local(), timeout: SECOND });
    assert!(desk.rows.tables.breakers.is_empty());
}

#[test]
fn a_hold_outlasts_a_batch_that_comes_to_nothing() {
    let mut desk = desk();
    desk.batch_with(vec![opened()], Fate::CommitFails);
    desk.submit("a");
    desk.facts();
    assert_eq!(desk.dispatched(), [""; 0]);
    desk.pass(60 * SECOND);
    assert_eq!(desk.dispatched(), ["a"]);
}

#[test]
fn a_hold_that_could_not_be_tried_stays() {
    let mut desk = desk();
    desk.batch(vec![opened()]);
    let (_, resume) = desk.question(Command::ResumePool { id: local() });
    desk.batch_with(vec![resume], Fate::CommitFails);
    desk.submit("a");
    assert_eq!((desk.dispatched(), desk.breakers_tried.len()), (Vec::new(), 0));
}

#[test]
fn a_worker_that_was_turned_away_gives_the_task_back_uncounted() {
    let mut desk = desk();
    desk.submit("a");
    desk.dispatched();
    let report = desk.report("a", Ending::Interrupted);
    desk.batch(vec![Input::BreakerHolds { pool: local(), wait: 5 * SECOND }, report]);
    assert_eq!(desk.facts().last().map(String::as_str), Some("task.assigned"));
    assert_eq!(desk.dispatched(), [""; 0]);
    desk.pass(5 * SECOND);
    assert_eq!(desk.dispatched(), ["a"]);
    assert_eq!(desk.rows.task("a").failures, 0);
}

#[test]
fn what_names_no_pool_goes_to_one_that_is_not_held() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(pool("second")));
    desk.batch(vec![opened()]);
    let to = Destination::Route { selector: Selector::LeastLoaded, group: None };
    for number in 0..5 {
        desk.ask(Command::Submit(Submit { to: to.clone(), ..submit(&format!("t{number}")) }));
        assert_eq!(desk.rows.task(&format!("t{number}")).pool.as_str(), "second");
    }
}
