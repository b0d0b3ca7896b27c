//! Taking over what an earlier daemon left: its database, its processes, its open tasks and watches.
//! Every step can be run again, so a kill anywhere in here is repaired by the next start.

use super::alerts;
use super::hooks;
use super::pollers::as_configured;
use super::worker::Staff;
use super::{StartError, failed, store_failed};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::executor::orphans;
use crate::feed::{Feed, encode};
use crate::model::breaker::BreakerRow;
use crate::model::hub::{Effects, Hub, HubSettings, Input, breaker_name};
use crate::model::id::PoolId;
use crate::model::pool::{DEFAULT_POOL, ExecutorKind, PoolRow};
use crate::model::rows::{Snapshot, Write};
use crate::model::task::OnCrash;
use crate::ports::StoredEvent;
use crate::service::Paths;
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the start waits for a foreign program that holds the write lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Recovered {
    pub(super) hub: Hub,
    pub(super) store: Store,
    pub(super) feed: Arc<Feed>,
    pub(super) epoch: String,
    /// How far the changes are folded.
    pub(super) folded: i64,
    /// How far each hook has come.
    pub(super) hook_cursors: BTreeMap<String, u64>,
}

pub(super) fn recover(config: &Config, paths: &Paths, clock: &dyn Clock) -> Result<Recovered, StartError> {
    let opened = Store::open_for_writing(&paths.database, paths.tasks.clone(), LOCK_PATIENCE).map_err(store_failed)?;
    for warning in &opened.warnings {
        log::warn!("{warning}");
    }
    let (mut store, epoch) = (opened.store, opened.epoch);
    let snapshot = store.snapshot().map_err(store_failed)?;
    end_old_processes(&epoch, &snapshot, config, clock)?;

    let mut hub = Hub::new(HubSettings {
        watches_max: config.daemon.max_messages as usize,
        watch_timeout: config.watch.timeout,
        stuck_after: config.executor.stuck_after,
        try_pause: config.executor.recovery_timeout,
        on_crash: config.executor.on_crash.map(|on_crash| match on_crash {
            config::OnCrash::Requeue => OnCrash::Requeue,
            config::OnCrash::Fail => OnCrash::Fail,
        }),
    });
    hub.restore(clock.now(), snapshot);
    // Nobody subscribes yet, so what happens here is read from the table by whoever asks for it later.
    while fold_some(&mut hub, &mut store, clock).map_err(store_failed)? {}
    take_over_tasks(&mut hub, &mut store, config, clock).map_err(store_failed)?;
    let folded = store.changes_folded().map_err(store_failed)?;
    let feed = Arc::new(Feed::new(epoch.clone(), hub.status().seq));
    let hook_cursors = store.hook_cursors().map_err(store_failed)?;
    Ok(Recovered { hub, store, feed, epoch, folded, hook_cursors })
}

/// Children of a daemon that was killed go on running; none of their tasks may start again before they have ended.
fn end_old_processes(epoch: &str, snapshot: &Snapshot, config: &Config, clock: &dyn Clock) -> Result<(), StartError> {
    let records: Vec<orphans::Record> = snapshot
        .tasks
        .iter()
        .filter_map(|task| task.process.clone())
        .map(|process| orphans::Record { pid: process.pid, started: process.started, boot_id: process.boot_id })
        .collect();
    let ended = orphans::end_all(epoch, &records, config.executor.kill_grace, clock).map_err(failed)?;
    if ended.processes > 0 {
        log::warn!("ended {} processes that an earlier daemon had left running", ended.processes);
    }
    Ok(())
}

/// Folds one page of what other programs wrote meanwhile, with its events.
fn fold_some(hub: &mut Hub, store: &mut Store, clock: &dyn Clock) -> Result<bool, StoreError> {
    store.begin()?;
    let mut effects = Effects::default();
    let more = fold_page(hub, store, clock, &mut effects)?;
    write(store, &effects, clock)?;
    store.commit()?;
    hub.committed();
    Ok(more)
}

