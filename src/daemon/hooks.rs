//! The hooks of the configuration: begun where they stopped, replaced when their settings change, and ended. How far each
//! has come goes to the hub as a fact.

use super::inbox::{DeathNotice, Inbox, Letter};
use super::{StartError, failed};
use crate::clock::Clock;
use crate::config::{self, Config, MinSeverity};
use crate::executor::Wake;
use crate::feed::{Feed, Filter};
use crate::hooks::{Beginning, Board, Hook, HookSettings, Listener, Means, breaker_name};
use crate::model::event::Severity;
use crate::model::hub::Input;
use crate::model::rows::Write;
use crate::ports::Readers;
use crate::resilience::{Effects, Metrics, Observer};
use crate::service::Paths;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The hooks at work, and those that are ending.
pub(super) struct Hooks {
    means: Arc<Means>,
    metrics: Arc<Metrics>,
    inbox: Inbox,
    board: Arc<Board>,
    running: Vec<Running>,
    /// Removed from the configuration; nobody waits for them before the daemon ends.
    ending: Vec<Running>,
    next_number: u64,
    /// Those whose threads have not said their last word, by their numbers.
    alive: Vec<(u64, Wake)>,
}

struct Running {
    number: u64,
    config: config::Hook,
    hook: Hook,
}

/// What the hooks of a daemon are made with.
pub(super) struct Workshop<'a> {
    pub(super) config: &'a Config,
    pub(super) paths: &'a Paths,
    pub(super) inbox: &'a Inbox,
    pub(super) feed: &'a Arc<Feed>,
    pub(super) readers: Arc<dyn Readers>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) board: &'a Arc<Board>,
}

impl Hooks {
    pub(super) fn new(workshop: Workshop<'_>) -> Hooks {
        let Workshop { config, paths, inbox, feed, readers, clock, metrics, board } = workshop;
        let mut environment = config.executor.environment.clone();
        // So that the verbs in a command speak to this daemon, wherever its socket is.
        environment.insert("CLAUDE_COMMS_SOCKET".to_owned(), paths.socket.display().to_string());
        let means = Means {
            feed: Arc::clone(feed),
            readers,
            clock: Arc::clone(clock),
            effects: Effects::system().observed_by(Arc::clone(metrics) as Arc<dyn Observer>),
            directory: paths.state_dir.clone(),
            output_root: paths.state_dir.join("hooks"),
            environment: environment.into_iter().collect(),
            grace: config.executor.kill_grace,
            stop_grace: config.daemon.stop_grace,
        };
        Hooks {
            means: Arc::new(means),
            metrics: Arc::clone(metrics),
            inbox: inbox.clone(),
            board: Arc::clone(board),
            running: Vec::new(),
            ending: Vec::new(),
            next_number: 1,
            alive: Vec::new(),
        }
    }

    /// Begins those of the configuration, each where it stopped.
    pub(super) fn begin_all(
        &mut self,
        config: &[config::Hook],
        cursors: &BTreeMap<String, u64>,
    ) -> Result<(), StartError> {
        let last = self.means.feed.last_seq();
        for hook in config {
            let seq = cursors.get(&hook.name).map_or(last, |seq| last.min(*seq));
            let running = self.start(hook, seq, None).map_err(failed)?;
            self.running.push(running);
        }
        self.board.show(self.running.iter().map(|running| &running.hook));
        Ok(())
    }

    /// From here on these are the hooks. Those that stay as they are notice nothing, a changed one goes on where it stopped,
    /// and a new one begins with the next event.
    pub(super) fn set(&mut self, config: &[config::Hook]) -> Vec<Input> {
        let mut facts = Vec::new();
        let mut before: Vec<Running> = std::mem::take(&mut self.running);
        for hook in config {
            let known = before.iter().position(|running| running.config.name == hook.name).map(|at| before.remove(at));
            let started = match known {
                Some(running) if running.config == *hook => Ok(running),
                Some(mut running) => {
                    running.hook.end();
                    // The new one counts its own.
                    self.metrics.remove(&breaker_name(&hook.name));
                    let seq = running.hook.seq();
                    self.start(hook, seq, Some(running))
                }
                None => {
                    let seq = self.means.feed.last_seq();
                    facts.push(Input::HookMoved { name: hook.name.clone(), seq });
                    let left = self.ending.iter().position(|running| running.config.name == hook.name);
                    let left = left.map(|at| self.ending.remove(at));
                    self.start(hook, seq, left)
                }
            };
            match started {
                Ok(running) => self.running.push(running),
                Err(error) => log::error!("hook {} does not run: {error}", hook.name),
            }
        }
        for mut running in before {
            running.hook.end();
            self.metrics.remove(&breaker_name(&running.config.name));
            facts.push(Input::HookRemoved { name: running.config.name.clone() });
            self.ending.push(running);
        }
        self.board.show(self.running.iter().map(|running| &running.hook));
        facts
    }

