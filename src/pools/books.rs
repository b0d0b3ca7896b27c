//! The books of a pool: which tasks are open, which worker has which, and how each ended. Only decides: it neither waits
//! nor reads a clock, and runs nothing that belongs to the user.

use super::entry::{Answer, Claim, LastHeard, Next, Open, Ran, Shift, Taken};
use super::error::{PoolError, TaskError};
use super::task::{Output, Task};
use crate::clock::{Now, Tick};
use crate::model::id::TaskSeq;
use crate::model::limits::{RETRY_AFTER_MS, STUCK_AFTER, WORKERS_PER_POOL};
use crate::model::pool::{Pool, PoolRow, PoolStatus, PoolView};
use crate::model::queue::Place;
use crate::model::routing::Candidate;
use crate::model::task::worker_id;
use crate::resilience::CancelToken;
use crossbeam_channel::bounded;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Books {
    pool: Pool,
    open: BTreeMap<TaskSeq, Open>,
    shifts: [Option<Shift>; WORKERS_PER_POOL],
    next_seq: i64,
    /// Workers whose threads have not left.
    present: usize,
}

impl Books {
    pub(super) fn new(row: PoolRow) -> Books {
        let pool = Pool::new(PoolRow { status: PoolStatus::Stopped, ..row });
        Books { pool, open: BTreeMap::new(), shifts: Default::default(), next_seq: 0, present: 0 }
    }

    /// From here on tasks are taken, and workers that come stay. Once only.
    pub(super) fn start(&mut self, now: Now) -> Result<(), PoolError> {
        if self.pool.row.started_at.is_some() {
            return Err(PoolError::Ended(self.pool.row.id.to_string()));
        }
        self.pool.row.started_at = Some(now.wall);
        self.pool.row.status = PoolStatus::Running;
        self.pool.staffed = true;
        Ok(())
    }

    pub(super) fn come(&mut self) {
        self.present += 1;
    }

    /// Takes a task whose time runs since `since`.
    pub(super) fn submit(
        &mut self,
        now: Now,
        since: Tick,
        task_id: Arc<str>,
        task: &Task,
        answers: &mut Vec<Answer>,
    ) -> Result<Taken, PoolError> {
        if !self.pool.row.status.accepts() {
            return Err(PoolError::NotRunning(self.pool.row.id.to_string()));
        }
        if !self.pool.has_room(true) {
            self.end_overdue(now, answers);
        }
        if !self.pool.has_room(true) {
            return Err(self.queue_full());
        }
        let seq = TaskSeq(self.next_seq);
        self.next_seq += 1;
        let place = Place::new(i64::try_from(now.tick.as_nanos() / 1_000_000).unwrap_or(i64::MAX), task.priority);
        let timeout = task.timeout.unwrap_or(self.pool.row.timeout);
        let deadline = since.after(timeout);
        let (answer, answered) = bounded(1);
        let (task, cancel, id) = (task.clone(), CancelToken::new(), Arc::clone(&task_id));
        self.open.insert(seq, Open { task, task_id, place, timeout, deadline, cancel, answer, slot: None });
        self.pool.queue.push(place, seq);
        self.pool.row.submitted += 1;
        Ok(Taken { seq, task_id: id, deadline, answer: answered })
    }

    fn queue_full(&self) -> PoolError {
        PoolError::QueueFull {
            pool_id: self.pool.row.id.to_string(),
            queue_max: self.pool.row.queue_max,
            retry_after: Duration::from_millis(RETRY_AFTER_MS),
        }
    }

    /// The next task for a worker that has none. Those whose time is up are answered on the way.
    pub(super) fn take(&mut self, now: Now, slot: usize, answers: &mut Vec<Answer>) -> Next {
        while let Some(seq) = self.pool.queue.pop() {
            match self.open.get(&seq).map(|open| open.deadline) {
                Some(deadline) if now.tick >= deadline => self.time_out(now, seq, answers),
                _ => return self.claim(now, slot, seq).map_or(Next::Wait, Next::Run),
            }
        }
        if self.pool.row.status == PoolStatus::Running {
            return Next::Wait;
        }
        self.leave();
        Next::Leave
    }

