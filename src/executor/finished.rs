//! How a run ended, and the sentence that tells a person why.

use std::time::Duration;

use crate::clock::Timestamp;

use super::job::{Job, Purpose};

/// How much of a complaint becomes part of the error.
pub(super) const COMPLAINT_BYTES_MAX: usize = 2 << 10;

/// Signals by number that a person is likely to meet.
const SIGNAL_NAMES: [(i32, &str); 9] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (15, "SIGTERM"),
];

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub ending: Ending,
    /// The answer; when the run did not succeed, as much of one as there was. No longer than `result_bytes_max`.
    pub result: String,
    /// Whether the result has lost its end to that limit.
    pub truncated: bool,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub duration: Duration,
    /// What the agent counted, if it speaks stream-json.
    pub usage: Option<Usage>,
    pub standing: Standing,
    /// For every ending but success: one sentence for a person, with the last lines of what the process complained of.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
    TimedOut,
    /// Ended because it had written nothing for too long.
    Stuck,
    Cancelled,
    /// Stopped with the daemon, or not started because of that; it may run again.
    Shutdown,
    /// There never was a process.
    NotStarted,
}

/// What a run says of the executor rather than of the task: whether another task would have fared better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It could be started, and an agent gave a result of its own.
    Well,
    /// Nothing can be told: it was ended from outside, or the fault is the task's.
    #[default]
    Untold,
    /// It would fail the next task too: it cannot be started, has no login, is over a limit. Until then, if it says so.
    Unwell { until: Option<Timestamp> },
}

/// What an agent says that its work has taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub cost_usd: Option<f64>,
    /// As counted by the agent, without what it read from its cache.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub turns: Option<u64>,
    /// To continue the conversation with.
    pub session_id: Option<String>,
}

/// How the process itself ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    /// It was killed, and the kernel has not let go of it.
    Stuck,
}

impl Exit {
    fn code(self) -> Option<i32> {
        if let Exit::Code(code) = self { Some(code) } else { None }
    }

    fn signal(self) -> Option<i32> {
        if let Exit::Signal(signal) = self { Some(signal) } else { None }
    }
}

/// Everything that is known when the process has gone.
pub(super) struct Evidence {
    /// Set when the run was ended from outside.
    pub(super) stopped: Option<Ending>,
    pub(super) exit: Exit,
    pub(super) result: String,
    pub(super) truncated: bool,
    /// Whether the agent itself calls its answer an error.
    pub(super) refused: bool,
    /// What its output tells of the executor, had nobody ended it.
    pub(super) standing: Standing,
    pub(super) usage: Option<Usage>,
    /// The last lines of what it complained of; may be empty.
    pub(super) complaint: String,
    pub(super) duration: Duration,
}

impl Evidence {
    pub(super) fn judge(self, job: &Job) -> Finished {
        let ending = self.ending();
        Finished {
            ending,
            error: self.sentence(ending, job),
            result: self.result,
            truncated: self.truncated,
            exit_code: self.exit.code(),
            exit_signal: self.exit.signal(),
            duration: self.duration,
            usage: self.usage,
            standing: if self.stopped.is_some() { Standing::Untold } else { self.standing },
        }
    }

    fn ending(&self) -> Ending {
        match (self.stopped, self.exit) {
            (Some(ending), _) => ending,
            (None, Exit::Code(0)) if !self.refused => Ending::Succeeded,
            (None, _) => Ending::Failed,
        }
    }

    fn sentence(&self, ending: Ending, job: &Job) -> Option<String> {
        let program = job.argv.first().map_or("", String::as_str);
        let what = match ending {
            Ending::Succeeded | Ending::NotStarted => return None,
            Ending::TimedOut => {
                format!("`{program}` had not finished after {:?} and was ended", job.timeout)
            }
            Ending::Stuck => format!("`{program}` had written nothing for too long and was ended"),
            Ending::Cancelled => return Some(format!("cancelled while `{program}` was running")),
            Ending::Shutdown => {
                return Some(format!("the daemon was stopped while `{program}` was running"));
            }
            Ending::Failed if self.refused => {
                return Some(format!("`{program}` answered with an error: {}", self.complaint));
            }
            Ending::Failed => self.failure(program),
        };
        let complaint = match job.purpose {
            Purpose::Task => self.complaint.as_str(),
            // It goes into a line of the log.
            Purpose::Hook => self.complaint.lines().last().unwrap_or_default(),
        };
        Some(if complaint.is_empty() { what } else { format!("{what}: {complaint}") })
    }

    fn failure(&self, program: &str) -> String {
        match self.exit {
            Exit::Code(code) => format!("`{program}` ended with exit code {code}"),
            Exit::Signal(number) => match SIGNAL_NAMES.iter().find(|(known, _)| *known == number) {
                Some((_, name)) => format!("`{program}` was killed by signal {number} ({name})"),
                None => format!("`{program}` was killed by signal {number}"),
            },
            Exit::Stuck => format!("`{program}` was killed and does not end; it may be waiting for a dead file system"),
        }
    }
}

impl Finished {
    /// The end of a run that never had a process.
    pub(super) fn without_process(ending: Ending, standing: Standing, error: String) -> Finished {
        Finished {
            ending,
            result: String::new(),
            truncated: false,
            exit_code: None,
            exit_signal: None,
            duration: Duration::ZERO,
            usage: None,
            standing,
            error: Some(error),
        }
    }
}
