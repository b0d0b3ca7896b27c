//! Tools about tasks: handing one in without waiting for it, seeing and cancelling it.

use super::Served;
use super::awaited::{Awaited, Patience};
use super::desk::{Desk, answered, named, passed_on, refused, value};
use super::run;
use super::schemas::{self, flag, list, text, whole, word};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use crate::model::command::{Code, Command, Refusal};
use crate::model::limits;
use crate::model::routing::Strategy;
use crate::model::task::{OnCrash, TaskStatus};
use crate::ports::Reader;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Tasks of a list that names no limit.
const LISTED: usize = 50;
/// Of a log, when nothing is said.
const LOG_BYTES: usize = 16 << 10;
const LOG_BYTES_MIN: usize = 4;
/// Whoever reads it has to pay for each byte.
const LOG_BYTES_MAX: usize = 256 << 10;

pub(super) fn tools(desk: &Desk) -> Vec<Served> {
    let timeout = desk.translator.defaults().ask_timeout;
    vec![
        Served::new(submit_task(), submit),
        Served::new(wait_for_task(timeout), wait),
        Served::new(get_task(), get),
        Served::new(get_task_log(), log),
        Served::new(cancel_task(), cancel),
        Served::new(list_tasks(), all),
    ]
}

fn submit_task() -> Tool {
    let priority = json!({
        "type": "integer", "minimum": limits::PRIORITY_MIN, "maximum": limits::PRIORITY_MAX, "default": 0,
        "description": "Greater ones go first.",
    });
    let after = json!({
        "type": "array", "items": {"type": "string"}, "maxItems": limits::AFTER_MAX,
        "description": "Ids of tasks that must be completed before this one begins.",
    });
    let retries = schemas::range("How often it is tried again when it fails.", 0, limits::RETRIES_MAX.into());
    let delay = schemas::seconds("Seconds to wait before it may begin.", 0.0, limits::WAIT_MAX.as_secs_f64());
    Tool {
        name: "submit_task",
        title: "Hand in a task",
        description: "\
Hands a prompt to a pool and returns as soon as it cannot be lost; the work goes on by itself. Afterwards: wait_for_task or get_task \
with the task_id of the answer. Give a `key` when the call may be repeated: the same key names the same task. Without pool_id and selector \
the pool local has it.",
        input: schemas::arguments(
            vec![
                ("prompt", schemas::filled("What the worker is to do, all of it.")),
                ("pool_id", schemas::pool_id()),
                ("selector", word("Instead of pool_id: how the pool is chosen.", &Strategy::ALL.map(Strategy::as_str))),
                ("group", text("With selector: only pools of this group.")),
                ("context", schemas::context()),
                ("dir", text("An absolute path: where it runs. Before context.repo.")),
                ("system_prompt", text("What is added to an agent's own instructions.")),
                ("priority", priority),
                ("timeout", schemas::timeout("Seconds that it may run. Else the pool's own.")),
                ("key", text("Makes repeating safe: a second task with the same key is the first one.")),
                ("lock", text("Tasks with the same lock run one at a time, in whatever pools.")),
                ("after", after),
                ("delay", schemas::default(delay, 0)),
                ("retries", schemas::default(retries, 0)),
                (
                    "on_crash",
                    word(
                        "When the daemon is killed while it runs: begin again, or fail. Else commands fail and echo tasks are run \
                         again, unless configured.",
                        &[OnCrash::Requeue.as_str(), OnCrash::Fail.as_str()],
                    ),
                ),
            ],
            &["prompt"],
        ),
        output: Some(schemas::answer(
            vec![
                ("task_id", text("")),
                ("pool_id", text("")),
                ("status", text("")),
                ("duplicate", flag("whether there was a task with this key already, which this is")),
                ("held_until", text("the pool's executor fails at present, and this is when a task is tried")),
            ],
            &["duplicate", "held_until"],
        )),
        effect: Effect::Adds { again: false },
        open_world: true,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Submit {
    prompt: String,
    pool_id: Option<String>,
    selector: Option<String>,
    group: Option<String>,
    context: Option<Value>,
    dir: Option<String>,
    system_prompt: Option<String>,
    priority: Option<i32>,
    timeout: Option<f64>,
    key: Option<String>,
    lock: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    delay: Option<f64>,
    retries: Option<u32>,
    on_crash: Option<String>,
}

fn submit(desk: &Desk, args: Submit) -> Step {
    let known = args.pool_id.as_ref().map_or_else(|| json!({}), |id| json!({"pool_id": id}));
    let request = Request::TaskSubmit(wire::TaskSubmit {
        prompt: args.prompt,
        pool_id: args.pool_id,
        selector: args.selector,
        group: args.group,
        context: args.context,
        dir: args.dir,
        system_prompt: args.system_prompt,
        priority: args.priority,
        timeout_seconds: args.timeout,
        key: args.key,
        lock: args.lock,
        after: args.after,
        delay_seconds: args.delay,
        retries: args.retries,
        on_crash: args.on_crash,
    });
    desk.request(request, move |outcome| match outcome {
        Ok(submitted) => passed_on(&submitted),
        Err(refusal) => refused(&refusal, known),
    })
}

fn get_task() -> Tool {
    Tool {
        name: "get_task",
        title: "Show a task",
        description: "\
One task: its prompt, how it stands, and its result or error once it has ended. While its status is pending or running, look \
again later, or wait with wait_for_task. What it has written: get_task_log.",
        input: schemas::arguments(vec![("task_id", schemas::task_id())], &["task_id"]),
        output: Some(schemas::answer(vec![("task_id", text("")), ("task", schemas::task())], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Named {
    task_id: String,
}

fn get(desk: &Desk, args: Named) -> Step {
    let known = json!({"task_id": args.task_id});
    desk.request(Request::TaskShow(wire::TaskId { task_id: args.task_id }), move |outcome| match outcome {
        Ok(task) => named("task_id", "task", &task),
        Err(refusal) => refused(&refusal, known),
    })
}

fn wait_for_task(timeout: Duration) -> Tool {
    let timeout = schemas::default(
        schemas::seconds("Seconds to wait at most.", 0.0, limits::WAIT_MAX.as_secs_f64()),
        timeout.as_secs_f64(),
    );
    Tool {
        name: "wait_for_task",
        title: "Wait until a task has ended",
        description: "\
Waits until a task has ended, whoever handed it in, and returns its result; returns at once when it has ended already. Meanwhile \
its progress is told. One that has failed or was cancelled is told as execute_on_pool does. When the time is up the code is \
timed_out, the error says how it stands, and it goes on: call it again, or look with get_task. Giving up the call ends nothing.",
        input: schemas::arguments(vec![("task_id", schemas::task_id()), ("timeout", timeout)], &["task_id"]),
        output: Some(schemas::answer(schemas::outcome(), &["log"])),
        effect: Effect::Reads,
        open_world: false,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Wait {
    task_id: String,
    timeout: Option<f64>,
}

fn wait(desk: &Desk, args: Wait) -> Step {
    let known = json!({"task_id": args.task_id});
    let timeout = args.timeout.unwrap_or(desk.translator.defaults().ask_timeout.as_secs_f64());
    let request = wire::TaskWait { task_id: args.task_id, timeout_seconds: Some(timeout), ..wire::TaskWait::default() };
    let then = desk.clone();
    desk.command(Request::TaskWait(request), move |command| match command {
        Ok(Command::WaitTask { id, timeout, .. }) => {
            let desk = then.clone();
            let patience = Patience::ToEnd(timeout.unwrap_or_default());
            Awaited::join(&then, id, patience, move |end| run::tell(&desk, end, patience, known, json!({})))
        }
        Ok(other) => refused(&Refusal::new(Code::Internal, format!("{other:.40?} is no wait")), known),
        Err(refusal) => refused(&refusal, known),
    })
}

fn get_task_log() -> Tool {
    let offset = "The byte to begin at: 0, or `next` of an answer; else so that the end is seen.";
    let offset = schemas::range(offset, 0, 1 << 53);
    let limit = schemas::range("Most bytes of it.", LOG_BYTES_MIN as u64, LOG_BYTES_MAX as u64);
    Tool {
        name: "get_task_log",
        title: "Read what a task has written",
        description: "\
What the process of a task has written in its last attempt, while it runs as well: the end of its standard output, or of its standard \
error with stream, which says most about a failure. For the part before, or to go on: offset.",
        input: schemas::arguments(
            vec![
                ("task_id", schemas::task_id()),
                ("stream", schemas::default(word("Which of the two.", &["stdout", "stderr"]), "stdout")),
                ("offset", offset),
                ("limit", schemas::default(limit, LOG_BYTES)),
            ],
            &["task_id"],
        ),
        output: Some(schemas::answer(
            vec![
                ("task_id", text("")),
                ("attempt", whole("whose output it is")),
                ("stream", text("")),
                ("text", text("what is no UTF-8 is replaced")),
                ("offset", whole("the byte at which text begins")),
                ("next", whole("the byte behind text: give it as offset to go on")),
                ("length", whole("bytes that there are so far")),
            ],
            &[],
        )),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Log {
    task_id: String,
    stream: Option<String>,
    offset: Option<u64>,
    limit: Option<usize>,
}

fn log(desk: &Desk, args: Log) -> Step {
    let known = json!({"task_id": args.task_id});
    let desk = desk.clone();
    Step::look(move |reader| match part(&desk, args, reader) {
        Ok(part) => answered(part),
        Err(refusal) => refused(&refusal, known),
    })
}

fn part(desk: &Desk, args: Log, reader: &mut dyn Reader) -> Result<Value, Refusal> {
    let limit = args.limit.unwrap_or(LOG_BYTES);
    let mut request = wire::TaskLog { task_id: args.task_id, stream: args.stream, from: 0, limit: Some(LOG_BYTES_MIN) };
    request.from = match args.offset {
        Some(offset) => offset,
        // How long it is stands in each part of it.
        None => {
            let length = desk.found(&Request::TaskLog(request.clone()), reader)?["length"].as_u64();
            length.unwrap_or_default().saturating_sub(limit as u64)
        }
    };
    request.limit = Some(limit);
    let from = request.from;
    let mut part = desk.found(&Request::TaskLog(request), reader)?;
    part["offset"] = from.into();
    Ok(part)
}

fn cancel_task() -> Tool {
    Tool {
        name: "cancel_task",
        title: "Cancel a task",
        description: "\
Cancels a task: one that waits at once, one that runs as soon as its process has ended; its status in the answer says which. \
One that is completed or has failed is refused with the code conflict.",
        input: schemas::arguments(vec![("task_id", schemas::task_id())], &["task_id"]),
        output: Some(schemas::answer(
            vec![
                ("task_id", text("")),
                ("pool_id", text("")),
                ("status", text("cancelled, or running until its process has ended")),
            ],
            &[],
        )),
        effect: Effect::Ends,
        open_world: false,
        waits: false,
    }
}

fn cancel(desk: &Desk, args: Named) -> Step {
    let known = json!({"task_id": args.task_id});
    desk.request(Request::TaskCancel(wire::TaskId { task_id: args.task_id }), move |outcome| match outcome {
        Ok(task) => {
            let task = value(&task);
            answered(json!({"task_id": task["task_id"], "pool_id": task["pool_id"], "status": task["status"]}))
        }
        Err(refusal) => refused(&refusal, known),
    })
}

fn list_tasks() -> Tool {
    Tool {
        name: "list_tasks",
        title: "List tasks",
        description: "\
The newest tasks, newest first, without prompts and results, and with the beginning of their errors; get_task has all of them. Go \
on with `before`.",
        input: schemas::arguments(
            vec![
                ("pool_id", text("Only those of this pool.")),
                ("status", word("Only those that are so.", &TaskStatus::ALL.map(TaskStatus::as_str))),
                (
                    "limit",
                    schemas::default(schemas::range("At most so many.", 1, limits::PAGE_ROWS_MAX as u64), LISTED),
                ),
                ("before", schemas::before()),
            ],
            &[],
        ),
        output: Some(schemas::answer(
            vec![
                ("tasks_count", whole("in this answer")),
                ("tasks", list("", schemas::task())),
                ("next", schemas::next()),
            ],
            &[],
        )),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct List {
    pool_id: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
    before: Option<i64>,
}

fn all(desk: &Desk, args: List) -> Step {
    let request = Request::TaskList(wire::TaskList {
        pool_id: args.pool_id,
        status: args.status,
        limit: Some(args.limit.unwrap_or(LISTED)),
        before: args.before,
    });
    desk.request(request, |outcome| match outcome {
        Ok(tasks) => listed(value(&tasks)),
        Err(refusal) => refused(&refusal, json!({})),
    })
}

/// A result is no part of a list, not even as one that is missing.
fn listed(mut found: Value) -> Step {
    let tasks = found["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let without = |mut task: Value| {
        task.as_object_mut().map(|task| task.remove("result"));
        task
    };
    let tasks: Vec<Value> = tasks.into_iter().map(without).collect();
    answered(json!({"tasks_count": tasks.len(), "tasks": tasks, "next": found["next"]}))
}
