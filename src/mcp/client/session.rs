//! The one agreement that all users of a client share, and how it is renewed: by one of them while the others wait.

use super::link::Link;
use crate::mcp::protocol::Era;
use parking_lot::Mutex;
use std::time::Duration;

/// Holds the agreement. Its lock is kept while a new one is made, which is what makes the others wait; they do so no
/// longer than their own limit.
#[derive(Debug)]
pub(super) struct Session {
    slot: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    link: Option<Link>,
    /// Counts agreements, so that of several users who find the same one lost only the first forgets it.
    number: u64,
    /// Where the next one begins.
    begin: Era,
}

impl Session {
    pub(super) fn new(begin: Era) -> Session {
        Session { slot: Mutex::new(Slot { link: None, number: 0, begin }) }
    }

    /// The agreement and its number; `make` makes one if there is none. `None` when somebody else took too long over it.
    pub(super) fn link<E>(
        &self,
        limit: Duration,
        make: impl FnOnce(Era) -> Result<Link, E>,
    ) -> Option<Result<(Link, u64), E>> {
        let mut slot = self.slot.try_lock_for(limit)?;
        if let Some(link) = &slot.link {
            return Some(Ok((link.clone(), slot.number)));
        }
        Some(make(slot.begin).map(|link| {
            slot.number += 1;
            slot.begin = link.era;
            slot.link = Some(link.clone());
            (link, slot.number)
        }))
    }

    /// Forgets the agreement of that number, unless somebody has already made another.
    pub(super) fn forget(&self, number: u64, begin: Era, limit: Duration) {
        if let Some(mut slot) = self.slot.try_lock_for(limit)
            && slot.number == number
        {
            slot.link = None;
            slot.begin = begin;
        }
    }

    /// The agreement as it stands; `None` while there is none or one is being made.
    pub(super) fn now(&self) -> Option<Link> {
        self.slot.try_lock().and_then(|slot| slot.link.clone())
    }

    pub(super) fn take(&self, limit: Duration) -> Option<Link> {
        self.slot.try_lock_for(limit).and_then(|mut slot| slot.link.take())
    }
}
