//! When a group of pools should have one more or one less: a pure policy, asked after every change and when it says.
//!
//! Hysteresis keeps it from swinging: load must last, idleness must last, and there is a pause between two steps. Only a
//! group that is outside its bounds is brought back at once.

use super::id::PoolId;
use super::limits::{SCALE_HOLD, SCALE_PAUSE, SCALE_RETRY};
use crate::clock::Tick;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a group scales itself, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub pools_min: usize,
    pub pools_max: usize,
    /// So many tasks ready to run, for each pool that runs, are too many.
    pub up_queue: usize,
    /// A pool that had nothing to do for so long is not needed.
    pub down_idle: Duration,
}

/// A group that scales itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    pub name: String,
    pub rule: Rule,
}

/// A pool of the group that is not being deleted. One that is paused holds a place and is no capacity.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: PoolId,
    /// Not paused.
    pub runs: bool,
    /// Tasks that could run now if a worker were free.
    pub ready: usize,
    pub has_free_worker: bool,
    /// It has no task at all, not even one that waits for its time.
    pub is_idle: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Up { reason: String },
    Down { pool: PoolId, reason: String },
}

/// What to do now, and when to look again although nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub step: Option<Step>,
    pub look_again: Option<Tick>,
}

impl Decision {
    /// The step, once its time has come.
    fn at(now: Tick, due: Tick, step: impl FnOnce() -> Step) -> Decision {
        if now < due {
            return Decision { step: None, look_again: Some(due) };
        }
        Decision { step: Some(step()), look_again: None }
    }
}

/// What is remembered of a group between two looks. It starts anew with the daemon, which only delays steps.
#[derive(Clone, Debug, Default)]
pub struct Scaling {
    known: Known,
    /// As it was before the batch at hand.
    durable: Known,
    /// Workers could not be started; not tried again before.
    failed_until: Tick,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// Since when there has been too much to do, without a break.
    loaded_since: Option<Tick>,
    /// Since when which member has had nothing to do.
    idle_since: BTreeMap<PoolId, Tick>,
    stepped: Option<Tick>,
}

impl Scaling {
    /// Decides on at most one step. `members`: in the order in which they would be given up, the first one first.
    pub fn decide(&mut self, now: Tick, rule: &Rule, members: &[Member]) -> Decision {
        self.observe(now, rule, members);
        let capacity = members.iter().filter(|member| member.runs).count();
        let has_place = members.len() < rule.pools_max;
        let ready: usize = members.iter().filter(|member| member.runs).map(|member| member.ready).sum();
        if members.is_empty() {
            return Decision::default();
        }
        if capacity < rule.pools_min && has_place {
            let reason = || Step::Up { reason: format!("fewer than {} pools ran", rule.pools_min) };
            return Decision::at(now, self.failed_until, reason);
        }
        if members.len() > rule.pools_max && capacity > rule.pools_min {
            return self.give_up_one(members, format!("there were more than {} pools", rule.pools_max));
        }
        if let Some(since) = self.known.loaded_since {
            if !has_place {
                return Decision::default();
            }
            let due = since.after(SCALE_HOLD).max(self.rests_until());
            return Decision::at(now, due, || Step::Up {
                reason: format!("{ready} tasks waited for {capacity} pools"),
            });
        }
        if ready > 0 || capacity <= rule.pools_min {
            return Decision::default();
        }
        self.down_when_idle(now, rule, members)
    }

    /// A step was taken: nothing more before the pause is over.
    pub fn stepped(&mut self, now: Tick) {
        self.known.stepped = Some(now);
    }

    /// The workers of a new member could not be started; trying again at once would fail again.
    pub fn failed(&mut self, now: Tick) {
        self.failed_until = now.after(SCALE_RETRY);
    }

    pub fn committed(&mut self) {
        self.durable.clone_from(&self.known);
    }

    /// The batch never was, nor was what it has changed.
    pub fn taken_back(&mut self) {
        self.known.clone_from(&self.durable);
    }

    /// A group with a free worker is not overloaded, however many tasks wait: they wait in other queues, which they do not
    /// leave, and one more pool would be idle too.
    fn observe(&mut self, now: Tick, rule: &Rule, members: &[Member]) {
        let running = || members.iter().filter(|member| member.runs);
        let ready: usize = running().map(|member| member.ready).sum();
        let enough = rule.up_queue.saturating_mul(running().count());
        let is_loaded =
            running().next().is_some() && ready >= enough && !running().any(|member| member.has_free_worker);
        self.known.loaded_since = is_loaded.then(|| self.known.loaded_since.unwrap_or(now));
        let before = std::mem::take(&mut self.known.idle_since);
        let idle = running().filter(|member| member.is_idle);
        self.known.idle_since = idle.map(|one| (one.id.clone(), before.get(&one.id).copied().unwrap_or(now))).collect();
    }

    fn rests_until(&self) -> Tick {
        self.known.stepped.map_or(Tick::ZERO, |at| at.after(SCALE_PAUSE)).max(self.failed_until)
    }

