//! What deciding reads from the store, and what it has the store write.

use super::alert::{Alert, Key};
use super::breaker::BreakerRow;
use super::id::{MessageId, ModuleName, TaskId, TaskSeq, ThreadId, Token, UpstreamName, WatchId, WorkflowId};
use super::message::{Message, MessageHead, NewMessage, NewThread, Status, Thread};
use super::pool::PoolRow;
use super::scaling::GroupRow;
use super::task::{Task, TaskInput, TaskResult};
use super::upstream::{CounterFold, UpstreamRow};
use super::watch::Watch;
use super::workflow::WorkflowRow;
use crate::clock::Timestamp;
use std::sync::Arc;

/// The rows behind a decision. Every read sees what earlier steps of the same batch wrote.
pub trait Rows {
    fn message(&mut self, id: &MessageId) -> Result<Option<MessageHead>, RowsError>;
    /// The message whose metadata has this `task_id`. Looks at active and at recent ones only.
    fn message_of_task(&mut self, task_id: &str) -> Result<Option<MessageHead>, RowsError>;
    fn thread_exists(&mut self, id: &ThreadId) -> Result<bool, RowsError>;
    /// Whether a thread that is brought from elsewhere is here already.
    fn presence_of_thread(&mut self, thread: &Thread) -> Result<Presence, RowsError>;
    /// Whether a message that is brought from elsewhere is here already.
    fn presence_of_message(&mut self, message: &Message) -> Result<Presence, RowsError>;
    /// The directory of a registered module.
    fn module(&mut self, name: &ModuleName) -> Result<Option<String>, RowsError>;
    /// A watch that may have ended, by message or task.
    fn watch(&mut self, name: &str) -> Result<Option<Watch>, RowsError>;
    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, RowsError>;
    fn task_by_key(&mut self, key: &str) -> Result<Option<Task>, RowsError>;
    /// The tasks that a task needs, finished ones included.
    fn needs(&mut self, seq: TaskSeq) -> Result<Vec<Task>, RowsError>;
    fn task_result(&mut self, seq: TaskSeq) -> Result<TaskResult, RowsError>;
    fn workflow(&mut self, id: &WorkflowId) -> Result<Option<WorkflowRow>, RowsError>;
    fn workflow_by_key(&mut self, key: &str) -> Result<Option<WorkflowRow>, RowsError>;
}

/// What is here under the id of something that is brought from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Absent,
    /// The same in all that matters.
    Same,
    /// Something else; the first thing in which it differs.
    Differs(&'static str),
}

/// The store could not answer; the batch is rolled back and the reason reported by whoever runs it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RowsError(pub String);

/// A row that a foreign program (or a foreign statement of ours) inserted, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub seq: i64,
    pub kind: ChangeKind,
    pub message_id: MessageId,
    /// `None` for an insert.
    pub old_status: Option<Status>,
    /// `None` for a delete.
    pub new_status: Option<Status>,
    pub content_length: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Insert,
    Update,
    Delete,
}

/// One thing to be written, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    InsertThread(NewThread),
    InsertMessage(NewMessage),
    /// Brought from elsewhere, as it was there.
    ImportThread(Box<Thread>),
    ImportMessage(Box<Message>),
    UpdateMessage {
        id: MessageId,
        status: Option<Status>,
        content: Option<Arc<str>>,
        error: Option<Arc<str>>,
    },
    PutWatch(Watch),
    DeleteWatch(WatchId),
    PutModule {
        name: ModuleName,
        directory: String,
    },
    DeleteModule(ModuleName),
    PutPool(PoolRow),
    DeletePool(super::id::PoolId),
    PutBreaker(BreakerRow),
    DeleteBreaker(String),
    PutUpstream(UpstreamRow),
    /// With all that is kept of it.
    DeleteUpstream(UpstreamName),
    PutTotal {
        upstream: UpstreamName,
        metric: String,
        total: CounterFold,
    },
    InsertSample {
        upstream: UpstreamName,
        at: Timestamp,
        metric: String,
        value: f64,
    },
    PutAlert(Box<Alert>),
    DeleteAlert(Key),
    /// The last event that a hook is done with.
    PutHookCursor {
        name: String,
        seq: u64,
    },
    DeleteHookCursor(String),
    PutGroup(GroupRow),
    DeleteGroup(String),
    PutTask(Box<Task>),
    PutTaskInput {
        seq: TaskSeq,
        input: TaskInput,
    },
    PutTaskResult {
        seq: TaskSeq,
        result: TaskResult,
    },
    /// A task needs another one to be completed.
    PutDependency {
        seq: TaskSeq,
        needs: TaskSeq,
    },
    PutWorkflow(Box<WorkflowRow>),
    /// Where round robin goes on.
    RoundRobin(u64),
    /// The next fencing token to give out.
    NextToken(Token),
}

/// What the hub needs in order to go on where the last one stopped.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The last event's number.
    pub seq: u64,
    pub next_token: u64,
    pub next_task_seq: i64,
    pub round_robin: u64,
    pub next_watch_id: i64,
    pub watches: Vec<Watch>,
    pub pools: Vec<PoolRow>,
    /// The groups of pools that scale themselves.
    pub groups: Vec<GroupRow>,
    pub upstreams: Vec<UpstreamRow>,
    /// By upstream and metric.
    pub totals: Vec<(UpstreamName, String, CounterFold)>,
    /// Those that are raised.
    pub alerts: Vec<Alert>,
    /// Pending and running tasks in the order of submission.
    pub tasks: Vec<Task>,
    /// Of the open tasks: which needs which other open one.
    pub dependencies: Vec<(TaskSeq, TaskSeq)>,
    /// Workflows that have not ended, and all of their tasks, those that have ended too.
    pub workflows: Vec<WorkflowRow>,
    pub workflow_tasks: Vec<Task>,
}
