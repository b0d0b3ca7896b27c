//! How other threads end a run that is in progress: what is asked, kept in an atomic, and the eventfd that wakes the
//! poll of the worker.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Why a run is asked to end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A person wants this task no longer. It weighs more than a shutdown: a cancelled task must not be queued again.
    Cancel,
    /// The daemon is about to end; the task may run again later. It weighs more than the next one.
    Shutdown,
    /// It has written nothing for too long.
    Stuck,
}

/// A handle to end the runs of one worker from any thread; clones share it.
///
/// It remembers one request, that with the highest token, so a worker's runs must have ascending tokens (from 1).
#[derive(Clone, Debug)]
pub struct Wake(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    event: OwnedFd,
    /// The token in the upper 62 bits, below it what is asked, by weight: 0 nothing, then as the constants.
    asked: AtomicU64,
    impatient: AtomicBool,
}

const STUCK: u64 = 1;
const SHUTDOWN: u64 = 2;
const CANCEL: u64 = 3;
const STOP_BITS: u32 = 2;

impl Wake {
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Wake> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Wake(Arc::new(Inner { event, asked: AtomicU64::new(0), impatient: AtomicBool::new(false) })))
    }

    /// Asks the run with that token to end: TERM to its process group, KILL after the grace. May come before the run
    /// starts, which it then does not. Never blocks. A request for an earlier token than the last one is ignored.
    pub fn ask(&self, token: u64, stop: Stop) {
        let kind = match stop {
            Stop::Cancel => CANCEL,
            Stop::Shutdown => SHUTDOWN,
            Stop::Stuck => STUCK,
        };
        // The maximum is both rules at once: a later token wins, and for one token what weighs more.
        self.0.asked.fetch_max((token << STOP_BITS) | kind, Ordering::SeqCst);
        self.ring();
    }

    /// From now on nothing of this worker is granted any grace: what runs is killed, what comes is not started.
    pub fn kill_now(&self) {
        self.0.impatient.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(super) fn asked(&self, token: u64) -> Option<Stop> {
        let asked = self.0.asked.load(Ordering::SeqCst);
        if asked >> STOP_BITS == token {
            match asked & CANCEL {
                CANCEL => return Some(Stop::Cancel),
                SHUTDOWN => return Some(Stop::Shutdown),
                STUCK => return Some(Stop::Stuck),
                _ => {}
            }
        }
        self.is_impatient().then_some(Stop::Shutdown)
    }

    pub(super) fn is_impatient(&self) -> bool {
        self.0.impatient.load(Ordering::SeqCst)
    }

    /// Forgets that it was woken. Call it before looking at what is asked: then a request that comes in between wakes
    /// once too often rather than never.
    pub(super) fn hush(&self) {
        let mut count = [0; 8];
        // Fails only when there is nothing to forget.
        let _ = rustix::io::read(&self.0.event, &mut count);
    }

    fn ring(&self) {
        // Fails only when the counter is full, and then the reader is awake anyway.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_its_token_only() {
        let wake = Wake::new().unwrap();
        assert_eq!(wake.asked(1), None);
        wake.ask(2, Stop::Shutdown);
        assert_eq!((wake.asked(1), wake.asked(2), wake.asked(3)), (None, Some(Stop::Shutdown), None));
        wake.ask(1, Stop::Cancel);
        assert_eq!((wake.asked(1), wake.asked(2)), (None, Some(Stop::Shutdown)));
    }

    #[test]
    fn a_cancel_outweighs_a_shutdown_and_that_a_silence() {
        let wake = Wake::new().unwrap();
        wake.ask(1, Stop::Cancel);
        wake.ask(1, Stop::Shutdown);
        assert_eq!(wake.asked(1), Some(Stop::Cancel));
        wake.ask(2, Stop::Stuck);
        assert_eq!(wake.asked(2), Some(Stop::Stuck));
        wake.ask(2, Stop::Shutdown);
        wake.ask(2, Stop::Stuck);
        assert_eq!(wake.asked(2), Some(Stop::Shutdown));
        wake.ask(2, Stop::Cancel);
        assert_eq!(wake.asked(2), Some(Stop::Cancel));
    }

    #[test]
    fn impatience_is_a_shutdown_for_every_run() {
        let wake = Wake::new().unwrap();
        wake.ask(2, Stop::Cancel);
        wake.kill_now();
        assert_eq!((wake.asked(2), wake.asked(3)), (Some(Stop::Cancel), Some(Stop::Shutdown)));
    }
}
