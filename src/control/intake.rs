//! From the wire to the model: every request is checked and turned into a typed command here, once.

use super::parties::{self, party};
use super::wire::{self, Request};
use super::{events, imports, upstreams, workflows};
use crate::clock::{Clock, new_id};
use crate::model::command::{
    AddWatch, Ask, Code, Command, Destination, IntoThread, Refusal, Scale, Seen, Selector, Send, Submit, Written,
};
use crate::model::id::{MessageId, ModuleName, PoolId, TaskId, ThreadId, is_name};
use crate::model::limits;
use crate::model::message::Status;
use crate::model::pool::{ExecutorKind, OnStuck, PoolRow};
use crate::model::routing::Strategy;
use crate::model::scaling::Rule;
use crate::model::task::{OnCrash, TaskInput};
use crate::ports::{IdKind, Reader, Readers, Resolved};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What holds where a request says nothing.
#[derive(Clone, Debug)]
pub struct Defaults {
    pub ask_timeout: Duration,
    pub watch_timeout: Duration,
    pub task_timeout: Duration,
    pub queue_max: usize,
    /// The pool that exists from the first start.
    pub pool: PoolId,
}

/// The command that a request stands for; `None` when it is a read.
pub(super) fn command(
    request: &Request,
    defaults: &Defaults,
    clock: &dyn Clock,
    ids: &mut Ids<'_>,
) -> Result<Option<Command>, Refusal> {
    Ok(Some(match request {
        Request::PollStatus(_) => Command::Status,
        Request::PollAdd(args) => Command::AddWatch(add_watch(args, defaults, ids)?),
        Request::PollRemove(args) => Command::RemoveWatch { name: ids.resolve(IdKind::Watch, &args.id)? },
        Request::PollWait(args) => Command::WaitWatch {
            name: ids.resolve(IdKind::Watch, &args.id)?,
            timeout: args.timeout_seconds.map(|seconds| duration("timeout_seconds", seconds)).transpose()?,
            watched_for: None,
        },
        Request::MessageSend(args) => Command::Send(send(args, ids)?),
        Request::MessageReply(args) => Command::Reply {
            id: MessageId::from(new_id()),
            question: MessageId::from(ids.resolve(IdKind::Message, &args.id)?),
            content: content("content", &args.content)?,
        },
        Request::MessageUpdate(args) => Command::Update {
            id: MessageId::from(ids.resolve(IdKind::Message, &args.id)?),
            status: args.status.as_deref().map(own_status).transpose()?,
            content: args.content.as_deref().map(|text| content("content", text)).transpose()?,
        },
        Request::ThreadImport(args) => imports::command(args)?,
        Request::ModuleAdd(args) => Command::AddModule {
            name: ModuleName::from(name("name", &args.name)?),
            directory: absolute("directory", &args.directory)?,
        },
        Request::ModuleRemove(args) => Command::RemoveModule { name: ModuleName::new(&args.name) },
        Request::Ask(args) => Command::Ask(ask(args, defaults, ids)?),
        Request::PoolCreate(args) => Command::CreatePool(pool(args, defaults, clock)?),
        Request::PoolList(_) => Command::ListPools,
        Request::PoolStatus(args) => Command::ShowPool { id: pool_id(&args.pool_id) },
        Request::PoolHealth(args) => Command::PoolHealth { id: args.pool_id.as_deref().map(pool_id) },
        Request::PoolPause(args) => Command::PausePool { id: pool_id(&args.pool_id) },
        Request::PoolResume(args) => Command::ResumePool { id: pool_id(&args.pool_id) },
        Request::PoolDelete(args) => Command::DeletePool {
            id: pool_id(&args.pool_id),
            timeout: args.timeout_seconds.map_or(Ok(limits::DRAIN), |seconds| duration("timeout_seconds", seconds))?,
        },
        Request::PoolScale(args) => Command::ScaleGroup { group: scaled_group(&args.group)?, scale: scale(args)? },
        Request::TaskSubmit(args) => Command::Submit(submit(args, defaults, ids)?),
        Request::TaskWait(args) => Command::WaitTask {
            id: TaskId::from(ids.resolve(IdKind::Task, &args.task_id)?),
            timeout: args.timeout_seconds.map(|seconds| duration("timeout_seconds", seconds)).transpose()?,
            beyond: beyond(args),
        },
        Request::TaskRetry(args) => Command::RetryTask { id: TaskId::from(ids.resolve(IdKind::Task, &args.task_id)?) },
        Request::TaskCancel(args) => {
            Command::CancelTask { id: TaskId::from(ids.resolve(IdKind::Task, &args.task_id)?) }
        }
        Request::WorkflowRun(args) => workflows::run(args, defaults)?,
        Request::WorkflowWait(args) => workflows::wait(args, ids)?,
        Request::WorkflowCancel(args) => workflows::cancel(args, ids)?,
        Request::UpstreamList(_) => Command::ListUpstreams,
        Request::UpstreamStatus(args) => Command::ShowUpstream { name: upstreams::named(&args.name) },
        Request::UpstreamStart(args) => Command::SetPolling { name: upstreams::named(&args.name), polling: true },
        Request::UpstreamStop(args) => Command::SetPolling { name: upstreams::named(&args.name), polling: false },
        Request::UpstreamPoll(args) => upstreams::poll(args)?,
        Request::UpstreamReset(args) => Command::ResetUpstream { name: upstreams::named(&args.name) },
        Request::UpstreamAdd(args) => upstreams::add(args)?,
        Request::UpstreamRemove(args) => Command::RemoveUpstream { name: upstreams::named(&args.name) },
        Request::UpstreamMetrics(_) => Command::Metrics,
        Request::EventPublish(args) => events::publish(args)?,
        Request::AlertList(_) => Command::ListAlerts,
        Request::DaemonStop(_) => Command::Stop,
        Request::PollList(_)
        | Request::PollShow(_)
        | Request::MessageShow(_)
        | Request::MessageList(_)
        | Request::MessageSearch(_)
        | Request::ThreadList(_)
        | Request::ThreadShow(_)
        | Request::ModuleList(_)
        | Request::TaskShow(_)
        | Request::TaskList(_)
        | Request::TaskLog(_)
        | Request::WorkflowShow(_)
        | Request::WorkflowList(_)
        | Request::UpstreamHistory(_)
        | Request::HookList(_)
        | Request::EventList(_)
        | Request::EventFollow(_)
        | Request::McpOpen(_) => return Ok(None),
    }))
}

