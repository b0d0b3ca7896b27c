//! Upstreams, their totals, and what was sampled of them.

use super::{Store, StoreError, value};
use crate::clock::Timestamp;
use crate::model::id::UpstreamName;
use crate::model::upstream::{CounterFold, UpstreamRow};
use crate::ports::SamplePoint;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A history that goes back further than this is not shown: an upstream tells some hundred metrics at most.
const SAMPLES_LOOKED_AT_MAX: i64 = 20_000;

/// What stands in `upstreams.settings`, as JSON.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    interval_ms: u64,
    timeout_ms: u64,
    max_retries: u32,
    retry_delay_ms: u64,
    failure_threshold: u32,
    tools: Vec<String>,
    token_mark: u16,
    since_micros: i64,
}

impl Store {
    pub(super) fn put_upstream(&self, row: &UpstreamRow) -> Result<(), StoreError> {
        let settings = Settings {
            interval_ms: millis(row.interval),
            timeout_ms: millis(row.timeout),
            max_retries: row.max_retries,
            retry_delay_ms: millis(row.retry_delay),
            failure_threshold: row.failure_threshold,
            tools: row.tools.clone(),
            token_mark: row.token_mark,
            since_micros: row.since.as_micros(),
        };
        let settings = serde_json::to_string(&settings).map_err(|error| StoreError::Other(error.to_string()))?;
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO upstreams(name, endpoint, settings, configured, enabled, polling)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((row.name.as_str(), &row.endpoint, settings, row.configured, row.enabled, row.polling))?;
        Ok(())
    }

    /// With its totals and samples.
    pub(super) fn delete_upstream(&self, name: &UpstreamName) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM upstreams WHERE name = ?1",
            "DELETE FROM counters WHERE upstream = ?1",
            "DELETE FROM samples WHERE upstream = ?1",
        ] {
            self.db.prepare_cached(sql)?.execute([name.as_str()])?;
        }
        Ok(())
    }

    /// Those that were known to the last daemon.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn upstreams(&mut self) -> Result<Vec<UpstreamRow>, StoreError> {
        self.read_upstreams()
    }

    pub(super) fn read_upstreams(&self) -> Result<Vec<UpstreamRow>, StoreError> {
        let mut statement = self
            .db
            .prepare("SELECT name, endpoint, settings, configured, enabled, polling FROM upstreams ORDER BY name")?;
        let rows = statement.query_map([], |row| {
            let settings: Settings =
                serde_json::from_str(&value::text(row, 2)?.unwrap_or_default()).unwrap_or_default();
            Ok(UpstreamRow {
                name: UpstreamName::from(value::text(row, 0)?.unwrap_or_default()),
                endpoint: value::text(row, 1)?.unwrap_or_default(),
                interval: Duration::from_millis(settings.interval_ms),
                timeout: Duration::from_millis(settings.timeout_ms),
                max_retries: settings.max_retries,
                retry_delay: Duration::from_millis(settings.retry_delay_ms),
                failure_threshold: settings.failure_threshold,
                tools: settings.tools,
                configured: row.get(3)?,
                enabled: row.get(4)?,
                polling: row.get(5)?,
                token_mark: settings.token_mark,
                since: Timestamp::from_micros(settings.since_micros),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn put_total(
        &self,
        upstream: &UpstreamName,
        metric: &str,
        total: CounterFold,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO counters(upstream, metric, last, \"offset\") VALUES(?1, ?2, ?3, ?4)",
            )?
            .execute((upstream.as_str(), metric, total.last, total.offset))?;
        Ok(())
    }

    pub(super) fn read_totals(&self) -> Result<Vec<(UpstreamName, String, CounterFold)>, StoreError> {
        let mut statement = self.db.prepare("SELECT upstream, metric, last, \"offset\" FROM counters")?;
        let rows = statement.query_map([], |row| {
            let total = CounterFold { last: row.get(2)?, offset: row.get(3)? };
            Ok((UpstreamName::from(row.get::<_, String>(0)?), row.get(1)?, total))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn insert_sample(
        &self,
        upstream: &UpstreamName,
        at: Timestamp,
        metric: &str,
        value: f64,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO samples(upstream, metric, at, value) VALUES(?1, ?2, ?3, ?4)")?
            .execute((upstream.as_str(), metric, at.as_unix_seconds(), value))?;
        Ok(())
    }

    /// The newest samples, so many of each metric, oldest first; looks at [`SAMPLES_LOOKED_AT_MAX`] of the upstream.
    pub(super) fn read_samples(&self, upstream: &str, points_max: usize) -> Result<Vec<SamplePoint>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT metric, at, value FROM (SELECT row, metric, at, value,
                 ROW_NUMBER() OVER (PARTITION BY metric ORDER BY row DESC) AS place
               FROM (SELECT rowid AS row, metric, at, value FROM samples WHERE upstream = ?1 ORDER BY rowid DESC LIMIT ?3))
             WHERE place <= ?2 ORDER BY metric, row",
        )?;
        let rows = statement.query_map((upstream, points_max as i64, SAMPLES_LOOKED_AT_MAX), |row| {
            Ok(SamplePoint { metric: row.get(0)?, at: value::timestamp(row, 1)?, value: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
