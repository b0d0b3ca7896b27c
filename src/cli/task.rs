//! `task`: the work that pools perform, piece by piece.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::{FAILED, Failure, OK, Outcome};
use super::input;
use super::output::Output;
use super::pages;
use super::session::{Session, patience, read, receive};
use super::table::{self, Details, Kept};
use crate::control::wire::{self, Request};
use crate::control::{Client, Followed, PATIENCE};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms task list --status running
  claude-comms task wait 5e0f77aa --timeout 10m   ends with the exit code of the task's process
  claude-comms task show 5e0f77aa
  claude-comms task log 5e0f77aa --stderr
  claude-comms task retry 5e0f77aa             once more, after it has failed
  claude-comms task cancel 5e0f77aa

An ID may be shortened to its beginning or its end (at least 4 characters).";

/// What is printed of one log at most with --json, in bytes: as much as a log may have.
const LOG_BYTES_MAX: usize = 64 << 20;
/// What a shell adds to the number of a signal.
const SIGNALLED: i32 = 128;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show a task
    Show {
        /// The task
        id: String,
    },
    /// List tasks, the newest first
    List(List),
    /// Wait for a task, print its result and end with its exit code (128 + number when a signal ended it)
    Wait {
        /// The task
        id: String,
        /// How long to wait, in seconds or like 10m; then the exit code is 124 and the task goes on
        #[arg(long, value_name = "S", value_parser = input::seconds)]
        timeout: Option<f64>,
    },
    /// Cancel a task; a running one is ended
    Cancel {
        /// The task
        id: String,
    },
    /// Run a task again that has failed or was cancelled
    Retry {
        /// The task
        id: String,
    },
    /// Print what a task's process wrote
    Log(Log),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this pool
    #[arg(long, value_name = "ID")]
    pool: Option<String>,
    /// Only with this status
    #[arg(long, value_parser = ["pending", "running", "completed", "failed", "cancelled"])]
    status: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = pages::limit())]
    limit: u16,
}

#[derive(Debug, Args)]
pub(super) struct Log {
    /// The task
    id: String,
    /// What it wrote to standard error instead of standard output
    #[arg(long)]
    stderr: bool,
    /// Go on printing until the task has ended
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Show { id } => session.ask(&Request::TaskShow(wire::TaskId { task_id: id }), show_task)?,
        Verb::List(list) => self::list(list, session)?,
        Verb::Wait { id, timeout } => return wait(id, timeout, session),
        Verb::Cancel { id } => {
            session.ask(&Request::TaskCancel(wire::TaskId { task_id: id }), show_cancelled)?;
        }
        Verb::Retry { id } => {
            let mut client = session.connect()?;
            let answer = client.call_raw(&Request::TaskRetry(wire::TaskId { task_id: id }), Some(PATIENCE))?;
            let task: wire::Task = read(&answer)?;
            session.print(&answer, show_retried)?;
            super::pool::hint_if_held(&mut client, &task.pool_id, &mut session.output)?;
        }
        Verb::Log(log) if log.follow => follow(&log, session)?,
        Verb::Log(log) => self::log(&log, session)?,
    }
    Ok(OK)
}

fn show_cancelled(output: &mut Output, task: wire::Task) -> Result<(), Failure> {
    if task.status == "running" {
        output.hint(format_args!("wait for its end with: claude-comms task wait {}", task.task_id));
        return output.line(format_args!("task {} is being ended", task.task_id));
    }
    let status = output.status(&task.status);
    output.line(format_args!("task {} is {status}", task.task_id))
}

fn show_retried(output: &mut Output, task: wire::Task) -> Result<(), Failure> {
    output.hint(format_args!("wait for its end with: claude-comms task wait {}", task.task_id));
    output.line(format_args!("task {} is pending again", task.task_id))
}

