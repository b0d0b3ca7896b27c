//! The main thread: takes what has arrived, has the hub decide, and performs it: persist, reply, run, publish.

use super::alerts::Lookout;
use super::batch::Batch;
use super::doors::Doors;
use super::guard::Guard;
use super::hooks::Hooks;
use super::housekeeping::Housekeeping;
use super::inbox::Letter;
use super::meter::Meter;
use super::pollers::Pollers;
use super::reload::Reloaded;
use super::stopping::Stopping;
use super::vigil::Vigil;
use super::watcher::Progress;
use super::worker::Staff;
use crate::clock::{Clock, Now, Tick};
use crate::feed::Feed;
use crate::model::command::{Command, Refusal};
use crate::model::hub::{Effects, Hub, Input};
use crate::model::id::{AskId, PoolId, TaskSeq};
use crate::model::task::TaskInput;
use crate::ports::Answer;
use crate::store::Store;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Letters that one batch takes at most.
const BATCH_LETTERS_MAX: usize = 1024;
/// The pid of a new process is written down after this at the latest.
const STARTED_DELAY: Duration = Duration::from_millis(20);
/// Exit codes of the daemon.
pub(super) const EXIT_OK: u8 = 0;
pub(super) const EXIT_INTERNAL: u8 = 70;
pub(super) const EXIT_INTERRUPTED: u8 = 130;

pub(super) struct HubLoop {
    pub(super) hub: Hub,
    pub(super) store: Store,
    pub(super) feed: Arc<Feed>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) letters: Receiver<Letter>,
    pub(super) staff: Staff,
    pub(super) pollers: Pollers,
    pub(super) hooks: Hooks,
    pub(super) progress: Arc<Progress>,
    pub(super) meter: Meter,
    pub(super) lookout: Lookout,
    pub(super) housekeeping: Housekeeping,
    /// Reads the configuration again and applies what can be applied; what others are to know of it comes back.
    pub(super) reload: Box<dyn FnMut() -> Option<Reloaded>>,
    pub(super) stop_limit: Duration,
    pub(super) vigil: Vigil,

    pub(super) doors: Option<Doors>,
    pub(super) answers: HashMap<AskId, (u64, Box<dyn Answer>)>,
    pub(super) next_ask: u64,
    /// Facts of a batch that failed, to be stepped again.
    pub(super) carried: Vec<Input>,
    /// Pids of new processes, and when they are to be written at the latest.
    pub(super) started: Vec<Input>,
    pub(super) started_due: Option<Tick>,
    /// Bodies of tasks that were submitted in the batch at hand: a worker that gets one at once need not read it.
    pub(super) fresh: HashMap<TaskSeq, TaskInput>,
    pub(super) retry_at: Option<Tick>,
    pub(super) must_restore: bool,
    pub(super) schema_version: i64,
    pub(super) replaced: Vec<Tick>,
    pub(super) stopping: Option<Stopping>,
    pub(super) exit_code: u8,
}

impl HubLoop {
    /// Runs until the daemon has stopped; returns its exit code.
    pub(super) fn run(&mut self) -> u8 {
        let mut letters = Vec::new();
        loop {
            self.wait(&mut letters);
            let inputs = self.open(&mut letters);
            self.turn(inputs);
            self.feed_watchdog();
            if self.has_stopped() {
                return self.exit_code;
            }
        }
    }

    /// Waits for one letter or until something is due, then takes all that is there.
    fn wait(&mut self, letters: &mut Vec<Letter>) {
        let first = match self.next_deadline() {
            None => self.letters.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.letters.recv_timeout(self.clock.tick().until(at)),
        };
        letters.extend(first.ok());
        self.take_waiting(letters);
    }

    pub(super) fn take_waiting(&self, letters: &mut Vec<Letter>) {
        while letters.len() < BATCH_LETTERS_MAX {
            let Ok(letter) = self.letters.try_recv() else { return };
            letters.push(letter);
        }
    }

    fn next_deadline(&self) -> Option<Tick> {
        let hub = if self.retry_at.is_some() { None } else { self.hub.next_deadline() };
        let carried = (self.retry_at.is_none() && !self.carried.is_empty()).then(|| self.clock.tick());
        let stop = self.stopping.as_ref().map(|stopping| stopping.until);
        let housekeeping = if self.retry_at.is_some() { None } else { self.housekeeping.due() };
        let look = self.look_due();
        let all = [hub, carried, self.started_due, self.retry_at, stop, self.vigil.due(), housekeeping, look];
        all.into_iter().flatten().min()
    }

    /// When the numbers that alerts are about are read next: not while nothing could be said of them.
    fn look_due(&self) -> Option<Tick> {
        let could = self.retry_at.is_none() && !self.must_restore && self.stopping.is_none();
        if could { self.lookout.due(&self.hub) } else { None }
    }

