//! Threads, the other public table; and the modules that were registered with us.

use super::messages::module_names;
use super::{Store, StoreError, value};
use crate::clock::Timestamp;
use crate::model::id::{ModuleName, ThreadId};
use crate::model::message::{NewThread, Thread};
use crate::ports::{Module, Page};
use rusqlite::{OptionalExtension, Row};

const SHOWN: &str = "t.thread_id, t.title, t.modules, t.metadata, t.created_at,
  (SELECT COUNT(*) FROM messages m WHERE m.thread_id = t.thread_id), t.rowid FROM threads t";

impl Store {
    pub(super) fn insert_thread(&self, thread: &NewThread) -> Result<(), StoreError> {
        let modules = serde_json::Value::from(thread.modules.iter().map(ToString::to_string).collect::<Vec<_>>());
        self.db
            .prepare_cached(
                "INSERT INTO threads(thread_id, title, modules, metadata, created_at) VALUES(?1, ?2, ?3, '{}', ?4)",
            )?
            .execute((thread.id.as_str(), &thread.title, modules.to_string(), thread.at.as_unix_seconds()))?;
        Ok(())
    }

    pub(super) fn has_thread(&self, id: &ThreadId) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT 1 FROM threads WHERE thread_id = ?1")?;
        Ok(statement.exists([id.as_str()])?)
    }

    pub(super) fn read_thread(&self, id: &ThreadId) -> Result<Option<Thread>, StoreError> {
        let sql = format!("SELECT {SHOWN} WHERE t.thread_id = ?1");
        let found = self.db.prepare_cached(&sql)?.query_row([id.as_str()], thread).optional()?;
        Ok(found.map(|(thread, _)| thread))
    }

    pub(super) fn read_threads(&self, before: Option<i64>, rows_max: usize) -> Result<Page<Thread>, StoreError> {
        let sql =
            format!("SELECT {SHOWN} WHERE t.rowid < ?1 AND t.thread_id IS NOT NULL ORDER BY t.rowid DESC LIMIT ?2");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map((before.unwrap_or(i64::MAX), rows_max as i64 + 1), thread)?;
        Ok(super::reading::page(rows.collect::<Result<_, _>>()?, rows_max))
    }

    pub(super) fn put_module(&self, name: &ModuleName, directory: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO modules(name, directory, added_at) VALUES(?1, ?2, unixepoch('subsec'))
                 ON CONFLICT(name) DO UPDATE SET directory = excluded.directory",
            )?
            .execute((name.as_str(), directory))?;
        Ok(())
    }

    pub(super) fn delete_module(&self, name: &ModuleName) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM modules WHERE name = ?1")?.execute([name.as_str()])?;
        Ok(())
    }

    pub(super) fn module_directory(&self, name: &ModuleName) -> Result<Option<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT directory FROM modules WHERE name = ?1")?;
        Ok(statement.query_row([name.as_str()], |row| row.get(0)).optional()?)
    }

    pub(super) fn read_modules(&self) -> Result<Vec<Module>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT name, directory, added_at FROM modules ORDER BY name LIMIT 10000")?;
        let rows = statement.query_map([], |row| {
            Ok(Module {
                name: ModuleName::from(row.get::<_, String>(0)?),
                directory: row.get(1)?,
                added_at: Timestamp::from_unix_seconds(row.get(2)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn thread(row: &Row<'_>) -> rusqlite::Result<(Thread, i64)> {
    let modules = module_names(&value::text(row, 2)?.unwrap_or_default());
    let thread = Thread {
        id: ThreadId::from(value::id(row, 0)?.unwrap_or_default()),
        title: value::text(row, 1)?,
        modules: modules.into_iter().map(ModuleName::from).collect(),
        metadata: value::text(row, 3)?,
        created_at: value::timestamp(row, 4)?,
        messages: value::unsigned(row, 5)?,
    };
    Ok((thread, row.get(6)?))
}
