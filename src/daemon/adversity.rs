//! When writing does not go as it should: a foreign program holds the lock, the disk is full, triggers are gone.
//! Nothing was acknowledged then: who asked is told, the hub goes back to what the store says, facts are kept.

use super::batch::Batch;
use super::hub_loop::HubLoop;
use crate::clock::Now;
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::hub::{Effects, Input};
use crate::model::limits::CONTENT_BYTES_MAX;
use crate::model::rows::RowsError;
use crate::store::{REPAIRED, StoreError};
use std::collections::HashSet;
use std::time::Duration;

/// A foreign program may hold the write lock: after so long a warning.
const LOCKED_WARN: Duration = Duration::from_secs(2);
/// And after so long `busy` for who asks: just before they give up themselves, which they do after five seconds.
const LOCKED_BUSY: Duration = Duration::from_millis(4500);
/// What is written to see whether anything can be: more than the largest message, so that its author need not find out.
const PROBE_BYTES: usize = CONTENT_BYTES_MAX + (64 << 10);
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
    pub(super) fn hold_back(&mut self, mut batch: Batch) {
        self.serve_readers(&mut batch);
        let reason = self.hub.status().degraded.unwrap_or_default();
        self.refuse_all(&batch.inputs, &cannot_write(&reason));
        self.carried.extend(batch.inputs.into_iter().filter(is_fact));
        forget_overtaken(&mut self.carried);
    }

    /// What needs nothing to be written, whether or not it can be: waits that end, and searches, which find what is
    /// indexed already.
    fn serve_readers(&mut self, batch: &mut Batch) {
        let mut effects = Effects::default();
        self.hub.expire_waits(self.clock.now(), &mut self.store, &mut effects);
        self.deliver(effects.replies);
        let is_search = |input: &mut Input| matches!(input, Input::Ask { command: Command::IndexSearch, .. });
        for search in batch.inputs.extract_if(.., is_search).collect::<Vec<_>>() {
            if let Input::Ask { ask, .. } = search {
                self.deliver(vec![(ask, Ok(Reply::Done))]);
            }
        }
    }

    pub(super) fn refuse_all(&mut self, inputs: &[Input], refusal: &Refusal) {
        for input in inputs {
            if let Input::Ask { ask, .. } = input {
                self.refuse(*ask, refusal.clone());
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
        batch.inputs.extend(more.inputs);
        self.serve_readers(batch);
        if waited < LOCKED_BUSY {
            return;
        }
        let message = "another program holds the database's write lock; try again";
        self.refuse_all(&batch.inputs, &Refusal::new(Code::Busy, message));
        batch.inputs.retain(|input| !matches!(input, Input::Ask { .. }));
    }

    /// Somebody may have dropped our triggers; then changes went unseen, and are looked for.
    pub(super) fn check_schema(&mut self) -> Result<(), BatchError> {
        let version = self.store.schema_version()?;
        if version == self.schema_version {
            return Ok(());
        }
        if self.store.repair_triggers()? {
            log::warn!("{REPAIRED}");
            self.store.append_unseen_as_changes()?;
        }
        self.schema_version = self.store.schema_version()?;
        Ok(())
    }

    /// Nothing of the batch happened: who asked is told, the hub goes back to what the store says, facts are kept.
    pub(super) fn failed(&mut self, error: &BatchError, inputs: Vec<Input>) {
        let reason = match error {
            BatchError::Store(error) => error.to_string(),
            BatchError::GaveUp => "the daemon is stopping and another program holds the write lock".to_owned(),
        };
        if self.hub.status().degraded.is_none() {
            log::error!("nothing can be written: {reason}");
        }
        self.refuse_all(&inputs, &cannot_write(&reason));
        self.forget_asks(&inputs);
        self.go_back();
        // Before what has been carried meanwhile, which came later.
        self.carried.splice(0..0, inputs.into_iter().filter(is_fact));
        forget_overtaken(&mut self.carried);
        self.hub.set_degraded(Some(reason));
        self.retry_at = Some(self.clock.tick().after(RETRY_WRITING));
    }

    /// Nobody waits for an answer any more that a batch which came to nothing may have parked.
    pub(super) fn forget_asks(&mut self, inputs: &[Input]) {
        let mut ignored = Effects::default();
        for input in inputs {
            if let Input::Ask { ask, .. } = input {
                let _ = self.hub.step(self.clock.now(), Input::Forget(*ask), &mut self.store, &mut ignored);
            }
        }
    }

    /// The hub knows again what the store says.
    pub(super) fn go_back(&mut self) {
        self.store.rollback();
        self.fresh.clear();
        match self.store.snapshot() {
            Ok(snapshot) => self.hub.restore(self.clock.now(), snapshot),
            Err(_) => self.must_restore = true,
        }
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
        if self.store.probe(PROBE_BYTES).is_ok() {
            return self.recovered();
        }
        self.store.rollback();
        self.retry_at = Some(now.tick.after(RETRY_WRITING));
    }
}

/// What is kept until it can be written. What is said of how far a task has got will be said again.
fn is_fact(input: &Input) -> bool {
    !matches!(input, Input::Ask { .. } | Input::Progress { .. } | Input::Output { .. } | Input::Changes(_))
}

/// Hooks go on meanwhile, and only the last word of each counts.
fn forget_overtaken(carried: &mut Vec<Input>) {
    let mut last: HashSet<String> = HashSet::new();
    let is_last = |input: &Input| match input {
        Input::HookMoved { name, .. } => last.insert(name.clone()),
        _ => true,
    };
    let mut kept: Vec<bool> = carried.iter().rev().map(is_last).collect();
    carried.retain(|_| kept.pop().unwrap_or(true));
}

fn cannot_write(reason: &str) -> Refusal {
    Refusal::new(Code::Busy, format!("nothing can be written at present: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_of_each_hook_is_kept_in_its_place() {
        let moved = |name: &str, seq| Input::HookMoved { name: name.to_owned(), seq };
        let removed = || Input::HookRemoved { name: "b".to_owned() };
        let mut carried = vec![moved("a", 1), moved("b", 2), moved("a", 3), removed(), moved("c", 4), moved("a", 5)];
        forget_overtaken(&mut carried);
        let wanted = [moved("b", 2), removed(), moved("c", 4), moved("a", 5)];
        assert_eq!(format!("{carried:?}"), format!("{wanted:?}"));
    }
}
