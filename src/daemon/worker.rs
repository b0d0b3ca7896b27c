//! A pool's three threads: each takes a task, runs it, reports, and takes the next.

use super::guard::{self, Guard, GuardSettings};
use super::inbox::{DeathNotice, Inbox, Letter};
use crate::clock::Clock;
use crate::executor::{self, Job, Purpose, Standing, Wake, task_directory};
use crate::model::command::Written;
use crate::model::hub::{Cancel, Input, Run, Stop};
use crate::model::id::{PoolId, TaskSeq, Token};
use crate::model::limits::{EXPANDED_PROMPT_BYTES_MAX, RESULT_BYTES_MAX, WORKERS_PER_POOL};
use crate::model::pool::{ExecutorKind, PoolRow};
use crate::model::task::{Ending, Process, Report, TaskInput, TaskResult};
use crate::model::template;
use crate::resilience::Metrics;
use crate::store::{Store, StoreError};
use crate::thread::Joined;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A connection to the store that is not used for so long is closed.
const STORE_IDLE: Duration = Duration::from_secs(60);
/// After so long without a task a worker tidies up, and at least so often when it is never without one.
const TIDY_IDLE: Duration = Duration::from_millis(250);
const TIDY_BUSY: Duration = Duration::from_secs(5);
/// What a task may write to its log, each of the two streams.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// What every worker needs and none changes.
pub(super) struct Workplace {
    pub(super) database: PathBuf,
    pub(super) tasks_root: PathBuf,
    pub(super) epoch: String,
    pub(super) command: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    /// From TERM to KILL.
    pub(super) kill_grace: Duration,
    /// The same, when the daemon stops.
    pub(super) stop_grace: Duration,
    pub(super) guard: GuardSettings,
    /// Of the breakers.
    pub(super) metrics: Arc<Metrics>,
    pub(super) inbox: Inbox,
    pub(super) clock: Arc<dyn Clock>,
}

/// A claimed task on its way to its worker.
pub(super) struct Order {
    pub(super) run: Run,
    /// Its bodies, when they are at hand; otherwise the worker reads them.
    pub(super) input: Option<TaskInput>,
}

/// The threads of all pools.
pub(super) struct Staff {
    workplace: Arc<Workplace>,
    pools: BTreeMap<PoolId, Team>,
}

/// The threads of one pool.
struct Team {
    workers: Vec<Worker>,
    /// Only what starts processes can fail in a way that the next task would share.
    guard: Option<Guard>,
}

struct Worker {
    // Fields drop in this order: closing the channel is what ends the thread.
    orders: Sender<Order>,
    wake: Wake,
    /// The last attempt it was given.
    token: Option<Token>,
    _thread: Joined<()>,
}

impl Staff {
    pub(super) fn new(workplace: Workplace) -> Staff {
        Staff { workplace: Arc::new(workplace), pools: BTreeMap::new() }
    }

    /// Starts the three threads of a pool. When one cannot be started, those before it are ended.
    pub(super) fn hire(&mut self, pool: &PoolRow) -> io::Result<()> {
        let place = &self.workplace;
        let guard = match pool.executor {
            ExecutorKind::Echo => None,
            ExecutorKind::Command => {
                let command = pool.command.as_ref().unwrap_or(&place.command);
                let guard = Guard::new(&pool.id, command, place.guard, &place.metrics, &place.inbox);
                Some(guard.map_err(io::Error::other)?)
            }
        };
        let mut team = Team { workers: Vec::with_capacity(WORKERS_PER_POOL), guard };
        for slot in 0..WORKERS_PER_POOL {
            team.workers.push(Worker::start(pool, slot as u8, team.guard.clone(), place)?);
        }
        self.pools.insert(pool.id.clone(), team);
        Ok(())
    }

    /// What guards the pool's command, if anything does.
    pub(super) fn guard(&self, pool: &PoolId) -> Option<&Guard> {
        self.pools.get(pool)?.guard.as_ref()
    }

