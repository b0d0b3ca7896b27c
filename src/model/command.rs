//! What may be asked of the hub, and what it answers. Doors parse into these and never hand on anything else.
//!
//! Doors also choose the ids of what is to be created: the model has no clock and no randomness.

use super::alert::Alert;
use super::event::Publication;
use super::id::{MessageId, ModuleName, PoolId, TaskId, ThreadId, UpstreamName, WorkflowId};
use super::message::{Message, Status, Thread};
use super::pool::{PoolRow, PoolView};
use super::scaling::Rule;
use super::task::{OnCrash, Task, TaskInput, TaskResult};
use super::upstream::{Upstream, UpstreamRow};
use super::watch::{Watch, status_of_task};
use super::workflow::{RunWorkflow, WorkflowStatus};
use crate::clock::Timestamp;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Status,
    AddWatch(AddWatch),
    RemoveWatch {
        name: String,
    },
    /// Answered once the watch has ended, or `timed_out`.
    WaitWatch {
        name: String,
        timeout: Option<Duration>,
        /// How long what nobody watches is watched from now on; else for as long as the wait.
        watched_for: Option<Duration>,
    },
    Send(Send),
    Reply {
        id: MessageId,
        question: MessageId,
        content: Arc<str>,
    },
    Update {
        id: MessageId,
        status: Option<Status>,
        content: Option<Arc<str>>,
    },
    /// A thread that is brought from elsewhere.
    ImportThread(Box<Thread>),
    /// A message that is brought from elsewhere; its thread is here, or was brought before.
    ImportMessage(Box<Message>),
    AddModule {
        name: ModuleName,
        directory: String,
    },
    RemoveModule {
        name: ModuleName,
    },
    Ask(Ask),
    CreatePool(PoolRow),
    ListPools,
    /// What the program's own numbers are made of, as far as the hub knows.
    Metrics,
    ShowPool {
        id: PoolId,
    },
    /// Of one pool, or of all.
    PoolHealth {
        id: Option<PoolId>,
    },
    PausePool {
        id: PoolId,
    },
    ResumePool {
        id: PoolId,
    },
    /// Answered once the pool has ended. What it has not done after `timeout` is cancelled.
    DeletePool {
        id: PoolId,
        timeout: Duration,
    },
    ScaleGroup {
        group: String,
        scale: Scale,
    },
    Submit(Submit),
    /// Answered once the task is final, or `timed_out`.
    WaitTask {
        id: TaskId,
        timeout: Option<Duration>,
        /// Answered as well when there is more of it to be seen than this.
        beyond: Option<Seen>,
    },
    /// Answered with the first of these tasks that is final, or `timed_out`.
    WaitAnyTask {
        ids: Vec<TaskId>,
        timeout: Option<Duration>,
    },
    CancelTask {
        id: TaskId,
    },
    /// Runs a task again that has failed or was cancelled.
    RetryTask {
        id: TaskId,
    },
    RunWorkflow(Box<RunWorkflow>),
    /// Answered once the workflow has ended, or `timed_out`.
    WaitWorkflow {
        id: WorkflowId,
        timeout: Option<Duration>,
    },
    ListUpstreams,
    ShowUpstream {
        name: UpstreamName,
    },
    AddUpstream(UpstreamRow),
    RemoveUpstream {
        name: UpstreamName,
    },
    SetPolling {
        name: UpstreamName,
        polling: bool,
    },
    PollUpstream {
        name: UpstreamName,
        timeout: Option<Duration>,
    },
    ResetUpstream {
        name: UpstreamName,
    },
    CancelWorkflow {
        id: WorkflowId,
    },
    /// Tells everybody who follows; the hub gives it a number.
    Publish(Publication),
    /// Those that are raised.
    ListAlerts,
    /// Answered once everything that is committed can be found by a search.
    IndexSearch,
    Stop,
}

