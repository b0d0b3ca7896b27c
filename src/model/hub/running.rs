//! Tasks while they run: claiming them for idle workers, and what their workers report.

use super::pictures::Subject;
use super::{Effects, Hub, Run};
use crate::clock::Now;
use crate::model::event::Body;
use crate::model::id::{PoolId, TaskSeq, Token};
use crate::model::limits;
use crate::model::measure::Measure;
use crate::model::pool::Pool;
use crate::model::rows::{Rows, RowsError};
use crate::model::task::{Ending, OnCrash, Process, Reason, Report, Task, TaskResult, TaskStatus};
use std::sync::Arc;

impl Hub {
    /// Gives every worker that is free the next task of its pool.
    pub(super) fn dispatch(&mut self, now: Now, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        if self.stopping {
            return Ok(());
        }
        let can_run = |pool: &&Pool| pool.staffed && pool.row.status.dispatches() && !pool.queue.is_empty();
        let pools: Vec<PoolId> = self.pools.values().filter(can_run).map(|pool| pool.row.id.clone()).collect();
        for id in pools {
            let lets_through = |hub: &Hub, pool: &&Pool| hub.lets_through(now.tick, pool);
            while let Some(slot) =
                self.pools.get(&id).filter(|pool| lets_through(self, pool)).and_then(Pool::free_worker)
            {
                let Some(seq) = self.pop_runnable(&id) else { break };
                self.claim(now, seq, slot, rows, out)?;
            }
        }
        Ok(())
    }

    fn claim(
        &mut self,
        now: Now,
        seq: TaskSeq,
        slot: u8,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let token = Token(self.next_token);
        let Some(task) = self.tasks.get_mut(seq) else { return Ok(()) };
        if let Some(pool) = self.pools.get_mut(&task.pool) {
            pool.workers[usize::from(slot)].claimed.push(seq);
        }
        task.status = TaskStatus::Running;
        task.reason = None;
        task.attempt += 1;
        task.token = Some(token);
        task.slot = Some(slot);
        task.started_at = Some(now.wall);
        (task.exit_code, task.exit_signal, task.process) = (None, None, None);
        let task = task.clone();
        self.next_token += 1;
        self.token_used = true;
        let ready = task.not_before.map_or(task.created_at, |at| at.max(task.created_at));
        out.measures.push(Measure::TaskQueued { pool: task.pool.clone(), wait: ready.until(now.wall) });
        let assigned = Body::TaskAssigned {
            pool: task.pool.clone(),
            slot,
            task: task.id.clone(),
            priority: task.priority,
            attempt: task.attempt,
        };
        self.emit(now, assigned, out);
        self.begin_listening(now, &task, slot, out);
        self.picture_of_worker(now, &task.pool, slot);
        self.start_exchange(now, &task, rows, out)?;
        self.follow_task(now, &task, out);
        out.runs.push(Run {
            seq,
            token,
            attempt: task.attempt,
            slot,
            timeout: task.timeout,
            progress: task.exchange.is_some(),
            refers: task.step.is_some(),
            id: task.id,
            pool: task.pool,
        });
        Ok(())
    }

    pub(super) fn picture_of_worker(&mut self, now: Now, pool: &PoolId, slot: u8) {
        self.picture(now, Subject::Worker(pool.clone(), slot));
        self.picture(now, Subject::Pool(pool.clone()));
    }

    /// The task that a report is about, unless the report comes too late.
    pub(super) fn current(&mut self, seq: TaskSeq, token: Token) -> Option<Task> {
        let task = self.tasks.get(seq).filter(|task| task.status == TaskStatus::Running && task.token == Some(token));
        if task.is_none() {
            self.stale_reports += 1;
        }
        task.cloned()
    }

    pub(super) fn started(&mut self, seq: TaskSeq, token: Token, process: Process) {
        if self.current(seq, token).is_some()
            && let Some(task) = self.tasks.get_mut(seq)
        {
            task.process = Some(process);
        }
    }

    pub(super) fn progress(
        &mut self,
        now: Now,
        seq: TaskSeq,
        token: Token,
        text: Arc<str>,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(exchange) = self.current(seq, token).and_then(|task| task.exchange) else { return Ok(()) };
        if let Some(response) = rows.message(&exchange.response)?.filter(|response| !response.status.is_final()) {
            let status = response.status.clone();
            self.change_message(now, &response, status, Some(text), None, out);
        }
        Ok(())
    }

