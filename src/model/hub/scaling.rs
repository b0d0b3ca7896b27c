//! Groups of pools that grow and shrink, by hand and by themselves. A pool has three workers for ever, so capacity is a
//! number of pools.

use super::timers::Timer;
use super::{Effects, Hub};
use crate::clock::{Now, Tick};
use crate::model::command::{Code, Refusal, Reply, Scale, Scaled};
use crate::model::event::Body;
use crate::model::id::PoolId;
use crate::model::limits::{POOLS_MAX, WORKERS_PER_POOL};
use crate::model::pool::{Pool, PoolRow, PoolStatus};
use crate::model::rows::Write;
use crate::model::scaling::{GroupRow, Member, Rule, Scaling, Step};
use std::cmp::Reverse;
use std::collections::BTreeMap;

type Answer = Result<Reply, Refusal>;

/// A group that scales itself.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rule: Rule,
    scaling: Scaling,
    /// When it is looked at although nothing has changed.
    pub(super) look: Option<Tick>,
}

impl Group {
    fn new(rule: Rule) -> Group {
        Group { rule, scaling: Scaling::default(), look: None }
    }
}

impl Hub {
    /// What was remembered of a group stays; steps of a batch that failed were none.
    pub(super) fn restore_groups(&mut self, now: Now, rows: Vec<GroupRow>) {
        let mut before = std::mem::take(&mut self.groups);
        for GroupRow { name, rule } in rows {
            let mut scaling = before.remove(&name).map(|group| group.scaling).unwrap_or_default();
            scaling.taken_back();
            // The timers are gone: it is looked at with the next batch, which this makes come.
            self.timers.set(now.tick, Timer::Scale(name.clone()));
            self.groups.insert(name, Group { rule, scaling, look: Some(now.tick) });
        }
    }

    pub(super) fn groups_committed(&mut self) {
        self.groups.values_mut().for_each(|group| group.scaling.committed());
    }

