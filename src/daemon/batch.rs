//! One batch of the hub: begin, step, then persist, reply, run, publish, in this order.

use super::adversity::BatchError;
use super::alerts;
use super::hub_loop::HubLoop;
use super::recovery::fold_page;
use super::worker::Order;
use crate::clock::Now;
use crate::feed::encode;
use crate::model::command::{Code, Refusal};
use crate::model::hub::{Effects, Input};
use crate::model::rows::Write;
use crate::store::StoreError;
use std::sync::atomic::Ordering;

/// What one turn has to do.
#[derive(Default)]
pub(super) struct Batch {
    /// Answered from memory alone.
    pub(super) reads: Vec<Input>,
    pub(super) inputs: Vec<Input>,
    /// The watcher says that there are foreign changes.
    pub(super) look: bool,
    /// Somebody wants to search.
    pub(super) searches: bool,
}

/// What happens when a foreign trigger or key forbids what is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// The batch comes to nothing.
    None,
    /// It is one ask, and that alone comes to nothing; what nobody asked for is left unwritten, with a warning.
    Each,
}

impl HubLoop {
    pub(super) fn write(&mut self, mut batch: Batch) {
        match self.attempt(&mut batch, Care::None) {
            Ok(()) => self.recovered(),
            Err(BatchError::Store(StoreError::Refused(reason))) => {
                log::debug!("the database refuses part of a batch, which is written one by one: {reason}");
                self.write_one_by_one(batch);
            }
            Err(error) => self.failed(&error, batch.inputs),
        }
    }

    /// Whoever asked for what the database refuses is told; all the others get what they asked for.
    fn write_one_by_one(&mut self, batch: Batch) {
        self.forget_asks(&batch.inputs);
        self.go_back();
        let mut waiting = batch.inputs.into_iter();
        loop {
            let inputs: Vec<Input> = waiting.next().into_iter().collect();
            let mut one = Batch { inputs, look: batch.look, searches: batch.searches, ..Batch::default() };
            match self.attempt(&mut one, Care::Each) {
                Ok(()) => self.recovered(),
                Err(BatchError::Store(StoreError::Refused(reason))) => {
                    self.refuse_all(&one.inputs, &refused(&reason));
                    self.forget_asks(&one.inputs);
                    self.go_back();
                }
                Err(error) => {
                    one.inputs.extend(waiting);
                    return self.failed(&error, one.inputs);
                }
            }
            if waiting.len() == 0 {
                return;
            }
        }
    }

    /// The inputs stay in the batch, and those that come while a foreign lock is waited for join them: should it come
    /// to nothing, each is answered or kept.
    fn attempt(&mut self, batch: &mut Batch, care: Care) -> Result<(), BatchError> {
        if self.must_restore {
            let snapshot = self.store.snapshot()?;
            self.hub.restore(self.clock.now(), snapshot);
            self.must_restore = false;
        }
        let mut effects = self.begin_folded(batch)?;
        let now = self.clock.now();
        for input in &batch.inputs {
            self.hub.step(now, input.clone(), &mut self.store, &mut effects)?;
            let care = if matches!(input, Input::Ask { .. }) { Care::None } else { care };
            self.apply(&mut effects, care)?;
        }
        self.hub.due(now, &mut self.store, &mut effects)?;
        self.apply(&mut effects, care)?;
        self.hub.settle(now, &mut self.store, &mut effects)?;
        self.apply(&mut effects, care)?;
        // Pictures that were wanted in this very batch are due at once.
        self.hub.due(now, &mut self.store, &mut effects)?;
        self.apply(&mut effects, care)?;
        if batch.searches {
            self.housekeeping.index(&mut self.store)?;
        }
        // Also this transaction's own changes, whose events are written with them.
        let folded = self.store.fold_all()?;
        self.persist(now, effects, folded)
    }

    /// Begins the transaction. Decisions are never made on stale rows: what others wrote is folded first, a page with
    /// each transaction, the last one with the batch.
    fn begin_folded(&mut self, batch: &mut Batch) -> Result<Effects, BatchError> {
        loop {
            self.begin_patiently(batch)?;
            self.check_schema()?;
            let mut effects = Effects::default();
            if !fold_page(&mut self.hub, &mut self.store, &*self.clock, &mut effects)? {
                return Ok(effects);
            }
            let folded = self.store.changes_folded()?;
            self.persist(self.clock.now(), effects, folded)?;
        }
    }

    /// Writes what a step decided, so that the next one reads it.
    fn apply(&mut self, effects: &mut Effects, care: Care) -> Result<(), StoreError> {
        match care {
            Care::None => self.store.apply(&effects.writes)?,
            Care::Each => {
                for reason in self.store.apply_what_it_lets(&effects.writes)? {
                    log::warn!("the database refuses to have a message written: {reason}");
                }
            }
        }
        for write in effects.writes.drain(..) {
            if let Write::PutTaskInput { seq, input } = write {
                self.fresh.insert(seq, input);
            }
        }
        Ok(())
    }

    /// Persist, reply, run, publish: in this order, for the whole batch.
    fn persist(&mut self, now: Now, effects: Effects, folded: i64) -> Result<(), BatchError> {
        let events: Vec<_> = effects.events.iter().map(encode).collect();
        self.store.append_events(now.wall, &events)?;
        if self.store.has_written() {
            self.store.commit()?;
            self.progress.commits.fetch_add(1, Ordering::Relaxed);
            self.progress.folded.store(folded, Ordering::Release);
            self.housekeeping.committed(now.tick, &mut self.store);
        } else {
            self.store.rollback();
        }
        self.hub.committed();
        self.meter.count(&effects);
        alerts::note(&effects.events, &self.hub);
        self.deliver(effects.replies);
        // Before the tasks that this lets through.
        for guard in effects.breakers_tried.iter().filter_map(|pool| self.staff.guard(pool)) {
            guard.try_now();
        }
        for run in effects.runs {
            let input = self.fresh.remove(&run.seq);
            self.staff.assign(Order { run, input });
        }
        self.fresh.clear();
        for cancel in &effects.cancels {
            self.staff.cancel(cancel);
        }
        for (upstream, order) in effects.pollers {
            self.carried.extend(self.pollers.obey(&upstream, order));
        }
        for pool in &effects.dismissed {
            self.staff.dismiss(pool);
        }
        self.feed.publish(events);
        for (pool, ask) in effects.staff {
            let outcome = self.hire(&pool);
            self.carried.push(Input::Staffed { pool, ask, outcome });
        }
        Ok(())
    }
}

fn refused(reason: &str) -> Refusal {
    Refusal::new(
        Code::Conflict,
        format!("the database refuses it ({reason}): another program has put a trigger or a key there that forbids it"),
    )
}
