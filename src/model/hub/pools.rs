//! Pools: creating them, and taking them over after a restart.

use super::pictures::Subject;
use super::timers::Timer;
use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{Code, Refusal, Reply};
use crate::model::event::Body;
use crate::model::id::{AskId, PoolId};
use crate::model::limits::POOLS_MAX;
use crate::model::pool::{DEFAULT_POOL, Pool, PoolRow, PoolStatus, PoolView, Worker};
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::{Reason, TaskResult, TaskStatus};

type Answer = Result<Reply, Refusal>;

impl Hub {
    pub(super) fn restore_pools(&mut self, rows: Vec<PoolRow>) {
        let mut before = std::mem::take(&mut self.pools);
        before.append(&mut self.pools_closed);
        let mut holds_before = std::mem::take(&mut self.holds_before);
        let mut workers_before = std::mem::take(&mut self.workers_before);
        for row in rows.into_iter().filter(|row| row.status != PoolStatus::Stopped) {
            let mut pool = Pool::new(row);
            // Threads and what they did are facts of this process, not of the store.
            if let Some(known) = before.remove(&pool.row.id) {
                pool.staffed = known.staffed;
                pool.hold = holds_before.remove(&pool.row.id).unwrap_or(known.hold);
                pool.last_error = known.last_error;
                pool.drained_by = known.drained_by.filter(|_| pool.row.status == PoolStatus::Draining);
                pool.workers = workers_before.remove(&pool.row.id).unwrap_or(known.workers);
                for worker in &mut pool.workers {
                    worker.claimed.clear();
                }
            }
            if let Some(at) = pool.drained_by {
                self.timers.set(at, Timer::Drain(pool.row.id.clone()));
            }
            if let Some(hold) = pool.hold {
                self.timers.set(hold.until, Timer::Hold(pool.row.id.clone()));
            }
            self.pools.insert(pool.row.id.clone(), pool);
        }
    }

    /// A worker of whom something is learnt in this batch.
    pub(super) fn worker_mut(&mut self, pool: &PoolId, slot: u8) -> Option<&mut Worker> {
        let pool = self.pools.get_mut(pool)?;
        if !self.workers_before.contains_key(&pool.row.id) {
            self.workers_before.insert(pool.row.id.clone(), pool.workers.clone());
        }
        pool.workers.get_mut(usize::from(slot))
    }

    /// The pools whose threads do not run yet.
    pub fn unstaffed(&self) -> Vec<PoolId> {
        self.pools.values().filter(|pool| !pool.staffed).map(|pool| pool.row.id.clone()).collect()
    }

    pub fn pool_row(&self, id: &PoolId) -> Option<&PoolRow> {
        self.pools.get(id).map(|pool| &pool.row)
    }

    /// All pools as they are.
    pub fn pool_views(&self) -> Vec<PoolView> {
        self.pools.values().map(Pool::view).collect()
    }

    pub(super) fn show_pool(&self, id: &PoolId) -> Answer {
        let pool = self.pools.get(id).ok_or_else(|| no_pool(id))?;
        Ok(Reply::Pool(Box::new(pool.view())))
    }

    pub(super) fn pool_health(&self, id: Option<&PoolId>) -> Answer {
        let Some(id) = id else {
            return Ok(Reply::AllHealth(self.pools.values().map(Pool::view).collect()));
        };
        let pool = self.pools.get(id).ok_or_else(|| no_pool(id))?;
        Ok(Reply::PoolHealth(Box::new(pool.view())))
    }

    /// Running tasks go on, new ones are taken, and none is begun.
    pub(super) fn pause_pool(&mut self, now: Now, id: &PoolId, out: &mut Effects) -> Answer {
        self.set_pool_status(now, id, PoolStatus::Paused, out)
    }

    /// Also when only its breaker keeps it from working.
    pub(super) fn resume_pool(&mut self, now: Now, id: &PoolId, out: &mut Effects) -> Answer {
        self.try_now(now, id, out)?;
        self.set_pool_status(now, id, PoolStatus::Running, out)
    }

