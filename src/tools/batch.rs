//! Several tasks of one call: submitted one after the other, waited for together, told in their order.

use super::awaited::{SILENCE_MAX, finished};
use super::desk::{Desk, answered, refusal_shown, refused, unexpected};
use super::run::submitted;
use super::schemas::{self, flag, text, text_or_null, whole_or_null};
use super::standing::{self, Place};
use crate::clock::Tick;
use crate::control::wire;
use crate::mcp::server::{Progress, Step};
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::id::{PoolId, TaskId};
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
    pool: Option<PoolId>,
    /// Those that are submitted and have not ended.
    open: Vec<TaskId>,
    /// What each has come to, in the order of the prompts: its task as long as it has not ended.
    results: Vec<Result<Value, TaskId>>,
    results_bytes: usize,
    told_at: Tick,
    /// How often it was said that none has ended since it was said before.
    silences: u32,
}

impl Batch {
    pub(super) fn start(desk: &Desk, prompts: Vec<String>, common: wire::TaskSubmit) -> Step {
        let batch = Batch {
            desk: desk.clone(),
            prompts: prompts.into(),
            common,
            pool: None,
            open: Vec::new(),
            results: Vec::new(),
            results_bytes: 0,
            told_at: desk.clock.tick(),
            silences: 0,
        };
        batch.submit()
    }

    fn submit(mut self) -> Step {
        let Some(prompt) = self.prompts.pop_front() else { return self.tell("") };
        let desk = self.desk.clone();
        let request = wire::TaskSubmit { prompt, ..self.common.clone() };
        submitted(&desk, request, self.abort(), move |outcome| {
            match outcome {
                // What the first is refused for is what is wrong with them all.
                Err(refusal) if self.results.is_empty() => {
                    return refused(&refusal, json!({"pool_id": self.common.pool_id}));
                }
                Err(refusal) => self.results.push(Ok(refusal_shown(&refusal, json!({})))),
                Ok((task, pool)) => {
                    self.pool = Some(pool);
                    self.open.push(task.clone());
                    self.results.push(Err(task));
                }
            }
            self.submit()
        })
    }

    fn abort(&self) -> Vec<Command> {
        self.open.iter().map(|id| Command::CancelTask { id: id.clone() }).collect()
    }

    /// How many have ended. A number that has been told grows by less than one while none does.
    fn tell(mut self, more: &str) -> Step {
        self.told_at = self.desk.clock.tick();
        let (total, silences) = (self.results.len(), f64::from(self.silences));
        let ended = total - self.open.len();
        let message = format!("{ended} of {total} tasks have ended{more}");
        let done = ended as f64 + silences / (silences + 1000.0);
        let progress = Progress { done, total: Some(total as u64), message: Some(message) };
        Step::tell(progress, move || if self.open.is_empty() { self.end() } else { self.wait() })
    }

    /// For whichever ends first.
    fn wait(self) -> Step {
        let timeout = Some(self.desk.clock.tick().until(self.told_at.after(SILENCE_MAX)));
        let command = Command::WaitAnyTask { ids: self.open.clone(), timeout };
        Step::ask_or_abort(command, self.abort(), move |outcome| self.heard(outcome))
    }

    fn heard(mut self, outcome: Result<Reply, Refusal>) -> Step {
        match outcome {
            Ok(Reply::Task(view)) => {
                self.silences = 0;
                let id = view.task.id.clone();
                self.has_ended(&id, Ok(Reply::Task(view)));
                self.tell("")
            }
            Err(refusal) if refusal.code == Code::TimedOut => self.speak_up(),
            Err(refusal) => self.lose(&refusal),
            Ok(other) => self.lose(&unexpected(&other)),
        }
    }

    /// Nothing was told for long; it may be that the pool begins nothing.
    fn speak_up(mut self) -> Step {
        self.silences += 1;
        let Some(pool) = self.pool.clone() else { return self.tell("") };
        let (desk, abort) = (self.desk.clone(), self.abort());
        standing::of_pool(&desk, &pool, abort, move |kept| match kept.map(|standing| standing.place) {
            Some(Place::Kept(why)) => self.tell(&format!("; {why}")),
            _ => self.tell(""),
        })
    }

    /// There is nobody any more who could say how they end.
    fn lose(mut self, refusal: &Refusal) -> Step {
        for id in std::mem::take(&mut self.open) {
            self.has_ended(&id, Err(refusal.clone()));
        }
        self.tell("")
    }

    fn has_ended(&mut self, id: &TaskId, outcome: Result<Reply, Refusal>) {
        self.open.retain(|open| open != id);
        let result = self.result_of(id, outcome);
        if let Some(place) = self.results.iter_mut().find(|it| it.as_ref().is_err_and(|open| open == id)) {
            *place = Ok(result);
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
        let results: Vec<Value> = self.results.into_iter().filter_map(Result::ok).collect();
        let failed = results.iter().filter(|result| result["success"] == false).count();
        answered(json!({
            "pool_id": self.common.pool_id,
            "results_count": results.len(),
            "failed_count": failed,
            "results": results,
        }))
    }
}
