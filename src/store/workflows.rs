//! Workflows: what their tasks do not say of them.

use super::{Store, StoreError, tasks, value};
use crate::clock::Timestamp;
use crate::model::id::{TaskSeq, WorkflowId};
use crate::model::task::{Task, TaskResult, TaskStatus};
use crate::model::workflow::{OnFailure, StageRow, WorkflowRow, WorkflowStatus};
use crate::ports::{Page, WorkflowFilter};
use rusqlite::{OptionalExtension, Row, ToSql};
use serde::{Deserialize, Serialize};

const COLUMNS: &str = "workflow_id, definition, status, stages_completed, error, idempotency_key, created_at, ended_at";

/// What stands in `workflows.definition`, as JSON: names only, the prompts are the tasks' own.
#[derive(Default, Serialize, Deserialize)]
struct Definition {
    name: String,
    stages: Vec<Stage>,
}

#[derive(Serialize, Deserialize)]
struct Stage {
    name: String,
    on_failure: String,
}

impl Store {
    pub(super) fn put_workflow(&self, row: &WorkflowRow) -> Result<(), StoreError> {
        let stage =
            |stage: &StageRow| Stage { name: stage.name.to_string(), on_failure: stage.on_failure.as_str().to_owned() };
        let definition = Definition { name: row.name.clone(), stages: row.stages.iter().map(stage).collect() };
        let definition = serde_json::to_string(&definition).map_err(|error| StoreError::Other(error.to_string()))?;
        self.db
            .prepare_cached(
                "INSERT INTO workflows(workflow_id, definition, status, stages_completed, total_stages, error,
                   idempotency_key, created_at, ended_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT(workflow_id) DO UPDATE SET status = ?3, stages_completed = ?4, error = ?6, ended_at = ?9",
            )?
            .execute((
                row.id.as_str(),
                definition,
                row.status.as_str(),
                row.stages_completed as i64,
                row.stages.len() as i64,
                &row.error,
                &row.key,
                row.created_at.as_unix_seconds(),
                row.ended_at.map(Timestamp::as_unix_seconds),
            ))?;
        Ok(())
    }

    pub(super) fn read_workflow(&self, id: &WorkflowId) -> Result<Option<WorkflowRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM workflows WHERE workflow_id = ?1");
        Ok(self.db.prepare_cached(&sql)?.query_row([id.as_str()], workflow).optional()?)
    }

    pub(super) fn read_workflow_by_key(&self, key: &str) -> Result<Option<WorkflowRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM workflows WHERE idempotency_key = ?1");
        Ok(self.db.prepare_cached(&sql)?.query_row([key], workflow).optional()?)
    }

    pub(super) fn read_open_workflows(&self) -> Result<Vec<WorkflowRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM workflows WHERE ended_at IS NULL ORDER BY workflow_id");
        let mut statement = self.db.prepare(&sql)?;
        Ok(statement.query_map([], workflow)?.collect::<Result<_, _>>()?)
    }

    pub(super) fn read_tasks_of_open_workflows(&self) -> Result<Vec<Task>, StoreError> {
        let sql = format!(
            "SELECT {} FROM tasks WHERE workflow_id IN (SELECT workflow_id FROM workflows WHERE ended_at IS NULL)
             ORDER BY task_seq",
            tasks::COLUMNS
        );
        let mut statement = self.db.prepare(&sql)?;
        Ok(statement.query_map([], tasks::task)?.collect::<Result<_, _>>()?)
    }

    pub(super) fn read_tasks_of_workflow(&self, id: &WorkflowId) -> Result<Vec<Task>, StoreError> {
        let sql = format!("SELECT {} FROM tasks WHERE workflow_id = ?1 ORDER BY task_seq", tasks::COLUMNS);
        let mut statement = self.db.prepare_cached(&sql)?;
        Ok(statement.query_map([id.as_str()], tasks::task)?.collect::<Result<_, _>>()?)
    }

    pub(super) fn read_workflows(&self, filter: &WorkflowFilter) -> Result<Page<WorkflowRow>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS}, rowid FROM workflows WHERE rowid < ?1");
        let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(filter.before.unwrap_or(i64::MAX))];
        let mut places = Vec::new();
        for status in &filter.statuses {
            values.push(Box::new(status.as_str()));
            places.push(format!("?{}", values.len()));
        }
        if !places.is_empty() {
            sql.push_str(&format!(" AND status IN ({})", places.join(", ")));
        }
        values.push(Box::new(filter.rows_max as i64 + 1));
        sql.push_str(&format!(" ORDER BY rowid DESC LIMIT ?{}", values.len()));
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement
            .query_map(rusqlite::params_from_iter(values), |row| Ok((workflow(row)?, row.get::<_, i64>(8)?)))?;
        Ok(super::reading::page(rows.collect::<Result<_, _>>()?, filter.rows_max))
    }

    /// What an earlier task of the same workflow came to, for the worker that runs a later one. `None` when there is no
    /// such task, or it is not completed.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub fn result_of_step(
        &mut self,
        of: TaskSeq,
        stage: Option<&str>,
        task: &str,
    ) -> Result<Option<TaskResult>, StoreError> {
        let sql =
            "SELECT earlier.task_seq FROM tasks AS own JOIN tasks AS earlier ON earlier.workflow_id = own.workflow_id
             WHERE own.task_seq = ?1 AND own.workflow_id IS NOT NULL AND earlier.step = ?2 AND earlier.status = ?3
               AND (?4 IS NULL OR earlier.stage = ?4)";
        let completed = TaskStatus::Completed.as_str();
        let seq: Option<i64> =
            self.db.prepare_cached(sql)?.query_row((of.0, task, completed, stage), |row| row.get(0)).optional()?;
        seq.map(|seq| self.read_task_result(TaskSeq(seq))).transpose()
    }
}

fn workflow(row: &Row<'_>) -> rusqlite::Result<WorkflowRow> {
    let definition: Definition = serde_json::from_str(&value::text(row, 1)?.unwrap_or_default()).unwrap_or_default();
    let stage = |stage: Stage| StageRow {
        name: stage.name.into(),
        on_failure: OnFailure::parse(&stage.on_failure).unwrap_or_default(),
    };
    Ok(WorkflowRow {
        id: WorkflowId::from(row.get::<_, String>(0)?),
        name: definition.name,
        stages: definition.stages.into_iter().map(stage).collect(),
        status: WorkflowStatus::parse(&row.get::<_, String>(2)?).unwrap_or(WorkflowStatus::Failed),
        stages_completed: usize::try_from(value::unsigned(row, 3)?).unwrap_or(0),
        error: row.get(4)?,
        key: row.get(5)?,
        created_at: value::timestamp(row, 6)?,
        ended_at: value::timestamp_or_null(row, 7)?,
    })
}
