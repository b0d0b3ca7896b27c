//! How far each hook has come in the log of events.

use super::{Store, StoreError, value};
use std::collections::BTreeMap;

impl Store {
    pub(super) fn put_hook_cursor(&self, name: &str, seq: u64) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT OR REPLACE INTO hook_cursors(name, seq) VALUES(?1, ?2)")?
            .execute((name, i64::try_from(seq).unwrap_or(i64::MAX)))?;
        Ok(())
    }

    pub(super) fn delete_hook_cursor(&self, name: &str) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM hook_cursors WHERE name = ?1")?.execute([name])?;
        Ok(())
    }

    /// The last event that each hook is done with, by the hook's name.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn hook_cursors(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut statement = self.db.prepare("SELECT name, seq FROM hook_cursors")?;
        let rows =
            statement.query_map([], |row| Ok((value::text(row, 0)?.unwrap_or_default(), value::unsigned(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
