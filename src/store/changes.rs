//! What other programs changed: rows that triggers append in whatever process writes.

use super::{Store, StoreError, schema, value};
use crate::model::id::MessageId;
use crate::model::limits::ID_BYTES_MAX;
use crate::model::rows::{Change, ChangeKind};
use rusqlite::Connection;
use std::sync::atomic::AtomicBool;

/// Most rows folded in one go.
const CHANGES_MAX: usize = 1024;

/// What was read of the changes in one go.
#[derive(Debug)]
pub struct ChangePage {
    pub changes: Vec<Change>,
    /// The number of the last row read; where the next page begins.
    pub last: i64,
    /// Whether there may be another page.
    pub more: bool,
}

impl Store {
    /// The changes after `seq`, in order, at most [`CHANGES_MAX`]. Rows without an id are skipped.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn changes_after(&mut self, seq: i64) -> Result<ChangePage, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT seq, op, message_id, old_status, new_status, length FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut rows = statement.query((seq, CHANGES_MAX as i64))?;
        let (mut changes, mut last, mut count) = (Vec::new(), seq, 0);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            count += 1;
            let Some(message_id) = value::id(row, 2)? else {
                static WARNED: AtomicBool = AtomicBool::new(false);
                value::warn_once(&WARNED, || "a message without a message_id is ignored".to_owned());
                continue;
            };
            let kind = match value::text(row, 1)?.as_deref() {
                Some("insert") => ChangeKind::Insert,
                Some("delete") => ChangeKind::Delete,
                _ => ChangeKind::Update,
            };
            changes.push(Change {
                seq: last,
                kind,
                message_id: MessageId::from(message_id),
                old_status: if kind == ChangeKind::Insert { None } else { Some(value::status(row, 3)?) },
                new_status: if kind == ChangeKind::Delete { None } else { Some(value::status(row, 4)?) },
                content_length: Some(value::unsigned(row, 5)?),
            });
        }
        Ok(ChangePage { changes, last, more: count == CHANGES_MAX })
    }

    /// How far the changes have been folded into events.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn changes_folded(&mut self) -> Result<i64, StoreError> {
        self.meta("changes_folded")
    }

    /// Marks everything that is in the table as folded, this transaction's own rows included, and returns that mark.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn fold_all(&mut self) -> Result<i64, StoreError> {
        let newest = self.newest_change()?;
        if newest > self.changes_folded()? {
            self.fold_up_to(newest)?;
        }
        Ok(newest)
    }

    /// Marks the changes up to `seq` as folded.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn fold_up_to(&mut self, seq: i64) -> Result<(), StoreError> {
        self.set_meta("changes_folded", seq)
    }

    /// The newest change there is, 0 when there is none.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn newest_change(&mut self) -> Result<i64, StoreError> {
        let sql = "SELECT COALESCE((SELECT seq FROM changes ORDER BY seq DESC LIMIT 1),
                                   (SELECT value FROM meta WHERE key = 'changes_folded'))";
        Ok(self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Whether anybody else has committed since the last call: one read of shared memory, no lock.
    ///
    /// # Errors
    /// The file is gone.
    pub fn data_version(&mut self) -> Result<i64, StoreError> {
        Ok(self.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// Moves whenever somebody changes the schema, for instance drops our triggers.
    ///
    /// # Errors
    /// The file is gone.
    pub fn schema_version(&mut self) -> Result<i64, StoreError> {
        Ok(self.db.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))?)
    }

    /// While triggers were missing, changes went unseen: notes one for every message that the search does not know, and
    /// for every watched one whose status is another now. That texts were changed is not found out.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn append_unseen_as_changes(&mut self) -> Result<(), StoreError> {
        Ok(append_unseen(&self.db)?)
    }

    /// Puts back triggers that somebody dropped, inside the batch. Returns whether any was missing.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn repair_triggers(&mut self) -> Result<bool, StoreError> {
        let missing = schema::install_triggers(&self.db)?;
        if missing {
            // Making a trigger changes no row, and a batch that has changed none is not committed.
            self.db.execute("UPDATE meta SET value = value WHERE key = 'epoch'", [])?;
        }
        Ok(missing)
    }
}

pub(super) fn append_unseen(db: &Connection) -> rusqlite::Result<()> {
    let newest = db.query_row("SELECT COALESCE(MAX(seq), 0) FROM changes", [], |row| row.get(0))?;
    append_unindexed(db)?;
    append_watched(db, newest)
}

/// Reads two indexes and what is not indexed yet, no text: less than a second for a million messages.
fn append_unindexed(db: &Connection) -> rusqlite::Result<()> {
    // Ids that are shown as something else stand in the index as they are shown, and would be missed there every time.
    let sql = "INSERT INTO changes(op, message_id, new_status, length)
               SELECT 'insert', message_id, status, length(content) FROM messages
               WHERE message_id NOT IN (SELECT message_id FROM search_rows)
                 AND message_id NOT IN (SELECT message_id FROM changes WHERE message_id IS NOT NULL
                   AND seq > (SELECT value FROM meta WHERE key = 'search_indexed'))
                 AND typeof(message_id) = 'text' AND length(message_id) <= ?1
               ORDER BY rowid";
    db.prepare_cached(sql)?.execute([ID_BYTES_MAX as i64])?;
    Ok(())
}

/// Leaves out what has just been noted, behind `newest`.
pub(super) fn append_watched(db: &Connection, newest: i64) -> rusqlite::Result<()> {
    // The plus keeps the index of all ids out of it: the one of active watches is the short way.
    let sql = "INSERT INTO changes(op, message_id, old_status, new_status, length)
               SELECT CASE WHEN m.message_id IS NULL THEN 'delete' ELSE 'update' END, w.message_id,
                 NULLIF(w.status, 'unknown'), m.status,
                 length(m.content)
               FROM watches w LEFT JOIN messages m ON m.message_id = w.message_id
               WHERE w.ended_at IS NULL AND +w.message_id IS NOT NULL
                 AND NULLIF(w.status, 'unknown') IS NOT m.status
                 AND NOT (w.status = 'unknown' AND m.message_id IS NULL)
                 AND w.message_id NOT IN (SELECT message_id FROM changes WHERE seq > ?1)";
    db.prepare_cached(sql)?.execute([newest])?;
    Ok(())
}
