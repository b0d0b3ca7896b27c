//! What becomes due when: a sorted set, so that the hub sleeps until the first and never scans.

use crate::clock::Tick;
use crate::model::id::{AskId, PoolId, TaskSeq, WatchId};
use std::collections::BTreeSet;

use super::pictures::Subject;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A watch's time runs out.
    Watch(WatchId),
    /// Somebody has waited long enough.
    Wait(AskId),
    /// A delayed or failed task may run.
    Task(TaskSeq),
    /// Nothing was heard of a busy worker for long.
    Stuck(PoolId, u8),
    /// A pool that is deleted has had its time.
    Drain(PoolId),
    /// The breaker of a pool may let a task through.
    Hold(PoolId),
    /// A group of pools may have to be scaled although nothing has changed.
    Scale(String),
    /// A picture that was held back may be sent.
    Picture(Subject),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    pub(super) due: BTreeSet<(Tick, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Tick, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, at: Tick, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    pub(super) fn first(&self) -> Option<Tick> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Tick) -> Option<Timer> {
        if self.first()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }

    /// The waits that are over.
    pub(super) fn due_waits(&self, now: Tick) -> Vec<(Tick, AskId)> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.filter_map(|(at, timer)| if let Timer::Wait(ask) = timer { Some((*at, *ask)) } else { None }).collect()
    }

    /// Askers outlive a rebuild of the state; everything else is set again from the store.
    pub(super) fn keep_only_waits(&mut self) {
        self.due.retain(|(_, timer)| matches!(timer, Timer::Wait(_)));
    }
}
