//! Groups of pools that scale themselves.

use super::{Store, StoreError, value};
use crate::model::scaling::{GroupRow, Rule};
use std::time::Duration;

impl Store {
    pub(super) fn put_group(&self, group: &GroupRow) -> Result<(), StoreError> {
        let Rule { pools_min, pools_max, up_queue, down_idle } = group.rule;
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO pool_groups(pool_group, pools_min, pools_max, up_queue, down_idle_ms)
                 VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                &group.name,
                pools_min as i64,
                pools_max as i64,
                up_queue as i64,
                i64::try_from(down_idle.as_millis()).unwrap_or(i64::MAX),
            ))?;
        Ok(())
    }

    pub(super) fn delete_group(&self, name: &str) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM pool_groups WHERE pool_group = ?1")?.execute([name])?;
        Ok(())
    }

    pub(super) fn read_groups(&self) -> Result<Vec<GroupRow>, StoreError> {
        let mut statement = self.db.prepare(
            "SELECT pool_group, pools_min, pools_max, up_queue, down_idle_ms FROM pool_groups ORDER BY pool_group",
        )?;
        let rows = statement.query_map([], |row| {
            let count = |column| Ok::<_, rusqlite::Error>(value::unsigned(row, column)?.max(1) as usize);
            let rule = Rule {
                pools_min: count(1)?,
                pools_max: count(2)?,
                up_queue: count(3)?,
                down_idle: Duration::from_millis(value::unsigned(row, 4)?),
            };
            Ok(GroupRow { name: row.get(0)?, rule })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
