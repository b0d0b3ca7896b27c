//! Wires the rooms to threads. [`run`] is the table of contents: what is started, in which order, and how it ends.

mod adversity;
mod alerts;
mod batch;
mod doors;
#[cfg_attr(not(feature = "otlp"), path = "no_exporter.rs")]
mod exporter;
mod guard;
mod hooks;
mod housekeeping;
mod hub_loop;
mod inbox;
mod meter;
pub mod metrics;
mod pollers;
mod recovery;
mod reload;
#[cfg_attr(all(not(feature = "otlp"), not(test)), expect(dead_code, reason = "only the exporter asks"))]
mod starts;
mod stopping;
mod vigil;
mod watcher;
mod worker;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded};
use crate::executor;
use crate::hooks::Board;
use crate::resilience::Metrics;
use crate::service::{ControlSocket, Lock, Paths, Reporter, Signals, notify};
use crate::store::StoreError;
use crate::telemetry::Registry;
use alerts::Lookout;
use doors::{Doors, Hall};
use exporter::Exporting;
use guard::GuardSettings;
use hooks::{Hooks, Workshop};
use housekeeping::{Housekeeping, Retention};
use hub_loop::{EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_OK, HubLoop};
use inbox::{DeathNotice, Inbox, Letter, inbox};
use meter::{Exposed, Meter};
use pollers::Pollers;
use recovery::{Recovered, recover};
use reload::reloading;
use starts::Starts;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;
use vigil::Vigil;
pub use watcher::{Progress, Watcher};
use worker::{Staff, Workplace};

const EXIT_FAILED: u8 = 1;
const EXIT_TRY_AGAIN: u8 = 75;
const EXIT_CONFIGURATION: u8 = 78;
/// Beyond the grace of the tasks, for their reports to be written.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// What the daemon is started with.
pub struct Setup {
    pub loaded: Loaded,
    pub paths: Paths,
    /// Reads the configuration again, for SIGHUP; a sentence when it is not valid.
    pub reload: Box<dyn FnMut() -> Result<Loaded, String>>,
    /// To be told once the socket answers. `None` when nobody waits.
    pub reporter: Option<Reporter>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct StartError {
    pub exit_code: u8,
    pub sentence: String,
}

/// Starts everything, runs until told to stop, ends everything. Returns the exit code.
///
/// # Errors
/// What kept the daemon from starting, as one sentence. Nothing is left running then. The reporter, if there is one,
/// comes back so that the caller can tell it.
pub fn run(setup: Setup) -> Result<u8, (StartError, Option<Reporter>)> {
    let Setup { loaded, paths, reload, reporter } = setup;
    // Fields drop in reverse order of these lines: doors, watcher, signals, workers, store, lock.
    match start(&loaded, &paths, reload) {
        Err(error) => Err((error, reporter)),
        Ok(mut house) => {
            if let Some(reporter) = reporter {
                reporter.ready(std::process::id());
            }
            notify::ready("answering");
            log::info!("claude-comms {} is running, socket {}", env!("CARGO_PKG_VERSION"), paths.socket.display());
            let code = house.hub.run();
            house.stop();
            log::info!("stopped");
            Ok(code)
        }
    }
}

/// Everything that runs, in the order in which it must end.
struct House {
    watcher: Option<Watcher>,
    exposed: Arc<Exposed>,
    exporting: Option<Exporting>,
    _signals: Signals,
    hub: HubLoop,
    _socket: ControlSocket,
    _lock: Lock,
}

impl House {
    fn stop(&mut self) {
        self.watcher = None;
        self.hub.pollers.finish(self.hub.exit_code == EXIT_INTERRUPTED);
        match self.exporting.take() {
            Some(exporting) if self.hub.exit_code == EXIT_INTERRUPTED => exporting.leave(),
            // The hub answers no more questions: it has ended, and so have its workers.
            Some(exporting) => {
                let (hub, exposed) = (&self.hub.hub, &self.exposed);
                let pools = hub.pool_views();
                exporting.finish(exposed.all(&pools), Starts::new(&pools, &hub.upstreams_since()));
            }
            None => {}
        }
        self.hub.doors = None;
    }
}

fn start(
    loaded: &Loaded,
    paths: &Paths,
    reload: Box<dyn FnMut() -> Result<Loaded, String>>,
) -> Result<House, StartError> {
    let config = &loaded.config;
    paths.prepare().map_err(failed)?;
    let mut lock = Lock::take(&paths.lock).map_err(failed)?;
    executor::become_subreaper().map_err(failed)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let Recovered { mut hub, mut store, feed, epoch, folded, hook_cursors } = recover(config, paths, &*clock)?;
    lock.note_epoch(&epoch).map_err(failed)?;

    let (inbox, letters) = inbox();
    let signals = {
        let notice = DeathNotice::new(&inbox, Letter::ThreadDied { name: "signals" });
        let inbox = inbox.clone();
        let tell = move |signal| {
            let _kept = &notice;
            inbox.put(Letter::Signal(signal));
        };
        Signals::listen(tell).map_err(failed)?
    };
    let exposed = Arc::new(Exposed { registry: Registry::new(), breakers: Metrics::new() });
    let meter = Meter::new(&exposed.registry).map_err(failed)?;
    let progress = Arc::new(Progress { folded: AtomicI64::new(folded), commits: AtomicU64::new(0) });
    let mut staff = Staff::new(workplace(config, paths, epoch, &exposed.breakers, &inbox, &clock));
    let breakers = store.breakers().map_err(store_failed)?;
    recovery::staff_pools(&mut hub, &mut store, &mut staff, &breakers, &feed, &*clock).map_err(store_failed)?;
    let mut pollers = Pollers::new(&config.upstreams, &inbox, &exposed.breakers, &clock);
    pollers.begin_all(&mut hub, &breakers);
    let tell = ring_hub(&inbox);
    let watcher =
        Watcher::start(&paths.database, config.daemon.interval, Arc::clone(&progress), tell, Arc::clone(&clock))
            .map_err(failed)?;
    let socket = ControlSocket::open(&paths.socket, &lock).map_err(failed)?;
    let lookout = Lookout::new(Arc::clone(&exposed), clock.tick());
    let exporting = Exporting::start(&config.otlp, &exposed, &inbox, &clock)?;
    let board = Arc::new(Board::new(&feed));
    let hall =
        Hall { config, paths, inbox: &inbox, feed: &feed, clock: &clock, exposed: Arc::clone(&exposed), board: &board };
    let doors = Doors::open(&hall, &socket)?;
    let metrics = &exposed.breakers;
    let readers = hall.readers();
    let workshop =
        Workshop { config, paths, inbox: &inbox, feed: &feed, readers, clock: &clock, metrics, board: &board };
    let mut hooks = Hooks::new(workshop);
    // Last, because a command may have something to ask of the daemon.
    hooks.begin_all(&config.hooks, &hook_cursors)?;
    let hub = HubLoop {
        hub,
        store,
        feed,
        clock,
        letters,
        staff,
        pollers,
        hooks,
        progress,
        meter,
        lookout,
        housekeeping: Housekeeping::new(Retention {
            events_for: Duration::from_secs(u64::from(config.retention.events_days) * 24 * 3600),
            events_max: u64::from(config.retention.events_max),
            tasks_for: (config.retention.tasks_days > 0)
                .then(|| Duration::from_secs(u64::from(config.retention.tasks_days) * 24 * 3600)),
            tasks_root: paths.tasks.clone(),
        }),
        reload: Box::new(reloading(loaded.clone(), reload)),
        stop_limit: config.daemon.stop_grace + STOP_SLACK,
        vigil: Vigil::new(notify::watchdog_interval(), watcher.tether()),
        doors: Some(doors),
        answers: HashMap::new(),
        next_ask: 1,
        carried: Vec::new(),
        started: Vec::new(),
        started_due: None,
        fresh: HashMap::new(),
        retry_at: None,
        must_restore: false,
        // The first batch looks: the triggers were put back long ago, as other programs count time.
        schema_version: 0,
        replaced: Vec::new(),
        stopping: None,
        exit_code: EXIT_OK,
    };
    // Whatever became runnable during recovery is dispatched by the first turn.
    inbox.offer(Letter::Look);
    Ok(House { watcher: Some(watcher), exposed, exporting, _signals: signals, hub, _socket: socket, _lock: lock })
}

/// What the watcher does when it has found something. Should its thread panic, the hub is told that too.
fn ring_hub(inbox: &Inbox) -> impl FnMut() + Send + 'static {
    let notice = DeathNotice::new(inbox, Letter::ThreadDied { name: "watcher" });
    let inbox = inbox.clone();
    move || {
        let _kept = &notice;
        inbox.offer(Letter::Look);
    }
}

