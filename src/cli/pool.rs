//! `pool`: groups of three workers, and handing work to them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{FAILED, Failure, OK, Outcome};
use super::input;
use super::output::Output;
use super::session::{Session, read};
use super::table::{self, Details};
use super::{batch, submit};
use crate::control::wire::{self, Request};
use crate::control::{Client, PATIENCE};
use crate::service::logging;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms pool create tests --dir ~/src/backend -- cargo test {prompt}
  claude-comms pool run tests parser                    prints the result; exit code 1 when it failed
  claude-comms pool run local --timeout 20m - < prompt.txt
  claude-comms pool run local --no-wait 'Tidy up the docs'   prints the task's id
  claude-comms pool batch tests --retries 1 < prompts.txt    the results in order
  claude-comms pool route --selector round_robin 'Check the links'
  claude-comms pool scale web 3                              three pools, nine workers
  claude-comms pool scale web --min 1 --max 4 --down-idle 10m    as many as it takes
  claude-comms pool list
  claude-comms pool status tests                         its workers, and what they do
  claude-comms pool health tests                         exit code 1 when it is not well
  claude-comms pool pause tests                          begin nothing more; what runs goes on
  claude-comms pool resume tests                         go on, and try at once what was held
  claude-comms pool delete tests --timeout 10m

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
    /// Say how the workers are; exit code 1 when one is not well
    Health {
        /// The pool; else all of them
        id: Option<String>,
    },
    /// Have a pool perform a task, and print the result
    Run(submit::Run),
    /// Have many tasks performed, and print their results in order
    Batch(batch::Batch),
    /// Have a task performed by whichever pool suits, and print the result
    Route(submit::Route),
    /// Begin no more tasks; those that run go on, and new ones are taken
    Pause {
        /// The pool
        id: String,
    },
    /// Go on with what is queued
    Resume {
        /// The pool
        id: String,
    },
    /// Have a group of pools grow or shrink, now or by itself
    Scale(Scale),
    /// Let a pool finish what it has, and end it
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The pool
    id: String,
    /// How long it may take, in seconds or like 10m; what is left then is cancelled
    #[arg(long, value_name = "S", default_value = "5", value_parser = input::seconds)]
    timeout: f64,
}

#[derive(Debug, Args)]
pub(super) struct Scale {
    /// The group: what its pools were given as --group
    group: String,
    /// So many pools; new ones are copies of its first, and the last to come end once they have done what they have
    #[arg(value_name = "N", conflicts_with_all = ["min", "max", "up_queue", "down_idle", "off"])]
    pools: Option<usize>,
    /// It scales itself, and never has fewer pools than this; else 1
    #[arg(long, value_name = "A", requires = "max")]
    min: Option<usize>,
    /// It scales itself, and never has more pools than this
    #[arg(long, value_name = "B")]
    max: Option<usize>,
    /// One more when so many tasks for each of its pools are ready and no worker is free; else 3
    #[arg(long, value_name = "Q", requires = "max")]
    up_queue: Option<usize>,
    /// One less when none waits and a pool had nothing to do for so long, in seconds or like 10m; else 5m
    #[arg(long, value_name = "S", requires = "max", value_parser = input::seconds)]
    down_idle: Option<f64>,
    /// It scales itself no longer
    #[arg(long, conflicts_with_all = ["min", "max", "up_queue", "down_idle"])]
    off: bool,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Letters, digits, '.', '_' and '-', at most 64; without it the pool is given a name
    id: Option<String>,
    /// How tasks are performed: by a command, or (to try things out) by giving the prompt back
    #[arg(long, value_name = "KIND", value_parser = ["command", "echo"])]
    executor: Option<String>,
    /// A name for several pools together
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// Where its tasks run unless they say; else the current directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A variable that its tasks find in their environment, without =VALUE as it is here; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = input::variable)]
    env: Vec<(String, String)>,
    /// What is done about a task that says nothing for too long (5 minutes unless configured); else report
    #[arg(long, value_name = "WHAT", value_parser = ["report", "kill"])]
    on_stuck: Option<String>,
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

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Create(create) => self::create(create, session)?,
        Verb::List => session.ask(&Request::PoolList(wire::Empty {}), show_pools)?,
        Verb::Status { id } => {
            session.ask(&Request::PoolStatus(wire::PoolId { pool_id: id }), show_pool)?;
        }
        Verb::Health { id } => return health(id, session),
        Verb::Run(run) => return submit::run(run, session),
        Verb::Batch(batch) => return batch::run(batch, session),
        Verb::Route(route) => return submit::route(route, session),
        Verb::Pause { id } => session.ask(&Request::PoolPause(wire::PoolId { pool_id: id }), show_state)?,
        Verb::Resume { id } => session.ask(&Request::PoolResume(wire::PoolId { pool_id: id }), show_state)?,
        Verb::Scale(scale) => self::scale(scale, session)?,
        Verb::Delete(delete) => self::delete(delete, session)?,
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
        env: create.env.into_iter().collect(),
        queue_max: create.queue_max,
        timeout_seconds: create.timeout,
        on_stuck: create.on_stuck,
    });
    session.ask(&request, show_state)
}

