//! One cycle: which tools are called, when it ends early, and what came of it.

use super::call::{Called, Caller, asked_wait};
use super::keys::Keys;
use super::mapping::{Mapped, Sample, map};
use super::report::{CycleOutcome, ToolState};
use super::rotation::Rotation;
use super::settings::PollerSettings;
use crate::clock::Tick;
use crate::mcp::client::{CallError, ToolAnswer};
use crate::resilience::{CircuitBreakerError, CircuitState, Effects, Fault};
use parking_lot::Mutex;
use std::time::Duration;

/// With less time left than this no call is begun: it would fail for lack of time and be held against the server.
const CALL_TIME_MIN: Duration = Duration::from_millis(100);

/// What a cycle works with.
pub(super) struct Cycle<'a> {
    pub(super) settings: &'a PollerSettings,
    pub(super) caller: &'a Caller,
    pub(super) effects: &'a Effects,
    /// Until when the server does not want to be called.
    pub(super) quiet_until: &'a Mutex<Tick>,
    pub(super) rotation: &'a mut Rotation,
    pub(super) keys: &'a mut Keys,
    pub(super) deadline: Tick,
}

/// What came of a cycle.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) tools: Vec<Finding>,
    pub(super) samples: Vec<Sample>,
    /// Metrics of before that are not kept any more.
    pub(super) forgotten: Vec<String>,
    pub(super) errors: Vec<String>,
    /// Failed calls.
    pub(super) failures: u32,
    /// Something kept the remaining calls from being made.
    pub(super) is_cut_short: bool,
    /// The last error of a tool.
    pub(super) last_error: Option<String>,
}

/// What came of one tool.
pub(super) struct Finding {
    /// Its place in the settings.
    pub(super) place: usize,
    pub(super) state: ToolState,
    /// With the name of the tool in front.
    pub(super) error: Option<String>,
    /// What kind of failure it was, if it was one.
    pub(super) failure: Option<&'static str>,
    /// Somebody has to change something.
    pub(super) is_configuration: bool,
}

/// Whether the other tools are called as well.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl Findings {
    /// For places in the settings.
    pub(super) fn collected(&self) -> impl Iterator<Item = usize> {
        self.tools.iter().filter(|finding| finding.state == ToolState::Ok).map(|finding| finding.place)
    }

    pub(super) fn outcome(&self) -> CycleOutcome {
        let collected = self.collected().next().is_some();
        let is_whole = self.failures == 0 && !self.is_cut_short;
        match (self.tools.is_empty(), collected, is_whole) {
            (true, ..) => CycleOutcome::Skipped,
            (false, false, _) => CycleOutcome::Failed,
            (false, true, true) => CycleOutcome::Ok,
            (false, true, false) => CycleOutcome::Partial,
        }
    }

    /// Something kept the remaining calls from being made.
    fn stopped(&mut self, why: String) -> Then {
        self.errors.push(why);
        self.is_cut_short = true;
        Then::End
    }

    fn note(&mut self, finding: Finding) {
        self.errors.extend(finding.error.clone());
        self.last_error = finding.error.clone().or(self.last_error.take());
        self.failures += u32::from(finding.state == ToolState::Failing);
        self.tools.push(finding);
    }
}

