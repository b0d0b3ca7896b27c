//! An event in a few words, for histories and lines.

use super::frame::Frame;
use super::text::{SENTENCE_CHARS_MAX, count, name, safe, short_id, span, word};
use serde_json::{Map, Value};
use std::time::Duration;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Good,
    Warning,
    Error,
}

/// As the event says itself; one of a server that does not is known by its name.
pub(crate) fn level(frame: &Frame) -> Level {
    match (frame.severity(), frame.event.as_str()) {
        (Some("info"), _) => Level::Good,
        (Some("warning"), _) => Level::Warning,
        (Some("error"), _) => Level::Error,
        (_, "task.failed" | "workflow.failed" | "alert.raised") => Level::Error,
        (_, "task.retrying" | "gap") => Level::Warning,
        (_, "worker.status_changed") if word(&frame.data, "status") == Some("error") => Level::Error,
        _ => Level::Good,
    }
}

/// What has happened, without the event's name. One safe line.
pub(crate) fn describe(frame: &Frame) -> String {
    if frame.is_cut {
        return "(too long to be shown)".to_owned();
    }
    let data = &frame.data;
    let text = match frame.event.as_str() {
        "pool.status_changed" => pool_status(data),
        "pool.scaling" => scaling(data),
        "pool.spawned" | "pool.closed" => pool_config(data),
        "pool.breaker_changed" | "upstream.breaker_changed" => change(data, "from", "to"),
        "worker.status_changed" => parts([worker(data), name(data, "status")], " "),
        "task.assigned" | "task.completed" | "task.failed" | "task.retrying" | "task.cancelled" => task(frame),
        "workflow.started"
        | "workflow.stage_completed"
        | "workflow.completed"
        | "workflow.failed"
        | "workflow.cancelled" => workflow(data),
        "message.status_changed" | "message.content_updated" => {
            parts([id(data, "message_id"), Some(change(data, "previous_status", "current_status"))], " ")
        }
        "upstream.polled" => polled(data),
        "insight.generated" => parts([name(data, "insight_type"), name(data, "description")], ": "),
        "pattern.detected" => {
            parts([name(data, "pattern_type"), name(data, "pattern"), name(data, "description")], ": ")
        }
        "gap" => parts([figure(data, "from"), figure(data, "to")], " to "),
        _ => String::new(),
    };
    if text.is_empty() { anything(data) } else { safe(&text, SENTENCE_CHARS_MAX) }
}

fn parts<const N: usize>(parts: [Option<String>; N], between: &str) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

fn id(data: &Map<String, Value>, key: &str) -> Option<String> {
    word(data, key).map(short_id)
}

fn worker(data: &Map<String, Value>) -> Option<String> {
    id(data, "worker_id")
}

fn figure(data: &Map<String, Value>, key: &str) -> Option<String> {
    count(data, key).map(|count| count.to_string())
}

fn change(data: &Map<String, Value>, from: &str, to: &str) -> String {
    parts([name(data, from).or_else(|| Some("new".to_owned())), name(data, to)], " -> ")
}

fn pool_status(data: &Map<String, Value>) -> String {
    let queued = figure(data, "queue_size").map(|size| format!("{size} queued"));
    let busy = match (count(data, "active_workers"), count(data, "worker_count")) {
        (Some(active), Some(all)) => Some(format!("{active} of {all} busy")),
        (None, Some(all)) => Some(format!("{all} workers")),
        _ => None,
    };
    parts([name(data, "status"), busy, queued], ", ")
}

fn scaling(data: &Map<String, Value>) -> String {
    let workers = figure(data, "worker_count").map(|count| format!("{count} workers"));
    parts([name(data, "event_type"), workers, name(data, "reason")], ", ")
}

fn pool_config(data: &Map<String, Value>) -> String {
    let executor = data.get("config").and_then(Value::as_object).and_then(|config| name(config, "executor"));
    parts([name(data, "pool_id"), executor], ", executor ")
}

fn task(frame: &Frame) -> String {
    let data = &frame.data;
    let inner = |key: &str| data.get(key).and_then(Value::as_object);
    let result = inner("result");
    let took = result.and_then(|result| count(result, "duration_ms")).map(Duration::from_millis);
    let attempt = inner("task").and_then(|task| count(task, "attempt")).or_else(|| count(data, "attempt"));
    let joined = if frame.event == "task.assigned" { " to " } else { " by " };
    let who = parts([id(data, "task_id"), worker(data)], joined);
    let took = took.map(|took| format!("in {}", span(took)));
    let attempt = attempt.filter(|attempt| *attempt > 1).map(|attempt| format!("(attempt {attempt})"));
    let delay = data.get("delay_seconds").and_then(Value::as_f64);
    let delay =
        delay.and_then(|delay| Duration::try_from_secs_f64(delay).ok()).map(|delay| format!("in {}", span(delay)));
    let code = result.and_then(|result| result.get("exit_code")).or_else(|| data.get("exit_code"));
    let code = code.and_then(Value::as_i64).filter(|code| *code != 0).map(|code| format!("exit code {code}"));
    let what = parts([Some(who), attempt, took, delay], " ");
    parts([Some(what), code, name(data, "error")], ", ")
}

