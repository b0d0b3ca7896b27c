//! Waiting for a task that a call has submitted: its progress told as its output grows, its end told at once.

use super::desk::{Desk, unexpected};
use super::standing::{self, Place, Standing};
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

/// What a wait has come to.
pub(super) enum End {
    /// The task has ended.
    Ended(Box<TaskView>),
    /// It was cancelled because no worker had taken it in time; this is how it stood.
    NotBegun(Box<TaskView>, Standing),
    /// The time is up, and it goes on from where it stands.
    Late(Standing),
    Refused(Refusal),
}

type Then = Box<dyn FnOnce(End) -> Step + Send>;

pub(super) struct Awaited {
    desk: Desk,
    id: TaskId,
    began: Tick,
    patience: Patience,
    /// Whether giving up ends the task.
    is_ours: bool,
    /// How it stood when it was cancelled because no worker had taken it.
    given_up: Option<Standing>,
    seen: Seen,
    told_at: Tick,
    then: Then,
}

impl Awaited {
    /// Waits for the end of a task that the call has begun: giving up cancels it.
    pub(super) fn start(
        desk: &Desk,
        id: TaskId,
        pool: &PoolId,
        patience: Patience,
        then: impl FnOnce(End) -> Step + Send + 'static,
    ) -> Step {
        // Many have ended before there is anything to be looked at.
        let message = format!("task {id} was handed to pool {pool}");
        let awaited = Awaited::new(desk, id, patience, true, Box::new(then));
        Step::tell(Progress { done: 0.0, total: None, message: Some(message) }, move || awaited.wait())
    }

    /// Waits for the end of a task of somebody else's.
    pub(super) fn join(
        desk: &Desk,
        id: TaskId,
        patience: Patience,
        then: impl FnOnce(End) -> Step + Send + 'static,
    ) -> Step {
        Awaited::new(desk, id, patience, false, Box::new(then)).look_and_wait()
    }

    fn new(desk: &Desk, id: TaskId, patience: Patience, is_ours: bool, then: Then) -> Awaited {
        let now = desk.clock.tick();
        let seen = Seen { attempt: None, written: Written::default() };
        Awaited { desk: desk.clone(), id, began: now, patience, is_ours, given_up: None, seen, told_at: now, then }
    }

    fn look_and_wait(self) -> Step {
        Step::look(move |reader| self.look(reader))
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
        let cancel = self.is_ours.then(|| Command::CancelTask { id: self.id.clone() });
        cancel.into_iter().collect()
    }

    fn heard(self, outcome: Result<Reply, Refusal>) -> Step {
        match outcome {
            Ok(Reply::Task(view)) if view.task.status.is_final() => self.ended(view),
            Ok(Reply::Task(_)) => self.look_and_wait(),
            Err(refusal) if refusal.code == Code::TimedOut => self.time_has_passed(),
            Ok(other) => (self.then)(End::Refused(unexpected(&other))),
            Err(refusal) => (self.then)(End::Refused(refusal)),
        }
    }

    fn ended(self, view: Box<TaskView>) -> Step {
        (self.then)(match self.given_up {
            Some(standing) => End::NotBegun(view, standing),
            None => End::Ended(view),
        })
    }

    fn time_has_passed(mut self) -> Step {
        let now = self.desk.clock.tick();
        let is_late = self.deadline().is_some_and(|at| now >= at);
        if !is_late {
            let is_unknown = self.seen.attempt.is_none();
            let has_been_silent = now >= self.told_at.after(SILENCE_MAX);
            return if is_unknown || has_been_silent { self.look_and_wait() } else { self.wait() };
        }
        Step::look(move |reader| match (task(&self.id, reader), self.patience) {
            (Err(refusal), _) => (self.then)(End::Refused(refusal)),
            (Ok(task), _) if task.status.is_final() => self.wait_for_end(),
            (Ok(task), Patience::ToBegin(_)) if task.status == TaskStatus::Pending => {
                self.standing(task, |it, standing| it.give_up(standing))
            }
            (Ok(_), Patience::ToBegin(_)) => {
                self.patience = Patience::Endless;
                self.wait()
            }
            (Ok(task), _) => self.standing(task, |it, standing| (it.then)(End::Late(standing))),
        })
    }

    /// Nothing is known of it yet, there is more output than there was, or nothing was told for long.
    fn look(mut self, reader: &mut dyn Reader) -> Step {
        let (task, written) = match output(&self.id, reader) {
            Ok(found) => found,
            Err(refusal) => return (self.then)(End::Refused(refusal)),
        };
        // Of what has ended meanwhile the end is told, and nothing else.
        if task.status.is_final() {
            return self.wait_for_end();
        }
        let now = self.desk.clock.tick();
        // What is written beyond the log's own limit is not in the log; whoever waited for it would never wait.
        let has_grown = self.seen.attempt != Some(task.attempt) || written.is_beyond(self.seen.written);
        let is_full = !has_grown && now < self.told_at.after(SILENCE_MAX);
        let never = Written { stdout: u64::MAX, stderr: u64::MAX };
        self.seen = Seen { attempt: Some(task.attempt), written: if is_full { never } else { written } };
        self.told_at = now;
        self.standing(task, move |it, standing| it.tell(&standing, written))
    }

    fn standing(self, task: Task, then: impl FnOnce(Awaited, Standing) -> Step + Send + 'static) -> Step {
        let (desk, abort) = (self.desk.clone(), self.abort());
        standing::ask(&desk, task, abort, move |standing| then(self, standing))
    }

    fn tell(self, standing: &Standing, written: Written) -> Step {
        let waited = self.began.until(self.told_at);
        let place = standing.place.in_words();
        let output = match standing.place {
            Place::Runs(_) => format!(", {} bytes of output", written.stdout + written.stderr),
            Place::Waits(_) | Place::Kept(_) => String::new(),
        };
        let message = format!("task {} {place}{output}, {} s", self.id, waited.as_secs());
        let done = waited.as_millis() as f64;
        Step::tell(Progress { done, total: None, message: Some(message) }, move || self.wait())
    }

    /// No worker has taken it in time.
    fn give_up(mut self, standing: Standing) -> Step {
        self.given_up = Some(standing);
        let cancel = Command::CancelTask { id: self.id.clone() };
        Step::ask_or_abort(cancel, self.abort(), move |outcome| match outcome {
            Ok(Reply::Task(view)) if view.task.status.is_final() => self.ended(view),
            // It has ended by itself just now.
            Err(refusal) if refusal.code == Code::Conflict => {
                self.given_up = None;
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

fn task(id: &TaskId, reader: &mut dyn Reader) -> Result<Task, Refusal> {
    let found = reader.task(id)?;
    found.map(|found| found.task).ok_or_else(|| Refusal::not_found(format!("there is no task {id}")))
}

fn output(id: &TaskId, reader: &mut dyn Reader) -> Result<(Task, Written), Refusal> {
    let task = task(id, reader)?;
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
        if task["result_truncated"] == true {
            shown["log"] = log(task, "").into();
        }
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
    if task["started_at"].is_string() {
        shown["log"] = log(task, " --stderr").into();
    }
    Err(shown)
}

/// The command that prints what a task has written. The tool that reads it is named by those that show this.
fn log(task: &Value, stream: &str) -> String {
    format!("claude-comms task log {}{stream}", task["task_id"].as_str().unwrap_or_default())
}