/// Turns what a person typed into whole ids; reads the store only when the text is not one already.
pub(super) enum Ids<'a> {
    /// With a connection's own reader, opened when it is first needed.
    Own {
        slot: &'a mut Option<Box<dyn Reader>>,
        readers: &'a dyn Readers,
    },
    Lent(&'a mut dyn Reader),
    /// There is no reader as yet; `missed` says afterwards whether one was needed.
    Without {
        missed: bool,
    },
}

/// The connection's own reader, opened when it is first needed.
pub(super) fn open<'a>(
    slot: &'a mut Option<Box<dyn Reader>>,
    readers: &dyn Readers,
) -> Result<&'a mut dyn Reader, Refusal> {
    Ok(match slot {
        Some(reader) => &mut **reader,
        None => &mut **slot.insert(readers.open()?),
    })
}

const UUID_BYTES: usize = 36;

impl Ids<'_> {
    pub(super) fn resolve(&mut self, kind: IdKind, text: &str) -> Result<String, Refusal> {
        if text.len() == UUID_BYTES {
            return Ok(text.to_owned());
        }
        resolve(self.reader()?, kind, text)
    }

    /// For what only the store knows.
    pub(super) fn reader(&mut self) -> Result<&mut dyn Reader, Refusal> {
        match self {
            Ids::Own { slot, readers } => open(slot, *readers),
            Ids::Lent(reader) => Ok(*reader),
            Ids::Without { missed } => {
                *missed = true;
                Err(Refusal::new(Code::Internal, "something would have to be looked up"))
            }
        }
    }
}

pub(super) fn resolve(reader: &mut dyn Reader, kind: IdKind, text: &str) -> Result<String, Refusal> {
    match reader.resolve(kind, text)? {
        Resolved::One(id) => Ok(id),
        // Whoever decides says that it does not exist.
        Resolved::None => Ok(text.to_owned()),
        Resolved::Many(some) => {
            Err(Refusal::not_found(format!("{text:?} could be any of {}; give more of it", some.join(", "))))
        }
    }
}

