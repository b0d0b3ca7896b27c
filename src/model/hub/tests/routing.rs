//! Which pool a task goes to that names none.

use super::*;
use crate::model::command::Selector;

/// A desk with the pools `a`, `b` and `c` instead of `local`, the first two in the group `night`.
fn three() -> Driver {
    let mut desk = desk();
    for id in ["a", "b", "c"] {
        let group = (id != "c").then(|| "night".to_owned());
        desk.ask(Command::CreatePool(PoolRow { group, queue_max: 1, ..pool(id) }));
        desk.batch(Vec::new());
    }
    desk.ask(Command::DeletePool { id: PoolId::new("local"), timeout: SECOND });
    desk
}

impl Driver {
    /// Where it went, or why it did not.
    fn routed(&mut self, id: &str, selector: Selector, group: Option<&str>) -> String {
        let to = Destination::Route { selector, group: group.map(str::to_owned) };
        let ask = self.ask(Command::Submit(Submit { to, ..submit(id) }));
        match self.answer(ask) {
            Some(Ok(Reply::Submitted { pool, .. })) => pool.to_string(),
            Some(Err(refusal)) => format!("{} {}", refusal.code.as_str(), refusal.message),
            other => panic!("{other:?}"),
        }
    }

    fn routes(&mut self, selector: Selector, count: usize) -> String {
        let number = self.rows.tables.tasks.len();
        (0..count).map(|at| self.routed(&format!("t{}", number + at), selector, None)).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn least_loaded_counts_what_runs_as_well() {
    let mut desk = three();
    assert_eq!(desk.routes(Selector::LeastLoaded, 7), "a b c a b c a");
    desk.finish("t1", Ending::Succeeded);
    desk.finish("t4", Ending::Succeeded);
    assert_eq!(desk.routes(Selector::LeastLoaded, 4), "b b b c");
}

#[test]
fn round_robin_goes_on_after_a_restart() {
    let mut desk = three();
    assert_eq!(desk.routes(Selector::RoundRobin, 4), "a b c a");
    desk.crash();
    assert_eq!(desk.routes(Selector::RoundRobin, 3), "b c a");
}

#[test]
fn chance_is_what_the_asker_has_drawn() {
    let mut desk = three();
    let went: Vec<String> = [4, 2, 0].map(|drawn| desk.routes(Selector::Random(drawn), 1)).to_vec();
    assert_eq!(went, ["b", "c", "a"]);
}

#[test]
fn a_group_is_kept_to() {
    let mut desk = three();
    for at in 0..4 {
        let went = desk.routed(&format!("n{at}"), Selector::RoundRobin, Some("night"));
        assert_eq!(went, ["a", "b"][at % 2]);
    }
    let none = desk.routed("x", Selector::LeastLoaded, Some("day"));
    assert_eq!(none, "not_found there is no pool in group day");
}

#[test]
fn pools_that_are_not_well_or_paused_are_left_out_while_another_can() {
    let mut desk = three();
    for at in 0..3 {
        let id = format!("bad{at}");
        desk.ask(Command::Submit(Submit { to: Destination::Pool(PoolId::new("a")), ..submit(&id) }));
        desk.finish(&id, Ending::Failed);
    }
    assert!(!desk.hub.pools["a"].is_healthy());
    desk.ask(Command::PausePool { id: PoolId::new("b") });
    assert_eq!(desk.routes(Selector::RoundRobin, 4), "c c c c");
    // c is full: one that is not well is better than one that does nothing, and that is better than none.
    assert_eq!(desk.routes(Selector::RoundRobin, 4), "a a a a");
    assert_eq!(desk.routes(Selector::RoundRobin, 1), "b");
    let full = desk.routed("x", Selector::RoundRobin, None);
    assert_eq!(full, "queue_full the queues of all 3 pools are full; try again later");
}

#[test]
fn without_pools_there_is_nowhere_to_go() {
    let mut desk = desk();
    desk.ask(Command::DeletePool { id: PoolId::new("local"), timeout: SECOND });
    assert_eq!(desk.routed("x", Selector::LeastLoaded, None), "not_running No pools available for routing");
}

/// A desk whose pools are these and `local`, which runs commands and has no directory.
fn with(pools: Vec<PoolRow>) -> Driver {
    let mut desk = desk();
    for row in pools {
        desk.ask(Command::CreatePool(row));
        desk.batch(Vec::new());
    }
    desk
}

fn echo(id: &str) -> PoolRow {
    PoolRow { executor: ExecutorKind::Echo, group: Some("trials".to_owned()), ..pool(id) }
}

#[test]
fn work_does_not_go_to_an_echo_unless_its_group_is_meant_or_there_is_nothing_else() {
    let mut desk = with(vec![echo("aaa")]);
    assert_eq!(desk.routes(Selector::LeastLoaded, 2), "local local");
    assert_eq!(desk.routes(Selector::RoundRobin, 2), "local local");
    assert_eq!(desk.routed("meant", Selector::LeastLoaded, Some("trials")), "aaa");
    desk.ask(Command::DeletePool { id: PoolId::new("local"), timeout: Duration::ZERO });
    for task in ["t0", "t1", "t2"] {
        desk.finish(task, Ending::Cancelled);
    }
    desk.pass(SECOND);
    assert_eq!(desk.routed("alone", Selector::LeastLoaded, None), "aaa");
}

#[test]
fn work_goes_where_there_is_a_directory_for_it() {
    let mut desk = with(vec![PoolRow { directory: Some("/src".to_owned()), ..pool("placed") }, echo("trial")]);
    let placeless = |desk: &mut Driver, id: &str| {
        let to = Destination::Route { selector: Selector::LeastLoaded, group: None };
        let ask = desk.ask(Command::Submit(Submit { to, input: TaskInput::default(), ..submit(id) }));
        match desk.answer(ask) {
            Some(Ok(Reply::Submitted { pool, .. })) => pool.to_string(),
            Some(Err(refusal)) => format!("{} {}", refusal.code.as_str(), refusal.message),
            other => panic!("{other:?}"),
        }
    };
    for id in ["a", "b", "c", "d"] {
        assert_eq!(placeless(&mut desk, id), "placed");
    }
    assert_eq!(desk.routed("e", Selector::LeastLoaded, None), "local");
    let mut desk = with(vec![echo("trial")]);
    let said = placeless(&mut desk, "f");
    assert!(said.starts_with("bad_request no pool that it could go to has a directory"), "{said}");
}