fn show_task(output: &mut Output, task: wire::Task) -> Result<(), Failure> {
    let time = |at: Option<&str>| at.map(|at| format!("{} UTC", table::short_time(at)));
    Details::default()
        .foreign("task", &task.task_id)
        .foreign("pool", &task.pool_id)
        .maybe("worker", task.worker_id.as_deref())
        .add("status", output.status(&task.status))
        .maybe("reason", task.reason.as_deref())
        .maybe("due", time(task.not_before.as_deref()).as_deref())
        .add("attempt", format_args!("{} (retries {}, crashes {})", task.attempt, task.retries, task.crashes))
        .add("priority", task.priority)
        .add("timeout", format_args!("{} s", task.timeout_seconds))
        .foreign("on crash", &task.on_crash)
        .maybe("key", task.key.as_deref())
        .maybe("lock", task.lock.as_deref())
        .maybe("workflow", task.workflow_id.as_deref())
        .maybe("step", task.step.as_deref())
        .maybe("after", task.after.as_ref().filter(|after| !after.is_empty()).map(|after| after.join(" ")).as_deref())
        .maybe("directory", task.dir.as_ref().and_then(Option::as_deref))
        .maybe("context", task.context.as_ref().map(ToString::to_string).as_deref())
        .maybe("process", task.pid.map(|pid| pid.to_string()).as_deref())
        .maybe("exit code", task.exit_code.map(|code| code.to_string()).as_deref())
        .maybe("signal", task.exit_signal.map(|signal| signal.to_string()).as_deref())
        .maybe("error", task.error.as_deref())
        .maybe("usage", task.usage.as_ref().map(ToString::to_string).as_deref())
        .maybe("created", time(Some(&task.created_at)).as_deref())
        .maybe("started", time(task.started_at.as_deref()).as_deref())
        .maybe("completed", time(task.completed_at.as_deref()).as_deref())
        .maybe("duration", task.duration_seconds.map(|seconds| format!("{seconds:.3} s")).as_deref())
        .print(output)?;
    for (heading, text) in [("prompt", &task.prompt), ("result", &task.result)] {
        if let Some(text) = text {
            output.line(format_args!("\n{heading}:"))?;
            output.paragraph(text)?;
        }
    }
    tell_if_truncated(&task, output);
    Ok(())
}

fn list(list: List, session: &mut Session) -> Result<(), Failure> {
    let limit = Some(usize::from(list.limit));
    let request = Request::TaskList(wire::TaskList { pool_id: list.pool, status: list.status, limit, before: None });
    session.ask(&request, |output, found: wire::Tasks| {
        let heading = ["TASK", "POOL", "STATUS", "REASON", "ATTEMPT", "EXIT", "CREATED (UTC)", "SECONDS"];
        table::print(output, &heading, found.tasks.iter().map(row).collect(), "there are no such tasks")?;
        pages::tell_of_more(output, found.next);
        Ok(())
    })
}

fn row(task: &wire::Task) -> Vec<Kept> {
    let ended = match (task.exit_code, task.exit_signal) {
        (_, Some(signal)) => format!("signal {signal}"),
        (Some(code), None) => code.to_string(),
        (None, None) => "-".to_owned(),
    };
    vec![
        table::id(&task.task_id),
        table::word(&task.pool_id),
        table::word(&task.status),
        table::word(task.reason.as_deref().unwrap_or("-")),
        table::number(task.attempt),
        table::word(&ended),
        table::time(&task.created_at),
        table::word(&task.duration_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3}"))),
    ]
}

fn wait(id: String, timeout: Option<f64>, session: &mut Session) -> Outcome {
    let wait = wire::TaskWait { task_id: id, timeout_seconds: timeout, ..wire::TaskWait::default() };
    let request = Request::TaskWait(wait);
    let answer = session.connect()?.call_raw(&request, patience(timeout))?;
    let task: wire::Task = read(&answer)?;
    session.print(&answer, |output, task| show_result(output, &task))?;
    match exit_code(&task) {
        OK => Ok(OK),
        exit_code => {
            complain(&task, &mut session.output);
            Err(Failure::Shown { exit_code })
        }
    }
}

