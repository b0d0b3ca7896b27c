//! How all hooks stand, for whoever asks; each hook writes its own place.

use super::hook::Hook;
use crate::feed::Feed;
use crate::ports::{HookOutcome, HookRun, HookState, HookView, Hooks};
use crate::resilience::CircuitBreaker;
use parking_lot::Mutex;
use std::sync::Arc;

/// Shared by the owner of the hooks and the doors.
#[derive(Debug)]
pub struct Board {
    feed: Arc<Feed>,
    places: Mutex<Vec<Arc<Place>>>,
}

impl Board {
    pub fn new(feed: &Arc<Feed>) -> Board {
        Board { feed: Arc::clone(feed), places: Mutex::new(Vec::new()) }
    }

    /// These are the hooks, from here on.
    pub fn show<'a>(&self, hooks: impl Iterator<Item = &'a Hook>) {
        *self.places.lock() = hooks.map(|hook| Arc::clone(hook.place())).collect();
    }
}

impl Hooks for Board {
    fn hooks(&self) -> Vec<HookView> {
        // Read first: a hook that moves on meanwhile is not ahead of the log.
        let places = self.places.lock().clone();
        places.iter().map(|place| place.view(&self.feed)).collect()
    }
}

/// One hook's place.
#[derive(Debug)]
pub(super) struct Place {
    name: String,
    command: Vec<String>,
    breaker: CircuitBreaker,
    stand: Mutex<Stand>,
}

#[derive(Debug)]
struct Stand {
    seq: u64,
    last: Option<HookRun>,
}

impl Place {
    pub(super) fn new(name: &str, command: &[String], breaker: CircuitBreaker, seq: u64) -> Place {
        let stand = Mutex::new(Stand { seq, last: None });
        Place { name: name.to_owned(), command: command.to_vec(), breaker, stand }
    }

    pub(super) fn seq(&self) -> u64 {
        self.stand.lock().seq
    }

    pub(super) fn move_to(&self, seq: u64) {
        self.stand.lock().seq = seq;
    }

    pub(super) fn ran(&self, run: HookRun) {
        self.stand.lock().last = Some(run);
    }

    /// Takes over what another hook of that name has come to.
    pub(super) fn follow(&self, before: &Place) {
        let (seq, last) = {
            let before = before.stand.lock();
            (before.seq, before.last.clone())
        };
        let mut stand = self.stand.lock();
        stand.seq = stand.seq.max(seq);
        stand.last = last;
    }

    fn view(&self, feed: &Feed) -> HookView {
        let (seq, last) = {
            let stand = self.stand.lock();
            (stand.seq, stand.last.clone())
        };
        let went_well =
            last.as_ref().is_none_or(|last| matches!(last.outcome, HookOutcome::Succeeded | HookOutcome::Interrupted));
        let state = if self.breaker.retry_after().is_some() {
            HookState::Waiting
        } else if went_well {
            HookState::Ok
        } else {
            HookState::Failing
        };
        let (name, command) = (self.name.clone(), self.command.clone());
        HookView { name, command, state, seq, behind: feed.last_seq().saturating_sub(seq), last }
    }
}
