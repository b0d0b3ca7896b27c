//! Telling of changes: queued under the lock, told in order after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::state::Change;
use super::{CHANGES_QUEUED_MAX, CircuitBreaker, CircuitState, Guarded};
use crate::resilience::event::{Event, StateChange, tell};

impl CircuitBreaker {
    /// Tells the queued changes in order. Whoever queues one meanwhile, an observer included, leaves it to this loop.
    pub(super) fn tell_changes(&self) {
        loop {
            let change = {
                let mut guarded = self.shared.guarded.lock();
                match guarded.changes.pop_front() {
                    Some(change) => change,
                    None => {
                        guarded.telling = false;
                        return;
                    }
                }
            };
            // A logger is somebody else's code too: should it panic, the changes behind this one are still told.
            drop(catch_unwind(AssertUnwindSafe(|| self.log_change(change))));
            let Change { seq, from, to, failures, revision, wait } = change;
            let breaker = Arc::clone(&self.shared.name);
            let change = StateChange { breaker, seq, from, to, failures, revision, wait };
            tell(&self.shared.effects.observers, &Event::StateChanged(change));
        }
    }

    fn log_change(&self, change: Change) {
        let (name, Change { from, to, failures, wait, .. }) = (&self.shared.name, change);
        let is_trial = matches!(
            (from, to),
            (CircuitState::Open, CircuitState::HalfOpen) | (CircuitState::HalfOpen, CircuitState::Open)
        );
        match (to, wait) {
            (CircuitState::Open, Some(wait)) if !is_trial => {
                log::warn!("circuit breaker opened breaker={name} from={from} failures={failures} wait={wait:?}");
            }
            // A trial, and one that failed: whoever was told that it opened has nothing new to hear.
            _ if is_trial => log::debug!("circuit breaker changed breaker={name} from={from} to={to}"),
            _ => log::info!("circuit breaker changed breaker={name} from={from} to={to}"),
        }
    }
}

impl Guarded {
    pub(super) fn queue(&mut self, change: Change) {
        if self.changes.len() < CHANGES_QUEUED_MAX {
            self.changes.push_back(change);
        } else if let Some(last) = self.changes.back_mut() {
            *last = Change { from: last.from, ..change };
        }
    }
}
