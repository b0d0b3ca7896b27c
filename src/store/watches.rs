//! Watches, active and ended.

use super::{Store, StoreError, value};
use crate::clock::Timestamp;
use crate::model::id::{MessageId, ModuleName, TaskId, ThreadId, WatchId};
use crate::model::message::Status;
use crate::model::watch::{Watch, WatchFilter};
use crate::ports::Page;
use rusqlite::{OptionalExtension, Row};

const COLUMNS: &str = "watch_id, message_id, task_id, thread_id, source_module, target_module, status, added_at,
  updated_at, expires_at, ended_at";

impl Store {
    /// Replaces every row that has the same number, message or task.
    pub(super) fn put_watch(&self, watch: &Watch) -> Result<(), StoreError> {
        // Mostly it is only the status that has changed, which is in no index: a replaced row is written to all of them.
        let update = "UPDATE watches SET status = ?7, updated_at = ?9
             WHERE watch_id = ?1 AND message_id IS ?2 AND task_id IS ?3 AND thread_id IS ?4 AND source_module IS ?5
               AND target_module IS ?6 AND added_at = ?8 AND expires_at IS ?10 AND ended_at IS ?11";
        if self.put_watch_with(update, watch)? == 0 {
            let replace = format!(
                "INSERT OR REPLACE INTO watches({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
            );
            self.put_watch_with(&replace, watch)?;
        }
        Ok(())
    }

    fn put_watch_with(&self, sql: &str, watch: &Watch) -> Result<usize, StoreError> {
        let rows = self.db.prepare_cached(sql)?.execute((
            watch.id.0,
            watch.message_id.as_ref().map(MessageId::as_str),
            watch.task_id.as_ref().map(TaskId::as_str),
            watch.thread_id.as_ref().map(ThreadId::as_str),
            watch.source.as_ref().map(ModuleName::as_str),
            watch.target.as_ref().map(ModuleName::as_str),
            watch.status.as_str(),
            watch.added_at.as_unix_seconds(),
            watch.updated_at.as_unix_seconds(),
            watch.expires_at.map(Timestamp::as_unix_seconds),
            watch.ended_at.map(Timestamp::as_unix_seconds),
        ))?;
        Ok(rows)
    }

    pub(super) fn delete_watch(&self, id: WatchId) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM watches WHERE watch_id = ?1")?.execute([id.0])?;
        Ok(())
    }

    pub(super) fn read_watch(&self, name: &str) -> Result<Option<Watch>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM watches WHERE message_id = ?1 OR task_id = ?1 ORDER BY watch_id DESC");
        Ok(self.db.prepare_cached(&sql)?.query_row([name], watch).optional()?)
    }

    pub(super) fn read_active_watches(&self) -> Result<Vec<Watch>, StoreError> {
        let mut statement = self.db.prepare(&format!("SELECT {COLUMNS} FROM watches WHERE ended_at IS NULL"))?;
        let watches = statement.query_map([], watch)?.collect::<Result<_, _>>()?;
        Ok(watches)
    }

    pub(super) fn read_watches(
        &self,
        filter: WatchFilter,
        before: Option<i64>,
        rows_max: usize,
    ) -> Result<Page<Watch>, StoreError> {
        let condition = match filter {
            WatchFilter::Active => "ended_at IS NULL",
            WatchFilter::Completed => "ended_at IS NOT NULL AND status = 'complete'",
            WatchFilter::Failed => "ended_at IS NOT NULL AND status = 'failed'",
            WatchFilter::Expired => "ended_at IS NOT NULL AND status = 'expired'",
            WatchFilter::All => "1",
        };
        // The few active ones are found by their own index; the plus keeps the walk over all of them out of it.
        let id = if filter == WatchFilter::Active { "+watch_id" } else { "watch_id" };
        let sql = format!("SELECT {COLUMNS} FROM watches WHERE {id} < ?1 AND {condition} ORDER BY {id} DESC LIMIT ?2");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map((before.unwrap_or(i64::MAX), rows_max as i64 + 1), |row| {
            watch(row).map(|watch| {
                let number = watch.id.0;
                (watch, number)
            })
        })?;
        Ok(super::reading::page(rows.collect::<Result<_, _>>()?, rows_max))
    }
}

/// That a watch has expired it has from us, and has ended by it; otherwise it is the word of another program.
fn status(row: &Row<'_>) -> rusqlite::Result<Status> {
    let (word, ended_at): (String, Option<f64>) = (row.get(6)?, row.get(10)?);
    let status = Status::parse(&word);
    Ok(if status == Status::Expired && ended_at.is_none() { Status::parse_foreign(&word) } else { status })
}

fn watch(row: &Row<'_>) -> rusqlite::Result<Watch> {
    Ok(Watch {
        id: WatchId(row.get(0)?),
        message_id: value::id(row, 1)?.map(MessageId::from),
        task_id: value::id(row, 2)?.map(TaskId::from),
        thread_id: value::id(row, 3)?.map(ThreadId::from),
        source: value::id(row, 4)?.map(ModuleName::from),
        target: value::id(row, 5)?.map(ModuleName::from),
        status: status(row)?,
        added_at: value::timestamp(row, 7)?,
        updated_at: value::timestamp(row, 8)?,
        expires_at: value::timestamp_or_null(row, 9)?,
        ended_at: value::timestamp_or_null(row, 10)?,
    })
}
