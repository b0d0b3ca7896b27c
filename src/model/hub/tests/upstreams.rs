//! Upstreams: what is asked of their pollers, and what is kept of what these report.

use super::*;
use crate::model::breaker::{BreakerChange, BreakerState, Stands};
use crate::model::hub::PollerOrder;
use crate::model::hub::driver::Fate;
use crate::model::id::UpstreamName;
use crate::model::upstream::{PollReport, Sample, SampleKind, Upstream, UpstreamRow};

fn name() -> UpstreamName {
    UpstreamName::new("u")
}

fn row() -> UpstreamRow {
    UpstreamRow {
        name: name(),
        endpoint: "http://localhost:1/mcp".to_owned(),
        interval: 30 * SECOND,
        timeout: 10 * SECOND,
        max_retries: 3,
        retry_delay: 5 * SECOND,
        failure_threshold: 5,
        tools: vec!["t".to_owned()],
        configured: false,
        enabled: true,
        polling: true,
        token_mark: 0,
        since: Timestamp::default(),
    }
}

/// A desk with the upstream `u`.
fn polled_desk() -> Driver {
    let mut desk = desk();
    let ask = desk.ask(Command::AddUpstream(row()));
    assert_eq!(refusal(&desk, ask), None);
    desk.pollers.clear();
    desk
}

/// Of the life that `polled_desk` begins.
fn report(cycle: u64, total: f64, order: u64) -> Input {
    let sample = |metric: &str, kind, value| Sample { metric: metric.to_owned(), kind, value };
    Input::Polled {
        upstream: name(),
        life: 1,
        report: Box::new(PollReport {
            cycle,
            at: Timestamp::default(),
            took: SECOND,
            order,
            metrics: vec!["sessions".to_owned()],
            errors: Vec::new(),
            samples: vec![
                sample("sessions.total", SampleKind::Counter, total),
                sample("sessions.active", SampleKind::Gauge, 3.0),
            ],
            forgotten: Vec::new(),
            tools: Vec::new(),
            era: Some("legacy"),
            consecutive_failures: 0,
            failures: 0,
            is_well: true,
            is_failed: false,
            is_called: true,
            last_error: None,
            next_poll_at: None,
        }),
    }
}

