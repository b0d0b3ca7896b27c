//! Locks: tasks with the same key run one at a time, in whatever pools they are. Three agents in one repository would
//! collide.
//!
//! A task that is next in its queue while another holds its lock is put aside. When the lock is free, the first that was
//! put aside in each pool goes back to its queue, where its place has not changed: so a lock that is free always has a
//! candidate in the queue of every pool that wants it, and a release costs as much as there are pools, not tasks.

use super::Hub;
use super::tasks::Standing;
use crate::model::id::{PoolId, TaskSeq};
use crate::model::queue::Place;
use crate::model::task::Task;
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Locks {
    pub(super) by_key: HashMap<String, Lock>,
}

#[derive(Debug, Default)]
pub(super) struct Lock {
    pub(super) holder: Option<TaskSeq>,
    /// Put aside, by pool, in the order of their queues.
    pub(super) aside: BTreeMap<PoolId, BTreeSet<(Place, TaskSeq)>>,
}

impl Locks {
    fn is_held(&self, key: &str) -> bool {
        self.by_key.get(key).is_some_and(|lock| lock.holder.is_some())
    }

    fn put_aside(&mut self, key: &str, task: &Task, place: Place) {
        let lock = self.by_key.entry(key.to_owned()).or_default();
        lock.aside.entry(task.pool.clone()).or_default().insert((place, task.seq));
    }

    /// One that was put aside waits no longer.
    pub(super) fn leave(&mut self, task: &Task, place: Place) {
        let Some(key) = &task.lock else { return };
        let Some(lock) = self.by_key.get_mut(key) else { return };
        lock.remove(&task.pool, (place, task.seq));
        self.tidy_up(key);
    }

    /// The first that was put aside in that pool.
    fn next_of(&mut self, key: &str, pool: &PoolId) -> Option<TaskSeq> {
        let lock = self.by_key.get_mut(key)?;
        let first = *lock.aside.get(pool)?.first()?;
        lock.remove(pool, first);
        self.tidy_up(key);
        Some(first.1)
    }

    fn tidy_up(&mut self, key: &str) {
        if self.by_key.get(key).is_some_and(|lock| lock.holder.is_none() && lock.aside.is_empty()) {
            self.by_key.remove(key);
        }
    }
}

impl Lock {
    fn remove(&mut self, pool: &PoolId, entry: (Place, TaskSeq)) {
        if let Some(aside) = self.aside.get_mut(pool) {
            aside.remove(&entry);
            if aside.is_empty() {
                self.aside.remove(pool);
            }
        }
    }
}

impl Hub {
    /// Takes the next task out of a pool's queue whose lock is free, and its lock with it.
    pub(super) fn pop_runnable(&mut self, id: &PoolId) -> Option<TaskSeq> {
        loop {
            let pool = self.pools.get_mut(id)?;
            let seq = pool.queue.pop()?;
            let open = self.tasks.open.get_mut(&seq)?;
            match &open.task.lock {
                Some(key) if self.tasks.locks.is_held(key) => {
                    self.tasks.locks.put_aside(key, &open.task, open.place);
                    open.standing = Standing::Locked;
                    pool.waiting += 1;
                }
                _ => {
                    open.standing = Standing::Out;
                    self.take_lock(seq);
                    return Some(seq);
                }
            }
        }
    }

    pub(super) fn take_lock(&mut self, seq: TaskSeq) {
        if let Some(key) = self.tasks.get(seq).and_then(|task| task.lock.clone()) {
            self.tasks.locks.by_key.entry(key).or_default().holder = Some(seq);
        }
    }

    /// The task runs no more: whoever waits for its lock may.
    pub(super) fn release_lock(&mut self, task: &Task) {
        let Some(key) = &task.lock else { return };
        let Some(lock) = self.tasks.locks.by_key.get_mut(key) else { return };
        if lock.holder != Some(task.seq) {
            return;
        }
        lock.holder = None;
        let pools: Vec<PoolId> = lock.aside.keys().cloned().collect();
        for pool in pools {
            self.call_next(key, &pool);
        }
        self.tasks.locks.tidy_up(key);
    }

    /// A candidate for a free lock has left the queue of its pool: another takes its turn.
    pub(super) fn pass_lock_by(&mut self, seq: TaskSeq) {
        let Some(task) = self.tasks.get(seq) else { return };
        if let Some(key) = task.lock.clone().filter(|key| !self.tasks.locks.is_held(key)) {
            let pool = task.pool.clone();
            self.call_next(&key, &pool);
        }
    }

    fn call_next(&mut self, key: &str, pool: &PoolId) {
        let Some(seq) = self.tasks.locks.next_of(key, pool) else { return };
        let Some(pool) = self.pools.get_mut(pool) else { return };
        if let Some(open) = self.tasks.open.get_mut(&seq) {
            open.standing = Standing::Queued;
            pool.waiting -= 1;
            pool.queue.push(open.place, seq);
        }
    }
}
