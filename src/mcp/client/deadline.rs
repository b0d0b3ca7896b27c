//! How long a call may take in all, whatever it consists of.

use crate::clock::{Clock, Tick};
use std::time::Duration;

/// A point in time, and the limit that led to it, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Tick,
    timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration, clock: &impl Clock) -> Deadline {
        Deadline { at: clock.tick().after(timeout), timeout }
    }

    pub(super) fn timeout(self) -> Duration {
        self.timeout
    }

    /// `None` when nothing remains.
    pub(super) fn remaining(self, clock: &impl Clock) -> Option<Duration> {
        Some(clock.tick().until(self.at)).filter(|remaining| !remaining.is_zero())
    }
}
