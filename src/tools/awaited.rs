//! Waiting for a task that a call has submitted: its progress told as its output grows, its end told at once.

use super::desk::{Desk, unexpected};
use crate::clock::Tick;
use crate::mcp::server::{Progress, Step};
use crate::model::command::{Code, Command, Refusal, Reply, Seen, TaskView, Written};
use crate::model::id::{PoolId, TaskId};
use crate::model::task::{Task, TaskStatus};
use crate::ports::{LogStream, Reader};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two words of progress. The end of the task is not kept waiting for it.
const QUIET: Duration = Duration::from_millis(500);

/// What follows the end of the task.
type Ended = Box<dyn FnOnce(Result<Box<TaskView>, Refusal>) -> Step + Send>;

pub(super) struct Awaited {
    desk: Desk,
    id: TaskId,
    /// When it is cancelled if it has not begun by then, and after how long that is.
    begin_by: Option<(Tick, Duration)>,
    /// Whether that has happened.
    given_up: bool,
    seen: Seen,
    /// Output that is told of at present, and that of the attempts before.
    told_bytes: u64,
    before_bytes: u64,
    then: Ended,
}

impl Awaited {
    /// Waits for the end of a task. `patience`: how long it may wait for a worker.
    pub(super) fn start(
        desk: &Desk,
        id: TaskId,
        pool: &PoolId,
        patience: Option<Duration>,
        then: impl FnOnce(Result<Box<TaskView>, Refusal>) -> Step + Send + 'static,
    ) -> Step {
        let begin_by = patience.map(|patience| (desk.clock.tick().after(patience), patience));
        let message = format!("task {id} waits for a worker of pool {pool}");
        let awaited = Awaited {
            desk: desk.clone(),
            id,
            begin_by,
            given_up: false,
            seen: Seen { attempt: None, written: Written::default() },
            told_bytes: 0,
            before_bytes: 0,
            then: Box::new(then),
        };
        Step::tell(Progress { done: 0, total: None, message: Some(message) }, move || awaited.wait(None))
    }

    /// For its end; or for more output, unless it is to be quiet for a while.
    fn wait(self, quiet: Option<Duration>) -> Step {
        let now = self.desk.clock.tick();
        let until_given_up = self.begin_by.map(|(at, _)| now.until(at));
        let timeout = [quiet, until_given_up].into_iter().flatten().min();
        let beyond = quiet.is_none().then_some(self.seen);
        let command = Command::WaitTask { id: self.id.clone(), timeout, beyond };
        let abort = vec![Command::CancelTask { id: self.id.clone() }];
        Step::ask_or_abort(command, abort, move |outcome| self.heard(outcome))
    }

    fn heard(self, outcome: Result<Reply, Refusal>) -> Step {
        match outcome {
            Ok(Reply::Task(view)) if view.task.status.is_final() => self.ended(view),
            Ok(Reply::Task(_)) => Step::look(move |reader| self.look(reader)),
            Err(refusal) if refusal.code == Code::TimedOut => self.time_has_passed(),
            Ok(other) => (self.then)(Err(unexpected(&other))),
            Err(refusal) => (self.then)(Err(refusal)),
        }
    }

    fn ended(self, mut view: Box<TaskView>) -> Step {
        if let Some((_, patience)) = self.begin_by.filter(|_| self.given_up) {
            let error = format!("no worker was free within {} s; the task was cancelled", patience.as_secs_f64());
            view.outcome.error = Some(error.into());
        }
        (self.then)(Ok(view))
    }

