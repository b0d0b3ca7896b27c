//! A flag that says "stop", and wakes whoever is waiting in the meantime.

use std::sync::Arc;

use super::sync::{Condvar, Mutex};
use super::timer::Waited;
use crate::clock::{Clock, Tick};

/// Tells a retry to stop, even in the middle of a wait. Clones share the flag; once set it stays set.
#[derive(Clone, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

impl CancelToken {
    /// A token that nobody has cancelled yet.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Sets the flag and wakes everybody who waits with this token.
    pub fn cancel(&self) {
        // Set under the lock, so that it cannot fall between a waiter's look at the flag and its wait.
        *self.shared.cancelled.lock() = true;
        self.shared.changed.notify_all();
    }

    /// Whether anybody has.
    pub fn is_cancelled(&self) -> bool {
        *self.shared.cancelled.lock()
    }

    /// Waits until `clock` shows `until` or the token is cancelled. Wakes in between change nothing: the clock decides.
    pub fn wait_until(&self, clock: &dyn Clock, until: Tick) -> Waited {
        let mut cancelled = self.shared.cancelled.lock();
        loop {
            if *cancelled {
                return Waited::Cancelled;
            }
            let now = clock.tick();
            if now >= until {
                return Waited::Elapsed;
            }
            self.shared.changed.wait_for(&mut cancelled, now.until(until));
        }
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}
