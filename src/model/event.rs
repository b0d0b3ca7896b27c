//! What happened: one numbered entry of the log. It carries ids, states, names, lengths and durations, never contents.

use super::alert::Alert;
use super::breaker::BreakerState;
use super::id::{MessageId, PoolId, TaskId, ThreadId, UpstreamName, WorkflowId};
use super::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};
use super::message::Status;
use super::pool::PoolStatus;
use super::workflow::{Tally, WorkflowStatus};
use crate::clock::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// An entry of the log. `seq` is gap-free over the whole server.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub seq: u64,
    pub at: Timestamp,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Also told of a watch on a task of ours, under the task's id.
    MessageStatus {
        message_id: MessageId,
        thread_id: Option<ThreadId>,
        /// `None` when it was inserted.
        previous: Option<Status>,
        /// `None` when it was deleted.
        current: Option<Status>,
        content_length: Option<u64>,
    },
    MessageContent {
        message_id: MessageId,
        thread_id: Option<ThreadId>,
        status: Status,
        content_length: u64,
    },
    PoolSpawned {
        pool: PoolId,
        executor: &'static str,
        queue_max: usize,
        timeout: Duration,
    },
    PoolClosed {
        pool: PoolId,
        executor: &'static str,
        queue_max: usize,
        timeout: Duration,
    },
    PoolStatus {
        pool: PoolId,
        status: PoolStatus,
        queue_size: usize,
        active_workers: usize,
        idle_workers: usize,
        completed: u64,
        failed: u64,
    },
    /// A group of pools has got another one, or gives one up.
    PoolScaling {
        pool: PoolId,
        is_up: bool,
        /// Of the whole group, after this step.
        worker_count: usize,
        reason: String,
    },
    /// The circuit breaker of a pool's executor.
    PoolBreakerChanged {
        pool: PoolId,
        from: BreakerState,
        to: BreakerState,
        /// How long it stays open.
        wait: Option<Duration>,
    },
    UpstreamPolled {
        upstream: UpstreamName,
        cycle: u64,
        metrics: Vec<String>,
        /// Tools that are not ok, and how they are; what they said is fetched by who may.
        errors: Vec<String>,
        /// No call failed: a tool that the server does not have is no failure.
        is_well: bool,
    },
    UpstreamBreakerChanged {
        upstream: UpstreamName,
        from: BreakerState,
        to: BreakerState,
    },
    AlertRaised(Box<Alert>),
    AlertCleared {
        alert: Box<Alert>,
        /// `None` when there is no number any more, or no rule about it.
        value: Option<f64>,
    },
    WorkerStatus {
        pool: PoolId,
        slot: u8,
        status: &'static str,
    },
    TaskAssigned {
        pool: PoolId,
        slot: u8,
        task: TaskId,
        priority: i32,
        attempt: u32,
    },
    TaskCompleted {
        pool: PoolId,
        slot: u8,
        task: TaskId,
        exit_code: Option<i32>,
        duration: Duration,
        length: usize,
    },
    TaskFailed {
        pool: PoolId,
        slot: Option<u8>,
        task: TaskId,
        /// A short stable word.
        error: &'static str,
        exit_code: Option<i32>,
    },
    TaskRetrying {
        pool: PoolId,
        slot: Option<u8>,
        task: TaskId,
        attempt: u32,
        error: &'static str,
        delay: Duration,
    },
    TaskCancelled {
        pool: PoolId,
        slot: Option<u8>,
        task: TaskId,
    },
    WorkflowStarted {
        workflow: WorkflowId,
        name: String,
        stages: Vec<Arc<str>>,
    },
    WorkflowStageCompleted {
        workflow: WorkflowId,
        stage: Arc<str>,
        tally: Tally,
        stages_completed: usize,
        total_stages: usize,
    },
    /// Its end, whichever it is.
    WorkflowEnded {
        workflow: WorkflowId,
        /// Final.
        status: WorkflowStatus,
        /// Of all its tasks.
        tally: Tally,
        stages_completed: usize,
        total_stages: usize,
        /// Names and a reason.
        error: Option<String>,
    },
    /// What somebody has told through us.
    Published(Publication),
}

/// An event of somebody else's, on a channel of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub channel: String,
    pub name: String,
    pub severity: Severity,
    /// A JSON object, as text, without `severity`.
    pub data: Arc<str>,
    /// The hook whose command publishes it; a name.
    pub hook: Option<Arc<str>>,
}

/// Kinds of channels on which this program alone speaks.
const OWN_KINDS: [&str; 7] = ["pool", "worker", "workflow", "message", "messages", "upstream", "alerts"];

impl Publication {
    /// Whether anybody may publish that on this channel.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(channel: &str, name: &str) -> Result<(), String> {
        let (kind, id) = channel.split_once(':').unwrap_or((channel, ""));
        if OWN_KINDS.contains(&kind) {
            return Err(format!(
                "{channel:?} tells what happens here; publish on another, like insights or notes:mine"
            ));
        }
        let is_channel = match kind {
            "insights" => channel == kind,
            _ => is_word(kind, NAME_BYTES_MAX) && is_word(id, ID_BYTES_MAX),
        };
        if !is_channel {
            return Err(format!("{channel:?} is no channel to publish on: one is insights, patterns:TYPE, or kind:id"));
        }
        if !is_word(name, NAME_BYTES_MAX) {
            return Err(format!("{name:?} is no name of an event: one is like insight.generated"));
        }
        Ok(())
    }
}

