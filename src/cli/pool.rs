//! `pool`: groups of three workers, and handing work to them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{Failure, OK, Outcome};
use super::input;
use super::output::Output;
use super::session::{Session, read};
use super::table::{self, Details};
use super::task;
use crate::control::PATIENCE;
use crate::control::wire::{self, Request};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms pool create tests --dir ~/src/backend -- cargo test {prompt}
  claude-comms pool run tests parser                    prints the result; exit code 1 when it failed
  claude-comms pool run local --timeout 20m - < prompt.txt
  claude-comms pool run local --no-wait 'Tidy up the docs'   prints the task's id
  claude-comms pool status tests

A pool has three workers and runs three tasks at a time; the others wait in its queue. The pool `local` always exists.
COMMAND gets the prompt in place of {prompt}, or on standard input. A PROMPT of - is read from standard input.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a pool
    Create(Create),
    /// List the pools
    List,
    /// Show a pool and its workers
    Status {
        /// The pool
        id: String,
    },
    /// Have a pool perform a task, and print the result
    Run(Run),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Letters, digits, '.', '_' and '-', at most 64
    id: String,
    /// How tasks are performed: by a command, or (to try things out) by giving the prompt back
    #[arg(long, value_name = "KIND", value_parser = ["command", "echo"])]
    executor: Option<String>,
    /// A name for several pools together
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// Where its tasks run unless they say; else the current directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many tasks may wait; else as configured (1000)
    #[arg(long, value_name = "N")]
    queue_max: Option<usize>,
    /// How long one attempt may take, in seconds or like 1h; else as configured (30 minutes)
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
    /// The program and its arguments; else as configured (claude -p)
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// The pool
    id: String,
    /// A JSON object that the task's process finds in CLAUDE_COMMS_CONTEXT
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
    /// The same key again is the same task, not another one
    #[arg(long, value_name = "K")]
    key: Option<String>,
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
    no_wait: bool,
    /// What to do, or - for standard input
    prompt: String,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Create(create) => self::create(create, session)?,
        Verb::List => session.ask(&Request::PoolList(wire::Empty {}), show_pools)?,
        Verb::Status { id } => {
            session.ask(&Request::PoolStatus(wire::PoolId { pool_id: id }), show_pool)?;
        }
        Verb::Run(run) => return perform(run, session),
    }
    Ok(OK)
}

fn create(create: Create, session: &mut Session) -> Result<(), Failure> {
    let request = Request::PoolCreate(wire::PoolCreate {
        pool_id: create.id,
        executor: create.executor,
        command: (!create.command.is_empty()).then_some(create.command),
        group: create.group,
        dir: Some(input::directory_or_current(create.dir)?),
        queue_max: create.queue_max,
        timeout_seconds: create.timeout,
    });
    session.ask(&request, |output, pool: wire::Pool| {
        let status = output.status(&pool.status);
        output.line(format_args!("pool {} is {status}", pool.pool_id))
    })
}

fn show_pools(output: &mut Output, found: wire::Pools) -> Result<(), Failure> {
    let row = |pool: &wire::Pool| {
        vec![
            table::word(&pool.pool_id),
            table::word(&pool.status),
            table::word(&pool.executor),
            table::number(pool.tasks_running),
            table::number(pool.queue_size),
            table::number(pool.tasks_completed),
            table::number(pool.tasks_failed),
            table::maybe_text(pool.dir.as_deref()),
        ]
    };
    let heading = ["POOL", "STATUS", "EXECUTOR", "RUNNING", "QUEUED", "COMPLETED", "FAILED", "DIRECTORY"];
    table::print(output, &heading, found.pools.iter().map(row).collect(), "there are no pools")
}

fn show_pool(output: &mut Output, pool: wire::Pool) -> Result<(), Failure> {
    let finished = pool.tasks_completed + pool.tasks_failed;
    let rate = if finished == 0 { String::new() } else { format!(", {:.0} % good", pool.success_rate * 100.0) };
    Details::default()
        .foreign("pool", &pool.pool_id)
        .add("status", output.status(&pool.status))
        .foreign("executor", &pool.executor)
        .maybe("command", pool.command.map(|words| words.join(" ")).as_deref())
        .maybe("directory", pool.dir.as_deref())
        .add("running", pool.tasks_running)
        .add("queued", format_args!("{} of at most {}", pool.queue_size, pool.queue_max))
        .add("finished", format_args!("{} completed, {} failed{rate}", pool.tasks_completed, pool.tasks_failed))
        .add("timeout", format_args!("{} s", pool.timeout_seconds))
        .add("created", format_args!("{} UTC", table::short_time(&pool.created_at)))
        .print(output)?;
    output.line("")?;
    let row = |worker: &wire::Worker| {
        vec![
            table::word(&worker.worker_id),
            table::word(&worker.status),
            table::word(if worker.healthy { "yes" } else { "NO" }),
            table::number(worker.tasks_succeeded),
            table::number(worker.tasks_failed),
            table::number(format_args!("{:.3} s", worker.avg_processing_time)),
            table::Kept::Whole(worker.last_activity.as_deref().map_or_else(|| "-".to_owned(), table::short_time)),
        ]
    };
    let heading = ["WORKER", "STATUS", "HEALTHY", "COMPLETED", "FAILED", "AVERAGE", "LAST ACTIVE (UTC)"];
    table::print(output, &heading, pool.workers.iter().map(row).collect(), "it has no workers")
}

fn perform(run: Run, session: &mut Session) -> Outcome {
    let no_wait = run.no_wait;
    let request = Request::TaskSubmit(wire::TaskSubmit {
        prompt: input::text_or_stdin(run.prompt)?,
        pool_id: Some(run.id),
        context: run.context,
        dir: Some(input::directory_or_current(run.dir)?),
        system_prompt: None,
        priority: run.priority,
        timeout_seconds: run.timeout,
        key: run.key,
        delay_seconds: run.delay,
        retries: run.retries,
        on_crash: run.on_crash,
    });
    let mut client = session.connect()?;
    let answer = client.call_raw(&request, Some(PATIENCE))?;
    let submitted: wire::Submitted = read(&answer)?;
    if submitted.duplicate {
        session.output.say(format_args!("there is a task with that key already: {}", submitted.task_id));
    }
    if no_wait {
        session.print(&answer, |output, submitted: wire::Submitted| output.line(submitted.task_id))?;
        return Ok(OK);
    }
    let request = Request::TaskWait(wire::TaskWait { task_id: submitted.task_id, timeout_seconds: None });
    // A task has its own timeouts; the daemon answers after them, or its end is told by the connection.
    let task: wire::Task = read(&client.call_raw(&request, None)?)?;
    task::print_result(&task, session)
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;

    #[test]
    fn a_command_stands_behind_two_dashes() {
        assert!(parse_words("pool create p --executor command -- cargo test --json {prompt}").is_ok());
        assert!(parse_words("pool create p cargo").is_err());
        assert!(parse_words("pool create p --executor shell").is_err());
    }

    #[test]
    fn a_task_has_all_its_flags() {
        let line = "pool run local - --context {\"a\":1} --dir . --priority -5 --timeout 1m --key k --delay 10s \
                    --retries 2 --on-crash requeue --no-wait";
        assert!(parse_words(line).is_ok());
        assert!(parse_words("pool run local - --context 7").is_err());
    }
}
