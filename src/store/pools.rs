//! Pools.

use super::{Store, StoreError, value};
use crate::clock::Timestamp;
use crate::model::id::PoolId;
use crate::model::pool::{ExecutorKind, OnStuck, PoolRow, PoolStatus};
use rusqlite::Row;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What stands in `pools.settings`, as JSON.
#[derive(Default, Serialize, Deserialize)]
struct Settings {
    command: Option<Vec<String>>,
    directory: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    on_stuck: String,
    #[serde(default)]
    retiring: bool,
}

impl Store {
    pub(super) fn put_pool(&self, pool: &PoolRow) -> Result<(), StoreError> {
        let settings = Settings {
            command: pool.command.clone(),
            directory: pool.directory.clone(),
            environment: pool.environment.clone(),
            on_stuck: pool.on_stuck.as_str().to_owned(),
            retiring: pool.retiring,
        };
        let settings = serde_json::to_string(&settings).map_err(|error| StoreError::Other(error.to_string()))?;
        self.db
            .prepare_cached(
                "INSERT INTO pools(pool_id, pool_group, executor, settings, queue_max, timeout_ms, status, submitted,
                   completed, failed, created_at, started_at, deleted_at)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT(pool_id) DO UPDATE SET pool_group = ?2, executor = ?3, settings = ?4, queue_max = ?5,
                   timeout_ms = ?6, status = ?7, submitted = ?8, completed = ?9, failed = ?10, created_at = ?11,
                   started_at = ?12, deleted_at = ?13",
            )?
            .execute((
                pool.id.as_str(),
                &pool.group,
                pool.executor.as_str(),
                settings,
                pool.queue_max as i64,
                pool.timeout.as_millis() as i64,
                pool.status.as_str(),
                pool.submitted as i64,
                pool.completed as i64,
                pool.failed as i64,
                pool.created_at.as_unix_seconds(),
                pool.started_at.map(Timestamp::as_unix_seconds),
                pool.deleted_at.map(Timestamp::as_unix_seconds),
            ))?;
        Ok(())
    }

    pub(super) fn delete_pool(&self, id: &PoolId) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM pools WHERE pool_id = ?1")?.execute([id.as_str()])?;
        Ok(())
    }

    /// Whether this is the first start.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn has_no_pool(&mut self) -> Result<bool, StoreError> {
        Ok(!self.db.prepare("SELECT 1 FROM pools")?.exists([])?)
    }

    pub(super) fn read_pools(&self) -> Result<Vec<PoolRow>, StoreError> {
        let mut statement = self.db.prepare(
            "SELECT pool_id, pool_group, executor, settings, queue_max, timeout_ms, status, submitted, completed,
               failed, created_at, started_at, deleted_at FROM pools WHERE status <> 'stopped' ORDER BY pool_id",
        )?;
        let rows = statement.query_map([], pool)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn pool(row: &Row<'_>) -> rusqlite::Result<PoolRow> {
    let settings: Settings = serde_json::from_str(&value::text(row, 3)?.unwrap_or_default()).unwrap_or_default();
    Ok(PoolRow {
        id: PoolId::from(row.get::<_, String>(0)?),
        group: row.get(1)?,
        executor: ExecutorKind::parse(&row.get::<_, String>(2)?).unwrap_or(ExecutorKind::Command),
        command: settings.command,
        directory: settings.directory,
        environment: settings.environment,
        on_stuck: OnStuck::parse(&settings.on_stuck).unwrap_or_default(),
        retiring: settings.retiring,
        queue_max: row.get::<_, i64>(4)?.max(1) as usize,
        timeout: Duration::from_millis(value::unsigned(row, 5)?),
        status: PoolStatus::parse(&row.get::<_, String>(6)?).unwrap_or(PoolStatus::Running),
        submitted: value::unsigned(row, 7)?,
        completed: value::unsigned(row, 8)?,
        failed: value::unsigned(row, 9)?,
        created_at: value::timestamp(row, 10)?,
        started_at: value::timestamp_or_null(row, 11)?,
        deleted_at: value::timestamp_or_null(row, 12)?,
    })
}
