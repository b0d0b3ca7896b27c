//! Groups of pools that grow and shrink, by hand and by themselves.

use super::*;
use crate::model::command::{Scale, Scaled, Selector};
use crate::model::event::Body;
use crate::model::hub::driver::Fate;
use crate::model::limits::{SCALE_HOLD, SCALE_PAUSE, SCALE_RETRY};
use crate::model::scaling::Rule;

/// With a group `web` of one pool, `web-1`.
fn web() -> Driver {
    let mut desk = desk();
    let row = PoolRow { group: Some("web".to_owned()), directory: Some("/web".to_owned()), ..pool("web-1") };
    desk.ask(Command::CreatePool(row));
    desk.batch(Vec::new());
    desk.events.clear();
    desk
}

fn rule(pools_min: usize, pools_max: usize) -> Scale {
    Scale::Automatic(Rule { pools_min, pools_max, up_queue: 2, down_idle: 10 * SECOND })
}

impl Driver {
    /// Returns once the workers of new pools run.
    fn scale(&mut self, scale: Scale) -> AskId {
        let ask = self.ask(Command::ScaleGroup { group: "web".to_owned(), scale });
        self.batch(Vec::new());
        ask
    }

    fn scaled(&self, ask: AskId) -> &Scaled {
        let Some(Ok(Reply::Scaled(scaled))) = self.answer(ask) else { panic!("{:?}", self.answer(ask)) };
        scaled
    }

    fn route_to_web(&mut self, id: &str) {
        let to = Destination::Route { selector: Selector::LeastLoaded, group: Some("web".to_owned()) };
        self.ask(Command::Submit(Submit { to, ..submit(id) }));
    }

    /// So many tasks for the group, of which each pool runs three.
    fn load(&mut self, count: usize) -> Vec<String> {
        let ids: Vec<String> = (0..count).map(|number| format!("w{number}")).collect();
        ids.iter().for_each(|id| self.route_to_web(id));
        ids
    }

    fn finish_running(&mut self) {
        let running: Vec<String> = self.rows.running().map(|task| task.id.to_string()).collect();
        running.iter().for_each(|id| self.finish(id, Ending::Succeeded));
    }

    /// The pools of the group, `name status`.
    fn web_pools(&self) -> String {
        let pools = self.hub.pools.values().filter(|pool| pool.row.group.as_deref() == Some("web"));
        pools.map(|pool| format!("{} {}", pool.row.id, pool.row.status.as_str())).collect::<Vec<_>>().join(", ")
    }

    /// The steps since the last call.
    fn steps(&mut self) -> Vec<String> {
        let steps = self.events.drain(..).filter_map(|event| match event.body {
            Body::PoolScaling { pool, is_up, worker_count, reason } => {
                Some(format!("{}{pool} {worker_count}: {reason}", if is_up { '+' } else { '-' }))
            }
            _ => None,
        });
        steps.collect()
    }
}

#[test]
fn a_group_grows_by_copies_of_its_first() {
    let mut desk = web();
    let ask = desk.scale(Scale::To(3));
    let ids: Vec<&str> = desk.scaled(ask).started.iter().map(PoolId::as_str).collect();
    assert_eq!(ids, ["web-2", "web-3"]);
    assert_eq!(desk.scaled(ask).members.len(), 3);
    assert_eq!(desk.web_pools(), "web-1 running, web-2 running, web-3 running");
    let (first, copy) = (&desk.rows.tables.pools["web-1"], &desk.rows.tables.pools["web-3"]);
    assert_eq!((&copy.directory, copy.queue_max, copy.timeout), (&first.directory, first.queue_max, first.timeout));
    assert_eq!(desk.steps(), ["+web-2 6: 3 pools were asked for", "+web-3 9: 3 pools were asked for"]);
    desk.load(9);
    assert_eq!(desk.rows.running().count(), 9);
}

