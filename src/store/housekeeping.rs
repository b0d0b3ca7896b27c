//! Work for the idle gap, in small bites: checkpoints, the search index, and forgetting what is too old.

use super::{Store, StoreError};
use crate::clock::Timestamp;

/// Rows that one bite deletes at most.
const PRUNE_ROWS_MAX: i64 = 500;

impl Store {
    /// Copies the write-ahead log into the file as far as no reader is in the way; waits for nobody.
    /// Returns how many frames of the log are not copied yet.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn checkpoint(&mut self) -> Result<i64, StoreError> {
        let (log, copied) = self
            .db
            .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
            .query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
        Ok(log - copied)
    }

    /// As [`Store::checkpoint`], and has the next writer start the log from its beginning, if no reader is in the way.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn checkpoint_and_restart(&mut self) -> Result<(), StoreError> {
        let busy: i64 = self.db.prepare_cached("PRAGMA wal_checkpoint(RESTART)")?.query_row([], |row| row.get(0))?;
        if busy != 0 {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// How long the write-ahead log is, in frames of a page each.
    pub fn log_frames(&self) -> u32 {
        self.log_frames.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Grows the log again when a foreign checkpoint has cut it. A failure only costs speed.
    pub fn keep_log_grown(&mut self) {
        let mut name = self.path().as_os_str().to_owned();
        name.push("-wal");
        let short = std::fs::metadata(&name).is_ok_and(|wal| wal.len() < super::open::WAL_BYTES);
        if short && let Err(error) = self.regrow_wal() {
            log::debug!("the write-ahead log could not be grown: {error}");
        }
    }

    /// Forgets changes that are folded and indexed, and events and samples that are too old or too many. Returns whether there may
    /// be more to forget. To be called inside a batch.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn prune(&mut self, events_before: Timestamp, events_max: u64) -> Result<bool, StoreError> {
        let changes = self
            .db
            .prepare_cached(
                "DELETE FROM changes WHERE seq IN (SELECT seq FROM changes
                   WHERE seq <= (SELECT MIN(value) FROM meta WHERE key IN ('changes_folded', 'search_indexed'))
                   ORDER BY seq LIMIT ?1)",
            )?
            .execute([PRUNE_ROWS_MAX])?;
        // Only what is older than every event that stays: a clock that was set must not leave a hole in the log.
        let events = self
            .db
            .prepare_cached(
                "WITH oldest AS (SELECT seq, at FROM events ORDER BY seq LIMIT ?3)
                 DELETE FROM events WHERE seq < MIN((SELECT MAX(seq) FROM events),
                   (SELECT COALESCE(MIN(CASE WHEN at >= ?1 AND seq > (SELECT MAX(seq) FROM events) - ?2 THEN seq END),
                      MAX(seq) + 1) FROM oldest))",
            )?
            .execute((
                events_before.as_unix_seconds(),
                i64::try_from(events_max).unwrap_or(i64::MAX),
                PRUNE_ROWS_MAX,
            ))?;
        // In the order in which they were written, as that is what is cheap to look at.
        let samples = self
            .db
            .prepare_cached(
                "DELETE FROM samples WHERE rowid IN (SELECT rowid FROM (SELECT rowid, at FROM samples ORDER BY rowid LIMIT ?3)
                   WHERE at < ?1 OR rowid <= (SELECT MAX(rowid) FROM samples) - ?2)",
            )?
            .execute((
                events_before.as_unix_seconds(),
                i64::try_from(events_max).unwrap_or(i64::MAX),
                PRUNE_ROWS_MAX,
            ))?;
        Ok(changes + events + samples > 0)
    }
}
