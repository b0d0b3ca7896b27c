//! Several tasks of one call: submitted one after the other, waited for in their order.

use super::awaited::finished;
use super::desk::{Desk, answered, refusal_shown, refused, unexpected};
use super::run::submitted;
use super::schemas::{self, flag, text, text_or_null, whole_or_null};
use crate::control::wire;
use crate::mcp::server::{Progress, Step};
use crate::model::command::{Command, Refusal, Reply};
use crate::model::id::TaskId;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Results that one answer holds, together, in bytes; what comes after them is left out of it.
const RESULTS_BYTES_MAX: usize = 1 << 20;

/// The schema of one result.
pub(super) fn result() -> Value {
    schemas::object(
        "",
        vec![
            ("success", flag("")),
            ("task_id", text("")),
            ("pool_id", text("")),
            ("worker_id", text_or_null("")),
            ("result", text_or_null("what the worker answered; null when it is left out")),
            ("result_truncated", flag("whether the result is cut or left out; get_task has more of it")),
            ("error", text("why it failed")),
            ("code", text("why it was not taken")),
            ("status", text("")),
            ("reason", text_or_null("")),
            ("exit_code", whole_or_null("")),
            ("exit_signal", whole_or_null("")),
            ("attempt", schemas::whole("")),
            ("duration_seconds", schemas::number_or_null("")),
            ("usage", schemas::anything_or_null("")),
            ("log", text("where its output is")),
            ("retry_after_ms", schemas::whole("")),
        ],
        &[
            "task_id",
            "pool_id",
            "worker_id",
            "result",
            "result_truncated",
            "error",
            "code",
            "status",
            "reason",
            "exit_code",
            "exit_signal",
            "attempt",
            "duration_seconds",
            "usage",
            "log",
            "retry_after_ms",
        ],
    )
}

pub(super) struct Batch {
    desk: Desk,
    /// Those that are not submitted yet.
    prompts: VecDeque<String>,
    /// What they have in common.
    common: wire::TaskSubmit,
    /// Those that are waited for, in order, or why they were not taken.
    open: VecDeque<Result<TaskId, Refusal>>,
    results: Vec<Value>,
    results_bytes: usize,
}

impl Batch {
    pub(super) fn start(desk: &Desk, prompts: Vec<String>, common: wire::TaskSubmit) -> Step {
        let batch = Batch {
            desk: desk.clone(),
            prompts: prompts.into(),
            common,
            open: VecDeque::new(),
            results: Vec::new(),
            results_bytes: 0,
        };
        batch.submit()
    }

    fn submit(mut self) -> Step {
        let Some(prompt) = self.prompts.pop_front() else { return self.tell() };
        let desk = self.desk.clone();
        let request = wire::TaskSubmit { prompt, ..self.common.clone() };
        submitted(&desk, request, self.abort(), move |outcome| {
            match outcome {
                // What the first is refused for is what is wrong with them all.
                Err(refusal) if self.open.is_empty() => {
                    return refused(&refusal, json!({"pool_id": self.common.pool_id}));
                }
                outcome => self.open.push_back(outcome.map(|(task, _)| task)),
            }
            self.submit()
        })
    }

    fn abort(&self) -> Vec<Command> {
        let tasks = self.open.iter().filter_map(|task| task.as_ref().ok());
        tasks.map(|id| Command::CancelTask { id: id.clone() }).collect()
    }

    fn tell(self) -> Step {
        let (done, total) = (self.results.len(), self.results.len() + self.open.len());
        let message = format!("{done} of {total} tasks have ended");
        let progress = Progress { done: done as u64, total: Some(total as u64), message: Some(message) };
        Step::tell(progress, move || self.wait())
    }

    /// For the first that is open.
    fn wait(mut self) -> Step {
        let abort = self.abort();
        match self.open.pop_front() {
            None => self.end(),
            Some(Err(refusal)) => {
                self.results.push(refusal_shown(&refusal, json!({})));
                self.tell()
            }
            Some(Ok(id)) => {
                let command = Command::WaitTask { id: id.clone(), timeout: None, beyond: None };
                Step::ask_or_abort(command, abort, move |outcome| {
                    let result = self.result_of(&id, outcome);
                    self.results.push(result);
                    self.tell()
                })
            }
        }
    }

    fn result_of(&mut self, id: &TaskId, outcome: Result<Reply, Refusal>) -> Value {
        let shown = outcome.and_then(|reply| match reply {
            view @ Reply::Task(_) => self.desk.value_of(view),
            other => Err(unexpected(&other)),
        });
        let mut result = match shown {
            Ok(task) => finished(&task).unwrap_or_else(|failed| failed),
            Err(refusal) => refusal_shown(&refusal, json!({"task_id": id.as_str()})),
        };
        let bytes = result["result"].as_str().map_or(0, str::len);
        if self.results_bytes + bytes > RESULTS_BYTES_MAX {
            result["result"] = Value::Null;
            result["result_truncated"] = true.into();
        } else {
            self.results_bytes += bytes;
        }
        result
    }

    fn end(self) -> Step {
        let failed = self.results.iter().filter(|result| result["success"] == false).count();
        answered(json!({
            "pool_id": self.common.pool_id,
            "results_count": self.results.len(),
            "failed_count": failed,
            "results": self.results,
        }))
    }
}
