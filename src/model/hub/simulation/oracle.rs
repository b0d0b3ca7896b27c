//! What must hold whatever happens. Each check says in words what does not.

use crate::clock::{Clock, Tick};
use crate::model::command::{Refusal, Reply};
use crate::model::event::Body;
use crate::model::hub::closing::SENTENCE;
use crate::model::hub::driver::Driver;
use crate::model::hub::tasks::Standing;
use crate::model::hub::timers::Timer;
use crate::model::hub::{Hub, HubSettings, Run};
use crate::model::id::{AskId, MessageId, PoolId, TaskId, TaskSeq, Token};
use crate::model::limits::{PICTURE_INTERVAL, STUCK_AFTER};
use crate::model::message::Status;
use crate::model::pool::{Pool, PoolStatus};
use crate::model::task::TaskStatus;
use crate::model::watch::status_of_task;
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Verdict = Result<(), String>;

#[derive(Default)]
pub(super) struct Oracle {
    /// Asked and not answered yet.
    pub(super) open: BTreeSet<AskId>,
    /// Gone once a batch that says so is committed.
    forgetting: Vec<AskId>,
    /// What somebody was told is accepted.
    acknowledged: BTreeSet<TaskId>,
    completed: BTreeSet<TaskSeq>,
    last_token: Option<Token>,
    /// Messages that had a watch of their own at some time.
    watched: BTreeSet<MessageId>,
    /// Tasks of pools that their group gave up: they may end in any way but by that.
    outlasting: BTreeSet<TaskSeq>,
    pictured: BTreeMap<(&'static str, String, u8), Tick>,
    /// The last that was shown of each pool and worker.
    shown: BTreeMap<(&'static str, String, u8), Body>,
    /// How often what happened, so that a test can tell that something did.
    pub(super) tally: BTreeMap<String, usize>,
}

pub(super) fn ensure(holds: bool, sentence: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(sentence()) }
}

impl Oracle {
    pub(super) fn forget(&mut self, ask: AskId) {
        self.forgetting.push(ask);
    }

    /// Everybody who waited is gone with the daemon.
    pub(super) fn crashed(&mut self) {
        self.open.clear();
        self.forgetting.clear();
        self.pictured.clear();
        self.shown.clear();
    }

    /// After a batch; `committed` unless it was taken back.
    pub(super) fn check(&mut self, driver: &mut Driver, committed: bool) -> Verdict {
        if let Some(violation) = driver.rows.violations.pop() {
            return Err(violation);
        }
        for (ask, answer) in std::mem::take(&mut driver.answers) {
            self.answered(driver, ask, &answer)?;
        }
        if !committed {
            return Ok(());
        }
        for ask in self.forgetting.drain(..) {
            self.open.remove(&ask);
        }
        self.check_shrinking(driver)?;
        check_groups(driver)?;
        self.check_pictures(driver)?;
        check_idle(&driver.hub, driver.clock.tick())?;
        self.check_tasks(driver)?;
        check_timers(&driver.hub)?;
        check_standing(driver)?;
        check_watches(driver)?;
        super::workflows::check(driver)?;
        self.check_unresolved(driver)?;
        check_agreement(driver)
    }

