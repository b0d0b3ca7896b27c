//! Tools about pools: making, seeing and ending them.

use super::Served;
use super::desk::{Desk, answered, counted, named, passed_on, refused, value};
use super::schemas::{self, flag, list, text, whole, word};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use crate::model::limits;
use crate::model::pool::ExecutorKind;
use serde::Deserialize;
use serde_json::json;

pub(super) fn tools() -> Vec<Served> {
    vec![
        Served::new(create_pool(), create),
        Served::new(list_pools(), all),
        Served::new(get_pool_status(), status),
        Served::new(check_pool_health(), health),
        Served::new(delete_pool(), delete),
        Served::new(get_pool_manager_status(), manager),
    ]
}

fn create_pool() -> Tool {
    let executors = [ExecutorKind::Command, ExecutorKind::Echo].map(ExecutorKind::as_str);
    Tool {
        name: "create_pool",
        title: "Create a pool of three workers",
        description: "\
Creates a pool with exactly three workers and starts it. Only needed when none of the pools that list_pools shows will do. Give `dir`, or `context.repo` with each task: a command needs a directory to run in. Afterwards: execute_on_pool with the \
pool_id of the answer. The pool stays, over restarts too, until delete_pool.",
        input: schemas::arguments(
            vec![
                (
                    "pool_id",
                    text("A name: letters, digits, '.', '_' and '-', at most 64. Else pool_ and eight digits."),
                ),
                (
                    "executor",
                    schemas::default(
                        word(
                            "command runs a program; echo is only for trials: it never does work, and answers with the prompt.",
                            &executors,
                        ),
                        "command",
                    ),
                ),
                ("command", list("The program and its arguments; else the configured one, an agent.", text(""))),
                ("dir", text("An absolute path of a directory: where tasks run that name none.")),
                ("group", text("A name that several pools share, to route among.")),
                ("queue_max", schemas::range("Tasks that may wait.", 1, 1_000_000)),
                ("timeout", schemas::timeout("Seconds that a task may run which names no timeout.")),
            ],
            &[],
        ),
        output: Some(schemas::answer(
            vec![
                ("pool_id", text("")),
                ("status", text("running")),
                ("executor", text("")),
                ("dir", schemas::text_or_null("")),
                ("workers_count", whole("")),
                ("queue_size", whole("")),
                ("created_at", text("")),
            ],
            &[],
        )),
        effect: Effect::Adds { again: false },
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Create {
    pool_id: Option<String>,
    executor: Option<String>,
    command: Option<Vec<String>>,
    dir: Option<String>,
    group: Option<String>,
    queue_max: Option<usize>,
    timeout: Option<f64>,
}

fn create(desk: &Desk, args: Create) -> Step {
    let known = args.pool_id.as_ref().map_or_else(|| json!({}), |id| json!({"pool_id": id}));
    let request = Request::PoolCreate(wire::PoolCreate {
        pool_id: args.pool_id,
        executor: args.executor,
        command: args.command,
        dir: args.dir,
        group: args.group,
        queue_max: args.queue_max,
        timeout_seconds: args.timeout,
        ..wire::PoolCreate::default()
    });
    desk.request(request, move |outcome| match outcome {
        Ok(pool) => {
            let keys = ["pool_id", "status", "executor", "dir", "workers_count", "queue_size", "created_at"];
            let mut pool = value(&pool);
            answered(keys.iter().map(|key| ((*key).to_owned(), pool[*key].take())).collect())
        }
        Err(refusal) => refused(&refusal, known),
    })
}

fn list_pools() -> Tool {
    Tool {
        name: "list_pools",
        title: "List pools",
        description: "\
All pools with what they run, where, how much waits and runs, and how their workers do. Begin here to find a pool_id for \
execute_on_pool, or leave the choice to route_to_pool.",
        input: schemas::arguments(Vec::new(), &[]),
        output: Some(schemas::answer(vec![("pools_count", whole("")), ("pools", list("", schemas::pool()))], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

/// No arguments.
#[derive(Deserialize)]
pub(super) struct Nothing {}

fn all(desk: &Desk, _: Nothing) -> Step {
    desk.request(Request::PoolList(wire::Empty {}), |outcome| match outcome {
        Ok(pools) => counted("pools_count", "pools", &pools),
        Err(refusal) => refused(&refusal, json!({})),
    })
}

fn get_pool_status() -> Tool {
    Tool {
        name: "get_pool_status",
        title: "Show a pool",
        description: "\
One pool: its state, its queue, its numbers and its three workers. For whether it is well: check_pool_health.",
        input: schemas::arguments(vec![("pool_id", schemas::pool_id())], &["pool_id"]),
        output: Some(schemas::answer(vec![("pool_id", text("")), ("status", schemas::pool())], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Named {
    pool_id: String,
}

fn status(desk: &Desk, args: Named) -> Step {
    desk.request(Request::PoolStatus(wire::PoolId { pool_id: args.pool_id.clone() }), move |outcome| match outcome {
        Ok(pool) => named("pool_id", "status", &pool),
        Err(refusal) => refused(&refusal, json!({"pool_id": args.pool_id})),
    })
}

fn check_pool_health() -> Tool {
    Tool {
        name: "check_pool_health",
        title: "Check the health of pools",
        description: "\
Whether the workers of a pool, or without pool_id of all pools, are well. A worker is unhealthy after three failures in a row, \
when its task has written nothing for long, or when it is gone. Look here when tasks fail or do not begin: a pool whose command \
fails is held until held_until, and held_because says why.",
        input: schemas::arguments(vec![("pool_id", schemas::pool_id())], &[]),
        output: Some(schemas::answer(vec![("health", schemas::health())], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct NamedOrAll {
    pool_id: Option<String>,
}

fn health(desk: &Desk, args: NamedOrAll) -> Step {
    let known = args.pool_id.as_ref().map_or_else(|| json!({}), |id| json!({"pool_id": id}));
    desk.request(Request::PoolHealth(wire::PoolHealth { pool_id: args.pool_id }), move |outcome| match outcome {
        Ok(health) => answered(json!({"health": value(&health)})),
        Err(refusal) => refused(&refusal, known),
    })
}

fn delete_pool() -> Tool {
    Tool {
        name: "delete_pool",
        title: "Delete a pool",
        description: "\
Ends a pool and its workers; answers once it has ended. What it has not done after `timeout` seconds is cancelled: running \
processes are ended. Results of its tasks stay readable with get_task. Without the pool local, ask_module and submit_task have no pool \
unless pool_id names one.",
        input: schemas::arguments(
            vec![
                ("pool_id", schemas::pool_id()),
                (
                    "timeout",
                    schemas::default(
                        schemas::seconds("Seconds for what it still has to do.", 0.0, limits::WAIT_MAX.as_secs_f64()),
                        limits::DRAIN.as_secs_f64(),
                    ),
                ),
            ],
            &["pool_id"],
        ),
        output: Some(schemas::answer(vec![("pool_id", text("")), ("deleted", flag(""))], &[])),
        effect: Effect::Ends,
        open_world: false,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Delete {
    pool_id: String,
    timeout: Option<f64>,
}

fn delete(desk: &Desk, args: Delete) -> Step {
    let request = wire::PoolDelete { pool_id: args.pool_id.clone(), timeout_seconds: args.timeout };
    desk.request(Request::PoolDelete(request), move |outcome| match outcome {
        Ok(deleted) => passed_on(&deleted),
        Err(refusal) => refused(&refusal, json!({"pool_id": args.pool_id})),
    })
}

fn get_pool_manager_status() -> Tool {
    Tool {
        name: "get_pool_manager_status",
        title: "Show the state of all pools together",
        description: "Whether pools are served at all, how many there are and how many of them are well. For why one is not: check_pool_health.",
        input: schemas::arguments(Vec::new(), &[]),
        output: Some(schemas::answer(vec![("manager_running", flag("")), ("health", schemas::all_health())], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

fn manager(desk: &Desk, _: Nothing) -> Step {
    desk.request(Request::PoolHealth(wire::PoolHealth { pool_id: None }), |outcome| match outcome {
        Ok(health) => {
            let health = value(&health);
            answered(json!({"manager_running": health["pool_manager_running"], "health": health}))
        }
        Err(refusal) => refused(&refusal, json!({})),
    })
}