fn show_state(output: &mut Output, pool: wire::Pool) -> Result<(), Failure> {
    let status = output.status(&pool.status);
    output.line(format_args!("pool {} is {status}", pool.pool_id))
}

fn scale(scale: Scale, session: &mut Session) -> Result<(), Failure> {
    let request = Request::PoolScale(wire::PoolScale {
        group: scale.group,
        pools: scale.pools,
        min_pools: scale.min,
        max_pools: scale.max,
        scale_up_queue: scale.up_queue,
        scale_down_idle_seconds: scale.down_idle,
        off: scale.off,
    });
    session.ask(&request, show_scaled)
}

fn show_scaled(output: &mut Output, scaled: wire::Scaled) -> Result<(), Failure> {
    for id in &scaled.started {
        output.line(format_args!("pool {id} was started"))?;
    }
    for id in &scaled.drained {
        output.line(format_args!("pool {id} ends once it has done what it has"))?;
    }
    if let Some(rule) = &scaled.automatic {
        let (min, max, up, down) = (rule.min_pools, rule.max_pools, rule.scale_up_queue, rule.scale_down_idle_seconds);
        output.line(format_args!(
            "group {} scales itself: {min} to {max} pools, one more at {up} tasks for each, one less after {down} s idle",
            scaled.group
        ))?;
    }
    show_pools(output, wire::Pools { pools: scaled.pools })
}

/// Waits as long as the pool may take, and a little for the answer.
fn delete(delete: Delete, session: &mut Session) -> Result<(), Failure> {
    let request = Request::PoolDelete(wire::PoolDelete { pool_id: delete.id, timeout_seconds: Some(delete.timeout) });
    // What runs when the time is up is ended with a grace that only the daemon knows, so its answer is waited for.
    let answer = session.connect()?.call_raw(&request, None)?;
    session.print(&answer, |output, deleted: wire::Deleted| {
        output.line(format_args!("pool {} is deleted", deleted.pool_id))
    })
}

fn health(id: Option<String>, session: &mut Session) -> Outcome {
    let one = id.is_some();
    let answer = session.connect()?.call_raw(&Request::PoolHealth(wire::PoolHealth { pool_id: id }), Some(PATIENCE))?;
    let pools: Vec<wire::PoolHealthReport> = match one {
        true => vec![read(&answer)?],
        false => read::<wire::ManagerHealth>(&answer)?.pool_details,
    };
    let healthy = pools.iter().all(|pool| pool.status == "healthy");
    let rows = pools.iter().map(health_row).collect();
    session.print(&answer, |output, _: Value| {
        table::print(output, &["POOL", "HEALTH", "WORKERS", "NOT WELL"], rows, "there are no pools")
    })?;
    Ok(if healthy { OK } else { FAILED })
}

fn health_row(pool: &wire::PoolHealthReport) -> Vec<table::Kept> {
    let mut unwell: Vec<String> =
        pool.worker_health.iter().filter(|one| !one.healthy).map(|one| one.worker_id.clone()).collect();
    unwell.extend(held(&pool.circuit_breaker, pool.held_until.as_deref(), pool.held_because.as_deref()));
    vec![
        table::word(&pool.pool_id),
        table::word(&pool.status),
        table::number(format_args!("{}/{}", pool.workers_healthy, pool.workers_total)),
        table::maybe_text((!unwell.is_empty()).then(|| unwell.join(", ")).as_deref()),
    ]
}

