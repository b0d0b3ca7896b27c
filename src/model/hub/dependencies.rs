//! Tasks that need others: blocked until all of them are completed, cancelled when one of them never will be.

use super::tasks::{Standing, Tasks, no_task};
use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{Code, Refusal};
use crate::model::id::{TaskId, TaskSeq};
use crate::model::limits::AFTER_MAX;
use crate::model::rows::{Rows, RowsError};
use crate::model::task::{Reason, Task, TaskResult, TaskStatus};

/// A task that another one needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) seq: TaskSeq,
    /// Not completed yet.
    pub(super) is_open: bool,
}

impl Tasks {
    /// Notes that an open task needs another open one.
    pub(super) fn depend(&mut self, seq: TaskSeq, needs: TaskSeq) {
        if let Some(open) = self.open.get_mut(&seq) {
            open.needs.push(needs);
            // May name it twice, when it was cancelled and is retried: what it needs is counted by itself.
            self.dependents.entry(needs).or_default().push(seq);
        }
    }
}

impl Hub {
    /// The tasks of those names; refused when one of them does not exist or will never be completed.
    pub(super) fn check_needs(
        &self,
        after: &[TaskId],
        rows: &mut dyn Rows,
    ) -> Result<Result<Vec<Need>, Refusal>, RowsError> {
        if after.len() > AFTER_MAX {
            let message = format!("a task may wait for {AFTER_MAX} others, not for {}", after.len());
            return Ok(Err(Refusal::bad_request(message)));
        }
        let mut needs: Vec<Need> = Vec::with_capacity(after.len());
        for id in after {
            let Some(task) = self.find_task(id, rows)? else { return Ok(Err(no_task(id))) };
            match need(&task) {
                // The same one twice is one.
                Ok(need) if needs.contains(&need) => {}
                Ok(need) => needs.push(need),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(needs))
    }

    /// Tells the tasks that waited for what has ended, and those that waited for them.
    pub(super) fn settle_ended(&mut self, now: Now, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        // Not recursive: a chain may be as long as a queue.
        while let Some((needed, status)) = self.tasks.ended.pop() {
            for seq in self.tasks.dependents.remove(&needed).unwrap_or_default() {
                if status == TaskStatus::Completed {
                    self.unblock(now, seq, needed);
                } else {
                    self.give_up(now, seq, needed, rows, out)?;
                }
            }
        }
        Ok(())
    }

    fn unblock(&mut self, now: Now, seq: TaskSeq, needed: TaskSeq) {
        let Some(open) = self.tasks.open.get_mut(&seq) else { return };
        open.needs.retain(|other| *other != needed);
        if !open.needs.is_empty() || open.standing != Standing::Blocked {
            return;
        }
        let later = open.task.not_before.filter(|at| *at > now.wall);
        let reason = if later.is_some() { Reason::Delayed } else { Reason::Queued };
        if let Some(pool) = self.pools.get_mut(&open.task.pool) {
            pool.waiting -= 1;
        }
        if let Some(task) = self.tasks.get_mut(seq) {
            task.not_before = later;
            task.reason = Some(reason);
        }
        self.enqueue(now, seq);
    }

    /// What it needs will never be completed.
    fn give_up(
        &mut self,
        now: Now,
        seq: TaskSeq,
        needed: TaskSeq,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        if self.tasks.get(seq).is_none_or(|task| task.status != TaskStatus::Pending) {
            return Ok(());
        }
        let what = self.tasks.get(needed).map_or_else(String::new, |task| {
            format!(
                "task {}, which it needs, {}",
                task.id,
                if task.status == TaskStatus::Failed { "failed" } else { "was cancelled" }
            )
        });
        self.dequeue(seq);
        let outcome = TaskResult { error: Some(what.into()), ..TaskResult::default() };
        self.end(now, seq, TaskStatus::Cancelled, Reason::Dependency, outcome, rows, out)
    }
}

pub(super) fn need(task: &Task) -> Result<Need, Refusal> {
    match task.status {
        TaskStatus::Completed => Ok(Need { seq: task.seq, is_open: false }),
        TaskStatus::Pending | TaskStatus::Running => Ok(Need { seq: task.seq, is_open: true }),
        TaskStatus::Failed | TaskStatus::Cancelled => {
            let message =
                format!("task {} is {} and will not be completed; retry it first", task.id, task.status.as_str());
            Err(Refusal::new(Code::Conflict, message))
        }
    }
}
