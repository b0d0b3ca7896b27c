//! Full-text search. The index follows `changes`, written by the hub alone, so a foreign SQLite without FTS5 can write.

use super::messages::{PAGE_BYTES_MAX, shown_bytes};
use super::{Store, StoreError, value};
use crate::model::id::MessageId;
use crate::model::message::Message;
use rusqlite::OptionalExtension;

/// Changes that one bite of indexing takes.
const INDEX_ROWS_MAX: i64 = 500;
/// How many of the newest messages a search without the index looks through.
const SCAN_ROWS_MAX: i64 = 100_000;

impl Store {
    /// Takes the next changes into the index. Returns whether there are more. To be called inside a batch.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn index_some(&mut self) -> Result<bool, StoreError> {
        let from = self.meta("search_indexed")?;
        let changed = self.changed_ids(from)?;
        let Some((last, _)) = changed.last() else {
            let newest = self.newest_change()?;
            self.set_meta("search_indexed", newest)?;
            return Ok(false);
        };
        for (_, id) in &changed {
            if let Some(id) = id {
                self.index_message(&MessageId::new(id))?;
            }
        }
        self.set_meta("search_indexed", *last)?;
        Ok(changed.len() as i64 == INDEX_ROWS_MAX)
    }

    fn changed_ids(&self, after: i64) -> Result<Vec<(i64, Option<String>)>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT seq, message_id FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map((after, INDEX_ROWS_MAX), |row| Ok((row.get(0)?, value::id(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether there are changes that a search would not find yet.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn has_unindexed(&mut self) -> Result<bool, StoreError> {
        Ok(self.newest_change()? > self.meta("search_indexed")?)
    }

    fn index_message(&self, id: &MessageId) -> Result<(), StoreError> {
        let indexed: Option<i64> = self
            .db
            .prepare_cached("SELECT row FROM search_rows WHERE message_id = ?1")?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        let message = self.read_message(id)?;
        if let Some(row) = indexed {
            // Most changes are of the status alone, and the index is spread over many pages.
            if let Some(message) = &message
                && self.is_indexed_as(row, message)?
            {
                return Ok(());
            }
            self.db.prepare_cached("DELETE FROM messages_fts WHERE rowid = ?1")?.execute([row])?;
        }
        let Some(message) = message else {
            self.db.prepare_cached("DELETE FROM search_rows WHERE message_id = ?1")?.execute([id.as_str()])?;
            return Ok(());
        };
        let row = match indexed {
            Some(row) => row,
            None => {
                self.db.prepare_cached("INSERT INTO search_rows(message_id) VALUES(?1)")?.execute([id.as_str()])?;
                self.db.last_insert_rowid()
            }
        };
        self.db.prepare_cached("INSERT INTO messages_fts(rowid, content, module) VALUES(?1, ?2, ?3)")?.execute((
            row,
            &message.content,
            message.module.as_str(),
        ))?;
        Ok(())
    }

    fn is_indexed_as(&self, row: i64, message: &Message) -> Result<bool, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT content = ?2 AND module = ?3 FROM messages_fts WHERE rowid = ?1")?;
        let same =
            statement.query_row((row, &message.content, message.module.as_str()), |row| row.get(0)).optional()?;
        Ok(same.unwrap_or(false))
    }

    pub(super) fn read_search(&self, query: &str, rows_max: usize) -> Result<Vec<Message>, StoreError> {
        let ids = match self.ids_by_index(query, rows_max) {
            Ok(ids) => ids,
            // Not in the query language of FTS5 (an odd quote, a lone operator): look for the words as they stand.
            Err(rusqlite::Error::SqliteFailure(..)) => self.ids_by_scan(query, rows_max)?,
            Err(error) => return Err(error.into()),
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        for id in ids {
            let Some(message) = self.read_message(&MessageId::from(id))? else { continue };
            bytes += shown_bytes(&message);
            if bytes > PAGE_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push(message);
        }
        Ok(found)
    }

    fn ids_by_index(&self, query: &str, rows_max: usize) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.db.prepare_cached(
            "SELECT s.message_id FROM messages_fts f JOIN search_rows s ON s.row = f.rowid
             WHERE messages_fts MATCH ?1 ORDER BY rank LIMIT ?2",
        )?;
        statement.query_map((query, rows_max as i64), |row| row.get(0))?.collect()
    }

    fn ids_by_scan(&self, query: &str, rows_max: usize) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.db.prepare_cached(
            "SELECT message_id FROM (SELECT message_id, content FROM messages ORDER BY rowid DESC LIMIT ?3)
             WHERE message_id IS NOT NULL AND content LIKE ?1 ESCAPE '\\' LIMIT ?2",
        )?;
        let literal = query.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let rows =
            statement.query_map((format!("%{literal}%"), rows_max as i64, SCAN_ROWS_MAX), |row| value::id(row, 0))?;
        rows.filter_map(Result::transpose).collect()
    }
}
