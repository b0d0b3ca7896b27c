//! Whether the supervisor may hear that we live: only while every loop turns. A thread that has died is told by letter;
//! one that is stuck says nothing, so each loop is asked for a sign whenever the supervisor was told. Workers are not
//! asked: one that is busy is alive, and its task has a time of its own.

use super::doors::Doors;
use crate::clock::Tick;
use crate::service::notify;
use crate::thread::Tether;
use std::sync::Arc;
use std::time::Duration;

/// Looks within an interval, once a loop has missed it: as soon as it turns again, all is well.
const LOOKS_AGAIN: u32 = 8;

pub(super) struct Vigil {
    /// How often the supervisor is told; `None` when it does not listen.
    interval: Option<Duration>,
    /// When it is told next, at the earliest.
    due: Tick,
    watcher: Arc<Tether>,
    has_complained: bool,
}

impl Vigil {
    /// The first time at once.
    pub(super) fn new(interval: Option<Duration>, watcher: Arc<Tether>) -> Vigil {
        Vigil { interval, due: Tick::ZERO, watcher, has_complained: false }
    }

    pub(super) fn due(&self) -> Option<Tick> {
        self.interval.map(|_| self.due)
    }

    /// Tells the supervisor, if it is time and all loops have turned since it was told last. Without doors there is nobody
    /// left to ask: a stop has a limit of its own.
    pub(super) fn keep(&mut self, now: Tick, doors: Option<&Doors>) {
        let Some(interval) = self.interval.filter(|_| now >= self.due) else { return };
        if let Some(silent) = doors.and_then(|doors| self.silent(doors)) {
            self.due = now.after(interval / LOOKS_AGAIN);
            if !std::mem::replace(&mut self.has_complained, true) {
                log::error!(
                    "the thread {silent} does not answer; the supervisor is not told any more that all is well"
                );
            }
            return;
        }
        if std::mem::take(&mut self.has_complained) {
            log::warn!("all threads answer again");
        }
        self.due = now.after(interval);
        notify::watchdog();
        self.watcher.ask();
        doors.inspect(|doors| doors.ask());
    }

    fn silent(&self, doors: &Doors) -> Option<&'static str> {
        let watcher = (!self.watcher.is_answered()).then_some("watcher");
        watcher.or_else(|| doors.silent())
    }
}