    fn claim(&mut self, now: Now, slot: usize, seq: TaskSeq) -> Option<Claim> {
        let open = self.open.get_mut(&seq)?;
        open.slot = Some(slot);
        let heard = LastHeard::new(now.tick);
        self.shifts[slot] = Some(Shift { seq, counted: now.tick, heard: heard.clone() });
        self.pool.workers[slot].claimed.push(seq);
        Some(Claim {
            task: open.task.clone(),
            task_id: Arc::clone(&open.task_id),
            worker_id: worker_name(&self.pool, slot),
            deadline: open.deadline,
            cancel: open.cancel.clone(),
            heard,
        })
    }

    /// The last one ends the pool.
    pub(super) fn leave(&mut self) {
        self.present -= 1;
        self.end_when_deserted();
    }

    fn end_when_deserted(&mut self) {
        if self.is_deserted() {
            self.pool.row.status = PoolStatus::Stopped;
            self.pool.staffed = false;
        }
    }

    /// A worker's function has returned. What was answered before that has no use for the result any more; it is handed
    /// back to be dropped elsewhere.
    pub(super) fn finish(&mut self, now: Now, slot: usize, ran: Ran, answers: &mut Vec<Answer>) -> Option<Ran> {
        let seq = self.shifts[slot].as_ref().map(|shift| shift.seq)?;
        let unused = match self.open.get(&seq).map(|open| open.deadline) {
            None => Some(ran),
            Some(deadline) if now.tick >= deadline => {
                self.time_out(now, seq, answers);
                Some(ran)
            }
            Some(_) => {
                self.end_ran(now, slot, seq, ran, answers);
                None
            }
        };
        self.end_shift(now, slot);
        unused
    }

    fn end_ran(&mut self, now: Now, slot: usize, seq: TaskSeq, ran: Ran, answers: &mut Vec<Answer>) {
        let error = match ran {
            Ran::Returned(Ok(result)) => return self.complete(now, slot, seq, result, answers),
            Ran::Returned(Err(error)) => TaskError::Failed(error),
            Ran::Panicked(message) => TaskError::Panicked(message),
        };
        self.end(now, seq, error, answers);
    }

    fn complete(&mut self, now: Now, slot: usize, seq: TaskSeq, result: String, answers: &mut Vec<Answer>) {
        let Some(open) = self.open.remove(&seq) else { return };
        self.count(now, slot, true);
        self.pool.row.completed += 1;
        let output = Output {
            pool_id: self.pool.row.id.to_string(),
            worker_id: worker_name(&self.pool, slot),
            task_id: open.task_id.to_string(),
            result,
        };
        answers.push(Answer { to: open.answer, outcome: Ok(output) });
    }

    /// A worker died outside of what it runs: its task, if it had one, has failed, and it counts as a failure more.
    pub(super) fn died(&mut self, now: Now, slot: usize, answers: &mut Vec<Answer>) {
        if let Some(seq) = self.shifts[slot].as_ref().map(|shift| shift.seq) {
            self.end(now, seq, TaskError::Panicked("the worker died under this task".to_owned()), answers);
        } else {
            self.pool.workers[slot].consecutive_failures += 1;
        }
        self.end_shift(now, slot);
    }

    /// Answers the task if its time is up and nobody else has answered it.
    pub(super) fn expire(&mut self, now: Now, seq: TaskSeq, answers: &mut Vec<Answer>) {
        if self.open.get(&seq).is_some_and(|open| now.tick >= open.deadline) {
            self.time_out(now, seq, answers);
        }
    }

    fn end_overdue(&mut self, now: Now, answers: &mut Vec<Answer>) {
        let is_overdue = |open: &Open| now.tick >= open.deadline;
        let overdue: Vec<TaskSeq> =
            self.open.iter().filter(|(_, open)| is_overdue(open)).map(|(seq, _)| *seq).collect();
        for seq in overdue {
            self.time_out(now, seq, answers);
        }
    }