/// What `pool run --json` prints of its task.
#[derive(Debug, Serialize)]
pub(super) struct Shape<'a> {
    task_id: &'a str,
    pool_id: &'a str,
    worker_id: Option<&'a str>,
    status: &'a str,
    result: Option<&'a str>,
    error: Option<&'a str>,
    exit_code: Option<i32>,
    attempt: u32,
}

impl<'a> From<&'a wire::Task> for Shape<'a> {
    fn from(task: &'a wire::Task) -> Shape<'a> {
        Shape {
            task_id: &task.task_id,
            pool_id: &task.pool_id,
            worker_id: task.worker_id.as_deref(),
            status: &task.status,
            result: task.result.as_deref(),
            error: task.error.as_deref(),
            exit_code: task.exit_code,
            attempt: task.attempt,
        }
    }
}

/// Prints what came of a task that was submitted here.
pub(super) fn print_result(task: &wire::Task, session: &mut Session) -> Outcome {
    if session.output.json {
        session.output.json(&Shape::from(task))?;
    } else {
        show_result(&mut session.output, task)?;
    }
    if task.status == "completed" {
        return Ok(OK);
    }
    complain(task, &mut session.output);
    Err(Failure::Shown { exit_code: FAILED })
}

fn show_result(output: &mut Output, task: &wire::Task) -> Result<(), Failure> {
    if task.status == "completed" {
        output.paragraph(task.result.as_deref().unwrap_or_default())?;
        tell_if_truncated(task, output);
    }
    Ok(())
}

fn tell_if_truncated(task: &wire::Task, output: &mut Output) {
    if task.result_truncated {
        output.say(format_args!("the result is cut; what was kept of it: claude-comms task log {}", task.task_id));
    }
}

fn complain(task: &wire::Task, output: &mut Output) {
    let (id, status) = (&task.task_id, &task.status);
    let error = task.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let see = if has_log(task) { format!("; see: claude-comms task log {id} --stderr") } else { String::new() };
    output.complain(format_args!("task {id} {status}{error}{see}"));
}

/// Whether there was a process that could have said something.
fn has_log(task: &wire::Task) -> bool {
    task.attempt > 1 || (task.started_at.is_some() && task.reason.as_deref() != Some("not_started"))
}

/// The exit code of a task that has ended: its process's own, where that says that it failed.
fn exit_code(task: &wire::Task) -> u8 {
    let code = match (task.status.as_str(), task.exit_signal, task.exit_code) {
        ("cancelled", ..) => None,
        (_, Some(signal), _) => Some(SIGNALLED + signal),
        ("completed", None, code) => return code.map_or(OK, shell_code),
        (_, None, code) => code.filter(|code| *code != 0),
    };
    code.map_or(FAILED, shell_code)
}

/// What a shell would see of it: the lowest eight bits.
fn shell_code(code: i32) -> u8 {
    code.to_le_bytes()[0]
}

/// Prints what is there, then waits until there is more or the task has ended; nobody looks again and again.
fn follow(log: &Log, session: &mut Session) -> Result<(), Failure> {
    let stream = if log.stderr { "stderr" } else { "stdout" };
    let mut client = session.connect()?;
    let (mut from, mut attempt, mut ended) = (0, 0, false);
    loop {
        let part = read_part(&mut client, &log.id, stream, from)?;
        if part.attempt != attempt {
            if attempt > 0 {
                session.output.say(format_args!("attempt {} begins", part.attempt));
            }
            attempt = part.attempt;
            // What was read of it began somewhere in the middle.
            if from > 0 {
                from = 0;
                continue;
            }
        }
        from = part.next;
        let has_more = part.next < part.length;
        if session.output.json && !part.text.is_empty() {
            session.output.json(&part)?;
        } else if !session.output.json {
            session.output.text(&part.text)?;
        }
        session.output.flush()?;
        if has_more {
            continue;
        }
        if ended {
            return Ok(());
        }
        let wait = wire::TaskWait { task_id: log.id.clone(), attempt: Some(attempt), ..wire::TaskWait::default() };
        let wait = match log.stderr {
            true => wire::TaskWait { stderr_beyond: Some(from), ..wait },
            false => wire::TaskWait { stdout_beyond: Some(from), ..wait },
        };
        ended = has_ended(&mut client, wait, session)?;
    }
}