    pub(super) fn finished(
        &mut self,
        now: Now,
        report: Report,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(task) = self.current(report.seq, report.token) else { return Ok(()) };
        self.free_worker_of(now, &task, &report);
        if matches!(report.ending, Ending::Failed | Ending::TimedOut | Ending::NotStarted)
            && let Some(pool) = self.pools.get_mut(&task.pool)
        {
            pool.last_error.clone_from(&report.outcome.error);
        }
        if report.ending != Ending::Interrupted {
            out.measures.push(Measure::TaskRan { pool: task.pool.clone(), took: report.duration });
        }
        self.tried(now, &report, &task.pool, out);
        if let Some(task) = self.tasks.get_mut(report.seq) {
            (task.exit_code, task.exit_signal) = (report.exit_code, report.exit_signal);
        }
        match report.ending {
            // Done is done, also when a cancel was on its way.
            Ending::Succeeded => {
                self.end(now, report.seq, TaskStatus::Completed, Reason::Error, report.outcome, rows, out)
            }
            _ if task.cancel_requested => self.end_cancelled(now, report.seq, report.outcome, rows, out),
            Ending::Cancelled => self.end_cancelled(now, report.seq, report.outcome, rows, out),
            Ending::Interrupted => {
                self.requeue(now, report.seq, out);
                Ok(())
            }
            Ending::NotStarted => {
                self.end(now, report.seq, TaskStatus::Failed, Reason::NotStarted, report.outcome, rows, out)
            }
            Ending::Failed => self.failed(now, report.seq, Reason::Error, report.outcome, rows, out),
            Ending::TimedOut => self.failed(now, report.seq, Reason::Timeout, report.outcome, rows, out),
            Ending::Stuck => self.failed(now, report.seq, Reason::Stuck, report.outcome, rows, out),
        }
    }

    fn end_cancelled(
        &mut self,
        now: Now,
        seq: TaskSeq,
        outcome: TaskResult,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let outcome = TaskResult { error: Some("cancelled while it ran".into()), ..outcome };
        self.end(now, seq, TaskStatus::Cancelled, Reason::Cancelled, outcome, rows, out)
    }

    fn free_worker_of(&mut self, now: Now, task: &Task, report: &Report) {
        let Some(slot) = task.slot else { return };
        self.stop_listening(&task.pool, slot);
        if let Some(worker) = self.worker_mut(&task.pool, slot) {
            worker.claimed.retain(|claimed| *claimed != task.seq);
            worker.stuck = false;
            match report.ending {
                Ending::Succeeded => worker.record(true, report.duration, now.wall),
                Ending::Failed | Ending::TimedOut | Ending::Stuck | Ending::NotStarted => {
                    worker.record(false, report.duration, now.wall);
                }
                Ending::Cancelled | Ending::Interrupted => worker.last_activity = Some(now.wall),
            }
        }
        self.picture_of_worker(now, &task.pool, slot);
    }

    pub(super) fn worker_died(
        &mut self,
        now: Now,
        pool: &PoolId,
        slot: u8,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(worker) = self.worker_mut(pool, slot) else { return Ok(()) };
        let claimed = std::mem::take(&mut worker.claimed);
        worker.consecutive_failures += 1;
        worker.stuck = false;
        self.stop_listening(pool, slot);
        for (position, seq) in claimed.into_iter().enumerate() {
            if self.tasks.get(seq).is_some_and(|task| task.cancel_requested) {
                self.end_cancelled(now, seq, TaskResult::default(), rows, out)?;
            } else if position == 0 {
                let error = Some("the worker died under this task".into());
                let outcome = TaskResult { error, ..TaskResult::default() };
                self.failed(now, seq, Reason::Crashed, outcome, rows, out)?;
            } else {
                self.requeue(now, seq, out);
            }
        }
        self.picture_of_worker(now, pool, slot);
        Ok(())
    }

    /// After the daemon died: what was running is requeued, failed or cancelled, as each task says.
    ///
    /// # Errors
    /// As [`Hub::step`].
    pub fn recover(&mut self, now: Now, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        let interrupted: Vec<TaskSeq> = self
            .pools
            .values_mut()
            .flat_map(|pool| pool.workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.claimed)))
            .collect();
        self.forget_quiet();
        for seq in interrupted {
            let Some(task) = self.tasks.get_mut(seq) else { continue };
            let outcome = |text: &str| TaskResult { error: Some(text.into()), ..TaskResult::default() };
            if task.cancel_requested {
                self.end_cancelled(now, seq, TaskResult::default(), rows, out)?;
                continue;
            }
            task.crashes += 1;
            if task.crashes >= limits::CRASHES_MAX {
                let dead = outcome("the daemon died three times while this task ran; it is not run again by itself");
                self.end(now, seq, TaskStatus::Failed, Reason::Dead, dead, rows, out)?;
                continue;
            }
            match task.on_crash {
                OnCrash::Requeue => self.requeue(now, seq, out),
                OnCrash::Fail => {
                    let crashed = outcome("the daemon died while this task ran; it may have done part of its work");
                    self.failed(now, seq, Reason::Crashed, crashed, rows, out)?;
                }
            }
        }
        self.close_interrupted(now, rows, out)
    }
}