fn workplace(
    config: &Config,
    paths: &Paths,
    epoch: String,
    breakers: &Arc<Metrics>,
    inbox: &Inbox,
    clock: &Arc<dyn Clock>,
) -> Workplace {
    Workplace {
        database: paths.database.clone(),
        tasks_root: paths.tasks.clone(),
        epoch,
        command: config.executor.command.clone(),
        environment: config.executor.environment.clone(),
        kill_grace: config.executor.kill_grace,
        stop_grace: config.daemon.stop_grace,
        guard: GuardSettings {
            failure_threshold: config.executor.failure_threshold,
            recovery_timeout: config.executor.recovery_timeout,
        },
        metrics: Arc::clone(breakers),
        inbox: inbox.clone(),
        clock: Arc::clone(clock),
    }
}

fn failed(error: impl std::fmt::Display) -> StartError {
    StartError { exit_code: EXIT_FAILED, sentence: error.to_string() }
}

fn store_failed(error: StoreError) -> StartError {
    if matches!(error, StoreError::Busy) {
        let sentence = "another program holds the database's write lock and did not let go of it; find it with fuser(1), \
                        have it end its transaction, and start again";
        return StartError { exit_code: EXIT_TRY_AGAIN, sentence: sentence.to_owned() };
    }
    let exit_code = if error.is_configuration() {
        EXIT_CONFIGURATION
    } else if matches!(error, StoreError::Other(_)) {
        EXIT_INTERNAL
    } else {
        EXIT_FAILED
    };
    StartError { exit_code, sentence: error.to_string() }
}
