//! What doors may ask for, without knowing who answers: commands to the hub, and reads of what is stored.

use crate::clock::Timestamp;
use crate::model::command::{Command, Refusal, Reply};
use crate::model::event::Severity;
use crate::model::id::{MessageId, ModuleName, TaskId, ThreadId, WorkflowId};
use crate::model::message::{Message, Status, Thread};
use crate::model::pool::PoolView;
use crate::model::task::{Task, TaskInput, TaskResult, TaskStatus};
use crate::model::watch::{Watch, WatchFilter};
use crate::model::workflow::{WorkflowRow, WorkflowStatus};
use std::sync::Arc;
use std::time::Duration;

/// Where an answer is to be delivered. Never blocks: the hub calls it.
pub trait Answer: Send {
    fn deliver(self: Box<Self>, answer: Result<Reply, Refusal>);
}

/// Sends commands to the hub; the answers come later.
pub trait Asker: Send + Sync {
    /// `client`: chosen by the door, the same for all that one connection asks.
    ///
    /// # Errors
    /// `busy` when the hub takes nothing more for a while, `not_running` when it has ended.
    fn ask(&self, client: u64, command: Command, answer: Box<dyn Answer>) -> Result<(), Refusal>;

    /// A client is gone; answers would reach nobody.
    fn forget(&self, client: u64);
}

/// Reads what is stored. One belongs to one thread.
pub trait Reader {
    fn message(&mut self, id: &MessageId) -> Result<Option<Message>, ReadError>;
    fn messages(&mut self, filter: &MessageFilter) -> Result<Page<Message>, ReadError>;
    /// Full-text search, best match first. Words that are no query are looked for as they stand.
    fn search(&mut self, query: &str, rows_max: usize) -> Result<Vec<Message>, ReadError>;
    fn thread(&mut self, id: &ThreadId) -> Result<Option<Thread>, ReadError>;
    /// Newest first.
    fn threads(&mut self, before: Option<i64>, rows_max: usize) -> Result<Page<Thread>, ReadError>;
    fn modules(&mut self) -> Result<Vec<Module>, ReadError>;
    fn watch(&mut self, name: &str) -> Result<Option<Watch>, ReadError>;
    /// Newest first.
    fn watches(&mut self, filter: WatchFilter, before: Option<i64>, rows_max: usize) -> Result<Page<Watch>, ReadError>;
    /// The changes of status of a message, oldest first, as far as events are kept.
    fn history(&mut self, id: &str, rows_max: usize) -> Result<Vec<Arc<[u8]>>, ReadError>;
    fn task(&mut self, id: &TaskId) -> Result<Option<TaskDetail>, ReadError>;
    /// Newest first.
    fn tasks(&mut self, filter: &TaskFilter) -> Result<Page<Task>, ReadError>;
    /// The beginning of what a task has failed with.
    fn task_error(&mut self, task: &Task, chars_max: usize) -> Result<Option<String>, ReadError>;
    fn workflow(&mut self, id: &WorkflowId) -> Result<Option<WorkflowDetail>, ReadError>;
    /// Newest first.
    fn workflows(&mut self, filter: &WorkflowFilter) -> Result<Page<WorkflowRow>, ReadError>;
    /// Part of the output that a task's latest attempt wrote.
    fn task_log(&mut self, task: &Task, stream: LogStream, from: u64, bytes_max: usize) -> Result<LogPart, ReadError>;
    /// The newest samples of an upstream, so many of each metric, by metric, oldest first.
    fn samples(&mut self, upstream: &str, points_max: usize) -> Result<Vec<SamplePoint>, ReadError>;
    /// The events after a number, in order.
    fn events_after(&mut self, seq: u64, rows_max: usize) -> Result<Vec<StoredEvent>, ReadError>;
    /// The numbers of the oldest and the newest event that are kept; (1, 0) when there is none.
    fn events_kept(&mut self) -> Result<(u64, u64), ReadError>;
    /// Finds the id that a person may have meant: exactly, by a unique prefix, or by a unique suffix.
    fn resolve(&mut self, kind: IdKind, text: &str) -> Result<Resolved, ReadError>;
}

/// Opens a [`Reader`] for the thread that calls it.
pub trait Readers: Send + Sync {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError>;
}

/// The hooks, as they stand.
pub trait Hooks: Send + Sync {
    /// In the order of the configuration.
    fn hooks(&self) -> Vec<HookView>;
}