/// Running tasks are requeued, failed or cancelled, watches whose time is over expire, and the first pool comes into
/// being: one transaction.
fn take_over_tasks(hub: &mut Hub, store: &mut Store, config: &Config, clock: &dyn Clock) -> Result<(), StoreError> {
    store.begin()?;
    let first = store.has_no_pool()?;
    let configured = as_configured(&config.upstreams, &store.upstreams()?, clock.wall());
    let cursors = store.hook_cursors()?;
    let changed = first || !configured.is_empty();
    commit(hub, store, clock, |hub, store, effects| {
        let now = clock.now();
        if first {
            let row = first_pool(config, clock);
            effects.writes.push(Write::PutPool(row));
        }
        effects.writes.extend(configured);
        hub.recover(now, store, effects)?;
        hub.step(now, Input::AlertRules(alerts::rules(&config.alerts)), store, effects)?;
        hub.due(now, store, effects)?;
        hub.settle(now, store, effects)?;
        effects.writes.extend(hooks::as_configured(&config.hooks, &cursors, hub.status().seq));
        Ok(())
    })?;
    if changed {
        let snapshot = store.snapshot()?;
        hub.restore(clock.now(), snapshot);
    }
    Ok(())
}

fn first_pool(config: &Config, clock: &dyn Clock) -> PoolRow {
    let queue_max = config.executor.queue_max as usize;
    PoolRow::new(PoolId::new(DEFAULT_POOL), ExecutorKind::Command, queue_max, config.executor.timeout, clock.wall())
}

/// Starts the workers of every pool; from here on tasks are dispatched.
pub(super) fn staff_pools(
    hub: &mut Hub,
    store: &mut Store,
    staff: &mut Staff,
    breakers: &[BreakerRow],
    feed: &Feed,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    for pool in hub.unstaffed() {
        if let Some(row) = hub.pool_row(&pool) {
            staff.hire(row).map_err(|error| StoreError::Other(format!("pool {pool} has no workers: {error}")))?;
        }
        let name = breaker_name(&pool);
        let stored = breakers.iter().find(|row| row.name == name);
        let held = stored.and_then(|row| staff.guard(&pool)?.restore(row, clock.wall()));
        store.begin()?;
        let events = commit(hub, store, clock, |hub, store, effects| {
            match held {
                Some(wait) => {
                    hub.step(clock.now(), Input::BreakerHolds { pool: pool.clone(), wait }, store, effects)?;
                }
                None => effects.writes.extend(stored.map(|row| Write::DeleteBreaker(row.name.clone()))),
            }
            hub.step(clock.now(), Input::Staffed { pool, ask: None, outcome: Ok(()) }, store, effects)?;
            Ok(())
        })?;
        feed.publish(events);
    }
    Ok(())
}

/// One page of foreign changes, stepped inside the transaction that was begun. Returns whether there may be another.
pub(super) fn fold_page(
    hub: &mut Hub,
    store: &mut Store,
    clock: &dyn Clock,
    effects: &mut Effects,
) -> Result<bool, StoreError> {
    let folded = store.changes_folded()?;
    let page = store.changes_after(folded)?;
    if page.last > folded {
        hub.step(clock.now(), Input::Changes(page.changes), store, effects)?;
        store.apply(&std::mem::take(&mut effects.writes))?;
        store.fold_up_to(page.last)?;
    }
    Ok(page.more)
}

/// Ends a transaction that was begun: what was decided, with its events. Tasks are not dispatched here.
fn commit(
    hub: &mut Hub,
    store: &mut Store,
    clock: &dyn Clock,
    decide: impl FnOnce(&mut Hub, &mut Store, &mut Effects) -> Result<(), StoreError>,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut effects = Effects::default();
    // Somebody may have written since the last look; from here on nobody can.
    while fold_page(hub, store, clock, &mut effects)? {}
    decide(hub, store, &mut effects)?;
    let events = write(store, &effects, clock)?;
    store.fold_all()?;
    store.commit()?;
    hub.committed();
    alerts::note(&effects.events, hub);
    Ok(events)
}

fn write(store: &mut Store, effects: &Effects, clock: &dyn Clock) -> Result<Vec<StoredEvent>, StoreError> {
    store.apply(&effects.writes)?;
    let events: Vec<_> = effects.events.iter().map(encode).collect();
    store.append_events(clock.wall(), &events)?;
    Ok(events)
}