/// Letters, digits, dots, underscores and dashes of ASCII.
fn is_word(text: &str, bytes_max: usize) -> bool {
    let fits = (1..=bytes_max).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }

    pub fn parse(text: &str) -> Option<Severity> {
        [Severity::Info, Severity::Warning, Severity::Error].into_iter().find(|severity| severity.as_str() == text)
    }
}

impl Body {
    /// The event's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Body::Published(publication) => &publication.name,
            Body::MessageStatus { .. } => "message.status_changed",
            Body::MessageContent { .. } => "message.content_updated",
            Body::PoolSpawned { .. } => "pool.spawned",
            Body::PoolClosed { .. } => "pool.closed",
            Body::PoolStatus { .. } => "pool.status_changed",
            Body::PoolScaling { .. } => "pool.scaling",
            Body::PoolBreakerChanged { .. } => "pool.breaker_changed",
            Body::UpstreamPolled { .. } => "upstream.polled",
            Body::UpstreamBreakerChanged { .. } => "upstream.breaker_changed",
            Body::AlertRaised(_) => "alert.raised",
            Body::AlertCleared { .. } => "alert.cleared",
            Body::WorkerStatus { .. } => "worker.status_changed",
            Body::TaskAssigned { .. } => "task.assigned",
            Body::TaskCompleted { .. } => "task.completed",
            Body::TaskFailed { .. } => "task.failed",
            Body::TaskRetrying { .. } => "task.retrying",
            Body::TaskCancelled { .. } => "task.cancelled",
            Body::WorkflowStarted { .. } => "workflow.started",
            Body::WorkflowStageCompleted { .. } => "workflow.stage_completed",
            Body::WorkflowEnded { status: WorkflowStatus::Completed, .. } => "workflow.completed",
            Body::WorkflowEnded { .. } => "workflow.failed",
        }
    }

    /// The channel it belongs to: `kind:id`, or `alerts`.
    pub fn channel(&self) -> String {
        match self {
            Body::Published(publication) => publication.channel.clone(),
            Body::MessageStatus { message_id, .. } | Body::MessageContent { message_id, .. } => {
                format!("message:{message_id}")
            }
            Body::PoolSpawned { pool, .. }
            | Body::PoolClosed { pool, .. }
            | Body::PoolStatus { pool, .. }
            | Body::PoolScaling { pool, .. }
            | Body::PoolBreakerChanged { pool, .. }
            | Body::WorkerStatus { pool, .. }
            | Body::TaskAssigned { pool, .. }
            | Body::TaskCompleted { pool, .. }
            | Body::TaskFailed { pool, .. }
            | Body::TaskRetrying { pool, .. }
            | Body::TaskCancelled { pool, .. } => format!("pool:{pool}"),
            Body::UpstreamPolled { upstream, .. } | Body::UpstreamBreakerChanged { upstream, .. } => {
                format!("upstream:{upstream}")
            }
            Body::AlertRaised(_) | Body::AlertCleared { .. } => "alerts".to_owned(),
            Body::WorkflowStarted { workflow, .. }
            | Body::WorkflowStageCompleted { workflow, .. }
            | Body::WorkflowEnded { workflow, .. } => format!("workflow:{workflow}"),
        }
    }

    pub fn severity(&self) -> Severity {
        match self {
            Body::Published(publication) => publication.severity,
            Body::MessageStatus { current: Some(Status::Failed), .. }
            | Body::TaskFailed { .. }
            | Body::WorkflowEnded { status: WorkflowStatus::Failed, .. }
            | Body::PoolBreakerChanged { to: BreakerState::Open, .. }
            | Body::UpstreamBreakerChanged { to: BreakerState::Open, .. }
            | Body::AlertRaised(_)
            | Body::WorkerStatus { status: "error", .. } => Severity::Error,
            Body::MessageStatus { current: Some(Status::Expired), .. }
            | Body::PoolBreakerChanged { to: BreakerState::HalfOpen, .. }
            | Body::UpstreamBreakerChanged { to: BreakerState::HalfOpen, .. }
            | Body::TaskRetrying { .. } => Severity::Warning,
            Body::WorkflowEnded { status: WorkflowStatus::Cancelled, .. } => Severity::Warning,
            Body::UpstreamPolled { is_well: false, .. } => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_publishes_what_this_program_alone_can_know() {
        for channel in
            ["pool:local", "worker:local-worker-1", "workflow:w", "message:m", "messages", "upstream:u", "alerts"]
        {
            assert!(Publication::check(channel, "task.completed").is_err(), "{channel}");
        }
        for channel in ["*", "global", "", "notes", "notes:", "notes:*", "insights:x", "a b:c", ":x"] {
            assert!(Publication::check(channel, "note.taken").is_err(), "{channel}");
        }
        for channel in ["insights", "patterns:loop", "notes:mine", "build:42"] {
            assert_eq!(Publication::check(channel, "note.taken"), Ok(()), "{channel}");
        }
        for name in ["", "two words", "a\"b", &"n".repeat(65)] {
            assert!(Publication::check("insights", name).is_err(), "{name}");
        }
    }
}
