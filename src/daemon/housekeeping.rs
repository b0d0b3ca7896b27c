//! What the hub does when nobody wants anything: the search index, forgetting, and checkpoints, in small bites.

use crate::clock::{Now, Tick, Timestamp};
use crate::executor::remove_output;
use crate::store::{Store, StoreError};
use std::path::PathBuf;
use std::time::Duration;

/// So long after the last commit the daemon counts as idle.
const IDLE: Duration = Duration::from_millis(100);
/// Between two bites.
const PAUSE: Duration = Duration::from_millis(2);
/// Without a failure in between; then it is left until the next commit.
const FAILURES_MAX: u32 = 3;
/// Frames of the log after which a checkpoint is made even under load.
const LOG_FRAMES_MAX: u32 = 16_384;
/// Bites that one search may wait for.
const SEARCH_BITES_MAX: usize = 20;

/// Between two rounds through the old tasks.
const TASKS_PAUSE: Duration = Duration::from_secs(3600);

/// How much of the past is kept.
#[derive(Clone, Debug)]
pub(super) struct Retention {
    pub(super) events_for: Duration,
    pub(super) events_max: u64,
    /// Those that have ended; `None`: for ever.
    pub(super) tasks_for: Option<Duration>,
    /// Where tasks keep their output.
    pub(super) tasks_root: PathBuf,
}

/// What is left to be done.
pub(super) struct Housekeeping {
    retention: Retention,
    next: Option<(Tick, Chore)>,
    failures: u32,
    /// When the next round through the old tasks is due, and where the present one goes on.
    tasks_due: Tick,
    tasks_from: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Index,
    Prune,
    Tasks,
    Checkpoint,
    GrowLog,
}

impl Housekeeping {
    pub(super) fn new(retention: Retention) -> Housekeeping {
        Housekeeping { retention, next: None, failures: 0, tasks_due: Tick::ZERO, tasks_from: 0 }
    }

    /// When the next bite is due, if nothing else happens before.
    pub(super) fn due(&self) -> Option<Tick> {
        self.next.map(|(at, _)| at)
    }

    /// Something was written: there will be something to tidy up once it is quiet.
    pub(super) fn committed(&mut self, now: Tick, store: &mut Store) {
        self.next = Some((now.after(IDLE), Chore::Index));
        self.failures = 0;
        if store.log_frames() > LOG_FRAMES_MAX
            && let Err(error) = store.checkpoint_and_restart()
        {
            log::debug!("the log could not be checkpointed: {error}");
        }
    }

    /// Does a little of what is to be done.
    pub(super) fn bite(&mut self, now: Now, store: &mut Store) {
        let Some((_, chore)) = self.next else { return };
        match self.chew(chore, now, store) {
            Ok(next) => self.next = next.map(|chore| (now.tick.after(PAUSE), chore)),
            Err(error) => {
                store.rollback();
                log::debug!("housekeeping ({chore:?}): {error}");
                self.failures += 1;
                self.next = (self.failures < FAILURES_MAX).then(|| (now.tick.after(IDLE), chore));
            }
        }
    }

    /// One bite of a chore, and which comes next.
    fn chew(&mut self, chore: Chore, now: Now, store: &mut Store) -> Result<Option<Chore>, StoreError> {
        match chore {
            Chore::Index => {
                if !store.has_unindexed()? {
                    return Ok(Some(Chore::Prune));
                }
                store.begin()?;
                let more = store.index_some()?;
                store.commit()?;
                Ok(Some(if more { Chore::Index } else { Chore::Prune }))
            }
            Chore::Prune => {
                let before = earlier(now.wall, self.retention.events_for);
                store.begin()?;
                let more = store.prune(before, self.retention.events_max)?;
                if more {
                    store.commit()?;
                } else {
                    store.rollback();
                }
                Ok(Some(if more { Chore::Prune } else { Chore::Tasks }))
            }
            Chore::Tasks => {
                let more = self.forget_tasks(now, store)?;
                Ok(Some(if more { Chore::Tasks } else { Chore::Checkpoint }))
            }
            Chore::Checkpoint => {
                store.checkpoint()?;
                Ok(Some(Chore::GrowLog))
            }
            Chore::GrowLog => {
                store.keep_log_grown();
                Ok(None)
            }
        }
    }

    /// Forgets some of the tasks that ended long ago. Returns whether this round goes on.
    fn forget_tasks(&mut self, now: Now, store: &mut Store) -> Result<bool, StoreError> {
        let Some(kept_for) = self.retention.tasks_for.filter(|_| now.tick >= self.tasks_due) else { return Ok(false) };
        store.begin()?;
        let old = store.old_tasks(earlier(now.wall, kept_for), self.tasks_from)?;
        // Files first: what a kill leaves of the rows is found again, what it left of files would not be.
        for task in &old.tasks {
            if let Err(error) = remove_output(&self.retention.tasks_root, task.as_str()) {
                log::debug!("the output of the old task {task} could not be removed: {error}");
            }
        }
        let gone = store.forget(&old)?;
        if gone {
            store.commit()?
        } else {
            store.rollback()
        }
        match old.next {
            Some(next) => self.tasks_from = next,
            None => (self.tasks_from, self.tasks_due) = (0, now.tick.after(TASKS_PAUSE)),
        }
        Ok(old.next.is_some())
    }

    /// Brings the index up to date for a search, inside the batch.
    pub(super) fn index(&self, store: &mut Store) -> Result<(), StoreError> {
        for _ in 0..SEARCH_BITES_MAX {
            if !store.has_unindexed()? || !store.index_some()? {
                break;
            }
        }
        Ok(())
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(now.as_micros() - by.as_micros() as i64)
}
