//! When cycles are due: at fixed distances from the first one, however long they take.

use crate::clock::Tick;
use crate::resilience::Rng;
use std::time::Duration;

/// The first cycle comes after a share of the interval that is left to chance, one fifth at most, and no more than this.
const START_JITTER_MAX: Duration = Duration::from_secs(5);

/// Pure: time is an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    interval: Duration,
    next: Tick,
}

impl Schedule {
    /// Begins soon, but not together with others that begin now.
    pub(super) fn starting(now: Tick, interval: Duration, rng: &dyn Rng) -> Schedule {
        let jitter_max = nanos((interval / 5).min(START_JITTER_MAX));
        let jitter = rng.next_u64() % (jitter_max + 1);
        Schedule { interval, next: now.after(Duration::from_nanos(jitter)) }
    }

    pub(super) fn next(&self) -> Tick {
        self.next
    }

    pub(super) fn is_due(&self, now: Tick) -> bool {
        self.next <= now
    }

    /// After a cycle: what was missed meanwhile is left out, so that no two cycles follow each other at once and the rest
    /// stays where it was planned.
    pub(super) fn advance(&mut self, now: Tick) {
        if !self.is_due(now) {
            return;
        }
        let interval = nanos(self.interval).max(1);
        let behind = nanos(now.since(self.next)) % interval;
        self.next = now.after(Duration::from_nanos(interval - behind));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