    fn down_when_idle(&self, now: Tick, rule: &Rule, members: &[Member]) -> Decision {
        let due = |since: &Tick| since.after(rule.down_idle).max(self.rests_until());
        let is_due = |member: &&Member| self.known.idle_since.get(&member.id).is_some_and(|since| due(since) <= now);
        if let Some(member) = members.iter().find(is_due) {
            let reason = format!("it was idle for {} s", rule.down_idle.as_secs_f64());
            return Decision { step: Some(Step::Down { pool: member.id.clone(), reason }), look_again: None };
        }
        Decision { step: None, look_again: self.known.idle_since.values().map(due).min() }
    }

    fn give_up_one(&self, members: &[Member], reason: String) -> Decision {
        let running = || members.iter().filter(|member| member.runs);
        let pool = running().find(|member| member.is_idle).or_else(|| running().next()).map(|member| member.id.clone());
        Decision { step: pool.map(|pool| Step::Down { pool, reason }), look_again: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule(pools_min: usize, pools_max: usize) -> Rule {
        Rule { pools_min, pools_max, up_queue: 2, down_idle: 10 * SECOND }
    }

    /// Pools by letters: `i`dle, `b`usy, `p`aused, and a digit for so many tasks that wait in a busy one.
    fn members(script: &str) -> Vec<Member> {
        let one = |(number, letter): (usize, char)| Member {
            id: PoolId::from(format!("g-{number}")),
            runs: letter != 'p',
            ready: letter.to_digit(10).unwrap_or(0) as usize,
            has_free_worker: letter == 'i',
            is_idle: letter == 'i',
        };
        script.chars().enumerate().map(one).collect()
    }

    /// Looks at a group at given seconds; `+`, `-` with the pool, or `.` with the second of the next look.
    fn check(rule: &Rule, looks: &str, expected: &str) {
        let mut scaling = Scaling::default();
        let mut told = Vec::new();
        for look in looks.split(' ') {
            let (second, script) = look.split_once(':').unwrap();
            let now = Tick::ZERO.after(second.parse::<u32>().unwrap() * SECOND);
            let decision = scaling.decide(now, rule, &members(script));
            told.push(match decision.step {
                Some(Step::Up { .. }) => "+".to_owned(),
                Some(Step::Down { ref pool, .. }) => format!("-{pool}"),
                None => decision.look_again.map_or(".".to_owned(), |at| format!(".{}", at.as_nanos() / 1_000_000_000)),
            });
            if decision.step.is_some() {
                scaling.stepped(now);
            }
        }
        assert_eq!(told.join(" "), expected, "{looks}");
    }

    #[test]
    fn load_that_lasts_is_one_step_and_then_a_pause() {
        check(&rule(1, 3), "10:5 11:5 12:5 12:5i 13:54 14:54 17:54", ".12 .12 + . .15 .15 +");
        check(&rule(1, 1), "10:5 20:5", ". .");
    }

    #[test]
    fn load_that_flaps_is_none() {
        check(&rule(1, 3), "10:5 11:1 12:5 13:1 14:5 15:b 16:5", ".12 . .14 . .16 . .18");
    }

    #[test]
    fn a_free_worker_means_that_another_pool_would_be_idle_too() {
        check(&rule(1, 3), "10:9i 20:9i 30:95 32:95", ". . .32 +");
    }

    #[test]
    fn idleness_that_lasts_is_one_step_down_to_the_least() {
        check(&rule(1, 3), "10:ib 15:ib 19:bb 20:ib 30:ib 31:b 90:i", ".20 .20 . .30 -g-0 . .");
        check(&rule(1, 3), "10:iii 20:iii 21:ii 23:ii 30:i", ".20 -g-0 .23 -g-0 .");
    }

    #[test]
    fn what_waits_in_one_pool_keeps_the_idle_ones() {
        check(&rule(1, 3), "10:i1 20:i1 30:ib", ". . -g-0");
    }

    #[test]
    fn outside_the_bounds_there_is_no_pause() {
        check(&rule(2, 3), "10:b 10:bb 10:bbb 10:bbib 10:bbb", "+ . . -g-2 .");
        check(&rule(2, 3), "10:bp 10:bpp 10:bbp", "+ . .");
        check(&rule(1, 2), "10:bpp 11:ppp", ". .");
    }

    #[test]
    fn workers_that_cannot_be_started_are_not_asked_for_at_once_again() {
        let mut scaling = Scaling::default();
        scaling.failed(Tick::ZERO);
        let decision = scaling.decide(Tick::ZERO, &rule(2, 3), &members("b"));
        assert_eq!(decision, Decision { step: None, look_again: Some(Tick::ZERO.after(SCALE_RETRY)) });
    }

    #[test]
    fn a_step_that_was_taken_back_asks_for_no_pause() {
        let mut scaling = Scaling::default();
        let at = |second: u32| Tick::ZERO.after(second * SECOND);
        scaling.decide(at(10), &rule(1, 3), &members("5"));
        scaling.committed();
        assert!(scaling.decide(at(12), &rule(1, 3), &members("5")).step.is_some());
        scaling.stepped(at(12));
        scaling.taken_back();
        assert!(scaling.decide(at(12), &rule(1, 3), &members("5")).step.is_some());
    }
}
