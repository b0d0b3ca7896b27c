//! What wakes the loop. Whoever has something for it says so first and rings then, and the loop takes the word before
//! it looks: so nothing that was said is slept over, and nobody rings twice for one look.

use super::event_loop::WAKER;
use crate::clock::{Clock, Tick};
use crate::feed::Wake;
use crate::thread::Pulse;
use mio::{Poll, Waker};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) struct Alarm {
    waker: Waker,
    clock: Arc<dyn Clock>,
    events: AtomicBool,
    /// When the first of the events came that were not looked at yet; nanoseconds of a tick.
    events_at: AtomicU64,
    /// The hub has answered somebody.
    answers: AtomicBool,
    close: AtomicBool,
    leave: AtomicBool,
    pulse: Pulse,
}

impl Alarm {
    pub(super) fn new(poll: &Poll, clock: Arc<dyn Clock>) -> io::Result<Alarm> {
        Ok(Alarm {
            waker: Waker::new(poll.registry(), WAKER)?,
            clock,
            events: AtomicBool::new(false),
            events_at: AtomicU64::new(0),
            answers: AtomicBool::new(false),
            close: AtomicBool::new(false),
            leave: AtomicBool::new(false),
            pulse: Pulse::default(),
        })
    }

    pub(super) fn ring(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("the thread that serves connections cannot be woken: {error}");
        }
    }

    /// When the events came of which it was not said before; `None` when there are none.
    pub(super) fn take_events(&self) -> Option<Tick> {
        // Taken back before the feed is looked at: what comes after that rings again.
        let at = Tick::from_nanos(self.events_at.load(Ordering::Acquire));
        self.events.swap(false, Ordering::AcqRel).then_some(at)
    }

    /// The hub has answered.
    pub(super) fn answer(&self) {
        if !self.answers.swap(true, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Before the answers are looked at: what comes after that rings again.
    pub(super) fn take_answers(&self) -> bool {
        self.answers.swap(false, Ordering::AcqRel)
    }

    /// Asks whether the loop still turns.
    pub(super) fn ask_pulse(&self) {
        self.pulse.ask();
        self.ring();
    }

    /// It does.
    pub(super) fn answer_pulse(&self) {
        self.pulse.answer();
    }

    pub(super) fn has_pulse(&self) -> bool {
        self.pulse.is_answered()
    }

    /// Nobody else is to be let in.
    pub(super) fn close(&self) {
        self.close.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn must_close(&self) -> bool {
        self.close.load(Ordering::Acquire)
    }

    /// Those inside are to be told good-bye.
    pub(super) fn leave(&self) {
        self.leave.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn must_leave(&self) -> bool {
        self.leave.load(Ordering::Acquire)
    }
}

/// Rings for new events.
pub(super) struct Bell(pub(super) Arc<Alarm>);

impl Wake for Bell {
    fn wake(&self) {
        let alarm = &self.0;
        if !alarm.events.load(Ordering::Acquire) {
            alarm.events_at.store(alarm.clock.tick().as_nanos(), Ordering::Release);
        }
        if !alarm.events.swap(true, Ordering::AcqRel) {
            alarm.ring();
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}
