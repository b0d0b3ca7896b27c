//! The poller, as its owner sees it.

use super::call::Caller;
use super::error::PollerError;
use super::listener::{Changes, Listener};
use super::report::{CycleOutcome, CycleReport, PollerStatus};
use super::run::{Order, run};
use super::schedule::Schedule;
use super::settings::PollerSettings;
use super::shared::{Shared, State};
use super::tools::Tools;
use crate::clock::Tick;
use crate::mcp::client::{Client, ClientSettings};
use crate::resilience::{CircuitBreaker, CircuitState, Effects, Observer, SnapshotError};
use crate::thread::Joined;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Most orders that wait for the thread.
const ORDERS_MAX: usize = 64;
/// For a cycle's last call to notice that its time is over.
const CYCLE_GRACE: Duration = Duration::from_secs(2);

/// Polls one server on a thread of its own, `poll-NAME`. Shared by reference between threads.
///
/// Dropping it is [`shutdown`](Poller::shutdown) and then waiting for the thread. A call that is under way then is ended at
/// once; only looking up a name cannot be, and ends with the call's timeout at the latest.
pub struct Poller {
    shared: Arc<Shared>,
    // Closing this ends the thread, so it goes before the thread is joined.
    orders: Mutex<Option<Sender<Order>>>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    /// Until it is left.
    thread: Option<Joined<()>>,
}

impl Poller {
    /// A poller whose schedule is off. Its thread runs from now on and does nothing until it is asked to; nothing is sent
    /// before the first cycle.
    ///
    /// `effects` are where time and chance come from; who observes them hears of attempts and of the breaker `upstream:NAME`.
    ///
    /// # Errors
    /// See [`PollerError`].
    pub fn new(
        settings: PollerSettings,
        effects: &Effects,
        listener: Arc<dyn Listener>,
    ) -> Result<Poller, PollerError> {
        settings.validate()?;
        let client = ClientSettings::default();
        let client = settings.token.as_ref().map_or(client.clone(), |token| client.bearer_token(token));
        let client = Client::new(&settings.endpoint, &client)?;
        Poller::with_tools(settings, effects, listener, Box::new(client))
    }

    pub(super) fn with_tools(
        settings: PollerSettings,
        effects: &Effects,
        listener: Arc<dyn Listener>,
        tools: Box<dyn Tools>,
    ) -> Result<Poller, PollerError> {
        let changes = Arc::new(Changes::default());
        let told = effects.clone().observed_by(Arc::clone(&changes) as Arc<dyn Observer>);
        let breaker = CircuitBreaker::new(&format!("upstream:{}", settings.name), settings.breaker(), &told)?;
        let caller = Caller::new(&settings, tools, breaker, effects)?;
        let shared = Arc::new(Shared {
            caller,
            changes,
            effects: effects.clone(),
            quiet_until: Mutex::new(Tick::ZERO),
            ordered: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            is_interrupted: AtomicBool::new(false),
            state: Mutex::new(State::new(&settings)),
            settings,
        });
        let (orders, given) = bounded(ORDERS_MAX);
        let (end, ended) = bounded(0);
        let thread = Joined::spawn(format!("poll-{}", shared.settings.name), {
            let shared = Arc::clone(&shared);
            move || {
                let _end: Sender<()> = end;
                run(&shared, &given, &*listener);
            }
        });
        let thread = Some(thread.map_err(PollerError::Thread)?);
        Ok(Poller { shared, orders: Mutex::new(Some(orders)), ended, thread })
    }

    pub fn settings(&self) -> &PollerSettings {
        &self.shared.settings
    }

    /// Turns the schedule on: a first cycle soon, at a time left to chance within a fifth of the interval (5 s at most), then
    /// one each interval. Does nothing when it is on.
    pub fn start(&self) {
        let effects = &self.shared.effects;
        let schedule = Schedule::starting(effects.timer.tick(), self.shared.settings.interval, &*effects.rng);
        self.shared.state.lock().schedule.get_or_insert(schedule);
        self.wake();
    }

    /// Turns the schedule off. A cycle that is under way is still finished.
    pub fn stop(&self) {
        self.shared.state.lock().schedule = None;
        self.wake();
    }

