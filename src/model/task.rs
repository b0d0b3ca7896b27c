//! A task: a prompt for a pool, its attempts, and how it ended.

use super::breaker::BreakerState;
use super::id::{MessageId, PoolId, TaskId, TaskSeq, Token};
use super::limits;
use super::workflow::Step;
use crate::clock::Timestamp;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl TaskStatus {
    pub const ALL: [TaskStatus; 5] =
        [TaskStatus::Pending, TaskStatus::Running, TaskStatus::Completed, TaskStatus::Failed, TaskStatus::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Pending => "pending",
            TaskStatus::Running => "running",
            TaskStatus::Completed => "completed",
            TaskStatus::Failed => "failed",
            TaskStatus::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<TaskStatus> {
        TaskStatus::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub fn is_final(self) -> bool {
        matches!(self, TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled)
    }
}

/// Why a task is where it is: a short stable word, never a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Queued,
    Delayed,
    /// Tasks that it needs are not completed.
    Blocked,
    Retrying,
    /// The executor said no: a nonzero exit, or an error of the agent.
    Error,
    Timeout,
    /// It said nothing for too long, and its pool ends such tasks.
    Stuck,
    Cancelled,
    /// A task that it needs failed or was cancelled.
    Dependency,
    /// The daemon died while it ran.
    Crashed,
    /// It took the daemon down too often.
    Dead,
    NotStarted,
}

impl Reason {
    const ALL: [Reason; 12] = [
        Reason::Queued,
        Reason::Delayed,
        Reason::Blocked,
        Reason::Retrying,
        Reason::Error,
        Reason::Timeout,
        Reason::Stuck,
        Reason::Cancelled,
        Reason::Dependency,
        Reason::Crashed,
        Reason::Dead,
        Reason::NotStarted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Queued => "queued",
            Reason::Delayed => "delayed",
            Reason::Blocked => "blocked",
            Reason::Retrying => "retrying",
            Reason::Error => "error",
            Reason::Timeout => "timeout",
            Reason::Stuck => "stuck",
            Reason::Cancelled => "cancelled",
            Reason::Dependency => "dependency",
            Reason::Crashed => "crashed",
            Reason::Dead => "dead",
            Reason::NotStarted => "not_started",
        }
    }

    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// What becomes of a running task when the daemon dies under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    /// Run it again: for work without side effects.
    Requeue,
    /// Count a failed attempt: an agent that edits, pushes or sends must not do so twice unasked.
    Fail,
}

impl OnCrash {
    pub fn as_str(self) -> &'static str {
        match self {
            OnCrash::Requeue => "requeue",
            OnCrash::Fail => "fail",
        }
    }

    pub fn parse(text: &str) -> Option<OnCrash> {
        match text {
            "requeue" => Some(OnCrash::Requeue),
            "fail" => Some(OnCrash::Fail),
            _ => None,
        }
    }
}

/// The question and the answer that a task works on, for an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub question: MessageId,
    pub response: MessageId,
}

/// A child process as the kernel knows it: the pid alone may have been given to another one since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub started: u64,
    pub boot_id: String,
}

/// A task without its bodies: prompt, context and result stay in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub seq: TaskSeq,
    pub id: TaskId,
    pub pool: PoolId,
    pub status: TaskStatus,
    pub reason: Option<Reason>,
    pub priority: i32,
    pub not_before: Option<Timestamp>,
    pub timeout: Duration,
    /// How often it was claimed.
    pub attempt: u32,
    /// How many of those attempts failed by its own fault.
    pub failures: u32,
    pub token: Option<Token>,
    pub retries_max: u32,
    pub crashes: u32,
    pub on_crash: OnCrash,
    pub key: Option<String>,
    /// Tasks with the same one run one at a time.
    pub lock: Option<String>,
    pub exchange: Option<Exchange>,
    /// Its place in a workflow.
    pub step: Option<Step>,
    pub slot: Option<u8>,
    pub process: Option<Process>,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub cancel_requested: bool,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

impl Task {
    /// What a failed attempt leads to: another one after this wait, or `None` when none is left.
    pub fn next_try_after(&self) -> Option<Duration> {
        if self.failures > self.retries_max {
            return None;
        }
        Some(limits::RETRY_BACKOFF.exact_delay(self.failures))
    }

    /// `{pool}-worker-{slot}`, the name of the worker that has or had it.
    pub fn worker_id(&self) -> Option<String> {
        self.slot.map(|slot| worker_id(&self.pool, slot))
    }

    pub fn duration(&self) -> Option<Duration> {
        Some(self.started_at?.until(self.completed_at?))
    }
}

pub fn worker_id(pool: &PoolId, slot: u8) -> String {
    format!("{pool}-worker-{slot}")
}

/// The bodies of a task, written once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskInput {
    pub prompt: String,
    /// A JSON object.
    pub context: Option<String>,
    pub directory: Option<String>,
    pub system_prompt: Option<String>,
}

/// What a task left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskResult {
    pub result: Option<std::sync::Arc<str>>,
    /// One sentence for a person.
    pub error: Option<std::sync::Arc<str>>,
    /// Whether `result` is only the beginning; the whole stands in the log.
    pub truncated: bool,
    /// What the agent said of itself, as a JSON object: cost, tokens, turns, session.
    pub usage: Option<String>,
}

/// How an attempt ended, as its worker reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
    TimedOut,
    /// Ended because it said nothing for too long.
    Stuck,
    Cancelled,
    /// The daemon is stopping: the task goes back to the queue, uncounted.
    Interrupted,
    NotStarted,
}

/// A worker's last word on an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub seq: TaskSeq,
    pub token: Token,
    pub ending: Ending,
    pub outcome: TaskResult,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub duration: Duration,
    /// How the executor's circuit breaker stands after it; `None` when there is none.
    pub breaker: Option<BreakerState>,
}

#[cfg(test)]
pub(crate) fn sample() -> Task {
    Task {
        seq: TaskSeq(1),
        id: TaskId::new("t"),
        pool: PoolId::new("local"),
        status: TaskStatus::Pending,
        reason: Some(Reason::Queued),
        priority: 0,
        not_before: None,
        timeout: Duration::from_secs(1800),
        attempt: 0,
        failures: 0,
        token: None,
        retries_max: 0,
        crashes: 0,
        on_crash: OnCrash::Fail,
        key: None,
        lock: None,
        exchange: None,
        step: None,
        slot: None,
        process: None,
        exit_code: None,
        exit_signal: None,
        cancel_requested: false,
        created_at: Timestamp::default(),
        started_at: None,
        completed_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_wait_longer_each_time_and_then_end() {
        let mut task = Task { retries_max: 8, ..sample() };
        let mut waits = Vec::new();
        for failures in 1..=9 {
            task.failures = failures;
            waits.push(task.next_try_after().map(|wait| wait.as_secs()));
        }
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(Some);
        assert_eq!(waits[..8], expected);
        assert_eq!(waits[8], None);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        for status in TaskStatus::ALL {
            assert_eq!(TaskStatus::parse(status.as_str()), Some(status));
        }
    }
}
