//! Deleting pools: draining first, cancelling what is left when the time is up, then the end.

use super::parking::Wait;
use super::pictures::Subject;
use super::pools::no_pool;
use super::timers::Timer;
use super::{Effects, Hub, check_wait};
use crate::clock::Now;
use crate::model::command::{Refusal, Reply};
use crate::model::event::Body;
use crate::model::id::{AskId, PoolId};
use crate::model::pool::{Pool, PoolStatus};
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::TaskStatus;
use std::time::Duration;

pub(super) const SENTENCE: &str = "cancelled because its pool was deleted";

impl Hub {
    /// No new tasks from here on. A pool that would not get to what is queued has that cancelled at once.
    pub(super) fn delete_pool(
        &mut self,
        now: Now,
        ask: AskId,
        id: &PoolId,
        timeout: Duration,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Option<Result<Reply, Refusal>>, RowsError> {
        let Some(pool) = self.pools.get(id) else { return Ok(Some(Err(no_pool(id)))) };
        // Nothing of its queue will be served: it is paused, or held for longer than that.
        let in_vain = pool.row.status == PoolStatus::Paused
            || pool.hold.is_some_and(|hold| hold.until >= now.tick.after(timeout));
        self.stop_retiring(id, out);
        self.drain(now, id, check_wait(Some(timeout)), out);
        if in_vain {
            self.cancel_queued(now, id, rows, out)?;
        }
        self.park(now, ask, Wait::Pool(id.clone()), None);
        Ok(None)
    }

    /// Whoever deletes a pool by hand does not leave it the time that one has whose group shrinks.
    fn stop_retiring(&mut self, id: &PoolId, out: &mut Effects) {
        if let Some(pool) = self.pools.get_mut(id)
            && std::mem::take(&mut pool.row.retiring)
        {
            out.writes.push(Write::PutPool(pool.row.clone()));
        }
    }

    /// Begins to drain a pool, or shortens how long it may take.
    pub(super) fn drain(&mut self, now: Now, id: &PoolId, timeout: Option<Duration>, out: &mut Effects) {
        let Some(pool) = self.pools.get_mut(id) else { return };
        if pool.row.status != PoolStatus::Draining {
            pool.row.status = PoolStatus::Draining;
            out.writes.push(Write::PutPool(pool.row.clone()));
        }
        let by = timeout.map(|timeout| now.tick.after(timeout));
        let sooner = match (by, pool.drained_by) {
            (Some(by), Some(known)) => by < known,
            (by, None) => by.is_some(),
            (None, Some(_)) => false,
        };
        if sooner && let Some(by) = by {
            if let Some(known) = pool.drained_by.replace(by) {
                self.timers.cancel(known, Timer::Drain(id.clone()));
            }
            self.timers.set(by, Timer::Drain(id.clone()));
        }
        self.picture(now, Subject::Pool(id.clone()));
    }

    /// The time of a draining pool is up: nobody waits for ever.
    pub(super) fn drain_ended(
        &mut self,
        now: Now,
        id: &PoolId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        for seq in self.tasks.of_pool(id) {
            self.cancel_open(now, seq, SENTENCE, rows, out)?;
        }
        Ok(())
    }

    fn cancel_queued(
        &mut self,
        now: Now,
        id: &PoolId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        for seq in self.tasks.of_pool(id) {
            if self.tasks.get(seq).is_some_and(|task| task.status == TaskStatus::Pending) {
                self.cancel_open(now, seq, SENTENCE, rows, out)?;
            }
        }
        Ok(())
    }

    /// A draining pool that has nothing left to do ends; whoever waited for that is told.
    pub(super) fn close_drained(&mut self, now: Now, out: &mut Effects) {
        let is_done = |pool: &&Pool| pool.row.status == PoolStatus::Draining && pool.staffed && pool.load() == 0;
        let done: Vec<PoolId> = self.pools.values().filter(is_done).map(|pool| pool.row.id.clone()).collect();
        for id in done {
            self.close_pool(now, &id, out);
        }
    }

    fn close_pool(&mut self, now: Now, id: &PoolId, out: &mut Effects) {
        let Some(mut pool) = self.pools.remove(id) else { return };
        self.stop_draining(&pool);
        if let Some(hold) = pool.hold {
            self.timers.cancel(hold.until, Timer::Hold(id.clone()));
        }
        // Also of one that is closed before anybody has looked at what the last daemon stored.
        out.writes.push(Write::DeleteBreaker(super::breaker_name(id)));
        self.pools_dirty.remove(id);
        pool.row.status = PoolStatus::Stopped;
        pool.row.deleted_at = Some(now.wall);
        let closed = Body::PoolClosed {
            pool: id.clone(),
            executor: pool.row.executor.as_str(),
            queue_max: pool.row.queue_max,
            timeout: pool.row.timeout,
        };
        self.emit(now, closed, out);
        out.writes.push(Write::PutPool(pool.row.clone()));
        out.dismissed.push(id.clone());
        self.member_gone(&pool.row, out);
        self.pools_closed.insert(id.clone(), pool);
        for ask in self.waiting_for_pool(id) {
            out.replies.push((ask, Ok(Reply::Deleted(id.clone()))));
        }
    }

    pub(super) fn stop_draining(&mut self, pool: &Pool) {
        if let Some(at) = pool.drained_by {
            self.timers.cancel(at, Timer::Drain(pool.row.id.clone()));
        }
    }

    /// After a restart nobody waits for a pool that was being deleted: what it still had is cancelled, and it ends. One
    /// that its group gave up goes on.
    pub(super) fn close_interrupted(
        &mut self,
        now: Now,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let draining = |pool: &&Pool| pool.row.status == PoolStatus::Draining && !pool.row.retiring;
        let ids: Vec<PoolId> = self.pools.values().filter(draining).map(|pool| pool.row.id.clone()).collect();
        for id in ids {
            self.cancel_queued(now, &id, rows, out)?;
            self.close_pool(now, &id, out);
        }
        Ok(())
    }
}
