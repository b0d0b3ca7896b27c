//! JSON Schema (2020-12) of what tools take and answer: the words, and the shapes of the control socket.

use crate::model::limits;
use serde_json::{Map, Value, json};

const ROWID_MAX: u64 = 1 << 53;
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Of a tool's arguments: there are no others.
pub(super) fn arguments(properties: Vec<(&str, Value)>, required: &[&str]) -> Value {
    json!({
        "$schema": DIALECT,
        "type": "object",
        "properties": map(properties),
        "required": required,
        "additionalProperties": false,
    })
}

/// Of what a tool answers that has done what it was asked to. All of it is there but for what is in `sometimes`; in time
/// there may be more.
pub(super) fn answer(mut properties: Vec<(&str, Value)>, sometimes: &[&str]) -> Value {
    properties.insert(0, ("success", json!({"type": "boolean", "const": true})));
    let mut schema = object("", properties, sometimes);
    schema["$schema"] = DIALECT.into();
    schema
}

pub(super) fn object(about: &str, properties: Vec<(&str, Value)>, sometimes: &[&str]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).filter(|it| !sometimes.contains(it)).collect();
    described(json!({"type": "object", "properties": map(properties), "required": required}), about)
}

fn map(properties: Vec<(&str, Value)>) -> Map<String, Value> {
    properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn described(mut schema: Value, about: &str) -> Value {
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    schema
}

/// A value of that schema, or null. In two branches: not every client takes a list of types.
fn or_null(schema: Value, about: &str) -> Value {
    described(json!({"anyOf": [schema, {"type": "null"}]}), about)
}

pub(super) fn text(about: &str) -> Value {
    described(json!({"type": "string"}), about)
}

/// One that is not empty.
pub(super) fn filled(about: &str) -> Value {
    described(json!({"type": "string", "minLength": 1}), about)
}

pub(super) fn text_or_null(about: &str) -> Value {
    or_null(json!({"type": "string"}), about)
}

pub(super) fn word(about: &str, words: &[&str]) -> Value {
    described(json!({"type": "string", "enum": words}), about)
}

pub(super) fn whole(about: &str) -> Value {
    described(json!({"type": "integer"}), about)
}

pub(super) fn whole_or_null(about: &str) -> Value {
    or_null(json!({"type": "integer"}), about)
}

pub(super) fn range(about: &str, least: u64, most: u64) -> Value {
    described(json!({"type": "integer", "minimum": least, "maximum": most}), about)
}

pub(super) fn number(about: &str) -> Value {
    described(json!({"type": "number"}), about)
}

pub(super) fn number_or_null(about: &str) -> Value {
    or_null(json!({"type": "number"}), about)
}

pub(super) fn flag(about: &str) -> Value {
    described(json!({"type": "boolean"}), about)
}

pub(super) fn list(about: &str, items: Value) -> Value {
    described(json!({"type": "array", "items": items}), about)
}

/// Of any members.
pub(super) fn anything(about: &str) -> Value {
    described(json!({"type": "object"}), about)
}

pub(super) fn anything_or_null(about: &str) -> Value {
    or_null(json!({"type": "object"}), about)
}

/// With the value that holds when the argument is left out.
pub(super) fn default(mut schema: Value, value: impl Into<Value>) -> Value {
    schema["default"] = value.into();
    schema
}

pub(super) fn pool_id() -> Value {
    text("The pool's id; list_pools names them all.")
}

pub(super) fn task_id() -> Value {
    id("The task's id")
}

pub(super) fn message_id() -> Value {
    id("The message's id")
}

/// An id, or a part of it.
pub(super) fn id(about: &str) -> Value {
    text(&format!(
        "{about}, whole, or its beginning, or four or more characters of its end, as long as that is unique."
    ))
}

pub(super) fn module(about: &str) -> Value {
    text(&format!("{about}: a module's name as list_modules has it, or the absolute path of its directory."))
}

pub(super) fn context() -> Value {
    anything(
        "`repo`, an absolute path to a directory on this machine, is where the work is done; without it the pool's own \
         directory. Whatever else is in it is for programs, as JSON in the variable CLAUDE_COMMS_CONTEXT: an agent does not see \
         it unless its command reads that, so put facts into the prompt.",
    )
}

/// Of a task's own time, in seconds.
pub(super) fn timeout(about: &str) -> Value {
    seconds(about, limits::TASK_TIMEOUT_MIN.as_secs_f64(), limits::TASK_TIMEOUT_MAX.as_secs_f64())
}

pub(super) fn seconds(about: &str, least: f64, most: f64) -> Value {
    described(json!({"type": "number", "minimum": least, "maximum": most}), about)
}

pub(super) fn before() -> Value {
    // No list is longer than a number that every program can write.
    range("To go on with a list: `next` of the answer before.", 0, ROWID_MAX)
}

pub(super) fn next() -> Value {
    whole_or_null("Where the list goes on: give it as `before`. Null at its end.")
}

fn worker() -> Value {
    object(
        "",
        vec![
            ("worker_id", text("")),
            ("pool_id", text("")),
            ("running", flag("")),
            ("healthy", flag("")),
            ("status", text("idle, busy, error, initializing, stopping or offline")),
            ("tasks_processed", whole("")),
            ("tasks_succeeded", whole("")),
            ("tasks_failed", whole("")),
            ("success_rate", number("1 when it has processed none")),
            ("avg_processing_time", number("seconds")),
            ("total_processing_time", number("seconds")),
            ("last_activity", text_or_null("")),
        ],
        &[],
    )
}

pub(super) fn pool() -> Value {
    object(
        "The pool as it is.",
        vec![
            ("pool_id", text("")),
            ("status", text("running, paused, draining or stopped")),
            ("running", flag("")),
            ("health", text("healthy, degraded or not_running")),
            ("circuit_breaker", text("CLOSED, OPEN or HALF_OPEN")),
            ("held_until", text_or_null("while its circuit breaker is not closed: when one task is tried")),
            ("held_because", text_or_null("the error of its last task that failed")),
            ("group", text_or_null("")),
            ("executor", text("command or echo")),
            ("command", or_null(list("", text("")), "")),
            ("dir", text_or_null("where its tasks run that name no directory")),
            ("env", list("names of variables that its tasks get", text(""))),
            ("on_stuck", text("report or kill")),
            ("workers_count", whole("")),
            ("queue_size", whole("tasks that wait")),
            ("queue_max", whole("")),
            ("tasks_running", whole("")),
            ("tasks_submitted", whole("")),
            ("tasks_completed", whole("")),
            ("tasks_failed", whole("")),
            ("success_rate", number("1 when it has finished none")),
            ("timeout_seconds", number("what a task of it has that names no timeout")),
            ("created_at", text("")),
            ("started_at", text_or_null("")),
            ("workers", list("", worker())),
        ],
        &[],
    )
}

fn pool_health() -> Value {
    object(
        "Of one pool.",
        vec![
            ("pool_id", text("")),
            ("status", text("healthy, degraded or not_running")),
            ("workers_healthy", whole("")),
            ("workers_total", whole("")),
            ("circuit_breaker", text("CLOSED, OPEN or HALF_OPEN")),
            ("held_until", text_or_null("nothing is begun before: its command fails")),
            ("held_because", text_or_null("the error of its last task that failed")),
            ("worker_health", list("", worker())),
        ],
        &[],
    )
}

pub(super) fn all_health() -> Value {
    object(
        "Of all pools.",
        vec![
            ("pool_manager_running", flag("")),
            ("pools_total", whole("")),
            ("pools_healthy", whole("")),
            ("pool_details", list("", pool_health())),
        ],
        &[],
    )
}

pub(super) fn health() -> Value {
    json!({"anyOf": [pool_health(), all_health()]})
}

/// What came of a task that was waited for.
pub(super) fn outcome() -> Vec<(&'static str, Value)> {
    vec![
        ("pool_id", text("")),
        ("worker_id", text_or_null("who ran it")),
        ("task_id", text("")),
        ("result", text("what the worker answered")),
        ("result_truncated", flag("whether the result is cut; the task's log has more of it")),
        ("log", text("where the rest of the result is")),
        ("exit_code", whole_or_null("of its process")),
        ("attempt", whole("")),
        ("duration_seconds", number_or_null("")),
        ("usage", anything_or_null("what the agent says that it has used")),
    ]
}

/// A task as get_task and list_tasks show it.
pub(super) fn task() -> Value {
    object(
        "",
        vec![
            ("task_id", text("")),
            ("pool_id", text("")),
            ("worker_id", text_or_null("")),
            ("status", text("pending, running, completed, failed or cancelled")),
            ("reason", text_or_null("why it is where it is")),
            ("not_before", text_or_null("")),
            ("prompt", text("")),
            ("context", json!({})),
            ("dir", text_or_null("")),
            ("result", text_or_null("")),
            ("result_truncated", flag("")),
            ("error", text_or_null("")),
            ("exit_code", whole_or_null("")),
            ("exit_signal", whole_or_null("")),
            ("attempt", whole("")),
            ("retries", whole("")),
            ("crashes", whole("")),
            ("priority", whole("")),
            ("timeout_seconds", number("")),
            ("on_crash", text("")),
            ("key", text_or_null("")),
            ("lock", text_or_null("")),
            ("workflow_id", text("")),
            ("step", text("")),
            ("after", list("tasks that it waits or waited for", text(""))),
            ("pid", whole_or_null("")),
            ("usage", anything_or_null("")),
            ("created_at", text("")),
            ("started_at", text_or_null("")),
            ("completed_at", text_or_null("")),
            ("duration_seconds", number_or_null("")),
        ],
        &["prompt", "context", "dir", "result", "result_truncated", "workflow_id", "step", "after"],
    )
}

pub(super) fn message() -> Value {
    object(
        "",
        vec![
            ("message_id", text("")),
            ("thread_id", text("")),
            ("thread_title", text_or_null("")),
            ("module", text("who wrote it")),
            ("target_module", text_or_null("whom it is for")),
            ("type", text("question, response, or another word of its author's")),
            ("status", text("pending, processing, complete, failed, or another word of its author's")),
            ("timestamp", text("")),
            ("content", text("")),
            ("content_truncated", flag("")),
            ("error", text_or_null("")),
            ("metadata", json!({})),
        ],
        &["content_truncated"],
    )
}

/// The same, or null with a reason in the description.
pub(super) fn message_or_null(about: &str) -> Value {
    or_null(message(), about)
}
