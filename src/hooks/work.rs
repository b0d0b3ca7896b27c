//! What a hook's thread does: reads on from its position, runs the command for each event, moves on, and waits.

use super::board::Place;
use super::hook::{Hook, Listener};
use super::once::{self, Failure};
use super::settings::{HookSettings, Means};
use crate::clock::Tick;
use crate::executor::{self, Wake};
use crate::feed::Cursor;
use crate::ports::StoredEvent;
use crate::resilience::{CancelToken, Operation, Resilient, ResilientError, RetryError, Waited};
use crossbeam_channel::{Receiver, after, never, select};
use std::sync::Arc;
use std::time::Duration;

/// How long the position may have moved over events that are not for this hook before somebody hears of it.
const TELL_INTERVAL: Duration = Duration::from_secs(30);
/// When the events that have left the memory cannot be read, the next try comes after this.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// Should it not be known for how long a breaker lets nothing through, it is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// After so long without a run, what commands have left behind is tidied up; at least so often when there is always one.
const TIDY_IDLE: Duration = Duration::from_millis(250);
const TIDY_BUSY: Duration = Duration::from_secs(5);

/// The hook, seen from its thread.
pub(super) struct Work {
    pub(super) settings: HookSettings,
    pub(super) means: Arc<Means>,
    pub(super) place: Arc<Place>,
    pub(super) resilient: Resilient,
    pub(super) listener: Arc<dyn Listener>,
    /// Closed when the hook is to end.
    pub(super) stop: Receiver<()>,
    /// Cancelled then.
    pub(super) cancel: CancelToken,
    pub(super) wake: Wake,
}

/// What is left for later.
struct Later {
    /// The position that was told last, and from when on one that has moved is told.
    told: u64,
    tell_from: Tick,
    /// When there was a run, with nothing tidied up since: the first and the last such time.
    untidy: Option<(Tick, Tick)>,
}

/// What became of an event.
enum Delivered {
    /// The hook is done with it.
    Done,
    /// The hook is to end, and has it before it still.
    Not,
}

/// What there is after a page.
enum Next {
    More,
    Wait,
    /// Nothing can be read just now.
    Unread,
    End,
}

impl Work {
    /// Waits for the end of the hook that this one takes the place of, and goes on where it stopped.
    pub(super) fn follow(&self, before: Hook) {
        let place = Arc::clone(before.place());
        drop(before);
        self.place.follow(&place);
    }

    /// Until the hook is told to end.
    pub(super) fn run(&self) {
        let mut cursor = self.means.feed.cursor(self.place.seq(), self.settings.filter.clone());
        let mut later = Later { told: cursor.seq(), tell_from: self.now().after(TELL_INTERVAL), untidy: None };
        let mut unread = false;
        loop {
            let goes_on = match self.take_page(&mut cursor, &mut later, &mut unread) {
                Next::More => !self.cancel.is_cancelled(),
                Next::Wait => self.wait(&cursor, &mut later),
                Next::Unread => self.pause(READ_AGAIN),
                Next::End => false,
            };
            if !goes_on {
                break;
            }
        }
        self.tell(&mut later);
    }

    fn take_page(&self, cursor: &mut Cursor, later: &mut Later, unread: &mut bool) -> Next {
        let page = match cursor.next_page(&mut || self.means.readers.open()) {
            Ok(page) => page,
            Err(error) => {
                if !std::mem::replace(unread, true) {
                    log::warn!("hook {} waits: {error}", self.settings.name);
                }
                return Next::Unread;
            }
        };
        *unread = false;
        if let Some((from, to)) = page.gap {
            log::warn!("events {from} to {to} are kept no longer, hook {} did not see them", self.settings.name);
        }
        for event in page.events.iter().filter(|event| event.hook() != Some(&self.settings.name)) {
            if let Delivered::Not = self.deliver(event) {
                return Next::End;
            }
            self.place.move_to(event.seq);
            self.tell(later);
            self.tidy_up_while_busy(later);
        }
        self.place.move_to(cursor.seq());
        if self.tell_due(later).is_some_and(|due| due <= self.now()) {
            self.tell(later);
        }
        if page.more { Next::More } else { Next::Wait }
    }

