//! What must hold of circuit breakers: what the log tells of them is heeded, also by the next daemon.

use super::oracle::{Verdict, ensure};
use super::world::World;
use crate::clock::{Clock, Tick};
use crate::model::breaker::{BreakerChange, BreakerState, Stands};
use crate::model::event::Body;
use crate::model::hub::{Input, Run, breaker_name};
use crate::model::id::{PoolId, Token};
use std::collections::BTreeMap;
use std::time::Duration;

/// By pool: until when nothing may be given out, and what was since.
#[derive(Default)]
pub(super) struct Held {
    pools: BTreeMap<PoolId, (Tick, Vec<Token>)>,
}

impl World {
    /// A breaker opens, tries, or closes, as it may from where it is.
    pub(super) fn breaker(&mut self) -> Option<Input> {
        let pool = self.random.pick(&["command", "third", "group-1"]).map(|id| PoolId::new(id))?;
        let known = self.driver.hub.pools.get(&pool).filter(|pool| pool.staffed)?;
        let from = known.hold.map_or(BreakerState::Closed, |hold| hold.state);
        let is_over = known.hold.is_some_and(|hold| self.driver.clock.tick() >= hold.until);
        let wait = self.random.millis(20_000);
        let (to, wait) = match from {
            BreakerState::Closed => (BreakerState::Open, Some(wait)),
            BreakerState::Open if is_over => (BreakerState::HalfOpen, None),
            BreakerState::HalfOpen if self.random.percent(50) => (BreakerState::Open, Some(wait)),
            BreakerState::HalfOpen => (BreakerState::Closed, None),
            BreakerState::Open => return None,
        };
        let snapshot = wait.unwrap_or_default().as_millis().to_string();
        let stands = Stands { state: to, wait: wait.unwrap_or_default() };
        Some(Input::BreakerChanged { pool, change: BreakerChange { from, to, wait, stands, snapshot } })
    }

    /// Folds what the batch has told of breakers.
    pub(super) fn follow_breakers(&mut self) {
        let now = self.driver.clock.tick();
        for event in &self.driver.events {
            match &event.body {
                Body::PoolBreakerChanged { pool, to: BreakerState::Open, wait, .. } => {
                    let until = now.after(wait.unwrap_or_default());
                    self.held.pools.insert(pool.clone(), (until, Vec::new()));
                }
                // By hand: one is tried at once.
                Body::PoolBreakerChanged { pool, from: BreakerState::Open, to: BreakerState::HalfOpen, .. } => {
                    if let Some((until, _)) = self.held.pools.get_mut(pool) {
                        *until = now;
                    }
                }
                Body::PoolBreakerChanged { pool, to: BreakerState::Closed, .. } | Body::PoolClosed { pool, .. } => {
                    self.held.pools.remove(pool);
                }
                _ => {}
            }
        }
    }

    /// Another daemon has taken over what was stored.
    pub(super) fn breakers_taken_over(&mut self) {
        let (now, tables) = (self.driver.clock.tick(), &self.driver.rows.tables);
        let pools = tables.pools.keys().filter_map(|pool| {
            let snapshot = tables.breakers.get(&breaker_name(pool))?;
            let wait = Duration::from_millis(snapshot.parse().unwrap_or(0));
            Some((pool.clone(), (now.after(wait), Vec::new())))
        });
        self.held.pools = pools.collect();
    }

    /// A task is given to a worker: not while the breaker is open, and alone as long as it is not closed.
    pub(super) fn passes_breaker(&mut self, run: &Run) -> Verdict {
        let Some((until, tried)) = self.held.pools.get_mut(&run.pool) else { return Ok(()) };
        let now = self.driver.clock.tick();
        ensure(now >= *until, || format!("held: {} was given out {:?} too early", run.id, now.until(*until)))?;
        let of_pool = self.workers.iter().filter(|((pool, _), _)| *pool == run.pool);
        let other = of_pool.flat_map(|(_, runs)| runs).find(|other| tried.contains(&other.token));
        ensure(other.is_none(), || format!("held: {} was given out beside {other:?}", run.id))?;
        tried.push(run.token);
        self.oracle.count("tried".to_owned());
        Ok(())
    }
}
