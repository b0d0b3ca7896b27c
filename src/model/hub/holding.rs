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
use crate::model::task::{Ending, Report};
use std::time::Duration;

/// The name under which a pool's breaker is stored and shown.
pub fn breaker_name(pool: &PoolId) -> String {
    format!("pool:{pool}")
}

impl Hub {
    pub(super) fn breaker_changed(&mut self, now: Now, id: &PoolId, change: BreakerChange, out: &mut Effects) {
        let Some(pool) = self.pools.get(id) else { return };
        let known = pool.hold.map_or(BreakerState::Closed, |hold| hold.state);
        // What was told may be over already: the log has what was, the hold what is.
        match change.stands.state {
            BreakerState::Closed => self.release(id),
            BreakerState::Open => self.hold(now, id, change.stands.wait),
            BreakerState::HalfOpen => self.try_out(now, id),
        }
        let name = breaker_name(id);
        out.writes.push(match change.stands.state {
            BreakerState::Closed => Write::DeleteBreaker(name),
            _ => Write::PutBreaker(BreakerRow { name, snapshot: change.snapshot, saved_at: now.wall }),
        });
        // A change that the outcome of the try has told before is no news.
        if known != change.to || change.to != BreakerState::Closed {
            self.tell_breaker(now, id, change.from, change.to, change.wait, out);
        }
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
    fn hold(&mut self, now: Now, id: &PoolId, wait: Duration) {
        self.set_hold(now, id, BreakerState::Open, wait, Token(self.next_token));
    }

    fn set_hold(&mut self, now: Now, id: &PoolId, state: BreakerState, wait: Duration, since: Token) {
        self.release(id);
        let Some(pool) = self.pools.get_mut(id) else { return };
        let until = now.tick.after(wait);
        pool.hold = Some(Hold { state, until, until_wall: now.wall.after(wait), since });
        self.timers.set(until, Timer::Hold(id.clone()));
    }

    /// The breaker lets nothing through for so long, which is no news. What is known of it stays, if it says more.
    pub(super) fn breaker_holds(&mut self, now: Now, id: &PoolId, wait: Duration) {
        match self.pools.get(id).and_then(|pool| pool.hold) {
            Some(hold) if hold.until >= now.tick.after(wait) => {}
            Some(hold) => self.set_hold(now, id, hold.state, wait, hold.since),
            None => self.hold(now, id, wait),
        }
    }

    /// The task with which it is tried has been claimed already, unless the hold is news.
    fn try_out(&mut self, now: Now, id: &PoolId) {
        let Some(pool) = self.pools.get_mut(id) else { return };
        match &mut pool.hold {
            Some(hold) => {
                self.holds_before.entry(id.clone()).or_insert(Some(*hold));
                hold.state = BreakerState::HalfOpen;
            }
            None => self.set_hold(now, id, BreakerState::HalfOpen, Duration::ZERO, Token(self.next_token)),
        }
    }

    /// The task with which it was tried has ended. One that went wrong without telling anything of the command is not
    /// followed by the next at once, or a whole queue would be tried out; and should the breaker have closed unheard, it
    /// is heard now.
    pub(super) fn tried(&mut self, now: Now, report: &Report, pool: &PoolId, out: &mut Effects) {
        let Some(hold) = self.pools.get(pool).and_then(|pool| pool.hold) else { return };
        if report.token < hold.since {
            return;
        }
        if report.breaker == Some(BreakerState::Closed) {
            self.release(pool);
            out.writes.push(Write::DeleteBreaker(breaker_name(pool)));
            return self.tell_breaker(now, pool, hold.state, BreakerState::Closed, None, out);
        }
        if matches!(report.ending, Ending::Failed | Ending::TimedOut | Ending::Stuck | Ending::NotStarted) {
            self.breaker_holds(now, pool, self.settings.try_pause);
        }
    }

    pub(super) fn release(&mut self, id: &PoolId) {
        let Some(pool) = self.pools.get_mut(id) else { return };
        self.holds_before.entry(id.clone()).or_insert(pool.hold);
        if let Some(hold) = pool.hold.take() {
            self.timers.cancel(hold.until, Timer::Hold(id.clone()));
        }
    }

    /// Somebody has mended what was wrong, or wants to know: one task is tried at once.
    pub(super) fn try_now(&mut self, now: Now, id: &PoolId, out: &mut Effects) -> Result<(), Refusal> {
        let pool = self.pools.get(id).ok_or_else(|| no_pool(id))?;
        let Some(hold) = pool.hold else { return Ok(()) };
        // One that is being tried already is not followed by another.
        self.set_hold(now, id, BreakerState::HalfOpen, Duration::ZERO, hold.since);
        if hold.state == BreakerState::HalfOpen {
            return Ok(());
        }
        // After a restart it is not known to be open, which is as good.
        out.writes.push(Write::DeleteBreaker(breaker_name(id)));
        out.breakers_tried.push(id.clone());
        self.tell_breaker(now, id, hold.state, BreakerState::HalfOpen, None, out);
        Ok(())
    }

    /// Whether the pool's breaker would let another task through.
    pub(super) fn lets_through(&self, now: Tick, pool: &Pool) -> bool {
        let Some(hold) = pool.hold else { return true };
        let tries = |seq: &TaskSeq| self.tasks.get(*seq).is_some_and(|task| task.token >= Some(hold.since));
        now >= hold.until && !pool.workers.iter().flat_map(|worker| &worker.claimed).any(tries)
    }
}
