//! The control socket's own words: what a request may hold and what a result looks like.
//! A stable format, see claude-comms-protocol(7). Server and client share these types; the model never sees them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

mod alert;
mod hook;
mod upstream;
mod workflow;

pub use alert::{Alert, Alerts};
pub use hook::{Hook, HookRun, Hooks};
pub use upstream::{Upstream, UpstreamHistory, UpstreamSample, UpstreamTool, Upstreams};
pub use workflow::{Workflow, WorkflowStage, WorkflowStarted, WorkflowSummary, WorkflowTask, Workflows};

/// Version of the protocol.
pub const VERSION: u32 = 1;
/// Longest line, in either direction.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// One line from a client. Unknown keys beside these are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) v: Option<u32>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) command: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

/// As much of a line as a refusal needs.
#[derive(Debug, Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
}

/// One line to a client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Response<'a, T> {
    pub(super) v: u32,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    pub(super) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    pub(super) result: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Error>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Error {
    pub code: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

macro_rules! requests {
    ($($(#[$doc:meta])* $variant:ident($args:ty) = $name:literal,)*) => {
        /// Everything that can be asked for, named after its place on the command line.
        #[derive(Clone, Debug)]
        pub enum Request {
            $($(#[$doc])* $variant($args),)*
        }

        impl Request {
            /// Every command of the protocol.
            pub const COMMANDS: &[&str] = &[$($name),*];

            pub fn command(&self) -> &'static str {
                match self { $(Request::$variant(_) => $name,)* }
            }

            /// `None` when there is no such command.
            pub(super) fn parse(command: &str, args: &str) -> Option<Result<Request, serde_json::Error>> {
                match command {
                    $($name => Some(serde_json::from_str(args).map(Request::$variant)),)*
                    _ => None,
                }
            }

            pub(super) fn args(&self) -> Result<Box<RawValue>, serde_json::Error> {
                match self { $(Request::$variant(args) => serde_json::value::to_raw_value(args),)* }
            }
        }
    };
}

requests! {
    PollStatus(Empty) = "poll.status",
    PollList(PollList) = "poll.list",
    PollShow(Id) = "poll.show",
    PollAdd(PollAdd) = "poll.add",
    PollRemove(Id) = "poll.remove",
    PollWait(Wait) = "poll.wait",
    MessageSend(MessageSend) = "message.send",
    MessageReply(MessageReply) = "message.reply",
    MessageUpdate(MessageUpdate) = "message.update",
    MessageShow(Id) = "message.show",
    MessageList(MessageList) = "message.list",
    MessageSearch(MessageSearch) = "message.search",
    ThreadList(PageArgs) = "thread.list",
    ThreadShow(Id) = "thread.show",
    ThreadImport(ThreadImport) = "thread.import",
    ModuleAdd(ModuleAdd) = "module.add",
    ModuleList(Empty) = "module.list",
    ModuleRemove(ModuleRemove) = "module.remove",
    Ask(Ask) = "ask",
    PoolCreate(PoolCreate) = "pool.create",
    PoolList(Empty) = "pool.list",
    PoolStatus(PoolId) = "pool.status",
    PoolHealth(PoolHealth) = "pool.health",
    PoolPause(PoolId) = "pool.pause",
    PoolResume(PoolId) = "pool.resume",
    PoolDelete(PoolDelete) = "pool.delete",
    PoolScale(PoolScale) = "pool.scale",
    TaskSubmit(TaskSubmit) = "task.submit",
    TaskShow(TaskId) = "task.show",
    TaskList(TaskList) = "task.list",
    TaskWait(TaskWait) = "task.wait",
    TaskCancel(TaskId) = "task.cancel",
    TaskRetry(TaskId) = "task.retry",
    TaskLog(TaskLog) = "task.log",
    WorkflowRun(WorkflowRun) = "workflow.run",
    WorkflowShow(WorkflowId) = "workflow.show",
    WorkflowList(WorkflowList) = "workflow.list",
    WorkflowWait(WorkflowWait) = "workflow.wait",
    WorkflowCancel(WorkflowId) = "workflow.cancel",
    UpstreamList(Empty) = "upstream.list",
    UpstreamStatus(UpstreamName) = "upstream.status",
    UpstreamHistory(UpstreamHistoryArgs) = "upstream.history",
    UpstreamStart(UpstreamName) = "upstream.start",
    UpstreamStop(UpstreamName) = "upstream.stop",
    UpstreamPoll(UpstreamPoll) = "upstream.poll",
    UpstreamReset(UpstreamName) = "upstream.reset",
    UpstreamAdd(UpstreamAdd) = "upstream.add",
    UpstreamRemove(UpstreamName) = "upstream.remove",
    UpstreamMetrics(Empty) = "upstream.metrics",
    AlertList(Empty) = "alert.list",
    HookList(Empty) = "hook.list",
    EventFollow(EventFollow) = "event.follow",
    EventPublish(EventPublish) = "event.publish",
    EventList(EventList) = "event.list",
    /// The first on its connection: what follows are messages of MCP, one a line, in both directions.
    McpOpen(Empty) = "mcp.open",
    DaemonStop(Empty) = "daemon.stop",
}

macro_rules! args {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$attr])* pub $field: $type,)* }
        )*
    };
}