    fn time_out(&mut self, now: Now, seq: TaskSeq, answers: &mut Vec<Answer>) {
        let Some(after) = self.open.get(&seq).map(|open| open.timeout) else { return };
        self.end(now, seq, TaskError::TimedOut { after }, answers);
    }

    /// Returns whether it was open.
    pub(super) fn cancel(&mut self, now: Now, seq: TaskSeq, answers: &mut Vec<Answer>) -> bool {
        self.end(now, seq, TaskError::Cancelled, answers)
    }

    /// Returns how many were open.
    pub(super) fn cancel_all(&mut self, now: Now, answers: &mut Vec<Answer>) -> usize {
        let open: Vec<TaskSeq> = self.open.keys().copied().collect();
        for seq in &open {
            self.cancel(now, *seq, answers);
        }
        open.len()
    }

    /// Ends a task without a result. A function that has it is told; its worker stays with it.
    fn end(&mut self, now: Now, seq: TaskSeq, error: TaskError, answers: &mut Vec<Answer>) -> bool {
        let Some(open) = self.open.remove(&seq) else { return false };
        let is_failure = !matches!(error, TaskError::Cancelled);
        self.pool.row.failed += u64::from(is_failure);
        match open.slot {
            None => self.pool.queue.remove(open.place, seq),
            Some(slot) => {
                open.cancel.cancel();
                if is_failure {
                    self.count(now, slot, false);
                }
            }
        }
        answers.push(Answer { to: open.answer, outcome: Err(error) });
        true
    }

    /// The outcome and the time it took go to the worker's account.
    fn count(&mut self, now: Now, slot: usize, success: bool) {
        let took = self.time_at_work(now, slot);
        self.pool.workers[slot].record(success, took, now.wall);
    }

    /// The worker is free again.
    fn end_shift(&mut self, now: Now, slot: usize) {
        let rest = self.time_at_work(now, slot);
        self.shifts[slot] = None;
        let worker = &mut self.pool.workers[slot];
        worker.claimed.clear();
        worker.stuck = false;
        worker.busy_for += rest;
        worker.last_activity = Some(now.wall);
    }

    /// Since it was last counted.
    fn time_at_work(&mut self, now: Now, slot: usize) -> Duration {
        self.shifts[slot].as_mut().map_or(Duration::ZERO, |shift| {
            let before = std::mem::replace(&mut shift.counted, now.tick);
            now.tick.since(before)
        })
    }

    /// Takes no more tasks, and lets the workers leave once what it has is done.
    pub(super) fn drain(&mut self) {
        if self.pool.row.status.accepts() {
            self.pool.row.status = PoolStatus::Draining;
        }
        self.end_when_deserted();
    }

    /// Whether every task is answered.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether every worker has left, or none ever came.
    pub(super) fn is_deserted(&self) -> bool {
        self.present == 0
    }

    pub(super) fn workers_busy(&self) -> usize {
        self.shifts.iter().flatten().count()
    }

    pub(super) fn view(&mut self, now: Now, answers: &mut Vec<Answer>) -> PoolView {
        self.end_overdue(now, answers);
        self.look_after(now);
        self.pool.view()
    }

    pub(super) fn candidate(&mut self, now: Now, answers: &mut Vec<Answer>) -> Candidate {
        if !self.pool.has_room(true) {
            self.end_overdue(now, answers);
        }
        self.look_after(now);
        self.pool.candidate(true)
    }

    /// Which workers are stuck is only of interest to who looks.
    fn look_after(&mut self, now: Now) {
        for (worker, shift) in self.pool.workers.iter_mut().zip(&self.shifts) {
            worker.stuck = shift.as_ref().is_some_and(|shift| now.tick.since(shift.heard.get()) >= STUCK_AFTER);
        }
    }
}

fn worker_name(pool: &Pool, slot: usize) -> String {
    // Three fit into a byte.
    worker_id(&pool.row.id, u8::try_from(slot).unwrap_or(u8::MAX))
}