/// Waits for more output or the end, and returns whether it was the end.
fn has_ended(client: &mut Client, wait: wire::TaskWait, session: &mut Session) -> Result<bool, Failure> {
    let asked = client.send(&Request::TaskWait(wait))?;
    loop {
        if let Followed::Answer { id, result } = receive(client, &mut session.output, None)?
            && id == asked
        {
            let task: wire::Task = read(&result?)?;
            return Ok(!matches!(task.status.as_str(), "pending" | "running"));
        }
    }
}

fn log(log: &Log, session: &mut Session) -> Result<(), Failure> {
    let stream = if log.stderr { "stderr" } else { "stdout" };
    let mut client = session.connect()?;
    let mut gathered: Option<wire::Log> = None;
    let mut from = 0;
    loop {
        let part = read_part(&mut client, &log.id, stream, from)?;
        let is_last = part.next >= part.length || part.next <= from;
        from = part.next;
        if session.output.json {
            gathered = Some(gather(gathered, part));
        } else {
            session.output.text(&part.text)?;
        }
        let full = gathered.as_ref().is_some_and(|log| log.text.len() >= LOG_BYTES_MAX);
        if is_last || full {
            break;
        }
    }
    gathered.map_or(Ok(()), |log| session.output.json(&log))
}

fn read_part(client: &mut Client, id: &str, stream: &str, from: u64) -> Result<wire::Log, Failure> {
    let args = wire::TaskLog { task_id: id.to_owned(), stream: Some(stream.to_owned()), from, limit: None };
    read(&client.call_raw(&Request::TaskLog(args), Some(PATIENCE))?)
}

fn gather(before: Option<wire::Log>, part: wire::Log) -> wire::Log {
    match before {
        None => part,
        Some(before) => wire::Log { text: before.text + &part.text, ..part },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(status: &str, exit_code: Option<i32>, exit_signal: Option<i32>) -> wire::Task {
        let shown = serde_json::json!({
            "task_id": "t", "pool_id": "p", "worker_id": "p-worker-0", "status": status, "reason": null,
            "result": "r", "error": null, "exit_code": exit_code, "exit_signal": exit_signal, "attempt": 1,
            "retries": 0, "crashes": 0, "priority": 0, "timeout_seconds": 1.0, "on_crash": "fail", "key": null, "lock": null,
            "pid": null, "usage": null, "created_at": "", "started_at": null, "completed_at": null,
            "duration_seconds": null,
        });
        serde_json::from_value(shown).unwrap()
    }

    #[test]
    fn a_wait_ends_as_the_process_did() {
        for (status, code, signal, expected) in [
            ("completed", Some(0), None, 0),
            ("completed", None, None, 0),
            ("failed", Some(7), None, 7),
            ("failed", Some(0), None, 1),
            ("failed", None, None, 1),
            ("failed", None, Some(9), 137),
            ("failed", None, Some(15), 143),
            ("cancelled", None, Some(15), 1),
            ("cancelled", Some(3), None, 1),
        ] {
            assert_eq!(exit_code(&task(status, code, signal)), expected, "{status} {code:?} {signal:?}");
        }
    }

    #[test]
    fn the_shape_for_programs_has_eight_keys_in_their_order() {
        assert_eq!(
            serde_json::to_string(&Shape::from(&task("completed", Some(0), None))).unwrap(),
            r#"{"task_id":"t","pool_id":"p","worker_id":"p-worker-0","status":"completed","result":"r","error":null,"exit_code":0,"attempt":1}"#
        );
    }
}