args! {
    Empty {}
    Id { id: String, }
    PollList {
        /// active (default), completed, failed, expired or all.
        #[serde(skip_serializing_if = "Option::is_none")] status: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] before: Option<i64>,
    }
    PollAdd {
        #[serde(skip_serializing_if = "Option::is_none")] message_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] thread_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] task_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] source: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] target: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
        #[serde(default)] must_exist: bool,
    }
    Wait {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
    }
    MessageSend {
        from: String,
        to: String,
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")] thread: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] title: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] metadata: Option<Value>,
    }
    MessageReply { id: String, content: String, }
    MessageUpdate {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")] status: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] content: Option<String>,
    }
    MessageList {
        #[serde(skip_serializing_if = "Option::is_none")] thread: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] module: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] target_module: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] status: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] before: Option<i64>,
    }
    /// One of the two.
    ThreadImport {
        #[serde(skip_serializing_if = "Option::is_none")] thread: Option<Thread>,
        #[serde(skip_serializing_if = "Option::is_none")] message: Option<Message>,
    }
    MessageSearch {
        query: String,
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
    }
    PageArgs {
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] before: Option<i64>,
    }
    ModuleAdd { name: String, directory: String, }
    ModuleRemove { name: String, }
    /// `from` and `to`: a module's name, or an absolute directory.
    Ask {
        from: String,
        to: String,
        prompt: String,
        #[serde(skip_serializing_if = "Option::is_none")] pool: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] thread: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] system_prompt: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] context: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
        #[serde(default)] no_wait: bool,
    }
    PoolCreate {
        /// Without one it gets a name: `pool_` and eight hexadecimal digits.
        #[serde(skip_serializing_if = "Option::is_none")] pool_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] executor: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] command: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")] group: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] dir: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")] env: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "Option::is_none")] queue_max: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
        /// report (default) or kill.
        #[serde(skip_serializing_if = "Option::is_none")] on_stuck: Option<String>,
    }
    PoolId { pool_id: String, }
    PoolHealth { #[serde(skip_serializing_if = "Option::is_none")] pool_id: Option<String>, }
    PoolDelete {
        pool_id: String,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
    }
    /// `pools`, or any of the four that make it automatic, or `off`; with none of them the group is only shown.
    PoolScale {
        group: String,
        /// So many pools that run.
        #[serde(skip_serializing_if = "Option::is_none")] pools: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] min_pools: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] max_pools: Option<usize>,
        /// One more when so many tasks for each pool are ready to run and no worker is free.
        #[serde(skip_serializing_if = "Option::is_none")] scale_up_queue: Option<usize>,
        /// One less when nothing waits and a pool had nothing to do for so long.
        #[serde(skip_serializing_if = "Option::is_none")] scale_down_idle_seconds: Option<f64>,
        /// Scales itself no longer.
        #[serde(default)] off: bool,
    }
    TaskSubmit {
        prompt: String,
        #[serde(skip_serializing_if = "Option::is_none")] pool_id: Option<String>,
        /// Instead of `pool_id`: least_loaded, round_robin or random.
        #[serde(skip_serializing_if = "Option::is_none")] selector: Option<String>,
        /// With `selector`: only pools of this group.
        #[serde(skip_serializing_if = "Option::is_none")] group: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] context: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")] dir: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] system_prompt: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] priority: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")] key: Option<String>,
        /// Tasks with the same one run one at a time, in whatever pools they are.
        #[serde(skip_serializing_if = "Option::is_none")] lock: Option<String>,
        /// Tasks that must be completed before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] after: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")] delay_seconds: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")] retries: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")] on_crash: Option<String>,
    }
    TaskId { task_id: String, }
    TaskList {
        #[serde(skip_serializing_if = "Option::is_none")] pool_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] status: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] before: Option<i64>,
    }
    TaskWait {
        task_id: String,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
        /// Answered as well when its log of standard output is longer than this.
        #[serde(skip_serializing_if = "Option::is_none")] stdout_beyond: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")] stderr_beyond: Option<u64>,
        /// With one of these: answered at once when this is not the attempt that it has come to.
        #[serde(skip_serializing_if = "Option::is_none")] attempt: Option<u32>,
    }
    TaskLog {
        task_id: String,
        /// stdout (default) or stderr.
        #[serde(skip_serializing_if = "Option::is_none")] stream: Option<String>,
        /// Byte to begin at.
        #[serde(default)] from: u64,
        /// Most bytes to return.
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
    }
    WorkflowRun {
        /// The workflow file itself.
        source: String,
        /// toml (default) or json.
        #[serde(skip_serializing_if = "Option::is_none")] format: Option<String>,
        /// Where its tasks run that say nothing else, and where paths in the file start from.
        #[serde(skip_serializing_if = "Option::is_none")] dir: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] key: Option<String>,
    }
    UpstreamName { name: String, }
    UpstreamHistoryArgs {
        name: String,
        /// Of each metric.
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
    }
    UpstreamPoll {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
    }
    UpstreamAdd {
        name: String,
        endpoint: String,
        #[serde(skip_serializing_if = "Option::is_none")] interval_seconds: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")] max_retries: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")] retry_delay_seconds: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")] circuit_breaker_threshold: Option<u32>,
        /// Otherwise the four of Session-Buddy.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] tools: Vec<String>,
    }
    WorkflowId { workflow_id: String, }
    WorkflowWait {
        workflow_id: String,
        #[serde(skip_serializing_if = "Option::is_none")] timeout_seconds: Option<f64>,
    }
    WorkflowList {
        /// running, completed, failed or cancelled; else all.
        #[serde(skip_serializing_if = "Option::is_none")] status: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")] before: Option<i64>,
    }
    EventFollow {
        #[serde(skip_serializing_if = "Option::is_none")] since: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")] since_epoch: Option<String>,
        #[serde(default)] channels: Vec<String>,
        #[serde(default)] events: Vec<String>,
    }
    EventList {
        /// Behind this number; 0 unless given.
        #[serde(skip_serializing_if = "Option::is_none")] since: Option<u64>,
        #[serde(default)] channels: Vec<String>,
        #[serde(default)] events: Vec<String>,
        /// info (default), warning or error.
        #[serde(skip_serializing_if = "Option::is_none")] severity: Option<String>,
        /// Events that are looked at.
        #[serde(skip_serializing_if = "Option::is_none")] limit: Option<usize>,
    }
    EventPublish {
        channel: String,
        event: String,
        /// An object.
        #[serde(skip_serializing_if = "Option::is_none")] data: Option<Value>,
        /// info (default), warning or error.
        #[serde(skip_serializing_if = "Option::is_none")] severity: Option<String>,
        /// The hook whose command publishes it.
        #[serde(skip_serializing_if = "Option::is_none")] hook: Option<String>,
    }
}