fn workflow(data: &Map<String, Value>) -> String {
    let metadata = data.get("metadata").and_then(Value::as_object);
    let named = metadata.and_then(|metadata| name(metadata, "name"));
    let stages = match (count(data, "stages_completed"), count(data, "total_stages")) {
        (Some(done), Some(all)) => Some(format!("{done} of {all} stages")),
        _ => None,
    };
    parts([named, name(data, "stage_name"), stages, name(data, "error")], ", ")
}

fn polled(data: &Map<String, Value>) -> String {
    let length = |key: &str| data.get(key).and_then(Value::as_array).map(Vec::len);
    // The tools whose answers had numbers.
    let tools = length("metrics_collected")
        .map(|count| if count == 1 { "1 tool".to_owned() } else { format!("{count} tools") });
    let errors = length("errors").filter(|count| *count > 0).map(|count| format!("{count} not ok"));
    parts([figure(data, "poll_cycle").map(|cycle| format!("round {cycle}")), tools, errors], ", ")
}

/// What we have no words for.
fn anything(data: &Map<String, Value>) -> String {
    let shown = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Some(format!("{key}={text}")),
        Value::Number(number) => Some(format!("{key}={number}")),
        Value::Bool(bool) => Some(format!("{key}={bool}")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let known = ["severity", "snapshot"];
    let some: Vec<String> = data.iter().filter(|(key, _)| !known.contains(&key.as_str())).filter_map(shown).collect();
    safe(&some.join(" "), SENTENCE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(event: &str, data: Value) -> String {
        let text = json!({ "type": "event", "event": event, "data": data }).to_string();
        describe(&Frame::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_we_know_is_said_in_few_words() {
        let task = |data: Value| {
            let mut all = json!({"pool_id": "local", "worker_id": "local-worker-0", "task_id": "0199-12345678"});
            all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
            all
        };
        let started =
            json!({"workflow_id": "w", "metadata": {"name": "release"}, "stages_completed": 0, "total_stages": 3});
        for (event, data, expected) in [
            ("task.assigned", task(json!({"task": {"attempt": 2}})), "12345678 to worker-0 (attempt 2)"),
            (
                "task.completed",
                task(json!({"result": {"exit_code": 0, "duration_ms": 1500}})),
                "12345678 by worker-0 in 1.5 s",
            ),
            (
                "task.failed",
                task(json!({"error": "timeout", "exit_code": 1})),
                "12345678 by worker-0, exit code 1, timeout",
            ),
            (
                "task.retrying",
                task(json!({"attempt": 2, "delay_seconds": 5.0})),
                "12345678 by worker-0 (attempt 2) in 5.0 s",
            ),
            (
                "pool.status_changed",
                json!({"status": "running", "worker_count": 3, "active_workers": 1, "queue_size": 2}),
                "running, 1 of 3 busy, 2 queued",
            ),
            ("worker.status_changed", json!({"worker_id": "local-worker-1", "status": "busy"}), "worker-1 busy"),
            ("workflow.started", started, "release, 0 of 3 stages"),
            (
                "message.status_changed",
                json!({"message_id": "m-1", "previous_status": null, "current_status": "pending"}),
                "m-1 new -> pending",
            ),
            ("upstream.polled", json!({"poll_cycle": 4, "metrics_collected": ["a"], "errors": []}), "round 4, 1 tool"),
            ("gap", json!({"from": 3, "to": 9}), "3 to 9"),
            ("alert.raised", json!({"rule": "queue", "value": 7.5, "severity": "error"}), "rule=queue value=7.5"),
        ] {
            assert_eq!(said(event, data), expected, "{event}");
        }
    }

    #[test]
    fn what_we_do_not_know_is_bounded_and_harmless() {
        assert_eq!(said("x", json!({"a": "\u{1b}[2J", "b": [1], "severity": "info"})), "a=\\u{1b}[2J");
        assert_eq!(said("x", json!({"a": "y".repeat(5000)})).chars().count(), SENTENCE_CHARS_MAX);
        for event in ["task.failed", "workflow.failed", "pool.scaling", "upstream.polled", "gap"] {
            assert!(!said(event, json!({"status": 5, "task": [], "result": 1})).contains('{'), "{event}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_of_severity_is_understood() {
        let level_of = |event: &str, data: Value| {
            level(&Frame::parse(json!({"event": event, "data": data}).to_string().as_bytes()).unwrap())
        };
        assert_eq!(level_of("task.failed", json!({})), Level::Error);
        assert_eq!(level_of("task.failed", json!({"severity": "warning"})), Level::Warning);
        assert_eq!(level_of("worker.status_changed", json!({"status": "error"})), Level::Error);
        assert_eq!(level_of("anything", json!({"severity": "odd"})), Level::Good);
    }
}
