//! Tasks that a client follows by itself, as the tasks extension has it (SEP-2663).

use super::awaited::finished;
use super::desk::{Desk, unexpected};
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
pub(super) fn begin(id: TaskId) -> Step {
    Step::look(move |reader| match found(&id, reader) {
        Ok(detail) => Step::task(shown(&detail.task)),
        Err(refusal) => error(&refusal),
    })
}

/// How a task stands, and its result once it has one.
pub(super) fn get(desk: &Desk, id: String) -> Step {
    let desk = desk.clone();
    Step::look(move |reader| {
        let outcome = found(&TaskId::from(id), reader).and_then(|detail| with_result(&desk, detail));
        outcome.map_or_else(|refusal| error(&refusal), Step::complete)
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
fn shown(task: &Task) -> Value {
    let (status, message) = match task.status {
        TaskStatus::Pending => ("working", format!("waits for a worker of pool {}", task.pool)),
        TaskStatus::Running => ("working", format!("runs on {}", task.worker_id().unwrap_or_default())),
        // A tool that failed has answered all the same; its result says so.
        TaskStatus::Completed => ("completed", "completed".to_owned()),
        TaskStatus::Failed => ("completed", "failed".to_owned()),
        TaskStatus::Cancelled => ("cancelled", "cancelled".to_owned()),
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
    let mut answer = shown(&detail.task);
    if matches!(detail.task.status, TaskStatus::Completed | TaskStatus::Failed) {
        let view = TaskView { task: detail.task, outcome: detail.outcome };
        let task = desk.value_of(Reply::Task(Box::new(view)))?;
        answer["result"] = finished(&task).map_or_else(|failed| tool_failure(&failed), tool_result);
    }
    Ok(answer)
}