/// Why the queue of a pool waits although its workers have nothing to do; `None` when it does not.
fn held(circuit_breaker: &str, until: Option<&str>, because: Option<&str>) -> Option<String> {
    let until = until?;
    let because = because.map_or_else(String::new, |error| format!(" ({})", logging::escape(error)));
    Some(if circuit_breaker == "HALF_OPEN" {
        format!("its command could not work{because}; one task is being tried")
    } else {
        format!("its command cannot work at present{because}; one task is tried at {} UTC", table::short_time(until))
    })
}

/// Says that what was handed in will wait, if it will. Whoever waits would otherwise see nothing for a long time.
pub(super) fn hint_if_held(client: &mut Client, id: &str, output: &mut Output) -> Result<(), Failure> {
    let request = Request::PoolStatus(wire::PoolId { pool_id: id.to_owned() });
    // A pool that is not there is complained of by the request that matters.
    let Ok(answer) = client.call_raw(&request, Some(PATIENCE)) else { return Ok(()) };
    let pool: wire::Pool = read(&answer)?;
    if let Some(held) = held(&pool.circuit_breaker, pool.held_until.as_deref(), pool.held_because.as_deref()) {
        output.say(format_args!("pool {id} is held: {held} (claude-comms pool resume {id} tries at once)"));
    }
    Ok(())
}

fn show_pools(output: &mut Output, found: wire::Pools) -> Result<(), Failure> {
    let row = |pool: &wire::Pool| {
        vec![
            table::word(&pool.pool_id),
            table::word(&pool.status),
            table::word(&pool.health),
            table::maybe_text(pool.group.as_deref()),
            table::word(&pool.executor),
            table::number(pool.tasks_running),
            table::number(pool.queue_size),
            table::number(pool.tasks_completed),
            table::number(pool.tasks_failed),
            table::maybe_text(pool.dir.as_deref()),
        ]
    };
    let heading =
        ["POOL", "STATUS", "HEALTH", "GROUP", "EXECUTOR", "RUNNING", "QUEUED", "COMPLETED", "FAILED", "DIRECTORY"];
    table::print(output, &heading, found.pools.iter().map(row).collect(), "there are no pools")
}

fn show_pool(output: &mut Output, pool: wire::Pool) -> Result<(), Failure> {
    let finished = pool.tasks_completed + pool.tasks_failed;
    let rate = if finished == 0 { String::new() } else { format!(", {:.0} % good", pool.success_rate * 100.0) };
    Details::default()
        .foreign("pool", &pool.pool_id)
        .add("status", output.status(&pool.status))
        .foreign("health", &pool.health)
        .maybe("held", held(&pool.circuit_breaker, pool.held_until.as_deref(), pool.held_because.as_deref()).as_deref())
        .maybe("group", pool.group.as_deref())
        .foreign("executor", &pool.executor)
        .maybe("command", pool.command.map(|words| words.join(" ")).as_deref())
        .maybe("directory", pool.dir.as_deref())
        .maybe("variables", (!pool.env.is_empty()).then(|| pool.env.join(" ")).as_deref())
        .foreign("when stuck", &pool.on_stuck)
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
            table::maybe_time(worker.last_activity.as_deref()),
        ]
    };
    let heading = ["WORKER", "STATUS", "HEALTHY", "COMPLETED", "FAILED", "AVERAGE", "LAST ACTIVE (UTC)"];
    table::print(output, &heading, pool.workers.iter().map(row).collect(), "it has no workers")
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
    fn a_group_is_scaled_in_one_way_at_a_time() {
        for good in ["web", "web 3", "web --max 4", "web --min 1 --max 4 --up-queue 5 --down-idle 10m", "web --off"] {
            assert!(parse_words(&format!("pool scale {good}")).is_ok(), "{good}");
        }
        for bad in ["web 3 --max 4", "web 3 --off", "web --off --max 4", "web --min 1", "web x"] {
            assert!(parse_words(&format!("pool scale {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_task_has_all_its_flags() {
        let flags = "--context {\"a\":1} --dir . --priority -5 --timeout 1m --lock l --after t --after u --delay 10s \
                     --retries 2 --on-crash requeue --no-wait";
        assert!(parse_words(&format!("pool run local - --key k {flags}")).is_ok());
        assert!(parse_words(&format!("pool route - --key k --selector random --group g {flags}")).is_ok());
        assert!(parse_words(&format!("pool batch local -0 {flags} prompts.txt")).is_ok());
        assert!(parse_words("pool run local - --context 7").is_err());
    }
}
