//! Alerts that are raised, so that the next daemon neither raises them again nor forgets to clear them.

use super::{Store, StoreError, value};
use crate::model::alert::{Alert, Bound, Key, Labels};
use std::sync::Arc;

impl Store {
    pub(super) fn put_alert(&self, alert: &Alert) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO alerts(rule, labels, metric, bound, threshold, value, since, raised_at)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((
                &*alert.rule,
                written(&alert.labels)?,
                &*alert.metric,
                alert.bound.as_str(),
                alert.bound.threshold(),
                alert.value,
                alert.since.as_unix_seconds(),
                alert.raised_at.as_unix_seconds(),
            ))?;
        Ok(())
    }

    pub(super) fn delete_alert(&self, key: &Key) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM alerts WHERE rule = ?1 AND labels = ?2")?
            .execute((&*key.rule, written(&key.labels)?))?;
        Ok(())
    }

    pub(super) fn read_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let mut statement = self.db.prepare(
            "SELECT rule, labels, metric, bound, threshold, value, since, raised_at FROM alerts ORDER BY rule, labels",
        )?;
        let rows = statement.query_map([], |row| {
            let text = |column| Ok::<_, rusqlite::Error>(value::text(row, column)?.unwrap_or_default());
            let threshold = row.get(4)?;
            Ok(Alert {
                rule: text(0)?.into(),
                labels: Arc::new(serde_json::from_str(&text(1)?).unwrap_or_default()),
                metric: text(2)?.into(),
                bound: if text(3)? == "below" { Bound::Below(threshold) } else { Bound::Above(threshold) },
                value: row.get(5)?,
                since: value::timestamp(row, 6)?,
                raised_at: value::timestamp(row, 7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// One text for the same labels, as they are in order.
fn written(labels: &Labels) -> Result<String, StoreError> {
    serde_json::to_string(&**labels).map_err(|error| StoreError::Other(error.to_string()))
}
