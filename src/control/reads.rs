//! Requests that only read: answered on the connection's own thread, from its own connection to the store.

use super::intake::resolve;
use super::shown;
use super::wire::{self, Request};
use super::{parties, upstreams, workflows};
use crate::model::command::Refusal;
use crate::model::id::{MessageId, TaskId, ThreadId};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::message::Status;
use crate::model::task::{TaskResult, TaskStatus};
use crate::model::watch::{WatchFilter, status_of_task};
use crate::ports::{IdKind, LogStream, MessageFilter, Reader, Resolved, TaskFilter};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

/// Rows of a list that names no limit.
const PAGE_ROWS: usize = 100;
/// Changes of status that `poll.show` shows at most.
const HISTORY_ROWS_MAX: usize = 200;
/// More of an error is not in a list.
const LISTED_ERROR_CHARS_MAX: usize = 200;
/// Part of a log that is returned at once.
const LOG_BYTES_MAX: usize = 1 << 20;

type Answer = Result<Box<RawValue>, Refusal>;

pub(super) fn answer(request: &Request, reader: &mut dyn Reader) -> Answer {
    match request {
        Request::PollList(args) => {
            let page = reader.watches(watch_filter(args.status.as_deref())?, args.before, rows(args.limit)?)?;
            raw(&shown::watches(&page))
        }
        Request::PollShow(args) => raw(&watched(&args.id, reader)?),
        Request::MessageShow(args) => {
            let id = resolve(reader, IdKind::Message, &args.id)?;
            let found = reader.message(&MessageId::new(&id))?;
            raw(&shown::message(found.ok_or_else(|| Refusal::not_found(format!("there is no message {id}")))?))
        }
        Request::MessageList(args) => raw(&messages(args, reader)?),
        Request::MessageSearch(args) => {
            let found = reader.search(&args.query, rows(args.limit)?)?;
            raw(&wire::Messages { messages: found.into_iter().map(shown::message).collect(), next: None })
        }
        Request::ThreadList(args) => {
            let page = reader.threads(args.before, rows(args.limit)?)?;
            let threads = page.rows.into_iter().map(shown::thread).collect();
            raw(&wire::Threads { threads, next: page.next })
        }
        Request::ThreadShow(args) => {
            let id = resolve(reader, IdKind::Thread, &args.id)?;
            let found = reader.thread(&ThreadId::new(&id))?;
            raw(&shown::thread(found.ok_or_else(|| Refusal::not_found(format!("there is no thread {id}")))?))
        }
        Request::ModuleList(_) => {
            raw(&wire::Modules { modules: reader.modules()?.iter().map(shown::module).collect() })
        }
        Request::TaskShow(args) => {
            let id = resolve(reader, IdKind::Task, &args.task_id)?;
            let found = reader.task(&TaskId::new(&id))?.ok_or_else(|| no_task(&id))?;
            let after = found.after.iter().map(ToString::to_string).collect();
            raw(&wire::Task { after: Some(after), ..shown::task(&found.task, Some(found.input), found.outcome) })
        }
        Request::TaskList(args) => raw(&tasks(args, reader)?),
        Request::TaskLog(args) => raw(&log(args, reader)?),
        Request::WorkflowShow(args) => raw(&workflows::show(&args.workflow_id, reader)?),
        Request::UpstreamHistory(args) => raw(&upstreams::history(args, rows(args.limit)?, reader)?),
        Request::WorkflowList(args) => raw(&workflows::list(args, rows(args.limit)?, reader)?),
        other => Err(Refusal::new(
            crate::model::command::Code::Internal,
            format!("{} was taken for a read, which it is not", other.command()),
        )),
    }
}

fn raw<T: serde::Serialize>(value: &T) -> Answer {
    to_raw_value(value)
        .map_err(|error| Refusal::new(crate::model::command::Code::Internal, format!("the answer is no JSON: {error}")))
}

