//! Who is told, and how a breaker's changes get there.

use super::report::CycleReport;
use crate::resilience::circuit_breaker::CHANGES_QUEUED_MAX;
use crate::resilience::{CircuitState, Event, Observer, StateChange};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Is told what a poller does. Always called on the poller's own thread, one call after the other and without any lock held;
/// what takes long delays the next cycle, and a panic is logged and otherwise without effect.
pub trait Listener: Send + Sync {
    /// A cycle has ended. Whoever asked for it gets the same report right after.
    fn polled(&self, report: &CycleReport) {
        let _ = report;
    }

    /// The breaker has changed. `wait` is how long it will stay open, and `snapshot` what
    /// [`restore_breaker`](super::Poller::restore_breaker) takes.
    fn breaker_changed(&self, from: CircuitState, to: CircuitState, wait: Option<Duration>, snapshot: String) {
        let _ = (from, to, wait, snapshot);
    }
}

/// Nobody.
impl Listener for () {}

/// Calls somebody else's code.
pub(super) fn tell(told: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(told)).is_err() {
        log::error!("a listener of a poller panicked, carrying on");
    }
}

/// Changes of a breaker that the listener has yet to hear of. They are told by the poller's thread rather than by whoever
/// caused them, who may hold locks of his own; and the breaker, which holds this, need not be held by it in turn.
#[derive(Debug, Default)]
pub(super) struct Changes {
    queue: Mutex<VecDeque<StateChange>>,
}

impl Changes {
    pub(super) fn next(&self) -> Option<StateChange> {
        self.queue.lock().pop_front()
    }

    pub(super) fn forget(&self) {
        self.queue.lock().clear();
    }
}

impl Observer for Changes {
    fn observe(&self, event: &Event<'_>) {
        let Event::StateChanged(change) = event else { return };
        let mut queue = self.queue.lock();
        if queue.len() < CHANGES_QUEUED_MAX {
            queue.push_back(change.clone());
        } else if let Some(last) = queue.back_mut() {
            *last = StateChange { from: last.from, ..change.clone() };
        }
    }

    fn counts_calls(&self) -> bool {
        false
    }
}