#[test]
fn it_shrinks_by_the_idle_and_then_the_last() {
    let mut desk = web();
    desk.scale(Scale::To(4));
    desk.load(3);
    let ask = desk.scale(Scale::To(3));
    assert_eq!(desk.scaled(ask).drained, [PoolId::new("web-4")]);
    let ask = desk.scale(Scale::To(1));
    assert_eq!(desk.scaled(ask).drained, [PoolId::new("web-3"), PoolId::new("web-2")]);
    assert_eq!(desk.web_pools(), "web-1 running, web-2 draining, web-3 draining");
    desk.finish_running();
    assert_eq!(desk.web_pools(), "web-1 running");
    assert!(["w0", "w1", "w2"].iter().all(|id| desk.state(id) == "completed"));
    // A name that is free again is taken again.
    let ask = desk.scale(Scale::To(2));
    assert_eq!(desk.scaled(ask).started, [PoolId::new("web-2")]);
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_shrinking_group_loses_nothing_over_a_restart() {
    let mut desk = web();
    desk.scale(Scale::To(2));
    let ids = desk.load(10);
    desk.scale(Scale::To(1));
    desk.crash();
    assert_eq!(desk.web_pools(), "web-1 running, web-2 draining");
    for _ in 0..ids.len() {
        desk.finish_running();
    }
    let lost = ids.iter().filter(|id| !["completed", "failed crashed"].contains(&desk.state(id).as_str()));
    assert_eq!(lost.count(), 0);
    assert_eq!(desk.web_pools(), "web-1 running");
    desk.assert_sound();
}

#[test]
fn who_deletes_a_pool_that_its_group_gave_up_need_not_wait() {
    let mut desk = web();
    desk.scale(Scale::To(2));
    desk.load(10);
    desk.scale(Scale::To(1));
    let ask = desk.ask(Command::DeletePool { id: PoolId::new("web-2"), timeout: Duration::ZERO });
    let running: Vec<String> =
        desk.rows.running().filter(|task| task.pool.as_str() == "web-2").map(|task| task.id.to_string()).collect();
    running.iter().for_each(|id| desk.finish(id, Ending::Cancelled));
    assert_eq!((refusal(&desk, ask), desk.web_pools().as_str()), (None, "web-1 running"));
}

#[test]
fn what_cannot_be_scaled_is_refused() {
    let mut desk = web();
    let ask = desk.ask(Command::ScaleGroup { group: "none".to_owned(), scale: Scale::To(2) });
    assert_eq!(refusal(&desk, ask), Some(Code::NotFound));
    // There is `local` too.
    let ask = desk.scale(Scale::To(256));
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
    assert_eq!(desk.web_pools(), "web-1 running");
    desk.scale(rule(1, 3));
    let ask = desk.scale(Scale::To(4));
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
    let ask = desk.scale(Scale::To(255));
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
    desk.scale(Scale::Off);
    let ask = desk.scale(Scale::To(4));
    assert_eq!(refusal(&desk, ask), None);
}

#[test]
fn load_that_lasts_makes_it_grow_and_idleness_makes_it_shrink() {
    let mut desk = web();
    desk.scale(rule(1, 2));
    desk.load(5);
    desk.pass(SCALE_HOLD - SECOND);
    assert_eq!(desk.steps(), [""; 0]);
    desk.pass(SECOND);
    desk.batch(Vec::new());
    assert_eq!(desk.steps(), ["+web-2 6: 2 tasks waited for 1 pools"]);
    desk.finish_running();
    desk.finish_running();
    desk.pass(10 * SECOND - Duration::from_millis(1));
    assert_eq!(desk.steps(), [""; 0]);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.steps(), ["-web-2 3: it was idle for 10 s"]);
    assert_eq!(desk.web_pools(), "web-1 running");
    desk.assert_silent_after_an_interval();
}

#[test]
fn load_that_flaps_changes_nothing() {
    let mut desk = web();
    desk.scale(rule(1, 3));
    for round in 0..20 {
        for number in 0..5 {
            desk.route_to_web(&format!("r{round}-{number}"));
        }
        desk.pass(SCALE_HOLD - SECOND);
        desk.finish_running();
        desk.finish_running();
        desk.pass(SECOND);
    }
    assert_eq!((desk.steps(), desk.web_pools().as_str()), (vec![], "web-1 running"));
}

