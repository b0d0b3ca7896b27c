//! What the hub needs to go on: the open tasks, active watches and pools, and the numbers to count on from.

use super::{Store, StoreError};
use crate::model::rows::Snapshot;

impl Store {
    /// Reads the state that the hub keeps in memory.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        let number = |sql: &str| self.db.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(Snapshot {
            seq: u64::try_from(number("SELECT COALESCE(MAX(seq), 0) FROM events")?).unwrap_or(0),
            next_token: u64::try_from(self.meta("token_next")?).unwrap_or(1),
            next_task_seq: number("SELECT COALESCE(MAX(task_seq), 0) + 1 FROM tasks")?,
            round_robin: u64::try_from(self.meta("round_robin_next")?).unwrap_or(0),
            next_watch_id: number("SELECT COALESCE(MAX(watch_id), 0) + 1 FROM watches")?,
            watches: self.read_active_watches()?,
            pools: self.read_pools()?,
            groups: self.read_groups()?,
            upstreams: self.read_upstreams()?,
            totals: self.read_totals()?,
            alerts: self.read_alerts()?,
            tasks: self.read_open_tasks()?,
            dependencies: self.read_open_dependencies()?,
            workflows: self.read_open_workflows()?,
            workflow_tasks: self.read_tasks_of_open_workflows()?,
        })
    }
}