/// A hook as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookView {
    pub name: String,
    pub command: Vec<String>,
    pub state: HookState,
    /// The last event that it is done with.
    pub seq: u64,
    /// How many events there are behind that one.
    pub behind: u64,
    /// The last run that has ended, since the daemon began.
    pub last: Option<HookRun>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    /// The last run went well, or there was none.
    Ok,
    /// The last run did not go well.
    Failing,
    /// Its circuit breaker is open: nothing is run until one run has shown that it works again.
    Waiting,
}

impl HookState {
    pub fn as_str(self) -> &'static str {
        match self {
            HookState::Ok => "ok",
            HookState::Failing => "failing",
            HookState::Waiting => "waiting",
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    /// When it began.
    pub at: Timestamp,
    pub took: Duration,
    pub outcome: HookOutcome,
    /// A sentence, unless it went well.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOutcome {
    Succeeded,
    Failed,
    TimedOut,
    NotStarted,
    /// Ended with the daemon, or because the hook's settings have changed; it is run again.
    Interrupted,
}

impl HookOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            HookOutcome::Succeeded => "succeeded",
            HookOutcome::Failed => "failed",
            HookOutcome::TimedOut => "timed_out",
            HookOutcome::NotStarted => "not_started",
            HookOutcome::Interrupted => "interrupted",
        }
    }
}

/// All numbers of the program, as the text that Prometheus reads.
pub trait Exposition: Send + Sync {
    fn text(&self, pools: &[PoolView]) -> String;
}

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the database could not be read: {0}")]
pub struct ReadError(pub String);

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        Refusal::new(crate::model::command::Code::Internal, error.to_string())
    }
}

/// At most so many rows, and where the next page begins.
#[derive(Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<i64>,
}

/// Which messages a list shows; newest first.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    pub thread: Option<ThreadId>,
    /// As author.
    pub module: Option<ModuleName>,
    /// As addressee.
    pub target: Option<ModuleName>,
    pub status: Option<Status>,
    pub before: Option<i64>,
    pub rows_max: usize,
}

#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub pool: Option<String>,
    pub status: Option<TaskStatus>,
    pub before: Option<i64>,
    pub rows_max: usize,
}

/// A registered module.
#[derive(Clone, Debug)]
pub struct Module {
    pub name: ModuleName,
    pub directory: String,
    pub added_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct TaskDetail {
    pub task: Task,
    pub input: TaskInput,
    pub outcome: TaskResult,
    /// The tasks that it needs.
    pub after: Vec<TaskId>,
}

/// A workflow and all of its tasks, in the order of its file's stages.
#[derive(Clone, Debug)]
pub struct WorkflowDetail {
    pub row: WorkflowRow,
    pub tasks: Vec<Task>,
}

#[derive(Clone, Debug, Default)]
pub struct WorkflowFilter {
    /// Any of these; none: all.
    pub statuses: Vec<WorkflowStatus>,
    pub before: Option<i64>,
    pub rows_max: usize,
}

/// One number of an upstream's, as it was then.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplePoint {
    pub metric: String,
    pub at: Timestamp,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    Stdout,
    Stderr,
}

#[derive(Clone, Debug, Default)]
pub struct LogPart {
    pub bytes: Vec<u8>,
    /// Where the next part begins.
    pub next: u64,
    /// How long the stream is at present.
    pub length: u64,
}

/// An encoded event as the store keeps it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub seq: u64,
    pub channel: Arc<str>,
    pub name: Arc<str>,
    pub frame: Arc<[u8]>,
}

impl StoredEvent {
    /// The hook whose command has published it, as the end of its frame says.
    pub fn hook(&self) -> Option<&str> {
        const KEY: &[u8] = br#","hook":""#;
        // Every other frame ends with its number.
        let rest = self.frame.strip_suffix(br#""}"#)?;
        let at = rest.windows(KEY.len()).rposition(|window| window == KEY)?;
        std::str::from_utf8(&rest[at + KEY.len()..]).ok()
    }

    /// How loud it is, as its frame says; what says nothing is not loud.
    pub fn severity(&self) -> Severity {
        // Within a string the quotes would be escaped, so this is found as a key only; ours is the last one.
        const KEY: &[u8] = br#""severity":""#;
        let at = self.frame.windows(KEY.len()).rposition(|window| window == KEY);
        let word = at.map(|at| &self.frame[at + KEY.len()..]).unwrap_or_default();
        let word = word.split(|byte| *byte == b'"').next().unwrap_or_default();
        std::str::from_utf8(word).ok().and_then(Severity::parse).unwrap_or(Severity::Info)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    Message,
    Thread,
    Task,
    Workflow,
    /// A watch, or what could be watched: a message or a task.
    Watch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    One(String),
    None,
    /// Several would fit; a few of them.
    Many(Vec<String>),
}