impl Command {
    /// Whether it can be answered from memory alone, even while nothing can be written.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Command::Status
                | Command::ListPools
                | Command::Metrics
                | Command::ListUpstreams
                | Command::ListAlerts
                | Command::ShowUpstream { .. }
                | Command::ShowPool { .. }
                | Command::PoolHealth { .. }
                | Command::Stop
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AddWatch {
    pub message_id: Option<MessageId>,
    pub task_id: Option<TaskId>,
    pub thread_id: Option<ThreadId>,
    pub source: Option<ModuleName>,
    pub target: Option<ModuleName>,
    pub timeout: Duration,
    /// Refuse what does not exist yet instead of waiting for it.
    pub must_exist: bool,
}

/// Who a message or an ask is from or to: a registered module, or a directory that stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    Module(ModuleName),
    Directory { name: ModuleName, path: String },
}

impl Party {
    pub fn name(&self) -> &ModuleName {
        match self {
            Party::Module(name) | Party::Directory { name, .. } => name,
        }
    }
}

/// The thread that a message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntoThread {
    Existing(ThreadId),
    New { id: ThreadId, title: Option<String> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    pub id: MessageId,
    pub thread: IntoThread,
    pub from: Party,
    pub to: Party,
    pub content: Arc<str>,
    pub metadata: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub question: MessageId,
    pub response: MessageId,
    pub task: TaskId,
    pub thread: IntoThread,
    pub from: Party,
    pub to: Party,
    pub pool: PoolId,
    pub prompt: Arc<str>,
    pub context: Option<String>,
    pub system_prompt: Option<String>,
    /// How long the asker waits, how long the question is watched, and how long the task may run.
    pub timeout: Duration,
    /// Answer as soon as the question is stored.
    pub no_wait: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    pub id: TaskId,
    pub to: Destination,
    pub input: TaskInput,
    pub priority: i32,
    /// `None`: the pool's own.
    pub timeout: Option<Duration>,
    pub key: Option<String>,
    /// Tasks with the same one run one at a time, in whatever pools they are.
    pub lock: Option<String>,
    /// Tasks that must be completed before this one may begin.
    pub after: Vec<TaskId>,
    pub delay: Duration,
    pub retries_max: u32,
    /// `None`: as configured, else requeue for `echo`, fail for commands.
    pub on_crash: Option<OnCrash>,
}

/// What is to become of the size of a group of pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Nothing: it is only shown.
    Show,
    /// So many pools that run.
    To(usize),
    /// From here on it scales itself.
    Automatic(Rule),
    /// From here on it is only scaled by hand.
    Off,
}

/// Where a task is to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    Pool(PoolId),
    /// Wherever the selector says, among all pools or those of a group.
    Route {
        selector: Selector,
        group: Option<String>,
    },
}

/// How a pool is chosen for a task that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with the fewest tasks, queued and running.
    LeastLoaded,
    /// One after the other.
    RoundRobin,
    /// By a number that whoever asks has drawn: the model knows no chance.
    Random(u64),
}

/// The hub's answer.
#[derive(Clone, Debug)]
pub enum Reply {
    Done,
    /// What is counted by name: the pools, and since when each upstream is there.
    Metrics(Vec<PoolView>, Vec<(UpstreamName, Timestamp)>),
    Upstreams(Vec<Upstream>),
    Upstream(Box<Upstream>),
    Status {
        hub: HubStatus,
        /// Those that are raised.
        alerts: Vec<Alert>,
    },
    Alerts(Vec<Alert>),
    Watching(Watch),
    Waited(Waited),
    Sent {
        message_id: MessageId,
        thread_id: ThreadId,
        status: Status,
    },
    Updated {
        message_id: MessageId,
        status: Status,
        changed: bool,
    },
    Imported {
        id: String,
        /// False when it was here already.
        added: bool,
    },
    Asked(Answer),
    Pool(Box<PoolView>),
    Pools(Vec<PoolView>),
    PoolHealth(Box<PoolView>),
    AllHealth(Vec<PoolView>),
    /// The pool has ended.
    Deleted(PoolId),
    Scaled(Box<Scaled>),
    Submitted {
        task: TaskId,
        pool: PoolId,
        status: super::task::TaskStatus,
        duplicate: bool,
        /// Its pool is held at present, and this is when one task is tried.
        held_until: Option<Timestamp>,
    },
    Task(Box<TaskView>),
    Started {
        workflow: WorkflowId,
        status: WorkflowStatus,
        duplicate: bool,
        /// The number of the event that says so; what follows comes after it.
        seq: Option<u64>,
    },
    /// What there is to be said of it is in the store.
    Workflow(WorkflowId),
    /// The number of the event.
    Published(u64),
}