    /// Between running and paused; the same once more changes nothing.
    fn set_pool_status(&mut self, now: Now, id: &PoolId, status: PoolStatus, out: &mut Effects) -> Answer {
        let pool = self.pools.get_mut(id).ok_or_else(|| no_pool(id))?;
        if !pool.row.status.accepts() {
            return Err(not_running(id));
        }
        if pool.row.status != status {
            pool.row.status = status;
            out.writes.push(Write::PutPool(pool.row.clone()));
            self.picture(now, Subject::Pool(id.clone()));
        }
        self.show_pool(id)
    }

    /// The row is made durable first, then the threads are started, then the asker is told.
    pub(super) fn create_pool(&mut self, ask: AskId, row: PoolRow, out: &mut Effects) -> Option<Answer> {
        if self.pools.contains_key(&row.id) {
            return Some(Err(Refusal::new(Code::Conflict, format!("Pool {} already exists", row.id))));
        }
        if self.pools.len() >= POOLS_MAX {
            let message = format!("there are {POOLS_MAX} pools, and more are not possible; delete one");
            return Some(Err(Refusal::new(Code::Conflict, message)));
        }
        out.writes.push(Write::PutPool(row.clone()));
        out.staff.push((row.id.clone(), Some(ask)));
        self.pools.insert(row.id.clone(), Pool::new(row));
        None
    }

    pub(super) fn staffed(
        &mut self,
        now: Now,
        id: &PoolId,
        ask: Option<AskId>,
        outcome: Result<(), String>,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let answer = match outcome {
            Ok(()) => {
                let Some(pool) = self.pools.get_mut(id) else { return Ok(()) };
                pool.staffed = true;
                pool.row.started_at = Some(now.wall);
                out.writes.push(Write::PutPool(pool.row.clone()));
                let view = pool.view();
                let spawned = Body::PoolSpawned {
                    pool: id.clone(),
                    executor: pool.row.executor.as_str(),
                    queue_max: pool.row.queue_max,
                    timeout: pool.row.timeout,
                };
                self.emit(now, spawned, out);
                self.picture(now, Subject::Pool(id.clone()));
                Ok(Reply::Pool(Box::new(view)))
            }
            Err(reason) => {
                let error = format!("the workers of pool {id} could not be started: {reason}");
                self.undo_pool(now, id, &error, ask.is_some(), rows, out)?;
                Err(Refusal::new(Code::Internal, error))
            }
        };
        if let Some(ask) = ask {
            out.replies.push((ask, answer));
        }
        Ok(())
    }

    /// A pool that cannot work goes, and with it the tasks that it has accepted meanwhile.
    fn undo_pool(
        &mut self,
        now: Now,
        id: &PoolId,
        error: &str,
        is_asked: bool,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        for seq in self.tasks.of_pool(id) {
            self.dequeue(seq);
            let outcome = TaskResult { error: Some(error.into()), ..TaskResult::default() };
            self.end(now, seq, TaskStatus::Failed, Reason::NotStarted, outcome, rows, out)?;
        }
        if let Some(pool) = self.pools.remove(id) {
            self.stop_draining(&pool);
            out.writes.push(Write::DeletePool(id.clone()));
            self.member_failed(now, &pool.row, is_asked, error, out);
        }
        for ask in self.waiting_for_pool(id) {
            out.replies.push((ask, Ok(Reply::Deleted(id.clone()))));
        }
        Ok(())
    }
}

pub(super) fn not_running(id: &PoolId) -> Refusal {
    Refusal::new(Code::NotRunning, format!("Pool {id} is not running"))
}

pub(super) fn no_pool(id: &PoolId) -> Refusal {
    if id.as_str() == DEFAULT_POOL {
        return Refusal::not_found(format!(
            "Pool {id} not found; it is meant when none is named: create it again (create_pool, or pool create {id}), or name \
             another"
        ));
    }
    Refusal::not_found(format!("Pool {id} not found"))
}
