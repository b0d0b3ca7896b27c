//! Holding a pool's queue while its executor's circuit breaker is open: what waits is not burnt on an agent that has no
//! login or is over its limit. Once the time is over one task at a time shows whether the rest may follow.

use super::pictures::Subject;
use super::pools::no_pool;
use super::timers::Timer;
use super::{Effects, Hub};
use crate::clock::{Now, Tick};
use crate::model::breaker::{BreakerChange, BreakerRow, BreakerState, Hold};
use crate::model::command::Refusal;
use crate::model::event::Body;
use crate::model::id::{PoolId, TaskSeq, Token};
use crate::model::pool::Pool;
use crate::model::rows::Write;
use std::time::Duration;

/// The name under which a pool's breaker is stored and shown.
pub fn breaker_name(pool: &PoolId) -> String {
    format!("pool:{pool}")
}

impl Hub {
    pub(super) fn breaker_changed(&mut self, now: Now, id: &PoolId, change: BreakerChange, out: &mut Effects) {
        if !self.pools.contains_key(id) {
            return;
        }
        match change.to {
            BreakerState::Closed => self.release(id),
            BreakerState::Open => self.hold(now, id, BreakerState::Open, change.wait.unwrap_or_default()),
            BreakerState::HalfOpen => self.try_out(now, id),
        }
        let name = breaker_name(id);
        out.writes.push(match change.to {
            BreakerState::Closed => Write::DeleteBreaker(name),
            _ => Write::PutBreaker(BreakerRow { name, snapshot: change.snapshot, saved_at: now.wall }),
        });
        self.tell_breaker(now, id, change.from, change.to, change.wait, out);
    }

    fn tell_breaker(
        &mut self,
        now: Now,
        id: &PoolId,
        from: BreakerState,
        to: BreakerState,
        wait: Option<Duration>,
        out: &mut Effects,
    ) {
        self.emit(now, Body::PoolBreakerChanged { pool: id.clone(), from, to, wait }, out);
        self.picture(now, Subject::Pool(id.clone()));
    }

    /// Nothing is given out for so long. Of what was claimed before, the outcome is no answer to the question whether
    /// things are better.
    pub(super) fn hold(&mut self, now: Now, id: &PoolId, state: BreakerState, wait: Duration) {
        self.release(id);
        let Some(pool) = self.pools.get_mut(id) else { return };
        let until = now.tick.after(wait);
        let since = Token(self.next_token);
        pool.hold = Some(Hold { state, until, until_wall: now.wall.after(wait), since });
        self.timers.set(until, Timer::Hold(id.clone()));
    }

    /// The task with which it is tried has been claimed already, unless the hold is news.
    fn try_out(&mut self, now: Now, id: &PoolId) {
        match self.pools.get_mut(id).and_then(|pool| pool.hold.as_mut()) {
            Some(hold) => hold.state = BreakerState::HalfOpen,
            None => self.hold(now, id, BreakerState::HalfOpen, Duration::ZERO),
        }
    }

    pub(super) fn release(&mut self, id: &PoolId) {
        if let Some(hold) = self.pools.get_mut(id).and_then(|pool| pool.hold.take()) {
            self.timers.cancel(hold.until, Timer::Hold(id.clone()));
        }
    }

    /// Somebody has mended what was wrong, or wants to know: the hold ends, and the breaker begins anew.
    pub(super) fn lift_hold(&mut self, now: Now, id: &PoolId, out: &mut Effects) -> Result<(), Refusal> {
        let pool = self.pools.get(id).ok_or_else(|| no_pool(id))?;
        let Some(hold) = pool.hold else { return Ok(()) };
        self.release(id);
        self.holds_lifted.entry(id.clone()).or_insert(hold);
        out.writes.push(Write::DeleteBreaker(breaker_name(id)));
        out.breakers_reset.push(id.clone());
        self.tell_breaker(now, id, hold.state, BreakerState::Closed, None, out);
        Ok(())
    }

    /// Whether the pool's breaker would let another task through.
    pub(super) fn lets_through(&self, now: Tick, pool: &Pool) -> bool {
        let Some(hold) = pool.hold else { return true };
        let tries = |seq: &TaskSeq| self.tasks.get(*seq).is_some_and(|task| task.token >= Some(hold.since));
        now >= hold.until && !pool.workers.iter().flat_map(|worker| &worker.claimed).any(tries)
    }
}