/// Result of `event.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Events {
    pub epoch: String,
    /// The newest event there is.
    pub seq: u64,
    /// The oldest that is kept.
    pub oldest: u64,
    pub events: Vec<Box<RawValue>>,
    /// Go on behind this number.
    pub next: Option<u64>,
}

/// Result of `event.publish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published {
    pub seq: u64,
}

/// Result of `poll.status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonStatus {
    pub running: bool,
    pub pid: u32,
    pub version: String,
    pub state_dir: String,
    pub socket: String,
    pub database: String,
    pub listen: Option<String>,
    #[serde(default)]
    pub listen_error: Option<String>,
    pub started_at: String,
    pub uptime_seconds: f64,
    pub interval_seconds: f64,
    pub max_messages: usize,
    pub active_messages: usize,
    pub pools: usize,
    pub tasks_queued: usize,
    pub tasks_running: usize,
    pub upstreams: usize,
    pub connections: usize,
    pub seq: u64,
    pub epoch: String,
    pub degraded: Option<String>,
    /// Those that are raised.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    pub log_level: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watch {
    pub message_id: Option<String>,
    pub thread_id: Option<String>,
    pub source_module: Option<String>,
    pub target_module: Option<String>,
    pub status: String,
    pub task_id: Option<String>,
    pub added_at: String,
    pub updated_at: String,
    pub expires_at: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watches {
    pub messages: Vec<Watch>,
    #[serde(default)]
    pub next: Option<i64>,
}