/// A group of pools, and what scaling it has come to.
#[derive(Clone, Debug)]
pub struct Scaled {
    pub group: String,
    /// How it scales itself, if it does.
    pub rule: Option<Rule>,
    pub started: Vec<PoolId>,
    pub drained: Vec<PoolId>,
    pub members: Vec<PoolView>,
}

/// A task with what it left behind, as `task.wait` and `task.cancel` answer it.
#[derive(Clone, Debug)]
pub struct TaskView {
    pub task: Task,
    pub outcome: TaskResult,
}

/// How much the present attempt of a task has written, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub stdout: u64,
    pub stderr: u64,
}

/// What somebody has seen of a task's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of this attempt, where that is told.
    pub attempt: Option<u32>,
    pub written: Written,
}

impl Written {
    pub fn is_beyond(self, other: Written) -> bool {
        self.stdout > other.stdout || self.stderr > other.stderr
    }
}

/// The end of a wait for a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    pub name: String,
    /// Final; `None` when the watch was removed.
    pub status: Option<Status>,
    /// The event that ended it, where this daemon's life has one.
    pub seq: Option<u64>,
}

/// What came of an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub thread: ThreadId,
    pub question: MessageId,
    pub response: MessageId,
    pub task: TaskId,
    pub content: Option<Arc<str>>,
    /// There is more of it in the task's log.
    pub truncated: bool,
    pub error: Option<Arc<str>>,
    pub status: Status,
}

impl Answer {
    /// As it is once the task that answers has ended.
    #[must_use]
    pub fn ended(mut self, task: &Task, outcome: &TaskResult) -> Answer {
        self.status = status_of_task(task.status);
        match self.status {
            Status::Complete => {
                self.content.clone_from(&outcome.result);
                self.truncated = outcome.truncated;
            }
            _ => self.error.clone_from(&outcome.error),
        }
        self
    }
}

/// The hub's share of `poll status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubStatus {
    pub active_messages: usize,
    pub pools: usize,
    pub upstreams: usize,
    pub tasks_queued: usize,
    pub tasks_running: usize,
    pub seq: u64,
    /// Why nothing can be written just now.
    pub degraded: Option<String>,
}

/// Why something asked for was not done. One sentence for a person, one code for a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    pub retry_after_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    BadRequest,
    UnknownCommand,
    TooLarge,
    NotFound,
    Conflict,
    Forbidden,
    NotRunning,
    QueueFull,
    Busy,
    TimedOut,
    Internal,
}

impl Code {
    pub const ALL: [Code; 11] = [
        Code::BadRequest,
        Code::UnknownCommand,
        Code::TooLarge,
        Code::NotFound,
        Code::Conflict,
        Code::Forbidden,
        Code::NotRunning,
        Code::QueueFull,
        Code::Busy,
        Code::TimedOut,
        Code::Internal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "bad_request",
            Code::UnknownCommand => "unknown_command",
            Code::TooLarge => "too_large",
            Code::NotFound => "not_found",
            Code::Conflict => "conflict",
            Code::Forbidden => "forbidden",
            Code::NotRunning => "not_running",
            Code::QueueFull => "queue_full",
            Code::Busy => "busy",
            Code::TimedOut => "timed_out",
            Code::Internal => "internal",
        }
    }

    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        let retry_after_ms = matches!(code, Code::QueueFull | Code::Busy).then_some(super::limits::RETRY_AFTER_MS);
        Refusal { code, message: message.into(), retry_after_ms }
    }

    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(Code::BadRequest, message)
    }

    pub fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(Code::NotFound, message)
    }

    /// A directory was named whose last part is the name of a module that works elsewhere: it is not clear who is meant.
    pub fn name_taken(name: &ModuleName, directory: &str, path: &str) -> Refusal {
        let sentence = format!(
            "{path} would be called {name}, which is the name of the module in {directory}; give it a name of its own: \
             claude-comms module add NAME {path}"
        );
        Refusal::new(Code::Conflict, sentence)
    }
}