    /// Makes one cycle now, whether the schedule is on or not, and does not shift it. Waits for the cycle, and before that for
    /// one that may be under way: each takes no longer than [`cycle_limit`](PollerSettings::cycle_limit). Several callers may
    /// be served by one cycle. A listener must not call it: it would wait for itself.
    ///
    /// The report of a cycle that could not be had is [`Skipped`](CycleOutcome::Skipped) and of cycle 0.
    pub fn poll_once(&self) -> CycleReport {
        let limit = self.shared.settings.cycle_limit() * 2 + CYCLE_GRACE;
        let (asker, answer) = bounded(1);
        let orders = self.orders.lock().clone();
        let ordered = orders.is_some_and(|orders| orders.send_timeout(Order::Poll(asker), limit).is_ok());
        let report = ordered.then(|| answer.recv_timeout(limit).ok()).flatten();
        report.unwrap_or_else(|| self.unanswered())
    }

    /// Asks for one cycle, and does not wait for it. The report of the first one that begins after this has this `number`, or
    /// a higher one that was given later: see [`CycleReport::order`]. With so many orders before it that this one has no room,
    /// a cycle is made anyway.
    pub fn order(&self, number: u64) {
        let (asker, _) = bounded(1);
        self.shared.ordered.fetch_max(number, Ordering::SeqCst);
        if let Some(orders) = &*self.orders.lock() {
            let _ = orders.try_send(Order::Poll(asker));
        }
    }

    /// As it stands; never waits for a cycle.
    pub fn status(&self) -> PollerStatus {
        self.shared.status()
    }

    /// Closes the breaker, and forgets that the server asked for patience.
    pub fn reset(&self) {
        self.shared.caller.breaker.reset();
        *self.shared.quiet_until.lock() = Tick::ZERO;
        self.wake();
    }

    /// The breaker's state, as one line of text that [`restore_breaker`](Self::restore_breaker) takes.
    pub fn breaker_snapshot(&self) -> String {
        self.shared.caller.breaker.snapshot()
    }

    /// Takes up the breaker's state as it was `elapsed` ago, in this process or another. To be called before the first cycle;
    /// the listener is not told, as it knows.
    ///
    /// # Errors
    /// The text is no snapshot. The breaker is closed then.
    pub fn restore_breaker(&self, snapshot: &str, elapsed: Duration) -> Result<(), SnapshotError> {
        let restored = self.shared.caller.breaker.restore(snapshot, elapsed);
        self.shared.changes.forget();
        restored
    }

    /// How the breaker stands now.
    pub fn breaker_state(&self) -> CircuitState {
        self.shared.caller.breaker.state()
    }

    /// How long until the breaker lets a call through; `None` when it does now.
    pub fn retry_after(&self) -> Option<Duration> {
        self.shared.caller.breaker.retry_after()
    }

    /// Whether the thread has ended although nobody asked it to: a fault of this program.
    pub fn has_died(&self) -> bool {
        self.has_ended() && !self.shared.caller.cancel.is_cancelled()
    }

    /// Whether the thread has ended, so that dropping this waits for nothing.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(Joined::is_finished)
    }

    /// Begins the end, for good, and waits for nothing: for whoever ends many pollers and joins them after. A call that is
    /// under way is ended at once; the thread takes leave of the server by itself.
    pub fn shutdown(&self) {
        self.shared.caller.cancel.cancel();
        self.shared.state.lock().schedule = None;
        *self.orders.lock() = None;
        if self.shared.busy.load(Ordering::SeqCst) {
            self.shared.is_interrupted.store(true, Ordering::SeqCst);
            self.shared.caller.tools.interrupt();
        }
    }

    /// Waits for the thread's end, no longer than that; says whether it has come. To be told to end is [`shutdown`]'s part.
    ///
    /// [`shutdown`]: Poller::shutdown
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }

    /// Lets the thread go on without an owner: only right before the process ends, for one that cannot be ended in time.
    pub fn leave(mut self) {
        self.thread.take().into_iter().for_each(Joined::leave);
    }

    pub(super) fn wake(&self) {
        // With so many orders before it that this one has no room, the thread looks anyway.
        if let Some(orders) = &*self.orders.lock() {
            let _ = orders.try_send(Order::Look);
        }
    }

    fn unanswered(&self) -> CycleReport {
        let status = self.status();
        CycleReport {
            poll_cycle: 0,
            timestamp: self.shared.effects.timer.wall(),
            took: Duration::ZERO,
            metrics_collected: Vec::new(),
            errors: vec!["the poller is ending or did not answer in time".to_owned()],
            failures: 0,
            is_cut_short: true,
            last_error: None,
            samples: Vec::new(),
            forgotten: Vec::new(),
            tools: status.tools,
            era: status.era,
            outcome: CycleOutcome::Skipped,
            next_poll_at: status.next_poll_at,
            consecutive_failures: status.consecutive_failures,
            is_asked: true,
            order: 0,
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").field("settings", self.settings()).finish_non_exhaustive()
    }
}
