//! Trying again: by itself after a failed attempt, and by hand after the end.

use super::tasks::no_task;
use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{Code, Refusal, Reply, TaskView};
use crate::model::event::Body;
use crate::model::id::{TaskId, TaskSeq};
use crate::model::rows::{Rows, RowsError};
use crate::model::task::{Reason, Task, TaskResult, TaskStatus};
use std::time::Duration;

impl Hub {
    /// An attempt failed by the task's own fault: another one, or the end.
    pub(super) fn failed(
        &mut self,
        now: Now,
        seq: TaskSeq,
        reason: Reason,
        outcome: TaskResult,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(task) = self.tasks.get_mut(seq) else { return Ok(()) };
        task.failures += 1;
        let Some(delay) = task.next_try_after() else {
            return self.end(now, seq, TaskStatus::Failed, reason, outcome, rows, out);
        };
        task.status = TaskStatus::Pending;
        task.reason = Some(Reason::Retrying);
        task.not_before = Some(now.wall.after(delay));
        task.process = None;
        let task = task.clone();
        self.release_lock(&task);
        self.retrying(now, &task, reason, delay, out);
        self.enqueue(now, seq);
        self.follow_task(now, &task, out);
        Ok(())
    }

    fn retrying(&mut self, now: Now, task: &Task, reason: Reason, delay: Duration, out: &mut Effects) {
        let body = Body::TaskRetrying {
            pool: task.pool.clone(),
            slot: task.slot,
            task: task.id.clone(),
            attempt: task.attempt,
            error: reason.as_str(),
            delay,
        };
        self.emit(now, body, out);
    }

    /// Back to the queue, uncounted.
    pub(super) fn requeue(&mut self, now: Now, seq: TaskSeq, out: &mut Effects) {
        let Some(task) = self.tasks.get_mut(seq) else { return };
        task.status = TaskStatus::Pending;
        task.reason = Some(Reason::Queued);
        task.not_before = None;
        (task.process, task.slot) = (None, None);
        let task = task.clone();
        self.release_lock(&task);
        self.enqueue(now, seq);
        self.follow_task(now, &task, out);
    }

    /// Runs a task again that has failed or was cancelled, with all its retries. Attempts and tokens go on counting.
    pub(super) fn retry(
        &mut self,
        now: Now,
        id: &TaskId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Result<Reply, Refusal>, RowsError> {
        // It may have ended in this very batch, and those that need it must hear of that first.
        self.settle_ended(now, rows, out)?;
        let Some(task) = self.find_task(id, rows)? else { return Ok(Err(no_task(id))) };
        if !matches!(task.status, TaskStatus::Failed | TaskStatus::Cancelled) {
            let message = format!("task {id} is {}; only a failed or cancelled one is retried", task.status.as_str());
            return Ok(Err(Refusal::new(Code::Conflict, message)));
        }
        if let Some(step) = &task.step {
            let message = format!(
                "task {id} belongs to workflow {}, which goes on or has ended without it; run the workflow again",
                step.workflow
            );
            return Ok(Err(Refusal::new(Code::Conflict, message)));
        }
        let mut needs = Vec::new();
        for needed in rows.needs(task.seq)? {
            let needed = self.tasks.get(needed.seq).cloned().unwrap_or(needed);
            match super::dependencies::need(&needed) {
                Ok(need) => needs.extend(need.is_open.then_some(need.seq)),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        match self.room_in(&task.pool, needs.is_empty()) {
            Ok(pool) => pool.row.submitted += 1,
            Err(refusal) => return Ok(Err(refusal)),
        }
        self.pools_dirty.insert(task.pool.clone());
        let reason = if needs.is_empty() { Reason::Queued } else { Reason::Blocked };
        let again = Task {
            status: TaskStatus::Pending,
            reason: Some(reason),
            not_before: None,
            failures: 0,
            crashes: 0,
            slot: None,
            exit_code: None,
            exit_signal: None,
            cancel_requested: false,
            completed_at: None,
            ..task
        };
        let seq = again.seq;
        self.tasks.insert_again(again.clone());
        needs.into_iter().for_each(|needs| self.tasks.depend(seq, needs));
        self.enqueue(now, seq);
        self.follow_task(now, &again, out);
        Ok(Ok(Reply::Task(Box::new(TaskView { task: again, outcome: TaskResult::default() }))))
    }
}