pub(super) fn rows(limit: Option<usize>) -> Result<usize, Refusal> {
    match limit {
        None => Ok(PAGE_ROWS),
        Some(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(Refusal::bad_request(format!("limit is {limit}; it goes from 1 to {PAGE_ROWS_MAX}"))),
    }
}

fn watch_filter(word: Option<&str>) -> Result<WatchFilter, Refusal> {
    match word.unwrap_or("active") {
        "active" => Ok(WatchFilter::Active),
        "completed" | "complete" => Ok(WatchFilter::Completed),
        "failed" => Ok(WatchFilter::Failed),
        "expired" => Ok(WatchFilter::Expired),
        "all" => Ok(WatchFilter::All),
        other => Err(Refusal::bad_request(format!(
            "status is {other:?}; it is one of active, completed, failed, expired and all"
        ))),
    }
}

/// The watch of that name and what it is about; also for what exists but is not watched.
fn watched(text: &str, reader: &mut dyn Reader) -> Result<wire::Watched, Refusal> {
    let (_, seq) = reader.events_kept()?;
    let id = match reader.resolve(IdKind::Watch, text)? {
        Resolved::One(id) => id,
        Resolved::None => return Err(Refusal::not_found(format!("{text} is neither watched nor a message or task"))),
        Resolved::Many(some) => {
            return Err(Refusal::not_found(format!("{text:?} could be any of {}; give more of it", some.join(", "))));
        }
    };
    let watch = reader.watch(&id)?;
    let message_id = watch.as_ref().and_then(|watch| watch.message_id.clone()).unwrap_or_else(|| MessageId::new(&id));
    let message = reader.message(&message_id)?;
    let task = match (&message, watch.as_ref().and_then(|watch| watch.task_id.clone())) {
        (None, Some(task)) => reader.task(&task)?,
        (None, None) => reader.task(&TaskId::new(&id))?,
        (Some(_), _) => None,
    };
    let history = history(message_id.as_str(), reader)?;
    let mut shown = wire::Watched {
        watch: match (&watch, &message, &task) {
            (Some(watch), ..) => shown::watch(watch),
            (None, Some(message), _) => {
                unwatched(Some(message.id.to_string()), None, message.status.to_string(), &message.at.to_string())
            }
            (None, None, Some(detail)) => unwatched(
                None,
                Some(detail.task.id.to_string()),
                status_of_task(detail.task.status).to_string(),
                &detail.task.created_at.to_string(),
            ),
            (None, None, None) => return Err(Refusal::not_found(format!("{text} is neither watched nor known"))),
        },
        r#type: None,
        content: None,
        content_truncated: false,
        error: None,
        metadata: None,
        r#final: match (&watch, &message, &task) {
            (Some(watch), ..) => !watch.is_active(),
            (None, Some(message), _) => message.status.is_final(),
            (None, None, task) => task.as_ref().is_some_and(|detail| detail.task.status.is_final()),
        },
        history,
        seq,
    };
    if let Some(message) = message {
        let message = shown::message(message);
        shown.watch.thread_id = Some(message.thread_id);
        shown.watch.source_module = shown.watch.source_module.or(Some(message.module));
        shown.watch.target_module = shown.watch.target_module.or(message.target_module);
        (shown.r#type, shown.content) = (Some(message.r#type), Some(message.content));
        (shown.error, shown.metadata) = (message.error, message.metadata);
        shown.content_truncated = message.content_truncated;
    } else if let Some(detail) = task {
        shown.r#type = Some("task".to_owned());
        shown.content = detail.outcome.result.map(|result| result.to_string());
        shown.content_truncated = detail.outcome.truncated;
        shown.error = detail.outcome.error.map(|error| error.to_string());
    } else if watch.is_some_and(|watch| watch.message_id.is_some() && watch.status == Status::Failed) {
        shown.error = Some("message deleted".to_owned());
    }
    Ok(shown)
}

fn unwatched(message_id: Option<String>, task_id: Option<String>, status: String, at: &str) -> wire::Watch {
    wire::Watch {
        message_id,
        thread_id: None,
        source_module: None,
        target_module: None,
        status,
        task_id,
        added_at: at.to_owned(),
        updated_at: at.to_owned(),
        expires_at: None,
    }
}

/// The part of a frame that a history needs.
#[derive(Deserialize)]
struct Frame {
    seq: u64,
    timestamp: String,
    data: Change,
}

#[derive(Deserialize)]
struct Change {
    previous_status: Option<String>,
    current_status: String,
}

fn history(id: &str, reader: &mut dyn Reader) -> Result<Vec<wire::Step>, Refusal> {
    let frames = reader.history(id, HISTORY_ROWS_MAX)?;
    let steps = frames.iter().filter_map(|frame| {
        let frame: Frame = serde_json::from_slice(frame).ok()?;
        Some(wire::Step {
            from: frame.data.previous_status,
            to: frame.data.current_status,
            at: frame.timestamp,
            seq: frame.seq,
        })
    });
    Ok(steps.collect())
}

fn messages(args: &wire::MessageList, reader: &mut dyn Reader) -> Result<wire::Messages, Refusal> {
    let thread = match &args.thread {
        Some(thread) => Some(ThreadId::from(resolve(reader, IdKind::Thread, thread)?)),
        None => None,
    };
    let filter = MessageFilter {
        thread,
        module: args.module.as_deref().map(|text| parties::module("module", text, reader)).transpose()?,
        target: args.target_module.as_deref().map(|text| parties::module("target_module", text, reader)).transpose()?,
        status: args.status.as_deref().map(Status::parse),
        before: args.before,
        rows_max: rows(args.limit)?,
    };
    let page = reader.messages(&filter)?;
    Ok(wire::Messages { messages: page.rows.into_iter().map(shown::message).collect(), next: page.next })
}

fn tasks(args: &wire::TaskList, reader: &mut dyn Reader) -> Result<wire::Tasks, Refusal> {
    let status = args.status.as_deref().map(|word| {
        TaskStatus::parse(word).ok_or_else(|| {
            let words = TaskStatus::ALL.map(TaskStatus::as_str).join(", ");
            Refusal::bad_request(format!("status is {word:?}; it is one of {words}"))
        })
    });
    let page = reader.tasks(&TaskFilter {
        pool: args.pool_id.as_deref().map(|pool| super::intake::pool_id(pool).to_string()),
        status: status.transpose()?,
        before: args.before,
        rows_max: rows(args.limit)?,
    })?;
    let mut tasks = Vec::with_capacity(page.rows.len());
    for task in &page.rows {
        let has_error = matches!(task.status, TaskStatus::Failed | TaskStatus::Cancelled);
        let error = if has_error { reader.task_error(task, LISTED_ERROR_CHARS_MAX)? } else { None };
        let outcome = TaskResult { error: error.map(Into::into), ..TaskResult::default() };
        tasks.push(shown::task(task, None, outcome));
    }
    Ok(wire::Tasks { tasks, next: page.next })
}

fn log(args: &wire::TaskLog, reader: &mut dyn Reader) -> Result<wire::Log, Refusal> {
    let id = resolve(reader, IdKind::Task, &args.task_id)?;
    let stream = match args.stream.as_deref().unwrap_or("stdout") {
        "stdout" => LogStream::Stdout,
        "stderr" => LogStream::Stderr,
        other => return Err(Refusal::bad_request(format!("stream is {other:?}; it is stdout or stderr"))),
    };
    let task = reader.task(&TaskId::new(&id))?.ok_or_else(|| no_task(&id))?.task;
    let bytes_max = args.limit.unwrap_or(LOG_BYTES_MAX).clamp(4, LOG_BYTES_MAX);
    let mut part = reader.task_log(&task, stream, args.from, bytes_max)?;
    if part.next < part.length {
        // A character that was cut in two belongs whole to the next part.
        let whole = whole_characters(&part.bytes);
        part.next -= (part.bytes.len() - whole) as u64;
        part.bytes.truncate(whole);
    }
    Ok(wire::Log {
        task_id: id,
        attempt: task.attempt,
        stream: args.stream.clone().unwrap_or_else(|| "stdout".to_owned()),
        text: String::from_utf8_lossy(&part.bytes).into_owned(),
        next: part.next,
        length: part.length,
    })
}

/// Length without an unfinished character at the end; everything when the end is not UTF-8 at all.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn no_task(id: &str) -> Refusal {
    Refusal::not_found(format!("there is no task {id}"))
}