#[test]
fn a_group_outside_its_bounds_is_brought_back_at_once() {
    let mut desk = web();
    desk.scale(rule(3, 4));
    let reason = "fewer than 3 pools ran";
    assert_eq!(desk.steps(), [format!("+web-2 6: {reason}"), format!("+web-3 9: {reason}")]);
    desk.scale(rule(1, 1));
    assert_eq!(desk.web_pools(), "web-1 running");
    desk.scale(rule(2, 2));
    desk.ask(Command::DeletePool { id: PoolId::new("web-1"), timeout: SECOND });
    desk.batch(Vec::new());
    assert_eq!(desk.web_pools(), "web-2 running, web-3 running");
}

#[test]
fn a_paused_pool_is_no_capacity_but_has_its_place() {
    let mut desk = web();
    desk.scale(rule(1, 2));
    desk.ask(Command::PausePool { id: PoolId::new("web-1") });
    desk.batch(Vec::new());
    assert_eq!(desk.web_pools(), "web-1 paused, web-2 running");
    desk.ask(Command::PausePool { id: PoolId::new("web-2") });
    desk.batch(Vec::new());
    assert_eq!(desk.web_pools(), "web-1 paused, web-2 paused");
}

#[test]
fn a_restart_keeps_the_rule_and_begins_to_count_anew() {
    let mut desk = web();
    desk.scale(rule(1, 2));
    desk.load(8);
    desk.pass(SCALE_HOLD - SECOND);
    desk.crash();
    // What ran has failed, five go on: three run, two wait.
    desk.pass(SECOND);
    assert_eq!(desk.steps(), [""; 0]);
    desk.pass(SCALE_HOLD);
    desk.batch(Vec::new());
    assert_eq!(desk.steps(), ["+web-2 6: 2 tasks waited for 1 pools"]);
    desk.assert_sound();
}

#[test]
fn a_step_that_could_not_be_written_is_taken_with_the_next_batch() {
    let mut desk = web();
    desk.scale(rule(1, 2));
    desk.load(5);
    desk.clock.advance(SCALE_HOLD);
    desk.batch_with(Vec::new(), Fate::CommitFails);
    assert_eq!((desk.web_pools().as_str(), desk.hub.next_deadline()), ("web-1 running", Some(desk.clock.tick())));
    desk.batch(Vec::new());
    desk.batch(Vec::new());
    assert_eq!(desk.web_pools(), "web-1 running, web-2 running");
    assert_eq!(desk.steps(), ["+web-2 6: 2 tasks waited for 1 pools"]);
    desk.assert_sound();
}

#[test]
fn workers_that_cannot_be_started_are_told_and_tried_again_later() {
    let mut desk = web();
    desk.hire_fails = Some("no more threads".to_owned());
    desk.scale(rule(2, 2));
    let told = "the workers of pool web-2 could not be started: no more threads";
    assert_eq!(desk.steps(), ["+web-2 6: fewer than 2 pools ran".to_owned(), format!("-web-2 3: {told}")]);
    desk.hire_fails = None;
    desk.pass(SCALE_RETRY - SECOND);
    assert_eq!(desk.web_pools(), "web-1 running");
    desk.pass(SECOND);
    assert_eq!(desk.web_pools(), "web-1 running, web-2 running");
}

#[test]
fn with_its_last_pool_a_group_is_over() {
    let mut desk = web();
    desk.scale(rule(1, 2));
    assert!(desk.rows.tables.groups.contains_key("web"));
    desk.ask(Command::DeletePool { id: PoolId::new("web-1"), timeout: SECOND });
    assert!(desk.rows.tables.groups.is_empty() && desk.web_pools().is_empty());
    desk.pass(SCALE_PAUSE);
    desk.assert_silent_after_an_interval();
}
