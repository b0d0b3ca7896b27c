//! Tasks: one small row that is rewritten with every step, and bodies that are written once.

use super::{Store, StoreError, value};
use crate::clock::Timestamp;
use crate::model::id::{MessageId, PoolId, TaskId, TaskSeq, Token, WorkflowId};
use crate::model::task::{Exchange, OnCrash, Process, Reason, Task, TaskInput, TaskResult, TaskStatus};
use crate::model::workflow::Step;
use crate::ports::{Page, TaskFilter};
use rusqlite::{OptionalExtension, Row, ToSql, params};
use std::time::Duration;

pub(super) const COLUMNS: &str =
    "task_seq, task_id, pool_id, status, reason, priority, not_before, timeout_ms, attempt, failures,
  token, retries_max, crashes, on_crash, idempotency_key, question_id, response_id, worker_slot, pid, pid_started,
  boot_id, exit_code, exit_signal, cancel_requested, created_at, started_at, completed_at, lock_key,
  workflow_id, stage, step";

/// By number and not by name: looking up 31 names for every row took longer than writing it.
const INSERT: &str = "INSERT INTO tasks(task_seq, task_id, pool_id, status, reason, priority, not_before, timeout_ms,
    attempt, failures, token, retries_max, crashes, on_crash, idempotency_key, question_id, response_id, worker_slot,
    pid, pid_started, boot_id, exit_code, exit_signal, cancel_requested, created_at, started_at, completed_at,
    lock_key, workflow_id, stage, step)
  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31)
  ON CONFLICT(task_seq) DO UPDATE SET status = ?4, reason = ?5, not_before = ?7, attempt = ?9, failures = ?10,
    token = ?11, crashes = ?13, worker_slot = ?18, pid = ?19, pid_started = ?20, boot_id = ?21, exit_code = ?22,
    exit_signal = ?23, cancel_requested = ?24, started_at = ?26, completed_at = ?27";

impl Store {
    pub(super) fn put_task(&self, task: &Task) -> Result<(), StoreError> {
        let process = task.process.as_ref();
        self.db.prepare_cached(INSERT)?.execute(params![
            task.seq.0,
            task.id.as_str(),
            task.pool.as_str(),
            task.status.as_str(),
            task.reason.map(Reason::as_str),
            task.priority,
            task.not_before.map(Timestamp::as_unix_seconds),
            task.timeout.as_millis() as i64,
            task.attempt,
            task.failures,
            task.token.map(|token| token.0 as i64),
            task.retries_max,
            task.crashes,
            task.on_crash.as_str(),
            task.key,
            task.exchange.as_ref().map(|exchange| exchange.question.as_str()),
            task.exchange.as_ref().map(|exchange| exchange.response.as_str()),
            task.slot,
            process.map(|process| process.pid),
            process.map(|process| process.started as i64),
            process.map(|process| process.boot_id.as_str()),
            task.exit_code,
            task.exit_signal,
            task.cancel_requested,
            task.created_at.as_unix_seconds(),
            task.started_at.map(Timestamp::as_unix_seconds),
            task.completed_at.map(Timestamp::as_unix_seconds),
            task.lock,
            task.step.as_ref().map(|step| step.workflow.as_str()),
            task.step.as_ref().map(|step| &*step.stage),
            task.step.as_ref().map(|step| &*step.name),
        ])?;
        Ok(())
    }

