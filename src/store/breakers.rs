//! Circuit breakers that survive a restart, by the names that their owners gave them.

use super::{Store, StoreError, value};
use crate::model::breaker::BreakerRow;

impl Store {
    pub(super) fn put_breaker(&self, breaker: &BreakerRow) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT OR REPLACE INTO breakers(name, snapshot, saved_at) VALUES(?1, ?2, ?3)")?
            .execute((&breaker.name, &breaker.snapshot, breaker.saved_at.as_unix_seconds()))?;
        Ok(())
    }

    pub(super) fn delete_breaker(&self, name: &str) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM breakers WHERE name = ?1")?.execute([name])?;
        Ok(())
    }

    /// Those that were not closed.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn breakers(&mut self) -> Result<Vec<BreakerRow>, StoreError> {
        let mut statement = self.db.prepare("SELECT name, snapshot, saved_at FROM breakers ORDER BY name")?;
        let rows = statement.query_map([], |row| {
            Ok(BreakerRow {
                name: value::text(row, 0)?.unwrap_or_default(),
                snapshot: value::text(row, 1)?.unwrap_or_default(),
                saved_at: value::timestamp(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