/// Result of `poll.show`: the watch, where there is one, and what it is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watched {
    #[serde(flatten)]
    pub watch: Watch,
    pub r#type: Option<String>,
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_truncated: bool,
    pub error: Option<String>,
    pub metadata: Option<Value>,
    /// Whether nothing follows: the watch, or else what is not watched, has ended.
    pub r#final: bool,
    pub history: Vec<Step>,
    /// The newest event when this was read: follow from here to miss nothing.
    pub seq: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub from: Option<String>,
    pub to: String,
    pub at: String,
    pub seq: u64,
}

/// Result of `poll.wait`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waited {
    pub id: String,
    /// complete, failed, expired or removed.
    pub status: String,
    pub seq: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    pub message_id: String,
    pub thread_id: String,
    pub status: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Updated {
    pub message_id: String,
    pub status: String,
    pub changed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    pub message_id: String,
    pub thread_id: String,
    pub thread_title: Option<String>,
    pub module: String,
    pub target_module: Option<String>,
    pub r#type: String,
    pub status: String,
    pub timestamp: String,
    pub content: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_truncated: bool,
    pub error: Option<String>,
    pub metadata: Option<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Messages {
    pub messages: Vec<Message>,
    #[serde(default)]
    pub next: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Thread {
    pub thread_id: String,
    pub title: Option<String>,
    pub modules: Vec<String>,
    pub metadata: Option<Value>,
    pub created_at: String,
    #[serde(default)]
    pub messages: u64,
}

/// What has become of a thread or message that was brought.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Imported {
    pub id: String,
    pub added: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Threads {
    pub threads: Vec<Thread>,
    #[serde(default)]
    pub next: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Module {
    pub name: String,
    pub directory: String,
    pub added_at: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Modules {
    pub modules: Vec<Module>,
}

/// Result of `ask`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    pub success: bool,
    pub thread_id: String,
    pub question_msg_id: String,
    pub response_msg_id: String,
    pub task_id: String,
    pub content: Option<String>,
    /// There is more of it in the log of the task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_truncated: bool,
    pub error: Option<String>,
    pub final_status: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pool {
    pub pool_id: String,
    pub status: String,
    pub running: bool,
    pub health: String,
    /// Of its executor: CLOSED, OPEN or HALF_OPEN.
    pub circuit_breaker: String,
    /// While it is not closed: when one task is tried.
    pub held_until: Option<String>,
    /// And the error of the last task that failed, since the daemon's start.
    #[serde(default)]
    pub held_because: Option<String>,
    pub group: Option<String>,
    pub executor: String,
    pub command: Option<Vec<String>>,
    pub dir: Option<String>,
    /// Names only: values may be secrets.
    pub env: Vec<String>,
    pub on_stuck: String,
    pub workers_count: usize,
    pub queue_size: usize,
    pub queue_max: usize,
    pub tasks_running: usize,
    pub tasks_submitted: u64,
    pub tasks_completed: u64,
    pub tasks_failed: u64,
    pub success_rate: f64,
    pub timeout_seconds: f64,
    pub created_at: String,
    pub started_at: Option<String>,
    pub workers: Vec<Worker>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Worker {
    pub worker_id: String,
    pub pool_id: String,
    pub running: bool,
    pub healthy: bool,
    pub status: String,
    pub tasks_processed: u64,
    pub tasks_succeeded: u64,
    pub tasks_failed: u64,
    pub success_rate: f64,
    pub avg_processing_time: f64,
    pub total_processing_time: f64,
    pub last_activity: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pools {
    pub pools: Vec<Pool>,
}

/// Result of `pool.health` for one pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolHealthReport {
    pub pool_id: String,
    /// healthy, degraded or not_running.
    pub status: String,
    pub workers_healthy: usize,
    pub workers_total: usize,
    pub circuit_breaker: String,
    pub held_until: Option<String>,
    #[serde(default)]
    pub held_because: Option<String>,
    pub worker_health: Vec<Worker>,
}

/// Result of `pool.health` for all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ManagerHealth {
    pub pool_manager_running: bool,
    pub pools_total: usize,
    pub pools_healthy: usize,
    pub pool_details: Vec<PoolHealthReport>,
}

/// Result of `upstream.metrics`: text in Prometheus' format, version 0.0.4.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metrics {
    pub text: String,
}

/// Result of `pool.delete`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deleted {
    pub pool_id: String,
    pub deleted: bool,
}

/// Result of `pool.scale`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scaled {
    pub group: String,
    /// How it scales itself, if it does.
    pub automatic: Option<Automatic>,
    /// Pools that were made; their workers start right after this answer.
    pub started: Vec<String>,
    /// Pools that take nothing more and end once they have done what they have.
    pub drained: Vec<String>,
    pub pools: Vec<Pool>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Automatic {
    pub min_pools: usize,
    pub max_pools: usize,
    pub scale_up_queue: usize,
    pub scale_down_idle_seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submitted {
    pub task_id: String,
    pub pool_id: String,
    pub status: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Its pool's executor fails at present; this is when one task is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<String>,
}

/// A task as it is shown; `prompt` and `context` only by `task.show`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    pub task_id: String,
    pub pool_id: String,
    pub worker_id: Option<String>,
    pub status: String,
    pub reason: Option<String>,
    /// When one that is delayed, or waits for its next try, is due.
    #[serde(default)]
    pub not_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<Option<String>>,
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub result_truncated: bool,
    pub error: Option<String>,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub attempt: u32,
    pub retries: u32,
    pub crashes: u32,
    pub priority: i32,
    pub timeout_seconds: f64,
    pub on_crash: String,
    pub key: Option<String>,
    pub lock: Option<String>,
    /// The workflow that it belongs to, and its place there: `stage.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The tasks that it waits or waited for; only by `task.show`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    pub pid: Option<u32>,
    pub usage: Option<Value>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub duration_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tasks {
    pub tasks: Vec<Task>,
    #[serde(default)]
    pub next: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Log {
    pub task_id: String,
    /// The attempt whose output this is.
    pub attempt: u32,
    pub stream: String,
    /// Text as far as it is UTF-8; what is not is replaced.
    pub text: String,
    /// Byte at which the next part begins.
    pub next: u64,
    /// Length of the stream at present, in bytes.
    pub length: u64,
}

/// Result of `event.follow`; the frames come after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Following {
    pub seq: u64,
    pub epoch: String,
    pub recovered: bool,
}
