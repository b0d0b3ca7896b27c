//! What the poller's thread and its owner share.

use super::call::Caller;
use super::cycle::{Cycle, Findings};
use super::keys::Keys;
use super::listener::{Changes, Listener, tell};
use super::report::{CycleOutcome, CycleReport, PollerStatus, ToolStatus};
use super::rotation::Rotation;
use super::schedule::Schedule;
use super::settings::PollerSettings;
use crate::clock::{Now, Tick, Timestamp};
use crate::mcp::protocol::Era;
use crate::resilience::{CircuitState, Effects};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) struct Shared {
    pub(super) settings: PollerSettings,
    pub(super) caller: Caller,
    pub(super) changes: Arc<Changes>,
    pub(super) effects: Effects,
    pub(super) quiet_until: Mutex<Tick>,
    /// The highest number of a cycle that was asked for.
    pub(super) ordered: AtomicU64,
    /// A cycle is under way.
    pub(super) busy: AtomicBool,
    /// The last cycle was ended from outside, so its server may not be answering.
    pub(super) is_interrupted: AtomicBool,
    /// Never held across a call or a wait.
    pub(super) state: Mutex<State>,
}

/// What [`PollerStatus`] is made of.
#[derive(Default)]
pub(super) struct State {
    /// None: stopped.
    pub(super) schedule: Option<Schedule>,
    poll_cycles: u64,
    errors: u64,
    last_poll_time: Option<Timestamp>,
    last_error: Option<String>,
    last_outcome: Option<CycleOutcome>,
    era: Option<Era>,
    tools: Vec<ToolStatus>,
    /// The kinds of failures that are in the log since all was well.
    told: Vec<&'static str>,
}

impl State {
    pub(super) fn new(settings: &PollerSettings) -> State {
        let tools = settings.tools.iter().map(|tool| ToolStatus { tool: tool.clone(), ..ToolStatus::default() });
        State { tools: tools.collect(), ..State::default() }
    }

    /// Takes in a cycle that began at `began`, and reports it.
    fn take_in(&mut self, name: &str, findings: Findings, era: Option<Era>, began: Now, ended: Now) -> CycleReport {
        let outcome = findings.outcome();
        self.log_change(name, outcome, &findings);
        let metrics_collected = findings.collected().map(|place| self.tools[place].tool.clone()).collect();
        for finding in findings.tools {
            let tool = &mut self.tools[finding.place];
            tool.state = finding.state;
            tool.last_tried = Some(ended.wall);
            if finding.is_configuration && finding.error != tool.last_error {
                // Loud, and once: it will be so until somebody changes it.
                let error = finding.error.as_deref().unwrap_or_default();
                log::error!("a tool cannot be polled upstream={name} error={error}");
            }
            tool.error.clone_from(&finding.error);
            if finding.error.is_some() {
                tool.last_error = finding.error;
                tool.last_error_time = Some(ended.wall);
            }
        }
        self.poll_cycles += 1;
        self.errors += u64::from(findings.failures);
        self.last_poll_time = Some(began.wall);
        let cause = findings.last_error.clone().or(self.last_error.take());
        self.last_error = cause.or_else(|| findings.errors.last().cloned());
        self.last_outcome = Some(outcome);
        self.era = era.or(self.era);
        CycleReport {
            poll_cycle: self.poll_cycles,
            timestamp: began.wall,
            took: ended.tick.since(began.tick),
            metrics_collected,
            errors: findings.errors,
            failures: findings.failures,
            is_cut_short: findings.is_cut_short,
            last_error: findings.last_error,
            samples: findings.samples,
            forgotten: findings.forgotten,
            tools: self.tools.clone(),
            era: self.era,
            outcome,
            next_poll_at: None,
            consecutive_failures: 0,
            is_asked: false,
            order: 0,
        }
    }