    /// There is more output than there was.
    fn look(mut self, reader: &mut dyn Reader) -> Step {
        let (task, bytes) = match output(&self.id, reader) {
            Ok(found) => found,
            Err(refusal) => return (self.then)(Err(refusal)),
        };
        if self.seen.attempt.is_some_and(|attempt| attempt != task.attempt) {
            self.before_bytes = self.told_bytes;
        }
        self.seen = Seen { attempt: Some(task.attempt), written: bytes };
        let total = self.before_bytes + bytes.stdout + bytes.stderr;
        if total <= self.told_bytes {
            return self.wait(Some(QUIET));
        }
        self.told_bytes = total;
        let worker = task.worker_id().unwrap_or_default();
        let message = format!("task {} runs on {worker}, {} bytes of output", self.id, total - self.before_bytes);
        let progress = Progress { done: total, total: None, message: Some(message) };
        Step::tell(progress, move || self.wait(Some(QUIET)))
    }

    /// A while is over, or the time in which it should have begun.
    fn time_has_passed(mut self) -> Step {
        let now = self.desk.clock.tick();
        if self.given_up || self.begin_by.is_none_or(|(at, _)| now < at) {
            return self.wait(None);
        }
        Step::look(move |reader| match reader.task(&self.id) {
            Ok(Some(found)) if found.task.status == TaskStatus::Pending => {
                self.given_up = true;
                Step::ask(Command::CancelTask { id: self.id.clone() }, move |outcome| self.cancelled(outcome))
            }
            Ok(_) => {
                self.begin_by = None;
                self.wait(None)
            }
            Err(error) => (self.then)(Err(error.into())),
        })
    }

    fn cancelled(mut self, outcome: Result<Reply, Refusal>) -> Step {
        match outcome {
            Ok(Reply::Task(view)) if view.task.status.is_final() => self.ended(view),
            // It has ended by itself just now.
            Err(refusal) if refusal.code == Code::Conflict => {
                self.given_up = false;
                self.begin_by = None;
                self.wait(None)
            }
            // It had just begun, and is being ended.
            _ => self.wait_for_end(),
        }
    }

    fn wait_for_end(self) -> Step {
        let command = Command::WaitTask { id: self.id.clone(), timeout: None, beyond: None };
        Step::ask(command, move |outcome| self.heard(outcome))
    }
}

fn output(id: &TaskId, reader: &mut dyn Reader) -> Result<(Task, Written), Refusal> {
    let found = reader.task(id)?;
    let task = found.ok_or_else(|| Refusal::not_found(format!("there is no task {id}")))?.task;
    let stdout = reader.task_log(&task, LogStream::Stdout, 0, 0)?.length;
    let stderr = reader.task_log(&task, LogStream::Stderr, 0, 0)?.length;
    Ok((task, Written { stdout, stderr }))
}

/// What a task has come to, of its shape on the control socket: what a tool answers, or what it says that failed.
pub(super) fn finished(task: &Value) -> Result<Value, Value> {
    let of = |keys: &[&str]| -> Value {
        keys.iter().map(|key| ((*key).to_owned(), task.get(*key).cloned().unwrap_or_default())).collect()
    };
    let ran = ["pool_id", "worker_id", "task_id", "exit_code", "attempt", "duration_seconds"];
    let mut shown = of(&ran);
    if task["status"] == "completed" {
        shown["success"] = true.into();
        shown["result"] = task["result"].as_str().unwrap_or_default().into();
        shown["result_truncated"] = (task["result_truncated"] == true).into();
        // What an agent says of itself may be anything.
        shown["usage"] = Some(&task["usage"]).filter(|usage| usage.is_object()).cloned().unwrap_or_default();
        return Ok(shown);
    }
    shown["success"] = false.into();
    shown["status"] = task["status"].clone();
    shown["reason"] = task["reason"].clone();
    shown["exit_signal"] = task["exit_signal"].clone();
    let sentence = task["error"].as_str().map(str::to_owned);
    let status = task["status"].as_str().unwrap_or_default();
    shown["error"] = json!(sentence.unwrap_or_else(|| format!("the task was {status}")));
    if let Some(id) = task["task_id"].as_str().filter(|_| task["started_at"].is_string()) {
        shown["log"] = format!("claude-comms task log {id} --stderr").into();
    }
    Err(shown)
}
