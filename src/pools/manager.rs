//! The manager: pools by name, and which of them gets a task that names none.

use super::error::{PoolError, TaskError};
use super::job::Execute;
use super::pool::{PoolBuilder, Shutdown, Terms, WorkerPool};
use super::status::{ManagerHealth, PoolHealth, PoolStatus};
use super::task::{Output, Task};
use super::ticket::Ticket;
use crate::clock::{Clock, Tick};
use crate::model::limits::{DRAIN, POOLS_MAX, RETRY_AFTER_MS};
use crate::model::pool::PoolStatus as PoolState;
use crate::model::routing::{Nowhere, Strategy, choose};
use crate::resilience::{Rng, SplitMix64};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Pools by name. Share it between threads by an [`Arc`].
///
/// Dropping it stops it, and joins the threads of its pools: see [`WorkerPool`] for functions that never return.
pub struct PoolManager {
    executor: Arc<dyn Execute>,
    terms: Terms,
    chance: SplitMix64,
    roster: Mutex<Roster>,
}

/// Which pools there are. Its lock is taken before that of a pool, never after.
#[derive(Default)]
struct Roster {
    running: bool,
    pools: BTreeMap<String, Arc<WorkerPool>>,
    /// Deleted, with a function that does not return: kept so that nobody who only deletes has to wait for it.
    leaving: Vec<Arc<WorkerPool>>,
    /// Choices by round robin.
    turn: u64,
}

impl PoolManager {
    /// A manager whose pools run their tasks with `executor`, unless they have their own. It takes no pools until it is
    /// started.
    pub fn new(executor: impl Execute + 'static) -> PoolManager {
        PoolManager {
            executor: Arc::new(executor),
            terms: Terms::default(),
            chance: SplitMix64::from_entropy(),
            roster: Mutex::default(),
        }
    }

    /// For the pools it makes: see [`PoolBuilder::queue_max`].
    #[must_use]
    pub fn queue_max(mut self, queue_max: usize) -> PoolManager {
        self.terms.queue_max = queue_max;
        self
    }