    fn start(&mut self, config: &config::Hook, seq: u64, before: Option<Running>) -> io::Result<Running> {
        let settings = settings(config).map_err(io::Error::other)?;
        let number = self.next_number;
        self.next_number += 1;
        let reporter = Reporter {
            number,
            name: config.name.clone(),
            inbox: self.inbox.clone(),
            _notice: Mutex::new(DeathNotice::new(&self.inbox, Letter::ThreadDied { name: "hook" })),
        };
        let (known, before) = match before {
            Some(Running { number, config, hook }) => (Some((number, config)), Some(hook)),
            None => (None, None),
        };
        match Hook::start(settings, &self.means, Beginning { seq, before }, Arc::new(reporter)) {
            Ok(hook) => {
                self.alive.push((number, hook.wake()));
                Ok(Running { number, config: config.clone(), hook })
            }
            Err((error, before)) => {
                // It is ending, and is not to be waited for here.
                let left = known.zip(before).map(|((number, config), hook)| Running { number, config, hook });
                self.ending.extend(left);
                Err(error)
            }
        }
    }

    /// What becomes of it that a hook has moved: nothing, if it is one that is no more.
    pub(super) fn moved(&self, name: String, seq: u64) -> Option<Input> {
        let is_known = self.running.iter().any(|running| running.config.name == name);
        is_known.then_some(Input::HookMoved { name, seq })
    }

    /// The thread of that number has said its last word.
    pub(super) fn ended(&mut self, number: u64) {
        self.alive.retain(|(alive, _)| *alive != number);
        self.ending.retain(|running| running.number != number);
    }

    /// Tells all of them to end; whoever drops this waits for them.
    pub(super) fn end_all(&mut self) {
        self.running.iter_mut().for_each(|running| running.hook.end());
    }

    /// Nothing that they run is granted any grace.
    pub(super) fn kill_all(&self) {
        self.alive.iter().for_each(|(_, wake)| wake.kill_now());
    }

    /// Whether all have said their last word.
    pub(super) fn have_ended(&self) -> bool {
        self.alive.is_empty()
    }
}

fn settings(config: &config::Hook) -> Result<HookSettings, String> {
    let filter = Filter::new(config.channels.clone(), config.events.clone())?;
    let filter = match config.min_severity {
        // That is everything.
        MinSeverity::Info => filter,
        MinSeverity::Warning => filter.at_least(Severity::Warning),
        MinSeverity::Error => filter.at_least(Severity::Error),
    };
    Ok(HookSettings { name: config.name.clone(), command: config.command.clone(), filter, timeout: config.timeout })
}

/// What has to be written so that every hook of the configuration has a cursor, and no other: one that is seen for the first
/// time begins behind the event `seq`.
pub(super) fn as_configured(config: &[config::Hook], stored: &BTreeMap<String, u64>, seq: u64) -> Vec<Write> {
    let new = config.iter().filter(|hook| !stored.contains_key(&hook.name));
    let gone = stored.keys().filter(|name| !config.iter().any(|hook| hook.name == **name));
    let put = new.map(|hook| Write::PutHookCursor { name: hook.name.clone(), seq });
    put.chain(gone.map(|name| Write::DeleteHookCursor(name.clone()))).collect()
}

/// Tells the hub.
struct Reporter {
    number: u64,
    name: String,
    inbox: Inbox,
    /// Shared by reference, never used: it speaks when it is dropped by a panic.
    _notice: Mutex<DeathNotice>,
}

impl Listener for Reporter {
    fn moved(&self, seq: u64) {
        self.inbox.put(Letter::HookMoved { name: self.name.clone(), seq });
    }

    fn ended(&self) {
        self.inbox.put(Letter::HookEnded { number: self.number });
    }
}