fn add_watch(args: &wire::PollAdd, defaults: &Defaults, ids: &mut Ids<'_>) -> Result<AddWatch, Refusal> {
    let timeout = match args.timeout_seconds {
        Some(seconds) => duration("timeout_seconds", seconds)?,
        None => defaults.watch_timeout,
    };
    let id = |what: &str, text: &Option<String>| text.as_deref().map(|text| any_id(what, text)).transpose();
    Ok(AddWatch {
        message_id: id("message_id", &args.message_id)?.map(MessageId::from),
        task_id: id("task_id", &args.task_id)?.map(TaskId::from),
        thread_id: id("thread_id", &args.thread_id)?.map(ThreadId::from),
        source: watched_module("source", args.source.as_deref(), ids)?,
        target: watched_module("target", args.target.as_deref(), ids)?,
        timeout,
        must_exist: args.must_exist,
    })
}

fn watched_module(what: &str, text: Option<&str>, ids: &mut Ids<'_>) -> Result<Option<ModuleName>, Refusal> {
    match text {
        None => Ok(None),
        Some(path) if path.starts_with('/') => parties::module(what, path, ids.reader()?).map(Some),
        Some(name) => Ok(Some(ModuleName::from(any_id(what, name)?))),
    }
}

fn send(args: &wire::MessageSend, ids: &mut Ids<'_>) -> Result<Send, Refusal> {
    Ok(Send {
        id: MessageId::from(new_id()),
        thread: thread(args.thread.as_deref(), args.title.clone(), ids)?,
        from: party("from", &args.from, ids)?,
        to: party("to", &args.to, ids)?,
        content: content("content", &args.content)?,
        metadata: object("metadata", args.metadata.as_ref())?,
    })
}

fn ask(args: &wire::Ask, defaults: &Defaults, ids: &mut Ids<'_>) -> Result<Ask, Refusal> {
    Ok(Ask {
        question: MessageId::from(new_id()),
        response: MessageId::from(new_id()),
        task: TaskId::from(new_id()),
        thread: thread(args.thread.as_deref(), None, ids)?,
        from: party("from", &args.from, ids)?,
        to: party("to", &args.to, ids)?,
        pool: args.pool.as_deref().map_or_else(|| defaults.pool.clone(), pool_id),
        prompt: content("prompt", &args.prompt)?,
        context: object("context", args.context.as_ref())?,
        system_prompt: bounded("system_prompt", args.system_prompt.clone(), limits::JSON_BYTES_MAX)?,
        timeout: task_timeout(args.timeout_seconds)?.unwrap_or(defaults.ask_timeout),
        no_wait: args.no_wait,
    })
}

/// A stream that is not named is never written far enough.
fn beyond(args: &wire::TaskWait) -> Option<Seen> {
    let named = args.stdout_beyond.is_some() || args.stderr_beyond.is_some();
    let never = u64::MAX;
    named.then(|| Seen {
        attempt: args.attempt,
        written: Written { stdout: args.stdout_beyond.unwrap_or(never), stderr: args.stderr_beyond.unwrap_or(never) },
    })
}

fn destination(args: &wire::TaskSubmit, defaults: &Defaults) -> Result<Destination, Refusal> {
    match (&args.pool_id, &args.selector, &args.group) {
        (Some(_), None, Some(_)) | (Some(_), Some(_), _) => {
            Err(Refusal::bad_request("give either pool_id, or selector and group"))
        }
        (Some(id), None, None) => Ok(Destination::Pool(pool_id(id))),
        (None, None, None) => Ok(Destination::Pool(defaults.pool.clone())),
        (None, selector, group) => {
            let selector = self::selector(selector.as_deref().unwrap_or("least_loaded"))?;
            let group = group.as_deref().map(|group| name("group", group)).transpose()?;
            Ok(Destination::Route { selector, group })
        }
    }
}

fn selector(word: &str) -> Result<Selector, Refusal> {
    let strategy = Strategy::parse(word);
    let strategy = strategy.ok_or_else(|| Refusal::bad_request(format!("Unknown selector strategy: {word}")))?;
    Ok(strategy.drawn(random()))
}

/// Half of the digits of a new id are random.
pub(super) fn random() -> u64 {
    let id = new_id();
    u64::from_str_radix(&id[id.len() - 12..], 16).unwrap_or(0)
}