    /// Ends the threads of a pool that has nothing to do any more, and waits for them: they are all idle.
    pub(super) fn dismiss(&mut self, pool: &PoolId) {
        if let Some(Team { guard: Some(guard), .. }) = self.pools.remove(pool) {
            self.workplace.metrics.remove(guard.name());
        }
    }

    /// Puts a new thread in the place of one that died.
    pub(super) fn replace(&mut self, pool: &PoolRow, slot: u8) -> io::Result<()> {
        let Some(team) = self.pools.get_mut(&pool.id) else { return Ok(()) };
        let worker = Worker::start(pool, slot, team.guard.clone(), &self.workplace)?;
        if let Some(place) = team.workers.get_mut(usize::from(slot)) {
            *place = worker;
        }
        Ok(())
    }

    /// Hands over a task whose claim is durable. There is room: the hub claims for free workers only.
    pub(super) fn assign(&mut self, order: Order) {
        let run = &order.run;
        let worker = self.pools.get_mut(&run.pool).and_then(|team| team.workers.get_mut(usize::from(run.slot)));
        if let Some(worker) = worker {
            worker.token = Some(run.token);
            if worker.orders.try_send(order).is_err() {
                log::error!("a worker was given more than it can hold");
            }
        }
    }

    pub(super) fn cancel(&self, cancel: &Cancel) {
        let team = self.pools.get(&cancel.pool);
        if let Some(worker) = team.and_then(|team| team.workers.get(usize::from(cancel.slot))) {
            let stop = match cancel.stop {
                Stop::Cancelled => executor::Stop::Cancel,
                Stop::Stuck => executor::Stop::Stuck,
            };
            worker.wake.ask(cancel.token.0, stop);
        }
    }

    fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.pools.values().flat_map(|team| &team.workers)
    }

    /// Has every running task end, so that it can be put back into its queue.
    pub(super) fn interrupt_all(&self) {
        for worker in self.workers() {
            if let Some(token) = worker.token {
                worker.wake.ask(token.0, executor::Stop::Shutdown);
            }
        }
    }

    /// Waits for nothing any more.
    pub(super) fn kill_all(&self) {
        for worker in self.workers() {
            worker.wake.kill_now();
        }
    }
}

impl Worker {
    fn start(pool: &PoolRow, slot: u8, guard: Option<Guard>, workplace: &Arc<Workplace>) -> io::Result<Worker> {
        let (orders, received) = bounded(1 + pool.executor.ahead_max());
        let wake = Wake::new()?;
        let mut bench = Bench {
            kind: pool.executor,
            command: pool.command.clone().unwrap_or_else(|| workplace.command.clone()),
            environment: environment(pool, workplace),
            guard,
            wake: wake.clone(),
            workplace: Arc::clone(workplace),
            store: None,
        };
        let letter = Letter::WorkerDied { pool: pool.id.clone(), slot };
        let notice = DeathNotice::new(&workplace.inbox, letter);
        let thread = Joined::spawn(format!("w{slot}-{}", pool.id), move || {
            let _notice = notice;
            bench.work(&received);
        })?;
        Ok(Worker { orders, wake, token: None, _thread: thread })
    }
}

/// What is configured for all, then the pool's own, which wins.
fn environment(pool: &PoolRow, workplace: &Workplace) -> Vec<(String, String)> {
    let mut all = workplace.environment.clone();
    all.extend(pool.environment.clone());
    all.into_iter().collect()
}

/// A worker's own place: its connection to the store, and how its pool runs tasks.
struct Bench {
    kind: ExecutorKind,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    guard: Option<Guard>,
    wake: Wake,
    workplace: Arc<Workplace>,
    store: Option<Store>,
}