fn shown(desk: &mut Driver) -> Box<Upstream> {
    let ask = desk.ask(Command::ShowUpstream { name: name() });
    let Some(Ok(Reply::Upstream(one))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    one.clone()
}

#[test]
fn one_that_is_added_begins_and_stays() {
    let mut desk = desk();
    desk.ask(Command::AddUpstream(row()));
    // Since then its totals count.
    let added = UpstreamRow { since: desk.clock.wall(), ..row() };
    assert_eq!(desk.pollers, [(name(), PollerOrder::Begin(Box::new(added.clone()), 1))]);
    assert_eq!(desk.rows.tables.upstreams["u"], added);
    let again = desk.ask(Command::AddUpstream(row()));
    assert_eq!(refusal(&desk, again), Some(Code::Conflict));
}

#[test]
fn the_schedule_is_switched_once_and_kept() {
    let mut desk = polled_desk();
    for _ in 0..2 {
        desk.ask(Command::SetPolling { name: name(), polling: false });
    }
    assert_eq!(desk.pollers, [(name(), PollerOrder::Stop)]);
    assert!(!desk.rows.tables.upstreams["u"].polling);
    desk.crash();
    assert!(!shown(&mut desk).row.polling);
}

#[test]
fn who_asks_for_a_round_waits_for_one_that_was_asked_for() {
    let mut desk = polled_desk();
    let ask = desk.ask(Command::PollUpstream { name: name(), timeout: None });
    assert_eq!(desk.pollers, [(name(), PollerOrder::Poll(1))]);
    desk.batch(vec![report(1, 5.0, 0)]);
    assert!(desk.answer(ask).is_none());
    desk.batch(vec![report(2, 5.0, 1)]);
    assert!(matches!(desk.answer(ask), Some(Ok(Reply::Upstream(_)))));
    let late = desk.ask(Command::PollUpstream { name: name(), timeout: Some(SECOND) });
    desk.pass(SECOND);
    assert_eq!(refusal(&desk, late), Some(Code::TimedOut));
}

/// A cycle that was under way may have seen nothing of what the asker wants to see.
#[test]
fn who_asks_while_a_round_is_under_way_waits_for_the_next() {
    let mut desk = polled_desk();
    let first = desk.ask(Command::PollUpstream { name: name(), timeout: None });
    let second = desk.ask(Command::PollUpstream { name: name(), timeout: None });
    desk.batch(vec![report(1, 5.0, 1)]);
    assert!(desk.answer(first).is_some() && desk.answer(second).is_none());
    desk.batch(vec![report(2, 5.0, 2)]);
    assert!(desk.answer(second).is_some());
}

#[test]
fn what_one_that_was_removed_still_tells_is_not_about_the_next_of_its_name() {
    let mut desk = polled_desk();
    desk.ask(Command::RemoveUpstream { name: name() });
    desk.ask(Command::AddUpstream(row()));
    let waiting = desk.ask(Command::PollUpstream { name: name(), timeout: None });
    let stands = Stands { state: BreakerState::Open, wait: SECOND };
    let change = BreakerChange {
        from: BreakerState::Closed,
        to: BreakerState::Open,
        wait: Some(SECOND),
        stands,
        snapshot: "open".to_owned(),
    };
    desk.batch(vec![report(7, 41.0, 1), Input::UpstreamBreakerChanged { upstream: name(), life: 1, change }]);
    assert!(desk.answer(waiting).is_none());
    let one = shown(&mut desk);
    assert!(one.last.is_none() && one.breaker == BreakerState::Closed, "{one:?}");
    assert!(desk.rows.tables.samples.is_empty() && desk.rows.tables.breakers.is_empty());
    let Input::Polled { upstream, report, .. } = report(1, 3.0, 1) else { unreachable!() };
    desk.batch(vec![Input::Polled { upstream, life: 2, report }]);
    assert!(desk.answer(waiting).is_some());
}

#[test]
fn totals_outlive_the_server_the_daemon_and_a_batch_that_failed() {
    let mut desk = polled_desk();
    desk.batch(vec![report(1, 41.0, 0)]);
    desk.batch(vec![report(2, 41.0, 0)]);
    desk.batch_with(vec![report(3, 50.0, 0)], Fate::CommitFails);
    desk.batch(Vec::new());
    let total = |desk: &Driver| desk.rows.tables.totals[&(name(), "sessions.total".to_owned())].total();
    assert_eq!(total(&desk), 50.0);
    desk.batch(vec![report(4, 2.0, 0)]);
    desk.crash();
    // What a daemon begins with lives for the first time.
    let Input::Polled { upstream, report, .. } = report(1, 7.0, 0) else { unreachable!() };
    desk.batch(vec![Input::Polled { upstream, life: 0, report }]);
    assert_eq!(total(&desk), 57.0);
    let values: Vec<f64> =
        desk.rows.tables.samples.iter().filter(|(_, metric, _)| metric == "sessions.total").map(|it| it.2).collect();
    assert_eq!(values, [41.0, 41.0, 50.0, 52.0, 57.0]);
}

#[test]
fn errors_are_judged_by_the_last_round() {
    let mut desk = polled_desk();
    assert!(!shown(&mut desk).is_healthy());
    let Input::Polled { report: mut bad, upstream, life } = report(1, 1.0, 0) else { unreachable!() };
    (bad.errors, bad.is_well) = (vec!["t: no answer".to_owned()], false);
    bad.last_error = bad.errors.first().cloned();
    let failed_at = bad.at;
    let mut skipped = bad.clone();
    desk.batch(vec![Input::Polled { upstream, life, report: bad }]);
    let one = shown(&mut desk);
    assert_eq!((one.is_healthy(), one.last_error.as_deref()), (false, Some("t: no answer")));
    // That nothing is called any more is not why.
    (skipped.errors, skipped.last_error) = (vec!["circuit breaker is open".to_owned()], None);
    (skipped.at, skipped.is_called) = (failed_at.after(SECOND), false);
    desk.batch(vec![Input::Polled { upstream: name(), life, report: skipped }]);
    let one = shown(&mut desk);
    assert_eq!((one.last_error.as_deref(), one.last_error_at), (Some("t: no answer"), Some(failed_at)));
    desk.batch(vec![report(2, 1.0, 0)]);
    let one = shown(&mut desk);
    assert_eq!((one.is_healthy(), one.last_error.as_deref()), (true, Some("t: no answer")));
}

#[test]
fn a_breaker_is_told_stored_and_reset() {
    let mut desk = polled_desk();
    let (from, to) = (BreakerState::Closed, BreakerState::Open);
    let wait = 150 * SECOND;
    let stands = Stands { state: to, wait };
    let change = BreakerChange { from, to, wait: Some(wait), stands, snapshot: "open".to_owned() };
    desk.batch(vec![Input::UpstreamBreakerChanged { upstream: name(), life: 1, change }]);
    assert_eq!(desk.rows.tables.breakers["upstream:u"], "open");
    assert_eq!(shown(&mut desk).breaker, BreakerState::Open);
    desk.ask(Command::ResetUpstream { name: name() });
    assert_eq!(desk.pollers, [(name(), PollerOrder::Reset)]);
    assert!(desk.rows.tables.breakers.is_empty());
    assert_eq!(desk.facts(), ["upstream.breaker_changed", "upstream.breaker_changed"]);
}

/// Whether it was told is for the store to say, not for what a batch that failed has left in memory.
#[test]
fn a_change_of_a_breaker_is_told_by_the_batch_after_one_that_failed() {
    let mut desk = polled_desk();
    let (from, to) = (BreakerState::Closed, BreakerState::Open);
    let stands = Stands { state: to, wait: SECOND };
    let change = BreakerChange { from, to, wait: Some(SECOND), stands, snapshot: "open".to_owned() };
    for fate in [Fate::CommitFails, Fate::NothingWorks] {
        desk.batch_with(
            vec![Input::UpstreamBreakerChanged { upstream: name(), life: 1, change: change.clone() }],
            fate,
        );
        desk.batch(Vec::new());
        assert_eq!(desk.facts(), ["upstream.breaker_changed"]);
        // Nor is one closed that nobody could be told of.
        for command in [Command::ResetUpstream { name: name() }, Command::RemoveUpstream { name: name() }] {
            let (ask, input) = desk.question(command);
            desk.batch_with(vec![input], fate);
            desk.batch(Vec::new());
            assert_eq!(refusal(&desk, ask), Some(Code::Busy));
            assert_eq!(shown(&mut desk).breaker, BreakerState::Open);
        }
        desk.ask(Command::ResetUpstream { name: name() });
        assert_eq!(desk.facts(), ["upstream.breaker_changed"]);
    }
}

#[test]
fn what_is_removed_is_gone_with_all_that_was_kept_of_it() {
    let mut desk = polled_desk();
    desk.batch(vec![report(1, 5.0, 0)]);
    let waiting = desk.ask(Command::PollUpstream { name: name(), timeout: None });
    desk.ask(Command::RemoveUpstream { name: name() });
    assert_eq!(refusal(&desk, waiting), Some(Code::NotFound));
    let tables = &desk.rows.tables;
    assert!(tables.upstreams.is_empty() && tables.totals.is_empty() && tables.samples.is_empty());
    assert_eq!(desk.pollers.last(), Some(&(name(), PollerOrder::End)));
    // A report that was on its way is about nobody.
    desk.batch(vec![report(2, 6.0, 0)]);
    assert!(desk.rows.tables.samples.is_empty());
}

#[test]
fn what_the_configuration_names_is_not_removed_by_hand() {
    let mut desk = desk();
    desk.ask(Command::AddUpstream(UpstreamRow { configured: true, ..row() }));
    let ask = desk.ask(Command::RemoveUpstream { name: name() });
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
}