    fn answered(&mut self, driver: &Driver, ask: AskId, answer: &Result<Reply, Refusal>) -> Verdict {
        ensure(self.open.remove(&ask), || format!("answered: {ask:?} was answered again, or after it was gone"))?;
        self.count(match answer {
            Ok(reply) => format!("{reply:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
            Err(refusal) => refusal.code.as_str().to_owned(),
        });
        match answer {
            Ok(Reply::Submitted { task, duplicate, .. }) => {
                let known = driver.rows.tables.tasks.values().any(|row| row.id == *task);
                ensure(known, || format!("lost: task {task} was acknowledged and is not stored"))?;
                ensure(*duplicate || !self.acknowledged.contains(task), || {
                    format!("twice: {task} was submitted twice")
                })?;
                self.acknowledged.insert(task.clone());
            }
            Ok(Reply::Started { workflow, .. }) => super::workflows::is_whole(driver, workflow)?,
            Ok(Reply::Asked(asked)) => drop(self.acknowledged.insert(asked.task.clone())),
            _ => {}
        }
        Ok(())
    }

    /// A task goes to a worker.
    pub(super) fn dispatched(&mut self, driver: &Driver, run: &Run) -> Verdict {
        let token = self.last_token.replace(run.token);
        ensure(token < Some(run.token), || format!("token: {:?} was given out after {token:?}", run.token))?;
        ensure(!self.completed.contains(&run.seq), || format!("again: {} was completed and runs", run.id))?;
        let row = &driver.rows.tables.tasks[&run.seq];
        let claimed = row.status == TaskStatus::Running && row.token == Some(run.token) && row.slot == Some(run.slot);
        ensure(claimed, || format!("undurable: {} runs, but stored is {row:?}", run.id))?;
        ensure(!row.cancel_requested, || format!("cancel: {} was to be cancelled and runs again", run.id))?;
        let queued = driver.hub.pools[&run.pool].queue.tasks();
        let passed_over = queued.into_iter().find(|seq| {
            let other = &driver.hub.tasks.open[seq].task;
            *seq < run.seq && other.priority == row.priority
        });
        ensure(passed_over.is_none(), || format!("order: {:?} was served before {passed_over:?}", run.seq))
    }

    fn check_pictures(&mut self, driver: &mut Driver) -> Verdict {
        let now = driver.clock.tick();
        for event in std::mem::take(&mut driver.events) {
            if let Body::PoolScaling { is_up, .. } = &event.body {
                self.count(format!("scaled {}", if *is_up { "up" } else { "down" }));
            }
            let subject = match &event.body {
                Body::PoolStatus { pool, .. } => ("pool", pool.to_string(), 0),
                Body::WorkerStatus { pool, slot, .. } => ("worker", pool.to_string(), *slot),
                Body::MessageContent { message_id, .. } => ("message", message_id.to_string(), 0),
                Body::UpstreamPolled { upstream, .. } => ("upstream", upstream.to_string(), 0),
                // A pool of the same name that comes later begins anew.
                Body::PoolClosed { pool, .. } => {
                    self.shown.retain(|(kind, id, _), _| {
                        matches!(*kind, "message" | "upstream") || id.as_str() != pool.as_str()
                    });
                    continue;
                }
                _ => continue,
            };
            if let Some(last) = self.pictured.insert(subject.clone(), now) {
                let since = now.since(last);
                ensure(since >= PICTURE_INTERVAL, || format!("pictures: {subject:?} again after {since:?}"))?;
            }
            self.shown.insert(subject, event.body);
        }
        Ok(())
    }

    fn check_tasks(&mut self, driver: &Driver) -> Verdict {
        for task in driver.rows.tables.tasks.values() {
            if task.status == TaskStatus::Completed && self.completed.insert(task.seq) {
                let result = driver.rows.tables.results.get(&task.seq).and_then(|result| result.result.clone());
                let own = task.token.map(result_of);
                ensure(result.as_deref() == own.as_deref(), || {
                    format!("stale: {task:?} was completed with {result:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Nothing is lost when a group shrinks, unless somebody deletes the pool as well.
    fn check_shrinking(&mut self, driver: &Driver) -> Verdict {
        let tables = &driver.rows.tables;
        for seq in std::mem::take(&mut self.outlasting) {
            let task = &tables.tasks[&seq];
            let retires = tables.pools.get(&task.pool).is_some_and(|pool| pool.retiring);
            let error = tables.results.get(&seq).and_then(|result| result.error.as_deref());
            let lost = task.status == TaskStatus::Cancelled && error == Some(SENTENCE);
            ensure(!retires || !lost, || format!("shrunk: {} was cancelled when its group shrank", task.id))?;
        }
        let retires = |id: &PoolId| tables.pools.get(id).is_some_and(|pool| pool.retiring);
        let open = tables.tasks.values().filter(|task| !task.status.is_final() && retires(&task.pool));
        self.outlasting = open.map(|task| task.seq).collect();
        Ok(())
    }

    pub(super) fn count(&mut self, what: String) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn count_ends(&mut self, driver: &Driver) {
        for task in driver.rows.tables.tasks.values() {
            let reason = task.reason.map_or("", |reason| reason.as_str());
            self.count(format!("task {} {reason}", task.status.as_str()).trim().to_owned());
            self.count(if task.attempt > 1 { "task again" } else { "task once" }.to_owned());
        }
        for watch in driver.rows.tables.watches.values() {
            self.count(format!("watch {}", watch.status));
            if watch.message_id.is_some() && watch.task_id.is_some() {
                self.count("watch of both".to_owned());
            }
        }
        for workflow in driver.rows.tables.workflows.values() {
            self.count(format!("workflow {}", workflow.status.as_str()));
        }
        for message in driver.rows.tables.messages.values() {
            self.count(format!("{} {}", message.kind, message.status));
        }
    }

    /// A watch on what is not known waits for a message about it, and takes the first that nobody watches.
    fn check_unresolved(&mut self, driver: &Driver) -> Verdict {
        let tables = &driver.rows.tables;
        self.watched.extend(tables.watches.values().filter_map(|watch| watch.message_id.clone()));
        for watch in tables.watches.values().filter(|watch| watch.is_active() && watch.message_id.is_none()) {
            let Some(task) = watch.task_id.as_ref().filter(|id| tables.tasks.values().all(|task| task.id != **id))
            else {
                continue;
            };
            let about = tables.messages.iter().find(|(id, row)| {
                let named = id.as_str() == task.as_str() || row.task_id.as_deref() == Some(task.as_str());
                named && !self.watched.contains(*id)
            });
            ensure(about.is_none(), || format!("unresolved: {watch:?} does not follow {about:?}"))?;
        }
        Ok(())
    }

    /// Once everything has come to its end.
    pub(super) fn check_end(&mut self, driver: &Driver) -> Verdict {
        self.count_ends(driver);
        let hub = &driver.hub;
        ensure(self.open.is_empty(), || format!("unanswered: {:?}", self.open))?;
        ensure(hub.parking.parked.is_empty(), || format!("unanswered: still parked are {:?}", hub.parking))?;
        ensure(hub.next_deadline().is_none(), || format!("timers were left: {:?}", hub.timers))?;
        for id in &self.acknowledged {
            let row = driver.rows.tables.tasks.values().find(|task| task.id == *id);
            let ended = row.is_some_and(|task| task.status.is_final());
            ensure(ended, || format!("lost: {id} never ended, it is {row:?}"))?;
        }
        let open = driver.rows.tables.tasks.values().find(|task| !task.status.is_final());
        ensure(open.is_none(), || format!("lost: never ended: {open:?}"))?;
        for (name, group) in &hub.groups {
            let count = hub.pools.values().filter(|pool| pool.row.group.as_ref() == Some(name)).count();
            let bounds = group.rule.pools_min..=group.rule.pools_max;
            ensure(bounds.contains(&count), || format!("groups: {name} has settled at {count}, not in {bounds:?}"))?;
        }
        let open = driver.rows.tables.workflows.values().find(|row| !row.status.is_final());
        ensure(open.is_none(), || format!("workflow: never ended: {open:?}"))?;
        self.check_shown(hub)
    }

    /// The last picture of a pool or worker is what it looks like now.
    fn check_shown(&self, hub: &Hub) -> Verdict {
        for picture in self.shown.values() {
            let same = match picture {
                Body::PoolStatus { pool, queue_size, active_workers, completed, failed, .. } => {
                    hub.pools.get(pool).is_none_or(|pool| {
                        let counts = (*queue_size, *active_workers, *completed, *failed);
                        counts == (pool.pending(), pool.running(), pool.row.completed, pool.row.failed)
                    })
                }
                Body::WorkerStatus { pool, slot, status } => {
                    hub.pools.get(pool).is_none_or(|pool| pool.workers[usize::from(*slot)].status() == *status)
                }
                _ => true,
            };
            ensure(same, || format!("pictures: the last one is out of date: {picture:?}"))?;
        }
        Ok(())
    }
}

/// What an honest worker answers for an attempt.
pub(super) fn result_of(token: Token) -> String {
    format!("by {}", token.0)
}

fn check_idle(hub: &Hub, now: Tick) -> Verdict {
    let can = |id: &PoolId| hub.pools[id].staffed && hub.pools[id].row.status.dispatches() && !hub.stopping;
    let idle =
        hub.pools.values().find(|pool| pool.free_worker().is_some() && !pool.queue.is_empty() && can(&pool.row.id));
    let idle = idle.filter(|pool| hub.lets_through(now, pool));
    let drained = |pool: &&Pool| pool.row.status == PoolStatus::Draining && pool.staffed && pool.load() == 0;
    let left = hub.pools.values().find(drained);
    ensure(left.is_none(), || format!("drained: {left:?} has nothing to do and has not ended"))?;
    ensure(idle.is_none(), || format!("idle: a worker of {idle:?} has nothing to do while a task waits"))
}

/// Each timer has something it is for, and each wait has its timer.
fn check_timers(hub: &Hub) -> Verdict {
    let count = |kind: fn(&Timer) -> bool| hub.timers.due.iter().filter(|(_, timer)| kind(timer)).count();
    let set = [
        count(|timer| matches!(timer, Timer::Watch(_))),
        count(|timer| matches!(timer, Timer::Wait(_))),
        count(|timer| matches!(timer, Timer::Task(_))),
        count(|timer| matches!(timer, Timer::Picture(_))),
        count(|timer| matches!(timer, Timer::Stuck(..))),
    ];
    let holds = count(|timer| matches!(timer, Timer::Hold(_)));
    let held = hub.pools.values().filter(|pool| pool.hold.is_some()).count();
    ensure(holds <= held, || format!("timers: {holds} are set for {held} held pools"))?;
    let draining = hub.pools.values().filter(|pool| pool.drained_by.is_some()).count();
    let drains = count(|timer| matches!(timer, Timer::Drain(_)));
    ensure(drains <= draining, || format!("timers: {drains} are set to end {draining} draining pools"))?;
    let needed = [
        hub.watches.by_id.values().filter(|watch| watch.expires_at.is_some()).count(),
        hub.parking.parked.values().filter(|parked| parked.deadline.is_some()).count(),
        standing(hub, |standing| matches!(standing, Standing::Delayed(_))),
        hub.pictures.changed.len(),
        hub.quiet.len(),
    ];
    ensure(set == needed, || format!("timers: set are {set:?}, needed are {needed:?}"))
}

/// A group that scales itself is never above its bounds, exists as long as it has pools, and has its timer.
fn check_groups(driver: &Driver) -> Verdict {
    let hub = &driver.hub;
    for (name, group) in &hub.groups {
        let of_group = || hub.pools.values().filter(|pool| pool.row.group.as_ref() == Some(name));
        let open = of_group().filter(|pool| pool.row.status.accepts()).count();
        let running = of_group().filter(|pool| pool.row.status == PoolStatus::Running).count();
        let (min, max) = (group.rule.pools_min, group.rule.pools_max);
        ensure(hub.stopping || open <= max || running <= min, || format!("groups: {open} pools in {name}, not {max}"))?;
        ensure(of_group().next().is_some(), || format!("groups: {name} has no pool and is kept"))?;
    }
    let stored: BTreeMap<_, _> = driver.rows.tables.groups.iter().map(|(name, row)| (name, &row.rule)).collect();
    let known: BTreeMap<_, _> = hub.groups.iter().map(|(name, group)| (name, &group.rule)).collect();
    ensure(stored == known, || format!("disagree: known are {known:?}, stored are {stored:?}"))?;
    let timers = hub.timers.due.iter().filter(|(_, timer)| matches!(timer, Timer::Scale(_))).count();
    let looks = hub.groups.values().filter(|group| group.look.is_some()).count();
    ensure(timers == looks, || format!("timers: {timers} looks at groups are set, {looks} are known"))
}

fn standing(hub: &Hub, is_counted: fn(&Standing) -> bool) -> usize {
    hub.tasks.open.values().filter(|open| is_counted(&open.standing)).count()
}

/// Tasks stand where they should: each in one place, no two under one lock, none behind what will never be completed.
fn check_standing(driver: &Driver) -> Verdict {
    let hub = &driver.hub;
    let aside = |standing: &Standing| matches!(standing, Standing::Delayed(_) | Standing::Blocked | Standing::Locked);
    let waiting: usize = hub.pools.values().map(|pool| pool.waiting).sum();
    ensure(waiting == standing(hub, aside), || format!("queue: {waiting} tasks are counted as waiting"))?;
    let mut running = BTreeSet::new();
    for task in driver.rows.running() {
        let alone = task.lock.as_ref().is_none_or(|key| running.insert(key.clone()));
        ensure(alone, || format!("lock: {} runs beside another one with its lock", task.id))?;
    }
    for (key, lock) in &hub.tasks.locks.by_key {
        let held = lock.holder.is_some();
        ensure(held == running.contains(key), || format!("lock: {key} is held by {:?}", lock.holder))?;
        for pool in lock.aside.keys().filter(|_| !held) {
            let candidate = hub.tasks.open.values().find(|open| {
                open.standing == Standing::Queued && open.task.lock.as_ref() == Some(key) && open.task.pool == *pool
            });
            ensure(candidate.is_some(), || format!("lock: {key} is free, and nobody in {pool} has a turn"))?;
        }
    }
    check_needs(driver)
}

fn check_needs(driver: &Driver) -> Verdict {
    let tables = &driver.rows.tables;
    for open in driver.hub.tasks.open.values().filter(|open| open.task.status == TaskStatus::Pending) {
        let seq = open.task.seq;
        let needs =
            tables.dependencies.iter().filter(|(task, _)| *task == seq).map(|(_, needed)| &tables.tasks[needed]);
        let mut missing = 0;
        for needed in needs {
            let hopeless = needed.status.is_final() && needed.status != TaskStatus::Completed;
            ensure(!hopeless, || format!("needs: {} waits for {:?}", open.task.id, needed))?;
            missing += usize::from(!needed.status.is_final());
        }
        let blocked = open.standing == Standing::Blocked;
        ensure(missing == open.needs.len() && blocked == (missing > 0), || {
            format!("needs: {} stands {:?} and counts {:?} of {missing}", open.task.id, open.standing, open.needs)
        })?;
    }
    Ok(())
}

/// An active watch shows what is stored of what it follows.
fn check_watches(driver: &Driver) -> Verdict {
    for watch in driver.rows.tables.watches.values().filter(|watch| watch.is_active()) {
        let tables = &driver.rows.tables;
        let expected = match (&watch.message_id, &watch.task_id) {
            (Some(message), _) => tables.messages.get(message).map(|row| row.status.clone()),
            (None, Some(id)) => {
                tables.tasks.values().find(|task| task.id == *id).map(|task| status_of_task(task.status))
            }
            (None, None) => None,
        };
        let expected = expected.unwrap_or(Status::Unknown);
        ensure(watch.status == expected, || format!("watch: {watch:?} should show {expected}"))?;
    }
    Ok(())
}

/// A hub that starts from the store knows the same as the one that wrote it.
fn check_agreement(driver: &Driver) -> Verdict {
    let hub = &driver.hub;
    let settings = HubSettings {
        watches_max: 1,
        watch_timeout: PICTURE_INTERVAL,
        stuck_after: STUCK_AFTER,
        try_pause: PICTURE_INTERVAL,
        on_crash: None,
    };
    let mut fresh = Hub::new(settings);
    fresh.restore(driver.clock.now(), driver.rows.snapshot());
    ensure(fresh.seq == hub.seq, || format!("numbers: stored is {}, known is {}", fresh.seq, hub.seq))?;
    ensure(fresh.next_token == hub.next_token.max(1), || {
        format!("token: {} is next, not {}", hub.next_token, fresh.next_token)
    })?;
    ensure(fresh.next_task_seq == hub.next_task_seq, || "numbers: the next task has another number".to_owned())?;
    ensure(fresh.tasks.open.len() == hub.tasks.open.len(), || {
        "disagree: not the same number of open tasks".to_owned()
    })?;
    for (seq, open) in &hub.tasks.open {
        let stored = fresh.tasks.open.get(seq).map(|open| &open.task);
        ensure(stored == Some(&open.task), || format!("disagree: known is {:?}, stored is {stored:?}", open.task))?;
    }
    ensure(fresh.tasks.by_id == hub.tasks.by_id, || "disagree: tasks by id".to_owned())?;
    ensure(fresh.tasks.by_key == hub.tasks.by_key, || "disagree: tasks by key".to_owned())?;
    let (stored, known) = (&fresh.watches, &hub.watches);
    ensure(stored.by_id == known.by_id, || format!("disagree: watches {:?}, stored {:?}", known.by_id, stored.by_id))?;
    let indexes = stored.by_message == known.by_message && stored.by_task == known.by_task;
    ensure(indexes && stored.unresolved == known.unresolved, || "disagree: indexes of watches".to_owned())?;
    super::workflows::check_agreement(&fresh, hub)?;
    super::alerting::check_agreement(&fresh, hub)?;
    super::polling::check_agreement(&fresh, hub)?;
    check_pools(&fresh, hub)
}

fn check_pools(fresh: &Hub, hub: &Hub) -> Verdict {
    ensure(fresh.pools.keys().eq(hub.pools.keys()), || "disagree: not the same pools".to_owned())?;
    for (id, pool) in &hub.pools {
        let stored = &fresh.pools[id];
        ensure(stored.row == pool.row, || format!("disagree: known is {:?}, stored is {:?}", pool.row, stored.row))?;
        let (queued, expected) = (pool.pending(), stored.pending());
        ensure(queued == expected, || format!("queue: {queued} tasks wait in {id}, stored are {expected}"))?;
        for (worker, other) in pool.workers.iter().zip(&stored.workers) {
            ensure(worker.claimed == other.claimed, || format!("disagree: claims of {id}"))?;
        }
    }
    Ok(())
}