    /// Turns letters into inputs; what concerns the daemon itself is done at once.
    pub(super) fn open(&mut self, letters: &mut Vec<Letter>) -> Batch {
        let mut batch = Batch { inputs: std::mem::take(&mut self.carried), ..Batch::default() };
        for letter in letters.drain(..) {
            match letter {
                Letter::Ask { client, command, answer } => {
                    let ask = AskId(self.next_ask);
                    self.next_ask += 1;
                    self.answers.insert(ask, (client, answer));
                    batch.searches |= command == Command::IndexSearch;
                    if self.hub.knows(&command) {
                        batch.reads.push(Input::Ask { ask, command });
                    } else {
                        batch.inputs.push(Input::Ask { ask, command });
                    }
                }
                Letter::Gone { client } => batch.inputs.extend(self.forget(client)),
                // Worth writing down, but not worth a sync of its own: an attempt carries its marker from the start.
                Letter::Fact(fact @ Input::Started { .. }) => self.started.push(fact),
                Letter::Fact(fact) => batch.inputs.push(fact),
                Letter::Look => batch.look = true,
                Letter::Signal(signal) => batch.inputs.extend(self.signal(signal)),
                Letter::BreakerChanged { pool, from, to, wait, seq } => {
                    let change = self.staff.guard(&pool).and_then(|guard| guard.change(from, to, wait, seq));
                    batch.inputs.extend(change.map(|change| Input::BreakerChanged { pool, change }));
                }
                Letter::TurnedAway { pool } => {
                    let wait = self.staff.guard(&pool).and_then(Guard::holds_for);
                    batch.inputs.extend(wait.map(|wait| Input::BreakerHolds { pool, wait }));
                }
                Letter::HookMoved { name, seq } => batch.inputs.extend(self.hooks.moved(name, seq)),
                Letter::HookEnded { number } => self.hooks.ended(number),
                Letter::WorkerDied { pool, slot } => batch.inputs.extend(self.worker_died(pool, slot)),
                Letter::ThreadDied { name } => {
                    log::error!("the thread {name} died; stopping");
                    self.exit_code = EXIT_INTERNAL;
                    self.begin_stop();
                }
            }
        }
        self.add_started(&mut batch);
        batch
    }

    /// Lets the pids of new processes go along with the next batch, or after a while by themselves.
    fn add_started(&mut self, batch: &mut Batch) {
        if self.started.is_empty() {
            return;
        }
        let now = self.clock.tick();
        let due = *self.started_due.get_or_insert(now.after(STARTED_DELAY));
        if !batch.inputs.is_empty() || now >= due {
            // Before the reports, which may be about the same attempts.
            batch.inputs.splice(0..0, self.started.drain(..));
            self.started_due = None;
        }
    }

    fn forget(&mut self, client: u64) -> Vec<Input> {
        let asks: Vec<AskId> =
            self.answers.iter().filter(|(_, (owner, _))| *owner == client).map(|(ask, _)| *ask).collect();
        for ask in &asks {
            self.answers.remove(ask);
        }
        asks.into_iter().map(Input::Forget).collect()
    }

    /// One turn of the loop: reads from memory, then the batch, then what there is time for.
    fn turn(&mut self, mut batch: Batch) {
        let now = self.clock.now();
        self.look(now, &mut batch);
        self.answer_reads(now, &batch);
        let retry = self.retry_at.is_none_or(|at| now.tick >= at);
        if !retry {
            self.hold_back(batch);
            return;
        }
        let due = self.hub.next_deadline().is_some_and(|at| at <= now.tick);
        if batch.inputs.is_empty() && !batch.look && !due && !self.must_restore {
            if self.retry_at.is_some() {
                return self.probe(now);
            }
            let idle = self.letters.is_empty() && self.housekeeping.due().is_some_and(|at| at <= now.tick);
            if idle {
                self.housekeeping.bite(now, &mut self.store);
            }
            return;
        }
        self.write(batch);
    }

    /// Only what raises or clears an alert needs to be written.
    fn look(&mut self, now: Now, batch: &mut Batch) {
        if self.look_due().is_none_or(|at| at > now.tick) {
            return;
        }
        let Some(look) = self.lookout.look(now, &self.hub) else { return };
        let inputs = if self.hub.is_news(&look) { &mut batch.inputs } else { &mut batch.reads };
        inputs.push(Input::Looked(Arc::new(look)));
    }

    pub(super) fn answer_reads(&mut self, now: Now, batch: &Batch) {
        let mut effects = Effects::default();
        for read in &batch.reads {
            // Reads are answered from memory alone; they cannot fail.
            let _ = self.hub.step(now, read.clone(), &mut self.store, &mut effects);
        }
        if effects.stop {
            self.begin_stop();
        }
        self.deliver(effects.replies);
    }

    pub(super) fn hire(&mut self, pool: &PoolId) -> Result<(), String> {
        let row = self.hub.pool_row(pool).ok_or("the pool is gone")?;
        self.staff.hire(row).map_err(|error| error.to_string())
    }

    pub(super) fn deliver(&mut self, replies: Vec<(AskId, Result<crate::model::command::Reply, Refusal>)>) {
        for (ask, reply) in replies {
            if let Some((_, answer)) = self.answers.remove(&ask) {
                answer.deliver(reply);
            }
        }
    }

    pub(super) fn refuse(&mut self, ask: AskId, refusal: Refusal) {
        self.deliver(vec![(ask, Err(refusal))]);
    }

    /// Tells the supervisor that we live, when it is time.
    pub(super) fn feed_watchdog(&mut self) {
        let doors = self.doors.as_ref().filter(|_| self.stopping.is_none());
        self.vigil.keep(self.clock.tick(), doors);
    }
}
