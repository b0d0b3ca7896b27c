//! Handing in tasks: one to a pool, one to whichever pool suits, or many at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::exit::{Failure, OK, Outcome};
use super::input;
use super::session::{Session, read};
use super::task;
use crate::control::PATIENCE;
use crate::control::wire::{self, Request};

/// What may be said of every task.
#[derive(Clone, Debug, Args)]
pub(super) struct TaskFlags {
    /// A JSON object that the task's process finds in CLAUDE_COMMS_CONTEXT; "repo" in it is where the task runs, without --dir
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    context: Option<Value>,
    /// Where the task runs; else the current directory, as for every task from the command line
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// From -100 to 100; greater ones first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// How long one attempt may take, in seconds or like 1h; else as the pool has it
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
    /// Tasks with the same key run one at a time, in whatever pools they are
    #[arg(long, value_name = "KEY")]
    lock: Option<String>,
    /// A task that must be completed before; may be given several times
    #[arg(long, value_name = "TASK")]
    after: Vec<String>,
    /// Not to be begun before so long, in seconds or like 10m
    #[arg(long, value_name = "D", value_parser = input::seconds)]
    delay: Option<f64>,
    /// How often to try again after a failure
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// What becomes of it when the daemon is killed meanwhile
    #[arg(long, value_name = "WHAT", value_parser = ["requeue", "fail"])]
    on_crash: Option<String>,
    /// Do not wait for the result
    #[arg(long)]
    pub(super) no_wait: bool,
}

impl TaskFlags {
    /// A request without prompt and destination.
    pub(super) fn request(self) -> Result<wire::TaskSubmit, Failure> {
        let names_place =
            self.context.as_ref().is_some_and(|context| context.get("repo").is_some_and(|it| !it.is_null()));
        // Where the context says it the daemon looks there, and refuses what is no place.
        let dir = match self.dir {
            None if names_place => None,
            dir => Some(input::directory_or_current(dir)?),
        };
        Ok(wire::TaskSubmit {
            context: self.context,
            dir,
            priority: self.priority,
            timeout_seconds: self.timeout,
            lock: self.lock,
            after: self.after,
            delay_seconds: self.delay,
            retries: self.retries,
            on_crash: self.on_crash,
            ..wire::TaskSubmit::default()
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// The pool
    id: String,
    #[command(flatten)]
    flags: TaskFlags,
    /// The same key again is the same task, not another one
    #[arg(long, value_name = "K")]
    key: Option<String>,
    /// What to do, or - for standard input
    prompt: String,
}

#[derive(Debug, Args)]
pub(super) struct Route {
    /// How the pool is chosen
    #[arg(long, value_name = "HOW", default_value = "least_loaded")]
    selector: String,
    /// Only among the pools of this group
    #[arg(long, value_name = "G")]
    group: Option<String>,
    #[command(flatten)]
    flags: TaskFlags,
    /// The same key again is the same task, not another one
    #[arg(long, value_name = "K")]
    key: Option<String>,
    /// What to do, or - for standard input
    prompt: String,
}

pub(super) fn run(run: Run, session: &mut Session) -> Outcome {
    let no_wait = run.flags.no_wait;
    let submit = wire::TaskSubmit { pool_id: Some(run.id), key: run.key, ..run.flags.request()? };
    perform(submit, run.prompt, no_wait, session)
}

pub(super) fn route(route: Route, session: &mut Session) -> Outcome {
    let no_wait = route.flags.no_wait;
    let submit = wire::TaskSubmit {
        selector: Some(route.selector),
        group: route.group,
        key: route.key,
        ..route.flags.request()?
    };
    perform(submit, route.prompt, no_wait, session)
}

fn perform(submit: wire::TaskSubmit, prompt: String, no_wait: bool, session: &mut Session) -> Outcome {
    let request = Request::TaskSubmit(wire::TaskSubmit { prompt: input::text_or_stdin(prompt)?, ..submit });
    let mut client = session.connect()?;
    let answer = client.call_raw(&request, Some(PATIENCE))?;
    let submitted: wire::Submitted = read(&answer)?;
    if submitted.duplicate {
        session.output.say(format_args!("there is a task with that key already: {}", submitted.task_id));
    }
    if submitted.held_until.is_some() {
        super::pool::hint_if_held(&mut client, &submitted.pool_id, &mut session.output)?;
    }
    if no_wait {
        session.print(&answer, |output, submitted: wire::Submitted| output.line(submitted.task_id))?;
        return Ok(OK);
    }
    let wait = wire::TaskWait { task_id: submitted.task_id, ..wire::TaskWait::default() };
    // A task has its own timeouts; the daemon answers after them, or its end is told by the connection.
    let task: wire::Task = read(&client.call_raw(&Request::TaskWait(wait), None)?)?;
    task::print_result(&task, session)
}