    pub(super) fn scale_due(&mut self, group: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.look = None;
        }
    }

    pub(super) fn scale_group(&mut self, now: Now, name: &str, scale: Scale, out: &mut Effects) -> Answer {
        if self.template(name).is_none() {
            let message = format!(
                "there is no pool in group {name} that could be copied; make the first with: \
                 claude-comms pool create {name}-1 --group {name}"
            );
            return Err(Refusal::not_found(message));
        }
        let (started, drained) = match scale {
            Scale::Show => (Vec::new(), Vec::new()),
            Scale::To(count) => self.scale_to(now, name, count, out)?,
            Scale::Automatic(rule) => {
                out.writes.push(Write::PutGroup(GroupRow { name: name.to_owned(), rule: rule.clone() }));
                let group = self.groups.entry(name.to_owned()).or_insert_with(|| Group::new(rule.clone()));
                group.rule = rule;
                (Vec::new(), Vec::new())
            }
            Scale::Off => {
                self.forget_group(name, out);
                (Vec::new(), Vec::new())
            }
        };
        let rule = self.groups.get(name).map(|group| group.rule.clone());
        let members = self.members(name).map(Pool::view).collect();
        Ok(Reply::Scaled(Box::new(Scaled { group: name.to_owned(), rule, started, drained, members })))
    }

    fn scale_to(
        &mut self,
        now: Now,
        name: &str,
        count: usize,
        out: &mut Effects,
    ) -> Result<(Vec<PoolId>, Vec<PoolId>), Refusal> {
        if let Some(Group { rule, .. }) = self.groups.get(name)
            && !(rule.pools_min..=rule.pools_max).contains(&count)
        {
            let (min, max) = (rule.pools_min, rule.pools_max);
            let message = format!(
                "group {name} scales itself between {min} and {max} pools; give a number of those, other bounds, or --off"
            );
            return Err(Refusal::new(Code::Conflict, message));
        }
        let missing = count.saturating_sub(self.capacity(name));
        if self.pools.len() + missing > POOLS_MAX {
            let message = format!(
                "that would be {} pools, and more than {POOLS_MAX} are not possible; delete some or ask for fewer",
                self.pools.len() + missing
            );
            return Err(Refusal::new(Code::Conflict, message));
        }
        let reason = format!("{count} pools were asked for");
        let started = (0..missing).filter_map(|_| self.start_member(now, name, &reason, out)).collect();
        let surplus = self.capacity(name).saturating_sub(count);
        let members = self.looked_at(name).into_iter().filter(|member| member.runs);
        let (idle, busy): (Vec<Member>, Vec<Member>) = members.partition(|member| member.is_idle);
        let drained: Vec<PoolId> = idle.into_iter().chain(busy).take(surplus).map(|member| member.id).collect();
        for id in &drained {
            self.retire_member(now, name, id, &reason, out);
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.scaling.stepped(now.tick);
        }
        Ok((started, drained))
    }

    /// Takes the steps of all groups that scale themselves. At the end of a batch, when every free worker has its task.
    pub(super) fn scale_groups(&mut self, now: Now, out: &mut Effects) {
        if self.stopping {
            return;
        }
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            let look = self.take_steps(now, &name, out);
            self.look_again(&name, look);
        }
    }

    fn take_steps(&mut self, now: Now, name: &str, out: &mut Effects) -> Option<Tick> {
        // Outside its bounds a group takes several steps at once, but no more than there can be pools.
        for _ in 0..POOLS_MAX {
            let members = self.looked_at(name);
            let Group { rule, scaling, .. } = self.groups.get_mut(name)?;
            let decision = scaling.decide(now.tick, rule, &members);
            match decision.step {
                None => return decision.look_again,
                // There are as many pools as there can be; it is looked at again when that changes.
                Some(Step::Up { reason }) => drop(self.start_member(now, name, &reason, out)?),
                Some(Step::Down { pool, reason }) => self.retire_member(now, name, &pool, &reason, out),
            }
            self.groups.get_mut(name)?.scaling.stepped(now.tick);
        }
        None
    }

    fn look_again(&mut self, name: &str, at: Option<Tick>) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if let Some(before) = std::mem::replace(&mut group.look, at) {
            self.timers.cancel(before, Timer::Scale(name.to_owned()));
        }
        if let Some(at) = at {
            self.timers.set(at, Timer::Scale(name.to_owned()));
        }
    }

    /// One more: a copy of the first. `None` when there can be no more pools.
    fn start_member(&mut self, now: Now, name: &str, reason: &str, out: &mut Effects) -> Option<PoolId> {
        if self.pools.len() >= POOLS_MAX {
            return None;
        }
        let free = |number: &usize| !self.pools.contains_key(&member_name(name, *number));
        let id = member_name(name, (1..=POOLS_MAX).find(free)?);
        let template = self.template(name)?;
        let row = PoolRow {
            group: template.group.clone(),
            command: template.command.clone(),
            directory: template.directory.clone(),
            environment: template.environment.clone(),
            on_stuck: template.on_stuck,
            ..PoolRow::new(id.clone(), template.executor, template.queue_max, template.timeout, now.wall)
        };
        out.writes.push(Write::PutPool(row.clone()));
        out.staff.push((id.clone(), None));
        self.pools.insert(id.clone(), Pool::new(row));
        self.tell_step(now, name, &id, true, reason, out);
        Some(id)
    }

    /// One less, which does what it has however long that takes.
    fn retire_member(&mut self, now: Now, name: &str, id: &PoolId, reason: &str, out: &mut Effects) {
        let Some(pool) = self.pools.get_mut(id) else { return };
        pool.row.retiring = true;
        self.drain(now, id, None, out);
        self.tell_step(now, name, id, false, reason, out);
    }

    fn tell_step(&mut self, now: Now, name: &str, id: &PoolId, is_up: bool, reason: &str, out: &mut Effects) {
        let worker_count = self.capacity(name) * WORKERS_PER_POOL;
        let body = Body::PoolScaling { pool: id.clone(), is_up, worker_count, reason: reason.to_owned() };
        self.emit(now, body, out);
    }

    /// The workers of a pool could not be started, and it is gone. If nobody asked for it, this is how it is told.
    pub(super) fn member_failed(&mut self, now: Now, pool: &PoolRow, is_asked: bool, error: &str, out: &mut Effects) {
        let Some(name) = &pool.group else { return };
        if let Some(group) = self.groups.get_mut(name) {
            group.scaling.failed(now.tick);
        }
        if !is_asked {
            self.tell_step(now, name, &pool.id, false, error, out);
        }
        self.member_gone(pool, out);
    }

    /// With its last pool a group is over.
    pub(super) fn member_gone(&mut self, pool: &PoolRow, out: &mut Effects) {
        if let Some(name) = &pool.group
            && self.groups.contains_key(name)
            && self.members(name).next().is_none()
        {
            self.forget_group(name, out);
        }
    }

    fn forget_group(&mut self, name: &str, out: &mut Effects) {
        self.look_again(name, None);
        if self.groups.remove(name).is_some() {
            out.writes.push(Write::DeleteGroup(name.to_owned()));
        }
    }

    fn members<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Pool> {
        self.pools.values().filter(move |pool| pool.row.group.as_deref() == Some(name))
    }

    /// The pool that new ones are copies of: the first of those that stay.
    fn template<'a>(&'a self, name: &'a str) -> Option<&'a PoolRow> {
        self.members(name).find(|pool| pool.row.status.accepts()).map(|pool| &pool.row)
    }

    /// How many run. A paused one is no capacity.
    fn capacity(&self, name: &str) -> usize {
        self.members(name).filter(|pool| pool.row.status == PoolStatus::Running).count()
    }

    /// The members that stay, the highest number first.
    fn looked_at(&self, name: &str) -> Vec<Member> {
        let open = self.members(name).filter(|pool| pool.row.status.accepts());
        let mut members: Vec<Member> = open.map(member).collect();
        members.sort_by_cached_key(|member| Reverse((number_of(name, &member.id), member.id.clone())));
        members
    }
}

pub(super) type Groups = BTreeMap<String, Group>;

fn member_name(group: &str, number: usize) -> PoolId {
    PoolId::from(format!("{group}-{number}"))
}

/// A pool that was given a name of its own has no number and is given up last.
fn number_of(group: &str, id: &PoolId) -> Option<usize> {
    id.as_str().strip_prefix(group)?.strip_prefix('-')?.parse().ok()
}

fn member(pool: &Pool) -> Member {
    Member {
        id: pool.row.id.clone(),
        runs: pool.row.status == PoolStatus::Running,
        ready: pool.queue.len(),
        // One whose threads are being started will have one in a moment.
        // Another pool would find the same agent without a login, or over its limit.
        has_free_worker: !pool.staffed || pool.hold.is_some() || pool.free_worker().is_some(),
        is_idle: pool.staffed && pool.load() == 0,
    }
}