fn submit(args: &wire::TaskSubmit, defaults: &Defaults, ids: &mut Ids<'_>) -> Result<Submit, Refusal> {
    content("prompt", &args.prompt)?;
    let priority = args.priority.unwrap_or(0);
    if !(limits::PRIORITY_MIN..=limits::PRIORITY_MAX).contains(&priority) {
        let (least, most) = (limits::PRIORITY_MIN, limits::PRIORITY_MAX);
        return Err(Refusal::bad_request(format!("priority is {priority}; it goes from {least} to {most}")));
    }
    let retries_max = args.retries.unwrap_or(0);
    if retries_max > limits::RETRIES_MAX {
        return Err(Refusal::bad_request(format!("retries is {retries_max}; at most {} are", limits::RETRIES_MAX)));
    }
    Ok(Submit {
        id: TaskId::from(new_id()),
        to: destination(args, defaults)?,
        input: TaskInput {
            prompt: args.prompt.clone(),
            context: object("context", args.context.as_ref())?,
            directory: task_directory(args)?,
            system_prompt: bounded("system_prompt", args.system_prompt.clone(), limits::JSON_BYTES_MAX)?,
        },
        priority,
        timeout: task_timeout(args.timeout_seconds)?,
        key: match args.key.as_deref() {
            Some("") => return Err(Refusal::bad_request("key is empty; leave it out, or give it a text")),
            _ => bounded("key", args.key.clone(), limits::ID_BYTES_MAX)?,
        },
        lock: match args.lock.as_deref() {
            Some("") => return Err(Refusal::bad_request("lock is empty; leave it out, or give it a text")),
            _ => bounded("lock", args.lock.clone(), limits::ID_BYTES_MAX)?,
        },
        after: after(&args.after, ids)?,
        delay: args.delay_seconds.map_or(Ok(Duration::ZERO), |seconds| duration("delay_seconds", seconds))?,
        retries_max,
        on_crash: args.on_crash.as_deref().map(on_crash).transpose()?,
    })
}

/// Where a task runs that says so: in `dir`, else in the context's `repo`. Who names a place and does not get it would have
/// work done in another one.
fn task_directory(args: &wire::TaskSubmit) -> Result<Option<String>, Refusal> {
    let repo = args.context.as_ref().and_then(|context| context.get("repo")).filter(|repo| !repo.is_null());
    match (&args.dir, repo) {
        (Some(dir), _) => absolute("dir", dir).map(Some),
        (None, Some(Value::String(repo))) => existing("context.repo", repo).map(Some),
        (None, Some(other)) => {
            Err(Refusal::bad_request(format!("context.repo is {other:.60}; it must be an absolute path")))
        }
        (None, None) => Ok(None),
    }
}

/// A directory that is there.
fn existing(what: &str, path: &str) -> Result<String, Refusal> {
    let path = absolute(what, path)?;
    if Path::new(&path).is_dir() {
        return Ok(path);
    }
    Err(Refusal::bad_request(format!("{what} is {path:?}, which is no directory")))
}

fn after(given: &[String], ids: &mut Ids<'_>) -> Result<Vec<TaskId>, Refusal> {
    if given.len() > limits::AFTER_MAX {
        let most = limits::AFTER_MAX;
        return Err(Refusal::bad_request(format!("after names {} tasks; at most {most} are", given.len())));
    }
    given.iter().map(|id| Ok(TaskId::from(ids.resolve(IdKind::Task, id)?))).collect()
}