    /// Each kind of failure once, however many rounds it lasts, and that it is over.
    fn log_change(&mut self, name: &str, outcome: CycleOutcome, findings: &Findings) {
        for finding in &findings.tools {
            let Some(kind) = finding.failure.filter(|kind| !self.told.contains(kind)) else { continue };
            self.told.push(kind);
            // Those are told by themselves, and louder.
            if !finding.is_configuration {
                let error = finding.error.as_deref().unwrap_or_default();
                log::warn!("an upstream is not well, and told of again when it is upstream={name} error={error}");
            }
        }
        if outcome == CycleOutcome::Ok && !self.told.is_empty() {
            self.told.clear();
            log::info!("an upstream is well again upstream={name}");
        }
    }
}

impl Shared {
    /// One cycle, from its beginning to the listener.
    pub(super) fn poll(
        &self,
        rotation: &mut Rotation,
        keys: &mut Keys,
        is_asked: bool,
        listener: &dyn Listener,
    ) -> CycleReport {
        // Before the token is looked at: whoever cancels it looks here afterwards, so that one of the two sees the other.
        self.busy.store(true, Ordering::SeqCst);
        // What is asked for from here on is for the next one.
        let order = self.ordered.load(Ordering::SeqCst);
        let began = self.effects.timer.now();
        let cycle = Cycle {
            settings: &self.settings,
            caller: &self.caller,
            effects: &self.effects,
            quiet_until: &self.quiet_until,
            rotation,
            keys,
            deadline: began.tick.after(self.settings.cycle_limit()),
        };
        let findings = cycle.run();
        self.busy.store(false, Ordering::SeqCst);
        let ended = self.effects.timer.now();
        let consecutive_failures = self.caller.breaker.failure_count();
        let report = {
            let mut state = self.state.lock();
            let next_poll_at = state.schedule.map(|mut schedule| {
                // As it will be once this cycle counts as the one that was due.
                if schedule.is_due(began.tick) {
                    schedule.advance(ended.tick);
                }
                ended.wall.after(ended.tick.until(schedule.next()))
            });
            let report = state.take_in(&self.settings.name, findings, self.caller.tools.era(), began, ended);
            CycleReport { is_asked, order, consecutive_failures, next_poll_at, ..report }
        };
        self.log(&report);
        self.tell_changes(listener);
        tell(|| listener.polled(&report));
        report
    }

    pub(super) fn tell_changes(&self, listener: &dyn Listener) {
        while let Some(change) = self.changes.next() {
            let snapshot = self.caller.breaker.snapshot();
            tell(|| listener.breaker_changed(change.from, change.to, change.wait, snapshot));
        }
    }

    fn log(&self, report: &CycleReport) {
        let (name, outcome, took) = (&self.settings.name, report.outcome.as_str(), report.took);
        log::debug!("polled upstream={name} outcome={outcome} samples={} took={took:?}", report.samples.len());
        for error in &report.errors {
            log::debug!("polled upstream={name} error={error}");
        }
    }

    pub(super) fn status(&self) -> PollerStatus {
        let now = self.effects.timer.now();
        let breaker = self.caller.breaker.state();
        let consecutive_failures = self.caller.breaker.failure_count();
        let state = self.state.lock();
        PollerStatus {
            running: state.schedule.is_some(),
            poll_cycles: state.poll_cycles,
            errors: state.errors,
            last_poll_time: state.last_poll_time,
            last_error: state.last_error.clone(),
            last_outcome: state.last_outcome,
            circuit_breaker_open: breaker == CircuitState::Open,
            circuit_breaker: word(breaker),
            consecutive_failures,
            next_poll_at: state.schedule.map(|schedule| now.wall.after(now.tick.until(schedule.next()))),
            era: state.era,
            tools: state.tools.clone(),
        }
    }
}

/// Nobody forces or disables the breaker of a poller.
fn word(breaker: CircuitState) -> &'static str {
    match breaker {
        CircuitState::Closed | CircuitState::Disabled => "CLOSED",
        CircuitState::Open | CircuitState::ForcedOpen => "OPEN",
        CircuitState::HalfOpen => "HALF_OPEN",
    }
}