impl Cycle<'_> {
    pub(super) fn run(mut self) -> Findings {
        let mut findings = Findings::default();
        let probing = self.caller.breaker.state() != CircuitState::Closed;
        let order = self.rotation.order(self.settings.tools.len(), probing);
        self.rotation.begin();
        for (position, place) in order.iter().enumerate() {
            if self.may_call(&order[position..], &mut findings) == Then::End {
                break;
            }
            let called = self.caller.call(self.settings, &self.settings.tools[*place], self.deadline);
            let then = self.take_in(*place, called, &mut findings);
            // A probe that was no success leaves nothing to be asked in this cycle.
            let unproven = probing && self.caller.breaker.state() != CircuitState::Closed;
            if then == Then::End || unproven {
                break;
            }
        }
        findings
    }

    /// Waits for as long as the server wants, if there is time for it.
    fn may_call(&mut self, ahead: &[usize], findings: &mut Findings) -> Then {
        let timer = &self.effects.timer;
        let (now, quiet_until) = (timer.tick(), *self.quiet_until.lock());
        if self.caller.cancel.is_cancelled() {
            return findings.stopped("the poller is ending".to_owned());
        }
        if quiet_until > now && quiet_until >= self.deadline {
            let wait = shown(now.until(quiet_until));
            return findings.stopped(format!("the server asked not to be called for another {wait}"));
        }
        if quiet_until > now {
            timer.wait_until(quiet_until, &self.caller.cancel);
        }
        if timer.tick().until(self.deadline) < CALL_TIME_MIN {
            return self.out_of_time(ahead, findings);
        }
        Then::GoOn
    }

    fn out_of_time(&mut self, ahead: &[usize], findings: &mut Findings) -> Then {
        self.rotation.ran_out_of_time();
        let left_out: Vec<&str> = ahead.iter().map(|place| self.settings.tools[*place].as_str()).collect();
        let (limit, left_out) = (self.settings.cycle_limit(), left_out.join(", "));
        findings.stopped(format!("the cycle ended after {limit:?} without calling {left_out}"))
    }

    fn take_in(&mut self, place: usize, called: Called, findings: &mut Findings) -> Then {
        match called {
            Called::Answered(answer) => {
                self.rotation.tried(place);
                self.rotation.worked(place);
                self.answered(place, &answer, findings)
            }
            Called::Failed(error) => {
                self.rotation.tried(place);
                self.failed(place, &error, findings)
            }
            Called::Refused(refused) => findings.stopped(refusal(&refused)),
            Called::TooLate => self.out_of_time(&[place], findings),
            Called::Cancelled => findings.stopped("the poller is ending".to_owned()),
        }
    }

    fn answered(&mut self, place: usize, answer: &ToolAnswer, findings: &mut Findings) -> Then {
        let tool = &self.settings.tools[place];
        match map(tool, answer) {
            Mapped::Samples { samples, bad } => self.collected(place, samples, bad, findings),
            Mapped::Unmapped(reason) => {
                self.keys.answer(place);
                let error = Some(format!("{tool}: {reason}"));
                findings.note(Finding {
                    place,
                    state: ToolState::Unmapped,
                    error,
                    failure: None,
                    is_configuration: false,
                });
            }
        }
        Then::GoOn
    }

    fn collected(&mut self, place: usize, samples: Vec<Sample>, mut bad: Vec<String>, findings: &mut Findings) {
        let (tool, told) = (&self.settings.tools[place], samples.len());
        let admitted = self.keys.admit(&self.settings.tools, place, samples);
        bad.extend(admitted.bad);
        let error = (!bad.is_empty()).then(|| format!("{tool}: {}", bad.join("; ")));
        if admitted.is_full_now {
            let (name, said) = (&self.settings.name, error.as_deref().unwrap_or_default());
            log::warn!("an upstream tells too many different numbers upstream={name} error={said}");
        }
        let state = if admitted.samples.is_empty() && told > 0 { ToolState::Unmapped } else { ToolState::Ok };
        findings.samples.extend(admitted.samples);
        findings.forgotten.extend(admitted.forgotten);
        findings.note(Finding { place, state, error, failure: None, is_configuration: false });
    }

    fn failed(&mut self, place: usize, error: &CallError, findings: &mut Findings) -> Then {
        if let Some(wait) = asked_wait(self.settings, error) {
            *self.quiet_until.lock() = self.effects.timer.tick().after(wait);
        }
        let state = match error {
            CallError::ToolMissing { .. } => {
                self.keys.answer(place);
                ToolState::Missing
            }
            CallError::ToolUnreadable { .. } => ToolState::Unmapped,
            _ => ToolState::Failing,
        };
        let said = Some(format!("{}: {error}", self.settings.tools[place]));
        let failure = (state == ToolState::Failing).then_some(error.verdict().kind);
        findings.note(Finding { place, state, error: said, failure, is_configuration: error.is_configuration() });
        if error.is_unreachable() { Then::End } else { Then::GoOn }
    }
}

fn refusal(refused: &CircuitBreakerError) -> String {
    match refused.retry_after {
        Some(wait) => format!("circuit breaker is open, the server is called again in {}", shown(wait)),
        None => "circuit breaker is open".to_owned(),
    }
}

/// To the second, rounded up: nobody should come too early.
fn shown(wait: Duration) -> String {
    format!("{} s", wait.as_nanos().div_ceil(1_000_000_000))
}