fn pool(args: &wire::PoolCreate, defaults: &Defaults, clock: &dyn Clock) -> Result<PoolRow, Refusal> {
    let executor = args.executor.as_deref().unwrap_or("command");
    let executor = ExecutorKind::parse(executor)
        .ok_or_else(|| Refusal::bad_request(format!("executor is {executor:?}; it is command or echo")))?;
    if args.command.as_ref().is_some_and(|command| command.first().is_none_or(String::is_empty)) {
        return Err(Refusal::bad_request("command needs at least the program's name"));
    }
    if executor == ExecutorKind::Echo && args.command.is_some() {
        return Err(Refusal::bad_request("the echo executor runs no command; leave out one of the two"));
    }
    let queue_max = args.queue_max.unwrap_or(defaults.queue_max);
    if queue_max == 0 || queue_max > 1_000_000 {
        return Err(Refusal::bad_request(format!("queue_max is {queue_max}; it goes from 1 to 1000000")));
    }
    let id = match &args.pool_id {
        Some(id) => name("pool_id", id)?,
        None => auto_pool_id(),
    };
    let timeout = task_timeout(args.timeout_seconds)?.unwrap_or(defaults.task_timeout);
    let row = PoolRow::new(PoolId::from(id), executor, queue_max, timeout, clock.wall());
    Ok(PoolRow {
        group: args.group.as_deref().map(|group| name("group", group)).transpose()?,
        command: args.command.clone(),
        directory: args.dir.as_deref().map(|dir| existing("dir", dir)).transpose()?,
        environment: environment(&args.env)?,
        on_stuck: args.on_stuck.as_deref().map_or(Ok(OnStuck::default()), on_stuck)?,
        ..row
    })
}

fn scaled_group(group: &str) -> Result<String, Refusal> {
    if group.len() > limits::SCALED_GROUP_BYTES_MAX {
        let most = limits::SCALED_GROUP_BYTES_MAX;
        return Err(Refusal::bad_request(format!("group has {} bytes; at most {most} can be scaled", group.len())));
    }
    name("group", group)
}

fn scale(args: &wire::PoolScale) -> Result<Scale, Refusal> {
    let is_rule = args.min_pools.is_some()
        || args.max_pools.is_some()
        || args.scale_up_queue.is_some()
        || args.scale_down_idle_seconds.is_some();
    match (args.pools, is_rule, args.off) {
        (None, false, false) => Ok(Scale::Show),
        (Some(count), false, false) => Ok(Scale::To(number("pools", count, 1, limits::POOLS_MAX)?)),
        (None, true, false) => Ok(Scale::Automatic(rule(args)?)),
        (None, false, true) => Ok(Scale::Off),
        _ => {
            Err(Refusal::bad_request("give only one of: pools, the bounds between which the group scales itself, off"))
        }
    }
}

fn rule(args: &wire::PoolScale) -> Result<Rule, Refusal> {
    let Some(most) = args.max_pools else {
        return Err(Refusal::bad_request("max_pools is missing: say how many pools the group may have"));
    };
    let pools_max = number("max_pools", most, 1, limits::POOLS_MAX)?;
    let up_queue = args.scale_up_queue.unwrap_or(limits::SCALE_UP_QUEUE);
    let idle = args.scale_down_idle_seconds.map(|seconds| duration("scale_down_idle_seconds", seconds)).transpose()?;
    Ok(Rule {
        pools_min: number("min_pools", args.min_pools.unwrap_or(1), 1, pools_max)?,
        pools_max,
        up_queue: number("scale_up_queue", up_queue, 1, 1_000_000)?,
        down_idle: idle.unwrap_or(limits::SCALE_DOWN_IDLE),
    })
}

fn number(what: &str, given: usize, least: usize, most: usize) -> Result<usize, Refusal> {
    if (least..=most).contains(&given) {
        return Ok(given);
    }
    Err(Refusal::bad_request(format!("{what} is {given}; it goes from {least} to {most}")))
}

/// A name for a pool that was given none: `pool_` and eight random hexadecimal digits.
fn auto_pool_id() -> String {
    let id = new_id();
    format!("pool_{}", &id[id.len() - 8..])
}

/// What a pool adds to the environment of its tasks.
fn environment(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits::JSON_BYTES_MAX {
        return Err(Refusal::bad_request(format!("env has {bytes} bytes; at most {} are", limits::JSON_BYTES_MAX)));
    }
    for (name, value) in given {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Refusal::bad_request(format!(
                "env has {name:?}, which is no name of a variable, or a NUL in it"
            )));
        }
        if name.starts_with("CLAUDE_COMMS_") {
            return Err(Refusal::bad_request(format!(
                "env has {name:?}; names with CLAUDE_COMMS_ are the daemon's own"
            )));
        }
    }
    Ok(given.clone())
}

fn on_stuck(word: &str) -> Result<OnStuck, Refusal> {
    OnStuck::parse(word).ok_or_else(|| Refusal::bad_request(format!("on_stuck is {word:?}; it is report or kill")))
}