    /// Runs the command for the event until it has gone well, has failed too often, or the hook is to end.
    fn deliver(&self, event: &StoredEvent) -> Delivered {
        let name = &self.settings.name;
        let mut complained = false;
        loop {
            let operation = Operation::named(self.resilient.breaker().name()).cancelled_by(&self.cancel);
            let failure = match self.resilient.run(operation, |_| self.attempt(event)) {
                Ok(()) => return Delivered::Done,
                Err(ResilientError::Rejected { source, .. }) => {
                    if !self.pause(source.retry_after.unwrap_or(ASK_AGAIN)) {
                        return Delivered::Not;
                    }
                    continue;
                }
                Err(ResilientError::Retry(RetryError::Cancelled { .. })) => return Delivered::Not,
                Err(ResilientError::Retry(error)) => error.into_last().unwrap_or(Failure::Ending),
            };
            match failure {
                Failure::Ending => return Delivered::Not,
                Failure::Failed(sentence) | Failure::TimedOut(sentence) => {
                    log::warn!("hook {name} failed at event {} ({}): {sentence}", event.seq, event.name);
                    return Delivered::Done;
                }
                // It was handed to nobody, so it stays the next one.
                Failure::NotStarted(sentence) => {
                    if !std::mem::replace(&mut complained, true) {
                        log::warn!("hook {name} waits at event {} ({}): {sentence}", event.seq, event.name);
                    }
                }
            }
        }
    }

    fn attempt(&self, event: &StoredEvent) -> Result<(), Failure> {
        let (run, came_to) = once::run(&self.settings, &self.means, event, &self.wake);
        let (name, outcome) = (&self.settings.name, run.outcome.as_str());
        log::debug!("hook {name} ran, seq={} outcome={outcome} took={:?}", event.seq, run.took);
        self.place.ran(run);
        came_to
    }

    /// Waits for events. Says false when the hook is to end.
    fn wait(&self, cursor: &Cursor, later: &mut Later) -> bool {
        loop {
            let tidy_due = later.untidy.map(|(_, last)| last.after(TIDY_IDLE));
            let due = [self.tell_due(later), tidy_due].into_iter().flatten().min();
            let timer = due.map_or_else(never, |due| after(self.now().until(due)));
            select! {
                recv(self.stop) -> _ => return false,
                recv(cursor.wake()) -> _ => return !self.cancel.is_cancelled(),
                recv(timer) -> _ => {}
            }
            let now = self.now();
            if self.tell_due(later).is_some_and(|due| due <= now) {
                self.tell(later);
            }
            if later.untidy.is_some_and(|(_, last)| last.after(TIDY_IDLE) <= now) {
                later.untidy = None;
                tidy_up();
            }
        }
    }

    /// Says false when the hook is to end.
    fn pause(&self, wait: Duration) -> bool {
        let timer = &self.means.effects.timer;
        timer.wait_until(timer.tick().after(wait), &self.cancel) == Waited::Elapsed
    }

    fn tell_due(&self, later: &Later) -> Option<Tick> {
        (self.place.seq() != later.told).then_some(later.tell_from)
    }

    fn tell(&self, later: &mut Later) {
        let seq = self.place.seq();
        if seq != later.told {
            self.listener.moved(seq);
            later.told = seq;
            later.tell_from = self.now().after(TELL_INTERVAL);
        }
    }

    fn tidy_up_while_busy(&self, later: &mut Later) {
        let now = self.now();
        let (first, _) = later.untidy.unwrap_or((now, now));
        later.untidy = Some((first, now));
        if now.since(first) >= TIDY_BUSY {
            later.untidy = None;
            tidy_up();
        }
    }

    fn now(&self) -> Tick {
        self.means.clock.tick()
    }
}

/// A process that slipped away from its command and ended later is ours to bury.
fn tidy_up() {
    if let Err(error) = executor::reap_adopted() {
        log::debug!("adopted processes could not be reaped: {error}");
    }
}
