//! Tasks and workflows that ended long ago, and are kept no longer.

use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::id::TaskId;

/// Tasks that are looked at at once.
const TASKS_MAX: usize = 100;

/// What a look at the oldest tasks has found.
#[derive(Debug, Default)]
pub struct OldTasks {
    /// Those that nothing needs any more.
    pub tasks: Vec<TaskId>,
    /// Where the next look begins; `None` when all that are old enough were seen.
    pub next: Option<i64>,
    seqs: Vec<i64>,
    before: Timestamp,
}

/// A task that another one waits for, or of a workflow that goes on, or that somebody watches, is needed. The newest one
/// says where numbers go on.
const LOOK: &str = "
SELECT t.task_seq, t.task_id, t.created_at < ?2,
  t.status NOT IN ('pending', 'running') AND t.completed_at < ?2
  AND t.task_seq < (SELECT MAX(task_seq) FROM tasks)
  AND NOT EXISTS (SELECT 1 FROM task_dependencies d JOIN tasks o ON o.task_seq = d.task_seq
    WHERE d.needs_seq = t.task_seq AND o.status IN ('pending', 'running'))
  AND NOT EXISTS (SELECT 1 FROM workflows w
    WHERE w.workflow_id = t.workflow_id AND (w.ended_at IS NULL OR w.ended_at >= ?2))
  AND NOT EXISTS (SELECT 1 FROM watches w WHERE w.task_id = t.task_id AND w.ended_at IS NULL)
FROM tasks t WHERE t.task_seq >= ?1 ORDER BY t.task_seq LIMIT ?3";

impl Store {
    /// Looks at some of the tasks from this number on, for those that ended before `before`. To be called inside a batch.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn old_tasks(&mut self, before: Timestamp, from: i64) -> Result<OldTasks, StoreError> {
        let mut found = OldTasks { before, ..OldTasks::default() };
        let mut statement = self.db.prepare_cached(LOOK)?;
        let mut rows = statement.query((from, before.as_unix_seconds(), TASKS_MAX as i64))?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let (seq, id, is_early, is_old): (i64, String, bool, Option<bool>) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            if !is_early {
                // What comes now was made later still.
                return Ok(found);
            }
            if is_old == Some(true) {
                found.tasks.push(TaskId::from(id));
                found.seqs.push(seq);
            }
            seen += 1;
            found.next = (seen == TASKS_MAX).then_some(seq + 1);
        }
        Ok(found)
    }

    /// Forgets what was found, and at the end of a round the workflows that have no tasks left. Returns whether there was
    /// anything to forget. To be called inside the same batch.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn forget(&mut self, old: &OldTasks) -> Result<bool, StoreError> {
        for (seq, id) in old.seqs.iter().zip(&old.tasks) {
            for table in ["task_inputs", "task_results", "task_dependencies", "tasks"] {
                self.db.prepare_cached(&format!("DELETE FROM {table} WHERE task_seq = ?1"))?.execute([seq])?;
            }
            self.db.prepare_cached("DELETE FROM task_dependencies WHERE needs_seq = ?1")?.execute([seq])?;
            self.db
                .prepare_cached("DELETE FROM watches WHERE task_id = ?1 AND message_id IS NULL")?
                .execute([id.as_str()])?;
        }
        let mut forgotten = old.seqs.len();
        if old.next.is_none() {
            forgotten += self
                .db
                .prepare_cached(
                    "DELETE FROM workflows WHERE ended_at < ?1
                       AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.workflow_id = workflows.workflow_id)",
                )?
                .execute([old.before.as_unix_seconds()])?;
        }
        Ok(forgotten > 0)
    }
}