    /// For the pools it makes: see [`PoolBuilder::timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> PoolManager {
        self.terms.timeout = timeout;
        self
    }

    /// For itself and the pools it makes: see [`PoolBuilder::clock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> PoolManager {
        self.terms.clock = clock;
        self
    }

    /// The same seed draws the same pools and ids; else the operating system chooses one.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> PoolManager {
        self.chance = SplitMix64::seeded(seed);
        self
    }

    /// Takes pools from here on. Does nothing when it does already.
    pub fn start(&self) {
        self.roster.lock().running = true;
    }

    /// Makes a pool and starts its three threads. `id`: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`; else `pool_` and eight
    /// hexadecimal digits.
    ///
    /// # Errors
    /// [`PoolError::AlreadyExists`], [`PoolError::BadId`], [`PoolError::TooManyPools`] beyond 256,
    /// [`PoolError::ManagerNotRunning`], [`PoolError::NoThread`], [`PoolError::BadTimeout`].
    pub fn create_pool(&self, id: Option<&str>) -> Result<Arc<WorkerPool>, PoolError> {
        let id = id.map_or_else(|| self.free_id(), str::to_owned);
        self.add_pool(PoolBuilder::new(&id, Arc::clone(&self.executor), self.terms.clone()))
    }

    /// The same for a pool with an executor or limits of its own.
    ///
    /// # Errors
    /// As [`PoolManager::create_pool`].
    pub fn add_pool(&self, builder: PoolBuilder) -> Result<Arc<WorkerPool>, PoolError> {
        self.bury();
        let mut pool = builder.build()?;
        let mut roster = self.roster.lock();
        roster.admits(pool.id())?;
        pool.initialize()?;
        let pool = Arc::new(pool);
        roster.pools.insert(pool.id().to_owned(), Arc::clone(&pool));
        Ok(pool)
    }

    /// # Errors
    /// [`PoolError::NotFound`].
    pub fn get_pool(&self, pool_id: &str) -> Result<Arc<WorkerPool>, PoolError> {
        let roster = self.roster.lock();
        roster.pools.get(pool_id).cloned().ok_or_else(|| PoolError::NotFound(pool_id.to_owned()))
    }

    /// Does a task on a pool, and waits for it: see [`WorkerPool::execute`].
    ///
    /// # Errors
    /// [`TaskError::Refused`] with [`PoolError::NotFound`], or any of [`WorkerPool::execute`].
    pub fn execute_on_pool(&self, pool_id: &str, task: impl Into<Task>) -> Result<Output, TaskError> {
        self.get_pool(pool_id)?.execute(task)
    }

    /// Does a batch on a pool: see [`WorkerPool::execute_batch`].
    ///
    /// # Errors
    /// [`PoolError::NotFound`]. What went wrong with a task is among the values.
    pub fn execute_batch_on_pool<T: Into<Task>>(
        &self,
        pool_id: &str,
        tasks: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Result<Output, TaskError>>, PoolError> {
        Ok(self.get_pool(pool_id)?.execute_batch(tasks))
    }

    /// Does a task on the pool that `strategy` chooses, waits for it, and says which pool that was and what came of it.
    /// Pools that are not well have a turn only when no other can take it, those that are full or do not run have none.
    ///
    /// # Errors
    /// [`PoolError::NoPools`]; [`PoolError::AllFull`], which says when to try again; those of a task that no pool takes.
    pub fn route_task(
        &self,
        task: impl Into<Task>,
        strategy: Strategy,
    ) -> Result<(String, Result<Output, TaskError>), PoolError> {
        let ticket = self.submit_routed(task, strategy)?;
        Ok((ticket.pool_id().to_owned(), ticket.wait()))
    }

    /// The same without waiting: the ticket knows the pool.
    ///
    /// # Errors
    /// As [`PoolManager::route_task`].
    pub fn submit_routed(&self, task: impl Into<Task>, strategy: Strategy) -> Result<Ticket, PoolError> {
        let selector = strategy.drawn(self.chance.next_u64());
        let mut roster = self.roster.lock();
        let pools: Vec<Arc<WorkerPool>> = roster.pools.values().cloned().collect();
        let mut candidates: Vec<_> = pools.iter().map(|pool| pool.candidate()).collect();
        let task = task.into();
        loop {
            let chosen = choose(selector, roster.turn, &candidates).map_err(nowhere)?;
            match pools[chosen].submit_task(&task) {
                // Others may have filled or ended it meanwhile: it is out, so this comes to an end.
                Err(PoolError::QueueFull { .. }) => candidates[chosen].has_room = false,
                Err(PoolError::NotRunning(_)) => candidates[chosen].status = PoolState::Stopped,
                other => {
                    roster.turn = roster.turn.wrapping_add(u64::from(strategy == Strategy::RoundRobin));
                    return other;
                }
            }
        }
    }

    /// All pools, in the order of their ids; those that are being deleted as well.
    pub fn list_pools(&self) -> Vec<PoolStatus> {
        self.pools().iter().map(|pool| pool.get_status()).collect()
    }

    /// Shuts a pool down, see [`WorkerPool::shutdown`], and forgets it. Until then it is listed, and its name is taken.
    /// A function that does not return keeps its thread, but not the one who deletes.
    ///
    /// # Errors
    /// [`PoolError::NotFound`].
    pub fn delete_pool(&self, pool_id: &str, timeout: Duration) -> Result<Shutdown, PoolError> {
        let pool = self.get_pool(pool_id)?;
        let shutdown = pool.shutdown(timeout);
        self.roster.lock().dismiss(&pool);
        self.bury();
        Ok(shutdown)
    }

    /// How all pools are.
    pub fn get_health_status(&self) -> ManagerHealth {
        let pool_manager_running = self.is_running();
        let pool_details: Vec<PoolHealth> = self.pools().iter().map(|pool| pool.health_check()).collect();
        ManagerHealth {
            pool_manager_running,
            pools_total: pool_details.len(),
            pools_healthy: pool_details.iter().filter(|health| health.is_healthy()).count(),
            pool_details,
        }
    }

    /// Whether it takes pools.
    pub fn is_running(&self) -> bool {
        self.roster.lock().running
    }

    /// Takes no more pools and deletes all it has, with 5 s to finish; see [`PoolManager::stop_within`].
    pub fn stop(&self) -> Shutdown {
        self.stop_within(DRAIN)
    }

    /// The same with so long to finish, all pools at once. Returns what was left, of all pools together, at the latest
    /// one second after `timeout`.
    pub fn stop_within(&self, timeout: Duration) -> Shutdown {
        self.roster.lock().running = false;
        // All are told before any is waited for, so that the time they have passes once. Each has its own clock.
        let ends: Vec<(Arc<WorkerPool>, Tick)> =
            self.pools().into_iter().map(|pool| (Arc::clone(&pool), pool.begin_shutdown(timeout))).collect();
        let cancelled = ends.iter().map(|(pool, by)| pool.cancel_what_is_left(*by)).sum();
        let ends: Vec<_> = ends.into_iter().map(|(pool, _)| (Arc::clone(&pool), pool.end_of_grace())).collect();
        let workers_busy = ends.iter().map(|(pool, by)| pool.wait_for_workers(*by)).sum();
        ends.iter().for_each(|(pool, _)| self.roster.lock().dismiss(pool));
        self.bury();
        Shutdown { cancelled, workers_busy }
    }

    fn pools(&self) -> Vec<Arc<WorkerPool>> {
        self.roster.lock().pools.values().cloned().collect()
    }

    /// One that no pool has. There are 2^32 and at most 256 are taken, so that the second try is as good as certain.
    fn free_id(&self) -> String {
        loop {
            let id = format!("pool_{:08x}", self.chance.next_u64() >> 32);
            if !self.roster.lock().pools.contains_key(&id) {
                return id;
            }
        }
    }

    /// Drops the pools whose last function has returned meanwhile, without the lock: their threads are joined.
    fn bury(&self) {
        let gone = self.roster.lock().ended();
        drop(gone);
    }
}

