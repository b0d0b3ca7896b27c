//! Tools that have a pool do something and wait for it.

use super::Served;
use super::awaited::{Awaited, End, Patience, finished};
use super::batch::{self, Batch};
use super::desk::{Desk, refused, unexpected, with};
use super::followed;
use super::schemas::{self, list, text, whole, word};
use super::standing::{Place, Standing};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::id::{PoolId, TaskId};
use crate::model::limits;
use crate::model::routing::Strategy;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn tools(desk: &Desk) -> Vec<Served> {
    let timeout = desk.translator.defaults().task_timeout;
    vec![
        Served::as_task(execute_on_pool(timeout), execute),
        Served::new(execute_batch_on_pool(timeout), batch),
        Served::new(route_to_pool(timeout), route),
    ]
}

fn timeout_argument(pools_own: Duration) -> Value {
    schemas::timeout(&format!(
        "Seconds that it may run, and may wait for a worker; then it is ended and has failed. Else the pool's own, {} unless \
         the pool was made with another.",
        pools_own.as_secs_f64()
    ))
}

fn execute_on_pool(timeout: Duration) -> Tool {
    Tool {
        name: "execute_on_pool",
        title: "Have a pool work on a prompt",
        description: "\
Gives a prompt to a worker of a pool and waits for its result. The worker is an agent or program that knows nothing of this \
conversation: say everything that it needs, and where to work in context.repo. While it runs its progress is told. When it fails, \
`error` says why, and get_task_log what it has written. Giving up the call ends its process, except over HTTP in the legacy era of \
the protocol; cancel_task ends it anywhere. For several prompts that do not depend on each other: execute_batch_on_pool. To go on \
meanwhile: submit_task.",
        input: schemas::arguments(
            vec![
                ("pool_id", schemas::pool_id()),
                ("prompt", schemas::filled("What the worker is to do, all of it.")),
                ("context", schemas::context()),
                ("timeout", timeout_argument(timeout)),
            ],
            &["pool_id", "prompt"],
        ),
        output: Some(schemas::answer(schemas::outcome(), &["log"])),
        effect: Effect::Adds { again: false },
        open_world: true,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Execute {
    pool_id: String,
    prompt: String,
    context: Option<Value>,
    timeout: Option<f64>,
}

fn execute(desk: &Desk, args: Execute, as_task: bool) -> Step {
    let known = json!({"pool_id": args.pool_id});
    let patience = patience(args.timeout);
    let submit = wire::TaskSubmit {
        prompt: args.prompt,
        pool_id: Some(args.pool_id),
        context: args.context,
        timeout_seconds: args.timeout,
        ..wire::TaskSubmit::default()
    };
    let then = desk.clone();
    submitted(desk, submit, Vec::new(), move |outcome| match outcome {
        Err(refusal) => refused(&refusal, known),
        Ok((task, _)) if as_task => followed::begin(&then, task),
        Ok((task, pool)) => {
            let desk = then.clone();
            Awaited::start(&then, task, &pool, patience, move |end| tell(&desk, end, patience, known, json!({})))
        }
    })
}

fn route_to_pool(timeout: Duration) -> Tool {
    let selector = word("How the pool is chosen.", &Strategy::ALL.map(Strategy::as_str));
    let mut outcome = schemas::outcome();
    outcome.push(("strategy", text("how the pool was chosen")));
    Tool {
        name: "route_to_pool",
        title: "Have whichever pool suits work on a prompt",
        description: "\
As execute_on_pool, but the pool is chosen: the one with the least to do unless `selector` says otherwise. The answer names it. \
Use it when any pool will do: pools may run different programs, and `group` keeps to some of them. Pools that only echo are left \
out unless the group is theirs, and so is, without context.repo, every pool that has no directory.",
        input: schemas::arguments(
            vec![
                ("prompt", schemas::filled("What the worker is to do, all of it.")),
                ("context", schemas::context()),
                ("selector", schemas::default(selector, Strategy::LeastLoaded.as_str())),
                ("group", text("Only pools of this group.")),
                ("timeout", timeout_argument(timeout)),
            ],
            &["prompt"],
        ),
        output: Some(schemas::answer(outcome, &["log"])),
        effect: Effect::Adds { again: false },
        open_world: true,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Route {
    prompt: String,
    context: Option<Value>,
    selector: Option<String>,
    group: Option<String>,
    timeout: Option<f64>,
}

fn route(desk: &Desk, args: Route) -> Step {
    let selector = args.selector.unwrap_or_else(|| Strategy::LeastLoaded.as_str().to_owned());
    let patience = patience(args.timeout);
    let known = json!({"strategy": selector});
    let submit = wire::TaskSubmit {
        prompt: args.prompt,
        selector: Some(selector),
        group: args.group,
        context: args.context,
        timeout_seconds: args.timeout,
        ..wire::TaskSubmit::default()
    };
    let then = desk.clone();
    submitted(desk, submit, Vec::new(), move |outcome| match outcome {
        Err(refusal) => refused(&refusal, known),
        Ok((task, pool)) => {
            let desk = then.clone();
            let strategy = known.clone();
            Awaited::start(&then, task, &pool, patience, move |end| tell(&desk, end, patience, known, strategy))
        }
    })
}

/// Submits a task; `then` gets its id and its pool once it is durable. Giving up cancels it, and `others`.
pub(super) fn submitted(
    desk: &Desk,
    submit: wire::TaskSubmit,
    others: Vec<Command>,
    then: impl FnOnce(Result<(TaskId, PoolId), Refusal>) -> Step + Send + 'static,
) -> Step {
    desk.command(Request::TaskSubmit(submit), move |command| {
        let command = match command {
            Ok(command) => command,
            Err(refusal) => return then(Err(refusal)),
        };
        let mut abort = others;
        if let Command::Submit(submit) = &command {
            abort.push(Command::CancelTask { id: submit.id.clone() });
        }
        Step::ask_or_abort(command, abort, move |outcome| match outcome {
            Ok(Reply::Submitted { task, pool, .. }) => then(Ok((task, pool))),
            Ok(other) => then(Err(unexpected(&other))),
            Err(refusal) => then(Err(refusal)),
        })
    })
}

/// The time that a task has to run is the time that it has to begin as well.
fn patience(timeout: Option<f64>) -> Patience {
    let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.map_or(Patience::Endless, Patience::ToBegin)
}

/// What has come of a task, with what else the tool has to say of it.
pub(super) fn tell(desk: &Desk, end: End, patience: Patience, known: Value, more: Value) -> Step {
    let (shown, standing) = match end {
        End::Ended(view) => (desk.value_of(Reply::Task(view)), None),
        End::NotBegun(view, standing) => (desk.value_of(Reply::Task(view)), Some(standing)),
        End::Late(standing) => return late(&standing, with(known, more)),
        End::Refused(refusal) => (Err(refusal), None),
    };
    match shown.map(|task| finished(&task)) {
        Err(refusal) => refused(&refusal, known),
        Ok(Ok(answer)) => Step::answered(&with(answer, more)),
        Ok(Err(mut details)) => {
            if let Some(standing) = standing {
                details["error"] = not_begun(&standing, patience).into();
                details = with(details, standing.details.into_iter().collect());
            }
            Step::failed(&with(details, more))
        }
    }
}

/// The time is up for whoever waited, and the task goes on.
fn late(standing: &Standing, known: Value) -> Step {
    let task = known["task_id"].as_str().unwrap_or_default();
    let sentence = format!("the time is up; task {task} {}", standing.place.in_words());
    let details: Value = standing.details.iter().cloned().collect();
    refused(&Refusal::new(Code::TimedOut, sentence), with(known, details))
}

fn not_begun(standing: &Standing, patience: Patience) -> String {
    let seconds = match patience {
        Patience::ToBegin(wait) | Patience::ToEnd(wait) => wait.as_secs_f64(),
        Patience::Endless => 0.0,
    };
    match &standing.place {
        Place::Kept(why) => format!("{why}; the task was not begun within {seconds} s, and was cancelled"),
        Place::Waits(_) | Place::Runs(_) => format!("no worker was free within {seconds} s; the task was cancelled"),
    }
}

fn execute_batch_on_pool(timeout: Duration) -> Tool {
    let prompts = json!({
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
        "maxItems": limits::BATCH_PROMPTS_MAX,
        "description": "One for each task; each says everything that its worker needs.",
    });
    let running = format!(
        "Seconds that each may run, not counting what it waits for a worker. Else the pool's own, {} unless the pool was made \
         with another.",
        timeout.as_secs_f64()
    );
    Tool {
        name: "execute_batch_on_pool",
        title: "Have a pool work on several prompts",
        description: "\
Gives several prompts to a pool, whose three workers work on them at the same time, and waits for all. The results come in the \
order of the prompts, each with its own `success`: look at each, for one may fail while others succeed; failed_count says how \
many did. Giving up the call cancels what has not ended, as with execute_on_pool. A long result is left out and marked; get_task has it.",
        input: schemas::arguments(
            vec![
                ("pool_id", schemas::pool_id()),
                ("prompts", prompts),
                ("context", schemas::context()),
                ("timeout", schemas::timeout(&running)),
            ],
            &["pool_id", "prompts"],
        ),
        output: Some(schemas::answer(
            vec![
                ("pool_id", text("")),
                ("results_count", whole("")),
                ("failed_count", whole("how many of them failed")),
                ("results", list("in the order of the prompts", batch::result())),
            ],
            &[],
        )),
        effect: Effect::Adds { again: false },
        open_world: true,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Prompts {
    pool_id: String,
    prompts: Vec<String>,
    context: Option<Value>,
    timeout: Option<f64>,
}

fn batch(desk: &Desk, args: Prompts) -> Step {
    let common = wire::TaskSubmit {
        context: args.context,
        timeout_seconds: args.timeout,
        pool_id: Some(args.pool_id),
        ..wire::TaskSubmit::default()
    };
    Batch::start(desk, args.prompts, common)
}
