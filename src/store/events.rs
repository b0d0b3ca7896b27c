//! The event log, as stored.

use super::{Store, StoreError, value};
use crate::ports::StoredEvent;
use rusqlite::Row;
use std::sync::Arc;

impl Store {
    pub(super) fn read_events_after(&self, seq: u64, rows_max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT seq, channel, event, frame FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map((i64::try_from(seq).unwrap_or(i64::MAX), rows_max as i64), stored_event)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn read_events_kept(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT COALESCE((SELECT seq FROM events ORDER BY seq LIMIT 1), 1),
                          COALESCE((SELECT seq FROM events ORDER BY seq DESC LIMIT 1), 0)";
        Ok(self
            .db
            .prepare_cached(sql)?
            .query_row([], |row| Ok((value::unsigned(row, 0)?, value::unsigned(row, 1)?)))?)
    }

    /// The frames of a message's changes of status; the newest `rows_max`, oldest first.
    pub(super) fn read_history(&self, id: &str, rows_max: usize) -> Result<Vec<Arc<[u8]>>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT frame FROM events WHERE channel = ?1 AND event = 'message.status_changed'
             ORDER BY seq DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((format!("message:{id}"), rows_max as i64), |row| row.get::<_, Vec<u8>>(0))?;
        let mut frames = rows.map(|frame| frame.map(Arc::from)).collect::<Result<Vec<_>, _>>()?;
        frames.reverse();
        Ok(frames)
    }
}

fn stored_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        seq: value::unsigned(row, 0)?,
        channel: value::text(row, 1)?.unwrap_or_default().into(),
        name: value::text(row, 2)?.unwrap_or_default().into(),
        frame: row.get::<_, Vec<u8>>(3)?.into(),
    })
}
