//! What running tasks write, by its length only: who waits for more of it is told, and a worker whose task says nothing
//! for too long is stuck.

use super::pictures::Subject;
use super::timers::Timer;
use super::{Cancel, Effects, Hub, Stop};
use crate::clock::Now;
use crate::model::command::{Reply, TaskView, Written};
use crate::model::id::{PoolId, TaskSeq, Token};
use crate::model::pool::{ExecutorKind, OnStuck};
use crate::model::task::{Task, TaskResult, TaskStatus};

impl Hub {
    /// A worker has got a task: from here on something is to be heard of it. An echo has nothing to say.
    pub(super) fn listen_to(&mut self, now: Now, pool: &PoolId, slot: u8) {
        if self.pools.get(pool).is_none_or(|pool| pool.row.executor == ExecutorKind::Echo) {
            return;
        }
        self.stop_listening(pool, slot);
        let due = now.tick.after(self.settings.stuck_after);
        self.quiet.insert((pool.clone(), slot), due);
        self.timers.set(due, Timer::Stuck(pool.clone(), slot));
    }

    /// It has no task any more.
    pub(super) fn stop_listening(&mut self, pool: &PoolId, slot: u8) {
        if let Some(due) = self.quiet.remove(&(pool.clone(), slot)) {
            self.timers.cancel(due, Timer::Stuck(pool.clone(), slot));
        }
    }

    /// No worker has a task.
    pub(super) fn forget_quiet(&mut self) {
        for ((pool, slot), due) in std::mem::take(&mut self.quiet) {
            self.timers.cancel(due, Timer::Stuck(pool, slot));
        }
    }

    pub(super) fn output(&mut self, now: Now, seq: TaskSeq, token: Token, written: Written, out: &mut Effects) {
        let Some(task) = self.current(seq, token) else { return };
        self.written.insert(seq, written);
        if let Some(slot) = task.slot {
            self.listen_to(now, &task.pool, slot);
            if self.worker_mut(&task.pool, slot).is_some_and(|worker| std::mem::take(&mut worker.stuck)) {
                self.picture_of_worker(now, &task.pool, slot);
            }
        }
        self.tell_listeners(&task, written, out);
    }

    /// A new attempt begins, whose output is another one.
    pub(super) fn begin_listening(&mut self, now: Now, task: &Task, slot: u8, out: &mut Effects) {
        self.written.remove(&task.seq);
        self.listen_to(now, &task.pool, slot);
        self.tell_listeners(task, Written { stdout: u64::MAX, stderr: u64::MAX }, out);
    }

    fn tell_listeners(&mut self, task: &Task, written: Written, out: &mut Effects) {
        for ask in self.waiting_for_output(task.seq, written) {
            let view = TaskView { task: task.clone(), outcome: TaskResult::default() };
            out.replies.push((ask, Ok(Reply::Task(Box::new(view)))));
        }
    }

    /// Nothing was heard of a worker for too long.
    pub(super) fn grew_quiet(&mut self, now: Now, pool: &PoolId, slot: u8, out: &mut Effects) {
        self.quiet.remove(&(pool.clone(), slot));
        let Some(worker) = self.worker_mut(pool, slot) else { return };
        let Some(seq) = worker.claimed.first().copied() else { return };
        worker.stuck = true;
        self.picture(now, Subject::Pool(pool.clone()));
        self.picture(now, Subject::Worker(pool.clone(), slot));
        let kills = self.pools.get(pool).is_some_and(|pool| pool.row.on_stuck == OnStuck::Kill);
        let task = self.tasks.get(seq).filter(|task| task.status == TaskStatus::Running && !task.cancel_requested);
        if let (true, Some(token)) = (kills, task.and_then(|task| task.token)) {
            out.cancels.push(Cancel { pool: pool.clone(), slot, token, stop: Stop::Stuck });
        }
    }
}
