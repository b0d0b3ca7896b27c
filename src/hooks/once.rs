//! One run of a hook's command for one event, and what its end means for the next attempt and for the breaker.

use super::hook::RUN;
use super::settings::{HookSettings, Means};
use crate::executor::{self, Ending, Finished, Job, Process, Purpose, Standing, Wake};
use crate::ports::{HookOutcome, HookRun, StoredEvent};
use crate::resilience::{Fault, Verdict};

/// What a run may write to its log, each of the two streams.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Why a run was not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no process, and for the next event there would be none either.
    NotStarted(String),
    /// A sentence for a person.
    Failed(String),
    TimedOut(String),
    /// The hook is to end.
    Ending,
}

impl Fault for Failure {
    fn verdict(&self) -> Verdict {
        match self {
            Failure::NotStarted(_) => Verdict::transient("not_started"),
            Failure::Failed(_) => Verdict::transient("failed"),
            Failure::TimedOut(_) => Verdict::transient("timeout"),
            Failure::Ending => Verdict::permanent("ending"),
        }
    }
}

/// Runs the command once. How it went is told either way, for whoever wants to see it.
pub(super) fn run(
    settings: &HookSettings,
    means: &Means,
    event: &StoredEvent,
    wake: &Wake,
) -> (HookRun, Result<(), Failure>) {
    let at = means.clock.wall();
    let job = job(settings, means, event);
    let finished = executor::run(&job, RUN, wake, &*means.clock, &mut Unheard);
    let (outcome, came_to) = judge(&finished);
    (HookRun { at, took: finished.duration, outcome, error: finished.error }, came_to)
}

fn judge(finished: &Finished) -> (HookOutcome, Result<(), Failure>) {
    let sentence = || finished.error.clone().unwrap_or_default();
    match finished.ending {
        Ending::Succeeded => (HookOutcome::Succeeded, Ok(())),
        Ending::Failed => (HookOutcome::Failed, Err(Failure::Failed(sentence()))),
        Ending::TimedOut => (HookOutcome::TimedOut, Err(Failure::TimedOut(sentence()))),
        // What is the fault of this one event must not keep the hook from those behind it.
        Ending::NotStarted if finished.standing == Standing::Untold => {
            (HookOutcome::NotStarted, Err(Failure::Failed(sentence())))
        }
        Ending::NotStarted => (HookOutcome::NotStarted, Err(Failure::NotStarted(sentence()))),
        // Nobody asks for the other two.
        Ending::Shutdown | Ending::Cancelled | Ending::Stuck => (HookOutcome::Interrupted, Err(Failure::Ending)),
    }
}

fn job(settings: &HookSettings, means: &Means, event: &StoredEvent) -> Job {
    let (name, epoch) = (&settings.name, means.feed.epoch());
    let mut line = String::from_utf8_lossy(&event.frame).into_owned();
    line.push('\n');
    Job {
        purpose: Purpose::Hook,
        task_id: format!("hook-{name}"),
        marker: format!("{epoch}/hook-{name}/{}", event.seq),
        argv: settings.command.clone(),
        prompt: line,
        context: None,
        system_prompt: None,
        directory: means.directory.clone(),
        environment: environment(name, means, event),
        timeout: settings.timeout,
        grace: means.grace,
        stop_grace: means.stop_grace,
        output_directory: means.output_root.join(name),
        result_bytes_max: 0,
        log_bytes_max: LOG_BYTES_MAX,
    }
}

fn environment(name: &str, means: &Means, event: &StoredEvent) -> Vec<(String, String)> {
    // The id of a message that another program wrote may be any text, but no variable can have such a byte in it.
    let ours = [
        ("CLAUDE_COMMS_HOOK", name.to_owned()),
        ("CLAUDE_COMMS_EVENT", event.name.replace('\0', "\u{fffd}")),
        ("CLAUDE_COMMS_CHANNEL", event.channel.replace('\0', "\u{fffd}")),
        ("CLAUDE_COMMS_SEQ", event.seq.to_string()),
        ("CLAUDE_COMMS_SEVERITY", event.severity().as_str().to_owned()),
    ];
    let ours = ours.map(|(variable, value)| (variable.to_owned(), value));
    means.environment.iter().cloned().chain(ours).collect()
}

/// What becomes of a process is told when it has ended; its marker finds it until then.
struct Unheard;

impl executor::Observer for Unheard {
    fn started(&mut self, _: Process) {}

    fn output(&mut self, _: u64, _: u64) {}

    fn progress(&mut self, _: &str) {}
}