impl Bench {
    fn work(&mut self, orders: &Receiver<Order>) {
        // When tasks were last tidied up after, if any was run since.
        let mut untidy_since = None;
        loop {
            let order = match (&untidy_since, &self.store) {
                (Some(_), _) => orders.recv_timeout(TIDY_IDLE),
                (None, Some(_)) => orders.recv_timeout(STORE_IDLE),
                (None, None) => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => {
                    self.carry_out(order);
                    if self.kind == ExecutorKind::Command {
                        let now = self.workplace.clock.tick();
                        let since = *untidy_since.get_or_insert(now);
                        if now.since(since) >= TIDY_BUSY {
                            self.tidy_up();
                            untidy_since = None;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => match untidy_since.take() {
                    Some(_) => self.tidy_up(),
                    None => self.store = None,
                },
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A process that slipped away from its task and ended later is ours to bury. Not after each task: it may cost a
    /// look through /proc.
    fn tidy_up(&self) {
        if let Err(error) = executor::reap_adopted() {
            log::debug!("adopted processes could not be reaped: {error}");
        }
    }

    /// A panic inside one task is that task's failure.
    fn carry_out(&mut self, order: Order) {
        let Order { run, input } = order;
        let report = catch_unwind(AssertUnwindSafe(|| self.run(&run, input))).unwrap_or_else(|_| {
            self.store = None;
            failed(&run, "the worker panicked while it ran this task; the daemon's log has the place")
        });
        self.workplace.inbox.put(Letter::Fact(Input::Finished(report)));
    }

    fn run(&mut self, run: &Run, input: Option<TaskInput>) -> Report {
        let input = match input.map_or_else(|| self.input(run.seq), |input| Ok(Some(input))) {
            Ok(Some(input)) => input,
            Ok(None) => return failed(run, "the task's prompt is missing from the database"),
            Err(error) => return failed(run, &format!("the task's prompt could not be read: {error}")),
        };
        let input = match self.expanded(run, input) {
            Ok(input) => input,
            Err(sentence) => return Report { ending: Ending::NotStarted, ..failed(run, &sentence) },
        };
        match self.kind {
            ExecutorKind::Echo => echo(run, input),
            ExecutorKind::Command => self.run_guarded(run, input),
        }
    }

    /// Not while the executor's breaker is open: then the task goes back to its queue, which the hub will hold.
    fn run_guarded(&self, run: &Run, input: TaskInput) -> Report {
        let Some(guard) = &self.guard else { return self.run_command(run, input).0 };
        match guard.admit(run.id.as_str()) {
            Some(permit) => {
                let (report, standing) = self.run_command(run, input);
                guard::settle(permit, standing, self.workplace.clock.wall());
                Report { breaker: Some(guard.stands().state), ..report }
            }
            None => {
                self.workplace.inbox.put(Letter::TurnedAway { pool: run.pool.clone() });
                Report { ending: Ending::Interrupted, ..echo(run, TaskInput::default()) }
            }
        }
    }

    fn input(&mut self, seq: TaskSeq) -> Result<Option<TaskInput>, StoreError> {
        self.store()?.task_input(seq)
    }

    fn store(&mut self) -> Result<&mut Store, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::open_for_reading(&self.workplace.database, PathBuf::new())?,
        };
        Ok(self.store.insert(store))
    }

    /// A task of a workflow with the results that its prompt names in their places. They are read only now, when they
    /// are wanted: a prompt is stored as it was written.
    fn expanded(&mut self, run: &Run, input: TaskInput) -> Result<TaskInput, String> {
        if !run.refers {
            return Ok(input);
        }
        let prompt = template::expand(&input.prompt, EXPANDED_PROMPT_BYTES_MAX, |reference| {
            let found = self.store().and_then(|store| store.result_of_step(run.seq, reference.stage, reference.task));
            let found =
                found.map_err(|error| format!("the result {} could not be read: {error}", reference.written))?;
            found.and_then(|found| found.result).ok_or_else(|| format!("there is no result {}", reference.written))
        })?;
        Ok(TaskInput { prompt, ..input })
    }

    fn run_command(&self, run: &Run, input: TaskInput) -> (Report, Standing) {
        let place = &self.workplace;
        let job = Job {
            purpose: Purpose::Task,
            task_id: run.id.to_string(),
            marker: format!("{}/{}/{}", place.epoch, run.id, run.attempt),
            argv: self.command.clone(),
            prompt: input.prompt,
            context: input.context,
            system_prompt: input.system_prompt,
            directory: PathBuf::from(input.directory.unwrap_or_default()),
            environment: self.environment.clone(),
            timeout: run.timeout,
            grace: place.kill_grace,
            stop_grace: place.stop_grace,
            output_directory: task_directory(&place.tasks_root, run.id.as_str(), run.attempt),
            result_bytes_max: RESULT_BYTES_MAX,
            log_bytes_max: LOG_BYTES_MAX,
        };
        let mut observer = Observer { run, inbox: &place.inbox };
        let finished = executor::run(&job, run.token.0, &self.wake, &*place.clock, &mut observer);
        let standing = finished.standing;
        (report(run, finished), standing)
    }
}

struct Observer<'a> {
    run: &'a Run,
    inbox: &'a Inbox,
}

impl executor::Observer for Observer<'_> {
    fn started(&mut self, process: executor::Process) {
        let process = Process { pid: process.pid, started: process.started, boot_id: process.boot_id };
        let (seq, token) = (self.run.seq, self.run.token);
        self.inbox.put(Letter::Fact(Input::Started { seq, token, process }));
    }

    fn output(&mut self, stdout: u64, stderr: u64) {
        let (seq, token) = (self.run.seq, self.run.token);
        self.inbox.put(Letter::Fact(Input::Output { seq, token, written: Written { stdout, stderr } }));
    }

    fn progress(&mut self, text: &str) {
        if self.run.progress {
            let (seq, token) = (self.run.seq, self.run.token);
            self.inbox.offer(Letter::Fact(Input::Progress { seq, token, text: text.into() }));
        }
    }
}

fn report(run: &Run, finished: executor::Finished) -> Report {
    let usage = finished.usage.as_ref().map(usage);
    Report {
        seq: run.seq,
        token: run.token,
        ending: match finished.ending {
            executor::Ending::Succeeded => Ending::Succeeded,
            executor::Ending::Failed => Ending::Failed,
            executor::Ending::TimedOut => Ending::TimedOut,
            executor::Ending::Stuck => Ending::Stuck,
            executor::Ending::Cancelled => Ending::Cancelled,
            executor::Ending::Shutdown => Ending::Interrupted,
            executor::Ending::NotStarted => Ending::NotStarted,
        },
        outcome: TaskResult {
            result: Some(finished.result.into()),
            error: finished.error.map(Into::into),
            truncated: finished.truncated,
            usage,
        },
        exit_code: finished.exit_code,
        exit_signal: finished.exit_signal,
        duration: finished.duration,
        breaker: None,
    }
}

fn usage(usage: &executor::Usage) -> String {
    serde_json::json!({
        "cost_usd": usage.cost_usd,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "turns": usage.turns,
        "session_id": usage.session_id,
    })
    .to_string()
}

fn echo(run: &Run, input: TaskInput) -> Report {
    let outcome = TaskResult { result: Some(input.prompt.into()), ..TaskResult::default() };
    Report {
        seq: run.seq,
        token: run.token,
        ending: Ending::Succeeded,
        outcome,
        exit_code: None,
        exit_signal: None,
        duration: Duration::ZERO,
        breaker: None,
    }
}

fn failed(run: &Run, error: &str) -> Report {
    let outcome = TaskResult { error: Some(error.into()), ..TaskResult::default() };
    Report { ending: Ending::Failed, outcome, ..echo(run, TaskInput::default()) }
}