/// `pool_local` is what the original calls the default pool.
pub(super) fn pool_id(text: &str) -> PoolId {
    PoolId::new(if text == "pool_local" { "local" } else { text })
}

fn thread(id: Option<&str>, title: Option<String>, ids: &mut Ids<'_>) -> Result<IntoThread, Refusal> {
    Ok(match id {
        Some(id) => IntoThread::Existing(ThreadId::from(ids.resolve(IdKind::Thread, &any_id("thread", id)?)?)),
        None => {
            IntoThread::New { id: ThreadId::from(new_id()), title: bounded("title", title, limits::ID_BYTES_MAX * 4)? }
        }
    })
}

fn own_status(word: &str) -> Result<Status, Refusal> {
    match Status::parse(word) {
        status @ (Status::Pending | Status::Processing | Status::Complete | Status::Failed) => Ok(status),
        _ => Err(Refusal::bad_request(format!(
            "status is {word:?}; it is one of pending, processing, complete and failed"
        ))),
    }
}

fn on_crash(word: &str) -> Result<OnCrash, Refusal> {
    OnCrash::parse(word).ok_or_else(|| Refusal::bad_request(format!("on_crash is {word:?}; it is requeue or fail")))
}

pub(super) fn name(what: &str, text: &str) -> Result<String, Refusal> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Refusal::bad_request(format!(
        "{what} {text:?} is no name: letters, digits, '.', '_' and '-', the first a letter or digit, at most {} of them",
        limits::NAME_BYTES_MAX
    )))
}

/// An id or a name that a foreign program may have chosen.
pub(super) fn any_id(what: &str, text: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > limits::ID_BYTES_MAX {
        return Err(Refusal::bad_request(format!("{what} must have 1 to {} bytes", limits::ID_BYTES_MAX)));
    }
    Ok(text.to_owned())
}

pub(super) fn content(what: &str, text: &str) -> Result<Arc<str>, Refusal> {
    if text.len() > limits::CONTENT_BYTES_MAX {
        let message = format!("{what} has {} bytes; at most {} are", text.len(), limits::CONTENT_BYTES_MAX);
        return Err(Refusal::new(Code::TooLarge, message));
    }
    Ok(Arc::from(text))
}

pub(super) fn bounded(what: &str, text: Option<String>, bytes_max: usize) -> Result<Option<String>, Refusal> {
    match text {
        Some(text) if text.len() > bytes_max => {
            let message = format!("{what} has {} bytes; at most {bytes_max} are", text.len());
            Err(Refusal::new(Code::TooLarge, message))
        }
        text => Ok(text),
    }
}

fn object(what: &str, value: Option<&Value>) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => {
            let text = serde_json::to_string(object).map_err(|error| Refusal::bad_request(error.to_string()))?;
            bounded(what, Some(text), limits::JSON_BYTES_MAX)
        }
        Some(_) => Err(Refusal::bad_request(format!("{what} must be a JSON object"))),
    }
}

pub(super) fn absolute(what: &str, path: &str) -> Result<String, Refusal> {
    if Path::new(path).is_absolute() && !path.contains('\0') {
        return bounded(what, Some(path.to_owned()), 4096).map(Option::unwrap_or_default);
    }
    Err(Refusal::bad_request(format!("{what} is {path:?}; it must be an absolute path")))
}

pub(super) fn duration(what: &str, seconds: f64) -> Result<Duration, Refusal> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= limits::WAIT_MAX => Ok(duration),
        _ => {
            Err(Refusal::bad_request(format!("{what} is {seconds}; it goes from 0 to {}", limits::WAIT_MAX.as_secs())))
        }
    }
}

fn task_timeout(seconds: Option<f64>) -> Result<Option<Duration>, Refusal> {
    let Some(seconds) = seconds else { return Ok(None) };
    let range = limits::TASK_TIMEOUT_MIN..=limits::TASK_TIMEOUT_MAX;
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if range.contains(&timeout) => Ok(Some(timeout)),
        _ => Err(Refusal::bad_request(format!(
            "timeout_seconds is {seconds}; it goes from {} to {}",
            limits::TASK_TIMEOUT_MIN.as_secs_f64(),
            limits::TASK_TIMEOUT_MAX.as_secs()
        ))),
    }
}
