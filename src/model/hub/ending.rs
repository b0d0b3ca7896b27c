//! How tasks end: the row, the result, the event, messages, watch, and everybody who waits for it.

use super::parking::Wait;
use super::pictures::Subject;
use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{Reply, TaskView};
use crate::model::event::Body;
use crate::model::id::TaskSeq;
use crate::model::measure::Measure;
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::{Reason, Task, TaskResult, TaskStatus};

impl Hub {
    /// Ends a task for good: its row, result, event, messages, watch, and everybody who waits for it.
    #[expect(clippy::too_many_arguments, reason = "what an end consists of")]
    pub(super) fn end(
        &mut self,
        now: Now,
        seq: TaskSeq,
        status: TaskStatus,
        reason: Reason,
        outcome: TaskResult,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(task) = self.tasks.get_mut(seq) else { return Ok(()) };
        task.status = status;
        task.reason = (status != TaskStatus::Completed).then_some(reason);
        task.completed_at = Some(now.wall);
        task.process = None;
        let task = task.clone();
        self.release_lock(&task);
        self.tasks.ended.push((seq, status));
        self.step_ended(&task);
        self.written.remove(&seq);
        self.count_end(&task);
        self.emit(now, end_event(&task, reason, &outcome), out);
        out.writes.push(Write::PutTaskResult { seq, result: outcome.clone() });
        self.answer_exchange(now, &task, &outcome, rows, out)?;
        if task.exchange.is_some() {
            out.measures.push(Measure::MessageEnded { took: task.created_at.until(now.wall) });
        }
        self.follow_task(now, &task, out);
        self.picture(now, Subject::Pool(task.pool.clone()));
        self.answer_waiting(&task, &outcome, out);
        Ok(())
    }

    fn count_end(&mut self, task: &Task) {
        let Some(pool) = self.pools.get_mut(&task.pool) else { return };
        match task.status {
            TaskStatus::Completed => pool.row.completed += 1,
            TaskStatus::Failed => pool.row.failed += 1,
            TaskStatus::Cancelled | TaskStatus::Pending | TaskStatus::Running => return,
        }
        self.pools_dirty.insert(task.pool.clone());
    }

    fn answer_waiting(&mut self, task: &Task, outcome: &TaskResult, out: &mut Effects) {
        for (ask, wait) in self.waiting_for_task(task.seq) {
            let reply = match wait {
                Wait::Answer(_, answer) => Reply::Asked(answer.ended(task, outcome)),
                _ => Reply::Task(Box::new(TaskView { task: task.clone(), outcome: outcome.clone() })),
            };
            out.replies.push((ask, Ok(reply)));
        }
    }
}

fn end_event(task: &Task, reason: Reason, outcome: &TaskResult) -> Body {
    let (pool, id) = (task.pool.clone(), task.id.clone());
    match task.status {
        TaskStatus::Completed => Body::TaskCompleted {
            pool,
            slot: task.slot.unwrap_or(0),
            task: id,
            exit_code: task.exit_code,
            duration: task.duration().unwrap_or_default(),
            length: outcome.result.as_ref().map_or(0, |result| result.len()),
        },
        TaskStatus::Cancelled => Body::TaskCancelled { pool, slot: task.slot, task: id },
        _ => Body::TaskFailed { pool, slot: task.slot, task: id, error: reason.as_str(), exit_code: task.exit_code },
    }
}