    pub(super) fn put_task_input(&self, seq: TaskSeq, input: &TaskInput) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO task_inputs(task_seq, prompt, context, directory, system_prompt) VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((seq.0, &input.prompt, &input.context, &input.directory, &input.system_prompt))?;
        Ok(())
    }

    /// A task that was retried by hand ends a second time.
    pub(super) fn put_task_result(&self, seq: TaskSeq, result: &TaskResult) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO task_results(task_seq, result, error, truncated, usage)
                 VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((seq.0, result.result.as_deref(), result.error.as_deref(), result.truncated, &result.usage))?;
        Ok(())
    }

    pub(super) fn read_task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE task_id = ?1");
        Ok(self.db.prepare_cached(&sql)?.query_row([id.as_str()], task).optional()?)
    }

    pub(super) fn read_task_by_key(&self, key: &str) -> Result<Option<Task>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE idempotency_key = ?1");
        Ok(self.db.prepare_cached(&sql)?.query_row([key], task).optional()?)
    }

    /// The bodies of a task, for the worker that runs it.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn task_input(&mut self, seq: TaskSeq) -> Result<Option<TaskInput>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT prompt, context, directory, system_prompt FROM task_inputs WHERE task_seq = ?1")?;
        let input = statement.query_row([seq.0], |row| {
            Ok(TaskInput {
                prompt: row.get(0)?,
                context: row.get(1)?,
                directory: row.get(2)?,
                system_prompt: row.get(3)?,
            })
        });
        Ok(input.optional()?)
    }

    pub(super) fn read_task_result(&self, seq: TaskSeq) -> Result<TaskResult, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT result, error, truncated, usage FROM task_results WHERE task_seq = ?1")?;
        let result = statement.query_row([seq.0], |row| {
            Ok(TaskResult {
                result: row.get::<_, Option<String>>(0)?.map(Into::into),
                error: row.get::<_, Option<String>>(1)?.map(Into::into),
                truncated: row.get(2)?,
                usage: row.get(3)?,
            })
        });
        Ok(result.optional()?.unwrap_or_default())
    }

    pub(super) fn put_dependency(&self, seq: TaskSeq, needs: TaskSeq) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO task_dependencies(task_seq, needs_seq) VALUES(?1, ?2)")?
            .execute((seq.0, needs.0))?;
        Ok(())
    }

    /// The tasks that a task needs, in the order of submission.
    pub(super) fn read_needs(&self, seq: TaskSeq) -> Result<Vec<Task>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tasks WHERE task_seq IN
               (SELECT needs_seq FROM task_dependencies WHERE task_seq = ?1) ORDER BY task_seq"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        Ok(statement.query_map([seq.0], task)?.collect::<Result<_, _>>()?)
    }

    /// Of the open tasks, which needs which other open one.
    pub(super) fn read_open_dependencies(&self) -> Result<Vec<(TaskSeq, TaskSeq)>, StoreError> {
        let mut statement = self.db.prepare(
            "SELECT d.task_seq, d.needs_seq FROM tasks AS t
               JOIN task_dependencies AS d ON d.task_seq = t.task_seq
               JOIN tasks AS n ON n.task_seq = d.needs_seq
             WHERE t.status = 'pending' AND n.status IN ('pending', 'running') ORDER BY d.task_seq, d.needs_seq",
        )?;
        let rows = statement.query_map([], |row| Ok((TaskSeq(row.get(0)?), TaskSeq(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn read_open_tasks(&self) -> Result<Vec<Task>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM tasks WHERE status IN ('pending', 'running') ORDER BY pool_id, task_seq");
        let mut statement = self.db.prepare(&sql)?;
        let mut tasks = statement.query_map([], task)?.collect::<Result<Vec<Task>, _>>()?;
        tasks.sort_unstable_by_key(|task| task.seq);
        Ok(tasks)
    }

    pub(super) fn read_tasks(&self, filter: &TaskFilter) -> Result<Page<Task>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} FROM tasks WHERE task_seq < ?1");
        let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(filter.before.unwrap_or(i64::MAX))];
        if let Some(pool) = &filter.pool {
            values.push(Box::new(pool.clone()));
            sql.push_str(&format!(" AND pool_id = ?{}", values.len()));
        }
        if let Some(status) = filter.status {
            values.push(Box::new(status.as_str()));
            sql.push_str(&format!(" AND status = ?{}", values.len()));
        }
        values.push(Box::new(filter.rows_max as i64 + 1));
        sql.push_str(&format!(" ORDER BY task_seq DESC LIMIT ?{}", values.len()));
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
            task(row).map(|task| {
                let seq = task.seq.0;
                (task, seq)
            })
        })?;
        Ok(super::reading::page(rows.collect::<Result<_, _>>()?, filter.rows_max))
    }
}

pub(super) fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    let exchange = match (row.get::<_, Option<String>>(15)?, row.get::<_, Option<String>>(16)?) {
        (Some(question), Some(response)) => {
            Some(Exchange { question: MessageId::from(question), response: MessageId::from(response) })
        }
        _ => None,
    };
    Ok(Task {
        seq: TaskSeq(row.get(0)?),
        id: TaskId::from(row.get::<_, String>(1)?),
        pool: PoolId::from(row.get::<_, String>(2)?),
        status: TaskStatus::parse(&row.get::<_, String>(3)?).unwrap_or(TaskStatus::Failed),
        reason: row.get::<_, Option<String>>(4)?.and_then(|word| Reason::parse(&word)),
        priority: row.get(5)?,
        not_before: value::timestamp_or_null(row, 6)?,
        timeout: Duration::from_millis(value::unsigned(row, 7)?),
        attempt: row.get(8)?,
        failures: row.get(9)?,
        token: row.get::<_, Option<i64>>(10)?.and_then(|token| u64::try_from(token).ok()).map(Token),
        retries_max: row.get(11)?,
        crashes: row.get(12)?,
        on_crash: OnCrash::parse(&row.get::<_, String>(13)?).unwrap_or(OnCrash::Fail),
        key: row.get(14)?,
        exchange,
        slot: row.get(17)?,
        process: process(row)?,
        exit_code: row.get(21)?,
        exit_signal: row.get(22)?,
        cancel_requested: row.get(23)?,
        created_at: value::timestamp(row, 24)?,
        started_at: value::timestamp_or_null(row, 25)?,
        completed_at: value::timestamp_or_null(row, 26)?,
        lock: row.get(27)?,
        step: step(row)?,
    })
}

fn step(row: &Row<'_>) -> rusqlite::Result<Option<Step>> {
    let text = |column| row.get::<_, Option<String>>(column);
    Ok(match (text(28)?, text(29)?, text(30)?) {
        (Some(workflow), Some(stage), Some(name)) => {
            Some(Step { workflow: WorkflowId::from(workflow), stage: stage.into(), name: name.into() })
        }
        _ => None,
    })
}

fn process(row: &Row<'_>) -> rusqlite::Result<Option<Process>> {
    Ok(match (row.get(18)?, row.get::<_, Option<i64>>(19)?, row.get(20)?) {
        (Some(pid), Some(started), Some(boot_id)) => {
            Some(Process { pid, started: u64::try_from(started).unwrap_or(0), boot_id })
        }
        _ => None,
    })
}
