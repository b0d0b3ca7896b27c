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
/// A client that hears nothing for longer may believe that nothing goes on.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a task is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it has ended.
    Endless,
    /// It is cancelled if no worker has taken it by then; once it runs, its own time holds.
    ToBegin(Duration),
    /// Then the wait is over, and it goes on.
    ToEnd(Duration),
}

/// What follows the end of the task, or of the wait.
type Ended = Box<dyn FnOnce(Result<Box<TaskView>, Refusal>) -> Step + Send>;

pub(super) struct Awaited {
    desk: Desk,
    id: TaskId,
    began: Tick,
    patience: Patience,
    /// Whether it is being cancelled because no worker took it.
    given_up: bool,
    seen: Seen,
    told_at: Tick,
    then: Ended,
}

impl Awaited {
    /// Waits for the end of a task.
    pub(super) fn start(
        desk: &Desk,
        id: TaskId,
        pool: &PoolId,
        patience: Patience,
        then: impl FnOnce(Result<Box<TaskView>, Refusal>) -> Step + Send + 'static,
    ) -> Step {
        let now = desk.clock.tick();
        let message = format!("task {id} waits for a worker of pool {pool}");
        let awaited = Awaited {
            desk: desk.clone(),
            id,
            began: now,
            patience,
            given_up: false,
            seen: Seen { attempt: None, written: Written::default() },
            told_at: now,
            then: Box::new(then),
        };
        Step::tell(Progress { done: 0, total: None, message: Some(message) }, move || awaited.wait())
    }

    /// For its end, for more output unless something was told just now, and for the time at which something must be done.
    fn wait(self) -> Step {
        let now = self.desk.clock.tick();
        let quiet = now.until(self.told_at.after(QUIET));
        let beyond = quiet.is_zero().then_some(self.seen);
        let word = if quiet.is_zero() { now.until(self.told_at.after(SILENCE_MAX)) } else { quiet };
        let timeout = self.deadline().map_or(word, |at| word.min(now.until(at)));
        let command = Command::WaitTask { id: self.id.clone(), timeout: Some(timeout), beyond };
        Step::ask_or_abort(command, self.abort(), move |outcome| self.heard(outcome))
    }

    fn deadline(&self) -> Option<Tick> {
        match self.patience {
            Patience::Endless => None,
            Patience::ToBegin(wait) | Patience::ToEnd(wait) => Some(self.began.after(wait)),
        }
    }

    fn abort(&self) -> Vec<Command> {
        vec![Command::CancelTask { id: self.id.clone() }]
    }

    fn heard(self, outcome: Result<Reply, Refusal>) -> Step {
        match outcome {
            Ok(Reply::Task(view)) if view.task.status.is_final() => self.ended(view),
            Ok(Reply::Task(_)) => Step::look(move |reader| self.look(reader)),
            Err(refusal) if refusal.code == Code::TimedOut => self.time_has_passed(refusal),
            Ok(other) => (self.then)(Err(unexpected(&other))),
            Err(refusal) => (self.then)(Err(refusal)),
        }
    }

    fn ended(self, mut view: Box<TaskView>) -> Step {
        if let Patience::ToBegin(wait) = self.patience
            && self.given_up
        {
            let error = format!("no worker was free within {} s; the task was cancelled", wait.as_secs_f64());
            view.outcome.error = Some(error.into());
        }
        (self.then)(Ok(view))
    }

    fn time_has_passed(mut self, refusal: Refusal) -> Step {
        let now = self.desk.clock.tick();
        let is_late = self.deadline().is_some_and(|at| now >= at);
        match self.patience {
            Patience::ToEnd(_) if is_late => (self.then)(Err(refusal)),
            Patience::ToBegin(_) if is_late => Step::look(move |reader| match reader.task(&self.id) {
                Ok(Some(found)) if found.task.status == TaskStatus::Pending => self.give_up(),
                Ok(_) => {
                    self.patience = Patience::Endless;
                    self.wait()
                }
                Err(error) => (self.then)(Err(error.into())),
            }),
            _ if now >= self.told_at.after(SILENCE_MAX) => Step::look(move |reader| self.look(reader)),
            _ => self.wait(),
        }
    }

    /// There is more output than there was, or nothing was told for long.
    fn look(mut self, reader: &mut dyn Reader) -> Step {
        let (task, written) = match output(&self.id, reader) {
            Ok(found) => found,
            Err(refusal) => return (self.then)(Err(refusal)),
        };
        let now = self.desk.clock.tick();
        // What is written beyond the log's own limit is not in the log; whoever waited for it would never wait.
        let has_grown = self.seen.attempt != Some(task.attempt) || written.is_beyond(self.seen.written);
        let is_full = !has_grown && now < self.told_at.after(SILENCE_MAX);
        let never = Written { stdout: u64::MAX, stderr: u64::MAX };
        self.seen = Seen { attempt: Some(task.attempt), written: if is_full { never } else { written } };
        self.told_at = now;
        let waited = self.began.until(now);
        let message = format!(
            "task {} {}, {} bytes of output, {} s",
            self.id,
            place(&task),
            written.stdout + written.stderr,
            waited.as_secs()
        );
        let done = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Step::tell(Progress { done, total: None, message: Some(message) }, move || self.wait())
    }

    /// No worker has taken it in time.
    fn give_up(mut self) -> Step {
        self.given_up = true;
        Step::ask(Command::CancelTask { id: self.id.clone() }, move |outcome| match outcome {
            Ok(Reply::Task(view)) if view.task.status.is_final() => self.ended(view),
            // It has ended by itself just now.
            Err(refusal) if refusal.code == Code::Conflict => {
                self.patience = Patience::Endless;
                self.wait_for_end()
            }
            // It had just begun, and is being ended.
            _ => self.wait_for_end(),
        })
    }

    fn wait_for_end(self) -> Step {
        let command = Command::WaitTask { id: self.id.clone(), timeout: None, beyond: None };
        Step::ask_or_abort(command, self.abort(), move |outcome| self.heard(outcome))
    }
}

fn place(task: &Task) -> String {
    match task.worker_id().filter(|_| task.status == TaskStatus::Running) {
        Some(worker) => format!("runs on {worker}"),
        None => format!("waits for a worker of pool {}", task.pool),
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
