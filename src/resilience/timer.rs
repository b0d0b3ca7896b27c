//! Waiting, as something that can be injected: a [`Timer`] is a [`Clock`] that can also let time pass.

use super::cancel::CancelToken;
use crate::clock::{Clock, ManualClock, SystemClock, Tick};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The whole wait has passed.
    Elapsed,
    /// The token was cancelled first.
    Cancelled,
}

/// A clock one can wait by. Both its hands and its waits are under the test's control when it is a [`ManualClock`].
///
/// Breakers and budgets read it while they hold their lock, so it must not call back into this room.
pub trait Timer: Clock {
    /// Returns when the clock shows `until` or later, or as soon as `cancel` is cancelled, and never before either.
    fn wait_until(&self, until: Tick, cancel: &CancelToken) -> Waited;
}

impl Timer for SystemClock {
    fn wait_until(&self, until: Tick, cancel: &CancelToken) -> Waited {
        cancel.wait_until(self, until)
    }
}

/// Virtual time: a wait moves the hands and returns at once, so an hour of outage is tested in microseconds.
impl Timer for ManualClock {
    fn wait_until(&self, until: Tick, cancel: &CancelToken) -> Waited {
        if cancel.is_cancelled() {
            return Waited::Cancelled;
        }
        self.advance(self.tick().until(until));
        Waited::Elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_cancelled_wait_takes_no_virtual_time() {
        let (clock, cancel) = (ManualClock::new(), CancelToken::new());
        let until = Tick::ZERO.after(Duration::from_secs(5));
        assert_eq!(clock.wait_until(until, &cancel), Waited::Elapsed);
        assert_eq!(clock.tick(), until);
        cancel.cancel();
        assert_eq!(clock.wait_until(Tick::FAR, &cancel), Waited::Cancelled);
        assert_eq!(clock.tick(), until);
    }
}
