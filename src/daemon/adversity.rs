//! When writing does not go as it should: a foreign program holds the lock, the disk is full, triggers are gone.
//! Nothing was acknowledged then: who asked is told, the hub goes back to what the store says, facts are kept.

use super::hub_loop::{Batch, HubLoop};
use crate::clock::Now;
use crate::model::command::{Code, Refusal};
use crate::model::hub::{Effects, Input};
use crate::model::id::AskId;
use crate::model::rows::RowsError;
use crate::store::StoreError;
use std::time::Duration;

/// A foreign program may hold the write lock: after so long a warning.
const LOCKED_WARN: Duration = Duration::from_secs(2);
/// And after so long `busy` for who asks: just before they give up themselves, which they do after five seconds.
const LOCKED_BUSY: Duration = Duration::from_millis(4500);
/// When nothing could be written, the next try comes after this, whether or not there is anything to write.
pub(super) const RETRY_WRITING: Duration = Duration::from_secs(1);

/// Why a batch came to nothing.
pub(super) enum BatchError {
    Store(StoreError),
    /// The daemon is to stop and somebody else holds the lock.
    GaveUp,
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> BatchError {
        BatchError::Store(error)
    }
}

impl From<RowsError> for BatchError {
    fn from(error: RowsError) -> BatchError {
        BatchError::Store(error.into())
    }
}

impl HubLoop {
    /// Between two tries to write: facts wait, askers are told.
    pub(super) fn hold_back(&mut self, batch: Batch) {
        let reason = self.hub.status().degraded.unwrap_or_default();
        for input in batch.inputs {
            match input {
                Input::Ask { ask, .. } => self.refuse(ask, cannot_write(&reason)),
                Input::Progress { .. } => {}
                fact => self.carried.push(fact),
            }
        }
    }

    /// Waits for a foreign writer in slices; in between, who only reads is served and a stop is heard.
    pub(super) fn begin_patiently(&mut self, batch: &mut Batch) -> Result<(), BatchError> {
        let since = self.clock.tick();
        let mut warned = false;
        loop {
            match self.store.begin() {
                Ok(()) => return Ok(()),
                Err(StoreError::Busy) => {}
                Err(error) => return Err(error.into()),
            }
            self.feed_watchdog();
            let waited = self.clock.tick().since(since);
            if waited > LOCKED_WARN && !std::mem::replace(&mut warned, true) {
                log::warn!("another program holds the database's write lock");
            }
            self.serve_while_locked(batch, waited);
            let gave_up = self.stopping.as_ref().is_some_and(|stopping| self.clock.tick() >= stopping.until);
            if gave_up {
                return Err(BatchError::GaveUp);
            }
        }
    }

    pub(super) fn serve_while_locked(&mut self, batch: &mut Batch, waited: Duration) {
        let mut letters = Vec::new();
        self.take_waiting(&mut letters);
        let more = self.open(&mut letters);
        self.answer_reads(self.clock.now(), &more);
        batch.searches |= more.searches;
        batch.inputs.extend(more.inputs);
        if waited < LOCKED_BUSY {
            return;
        }
        let (asks, facts): (Vec<_>, Vec<_>) =
            std::mem::take(&mut batch.inputs).into_iter().partition(|input| matches!(input, Input::Ask { .. }));
        batch.inputs = facts;
        for ask in asks {
            if let Input::Ask { ask, .. } = ask {
                let message = "another program holds the database's write lock; try again";
                self.refuse(ask, Refusal::new(Code::Busy, message));
            }
        }
    }

    /// Somebody may have dropped our triggers; then changes went unseen, and the watched messages are read again.
    pub(super) fn check_schema(&mut self) -> Result<(), BatchError> {
        let version = self.store.schema_version()?;
        if version == self.schema_version {
            return Ok(());
        }
        if self.store.repair_triggers()? {
            log::warn!("the triggers on messages were missing or changed and have been put back");
            self.store.append_watched_as_changes()?;
        }
        self.schema_version = self.store.schema_version()?;
        Ok(())
    }

    /// Nothing of the batch happened: who asked is told, the hub goes back to what the store says, facts are kept.
    pub(super) fn failed(&mut self, error: &BatchError, asks: &[AskId], facts: Vec<Input>) {
        self.store.rollback();
        self.fresh.clear();
        let reason = match error {
            BatchError::Store(error) => error.to_string(),
            BatchError::GaveUp => "the daemon is stopping and another program holds the write lock".to_owned(),
        };
        if self.hub.status().degraded.is_none() {
            log::error!("nothing can be written: {reason}");
        }
        for ask in asks {
            self.refuse(*ask, cannot_write(&reason));
        }
        let now = self.clock.now();
        let mut ignored = Effects::default();
        for ask in asks {
            let _ = self.hub.step(now, Input::Forget(*ask), &mut self.store, &mut ignored);
        }
        match self.store.snapshot() {
            Ok(snapshot) => self.hub.restore(now, snapshot),
            Err(_) => self.must_restore = true,
        }
        // What was started of a batch that never was must not be carried twice.
        self.carried = facts;
        self.hub.set_degraded(Some(reason));
        self.retry_at = Some(now.tick.after(RETRY_WRITING));
    }

    pub(super) fn recovered(&mut self) {
        self.retry_at = None;
        if self.hub.status().degraded.is_some() {
            log::info!("the database can be written again");
            self.hub.set_degraded(None);
        }
    }

    /// Nobody wants to write anything, and whether it could be written is to be known all the same.
    pub(super) fn probe(&mut self, now: Now) {
        let probed = self.store.begin().and_then(|()| self.store.touch()).and_then(|()| self.store.commit());
        if probed.is_ok() {
            return self.recovered();
        }
        self.store.rollback();
        self.retry_at = Some(now.tick.after(RETRY_WRITING));
    }
}

fn cannot_write(reason: &str) -> Refusal {
    Refusal::new(Code::Busy, format!("nothing can be written at present: {reason}"))
}