impl Roster {
    fn admits(&self, id: &str) -> Result<(), PoolError> {
        if !self.running {
            return Err(PoolError::ManagerNotRunning);
        }
        if self.pools.contains_key(id) {
            return Err(PoolError::AlreadyExists(id.to_owned()));
        }
        if self.pools.len() + self.leaving.len() >= POOLS_MAX {
            return Err(PoolError::TooManyPools);
        }
        Ok(())
    }

    /// Forgets a pool, unless somebody else has and its name has a new owner.
    fn dismiss(&mut self, pool: &Arc<WorkerPool>) {
        if self.pools.get(pool.id()).is_some_and(|known| Arc::ptr_eq(known, pool)) {
            self.pools.remove(pool.id());
            self.leaving.push(Arc::clone(pool));
        }
    }

    fn ended(&mut self) -> Vec<Arc<WorkerPool>> {
        self.leaving.extract_if(.., |pool| pool.workers_busy() == 0).collect()
    }
}

fn nowhere(reason: Nowhere) -> PoolError {
    match reason {
        Nowhere::NoPool => PoolError::NoPools,
        Nowhere::AllFull(pools) => PoolError::AllFull { pools, retry_after: Duration::from_millis(RETRY_AFTER_MS) },
    }
}

/// From `least_loaded`, `round_robin` or `random`.
impl FromStr for Strategy {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Strategy, PoolError> {
        Strategy::parse(text).ok_or_else(|| PoolError::UnknownStrategy(text.to_owned()))
    }
}

impl Drop for PoolManager {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for PoolManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolManager").field("running", &self.is_running()).finish_non_exhaustive()
    }
}
