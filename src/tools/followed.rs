//! Tasks that a client follows by itself, as the tasks extension has it (SEP-2663).

use super::awaited::finished;
use super::desk::{Desk, unexpected};
use super::standing;
use crate::mcp::protocol::code;
use crate::mcp::server::{Step, tool_failure, tool_result};
use crate::model::command::{Code, Command, Refusal, Reply, TaskView};
use crate::model::id::TaskId;
use crate::model::task::{Task, TaskStatus};
use crate::ports::{Reader, TaskDetail};
use serde_json::{Value, json};

/// How often a client should look.
const POLL_INTERVAL_MILLIS: u64 = 1000;

/// What a call is answered with that goes on as a task.
pub(super) fn begin(desk: &Desk, id: TaskId) -> Step {
    let desk = desk.clone();
    Step::look(move |reader| match found(&id, reader) {
        Ok(detail) => standing(&desk, detail.task, Step::task),
        Err(refusal) => error(&refusal),
    })
}

/// As a client sees it that has not ended.
fn standing(desk: &Desk, task: Task, then: fn(Value) -> Step) -> Step {
    standing::ask(desk, task.clone(), Vec::new(), move |standing| then(shown(&task, standing.place.in_words())))
}

/// How a task stands, and its result once it has one.
pub(super) fn get(desk: &Desk, id: String) -> Step {
    let desk = desk.clone();
    Step::look(move |reader| {
        let ended = match found(&TaskId::from(id), reader) {
            Ok(detail) if !detail.task.status.is_final() => return standing(&desk, detail.task, Step::complete),
            found => found.and_then(|detail| with_result(&desk, detail)),
        };
        ended.map_or_else(|refusal| error(&refusal), Step::complete)
    })
}

/// What has ended already is as cancelled as it can be.
pub(super) fn cancel(id: String) -> Step {
    Step::ask(Command::CancelTask { id: TaskId::from(id) }, |outcome| match outcome {
        Ok(Reply::Task(_)) => Step::complete(json!({})),
        Ok(other) => error(&unexpected(&other)),
        Err(refusal) if refusal.code == Code::Conflict => Step::complete(json!({})),
        Err(refusal) => error(&refusal),
    })
}

fn found(id: &TaskId, reader: &mut dyn Reader) -> Result<TaskDetail, Refusal> {
    reader.task(id)?.ok_or_else(|| Refusal::not_found(format!("there is no task {id}")))
}

fn error(refusal: &Refusal) -> Step {
    let code = if refusal.code == Code::NotFound { code::INVALID_PARAMS } else { code::INTERNAL_ERROR };
    Step::error(code, &refusal.message)
}

/// Tasks are kept for as long as the database is.
fn shown(task: &Task, message: String) -> Value {
    let status = match task.status {
        TaskStatus::Pending | TaskStatus::Running => "working",
        // A tool that failed has answered all the same; its result says so.
        TaskStatus::Completed | TaskStatus::Failed => "completed",
        TaskStatus::Cancelled => "cancelled",
    };
    let updated = task.completed_at.or(task.started_at).unwrap_or(task.created_at);
    json!({
        "taskId": task.id.as_str(),
        "status": status,
        "statusMessage": message,
        "createdAt": task.created_at.to_string(),
        "lastUpdatedAt": updated.to_string(),
        "ttlMs": Value::Null,
        "pollIntervalMs": POLL_INTERVAL_MILLIS,
    })
}

fn with_result(desk: &Desk, detail: TaskDetail) -> Result<Value, Refusal> {
    let mut answer = shown(&detail.task, detail.task.status.as_str().to_owned());
    if matches!(detail.task.status, TaskStatus::Completed | TaskStatus::Failed) {
        let view = TaskView { task: detail.task, outcome: detail.outcome };
        let task = desk.value_of(Reply::Task(Box::new(view)))?;
        answer["result"] = finished(&task).map_or_else(|failed| tool_failure(&failed), tool_result);
    }
    Ok(answer)
}
