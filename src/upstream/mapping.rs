//! What tools answer, as metrics. Pure: one table of keys, and a rule for tools that are not in it.

use crate::mcp::client::ToolAnswer;
pub use crate::model::upstream::{Sample, SampleKind};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Most metrics that are made of a tool that the table does not know.
pub const OTHER_KEYS_MAX: usize = 32;
/// What the names of these begin with.
const OTHER_PREFIX: &str = "upstream.";
/// Longest name of a metric.
pub const METRIC_BYTES_MAX: usize = 200;

/// Most keys that a message names.
const SHOWN_KEYS_MAX: usize = 8;
const SECONDS_PER_MINUTE: f64 = 60.0;

/// What an answer came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapped {
    /// The tool answered what it should. `bad` says, in a sentence each, which keys were left out and why.
    Samples { samples: Vec<Sample>, bad: Vec<String> },
    /// There is nothing in the answer that could be a metric, or nothing of it could be used; why.
    Unmapped(String),
}

struct Row {
    tool: &'static str,
    key: &'static str,
    metric: &'static str,
    kind: SampleKind,
    factor: f64,
}

const fn row(tool: &'static str, key: &'static str, metric: &'static str, kind: SampleKind) -> Row {
    Row { tool, key, metric, kind, factor: 1.0 }
}

use SampleKind::{Counter, Gauge, Histogram};

const ACTIVITY: &str = "get_activity_summary";
const WORKFLOW: &str = "get_workflow_metrics";
const ANALYTICS: &str = "get_session_analytics";
const PERFORMANCE: &str = "get_performance_metrics";

/// The documented keys, then those of session-buddy 0.23. Its numbers of sessions are gauges: those of the workflow are about
/// the last thirty days and those of the analytics about what is still stored, so both shrink without a restart, which a
/// counter would take for one. Each metric has one key, as two totals taken in turns would look like restarts too; an
/// observation may come from either of two.
const TABLE: &[Row] = &[
    row(ACTIVITY, "active_sessions", "session_buddy.sessions.active", Gauge),
    row(ACTIVITY, "total_sessions", "session_buddy.sessions.total", Counter),
    row(WORKFLOW, "workflows_completed", "session_buddy.workflows.completed", Counter),
    row(WORKFLOW, "workflows_failed", "session_buddy.workflows.failed", Counter),
    row(WORKFLOW, "avg_duration", "session_buddy.workflow.duration", Histogram),
    row(ANALYTICS, "total_checkpoints", "session_buddy.checkpoints.total", Counter),
    row(ANALYTICS, "avg_checkpoint_size", "session_buddy.checkpoint.size", Histogram),
    row(ANALYTICS, "avg_session_duration", "session_buddy.session.duration", Histogram),
    row(PERFORMANCE, "cpu_usage", "session_buddy.performance.cpu_usage", Gauge),
    row(PERFORMANCE, "memory_usage", "session_buddy.performance.memory_usage", Gauge),
    row(PERFORMANCE, "response_time", "session_buddy.performance.response_time", Histogram),
    row(WORKFLOW, "total_sessions", "session_buddy.workflow.sessions", Gauge),
    Row {
        tool: WORKFLOW,
        key: "avg_session_duration_minutes",
        metric: "session_buddy.session.duration",
        kind: Histogram,
        factor: SECONDS_PER_MINUTE,
    },
    row(WORKFLOW, "avg_checkpoints_per_session", "session_buddy.workflow.checkpoints_per_session", Gauge),
    row(WORKFLOW, "avg_commits_per_session", "session_buddy.workflow.commits_per_session", Gauge),
    row(WORKFLOW, "avg_velocity_commits_per_hour", "session_buddy.workflow.commits_per_hour", Gauge),
    row(WORKFLOW, "avg_quality_score", "session_buddy.workflow.quality_score", Gauge),
    row(WORKFLOW, "total_files_modified", "session_buddy.workflow.files_modified", Gauge),
    row(ANALYTICS, "total_analyzed", "session_buddy.sessions.analyzed", Gauge),
];

/// Makes metrics of a tool's answer.
///
/// Of a tool that the table knows the keys in it are taken, and no others. Of any other tool each number at the top becomes a
/// gauge `upstream.TOOL.KEY`, in which every character but ASCII letters, digits and `_` is a `_`; the first
/// [`OTHER_KEYS_MAX`] in the order of their names. What ends as the lines of a histogram (`_count`, `_sum`, `_bucket`) or the
/// name of a counter (`_total`) gets `_value` after it. `null` is no value and no fault.
pub fn map(tool: &str, answer: &ToolAnswer) -> Mapped {
    match answer {
        ToolAnswer::Object(object) => of_object(tool, object),
        ToolAnswer::Value(_) => {
            Mapped::Unmapped("it answered with a list or a bare value, not with named numbers".to_owned())
        }
        ToolAnswer::TextOnly(text) => match super::lenient::object(text) {
            Some(object) => of_object(tool, &object),
            None => Mapped::Unmapped("it answered with text only".to_owned()),
        },
    }
}

fn of_object(tool: &str, object: &Map<String, Value>) -> Mapped {
    let rows: Vec<&Row> = TABLE.iter().filter(|row| row.tool == tool).collect();
    if rows.is_empty() { of_other(tool, object) } else { of_known(&rows, object) }
}

fn of_known(rows: &[&Row], object: &Map<String, Value>) -> Mapped {
    let found: Vec<(&Row, &Value)> = rows.iter().filter_map(|row| Some((*row, object.get(row.key)?))).collect();
    if found.is_empty() {
        return Mapped::Unmapped(format!(
            "none of the keys that are known is in its answer, which has {}",
            keys(object)
        ));
    }
    let (mut samples, mut bad) = (Vec::new(), Vec::new());
    for (row, value) in found {
        match number(value, row.kind, row.factor) {
            Ok(Some(value)) => samples.push(Sample { metric: row.metric.to_owned(), kind: row.kind, value }),
            Ok(None) => {}
            Err(reason) => bad.push(format!("{} was left out: {reason}", row.key)),
        }
    }
    usable(samples, bad)
}

/// An answer of which nothing could be used says no more than one without a known key.
fn usable(samples: Vec<Sample>, bad: Vec<String>) -> Mapped {
    if samples.is_empty() && !bad.is_empty() {
        Mapped::Unmapped(bad.join("; "))
    } else {
        Mapped::Samples { samples, bad }
    }
}

fn of_other(tool: &str, object: &Map<String, Value>) -> Mapped {
    let numbers: Vec<(&String, &Value)> = object.iter().filter(|(_, value)| value.is_number()).collect();
    if numbers.is_empty() {
        return Mapped::Unmapped(format!("there is no number at the top of its answer, which has {}", keys(object)));
    }
    let (mut samples, mut bad, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (key, value) in numbers.iter().take(OTHER_KEYS_MAX) {
        let metric = metric_name(tool, key);
        if metric.len() > METRIC_BYTES_MAX {
            bad.push(format!("a key of {} bytes was left out: its name is too long for a metric", key.len()));
        } else if !taken.insert(metric.clone()) {
            bad.push(format!("{key} was left out: another key is called {metric} already"));
        } else if let Ok(Some(value)) = number(value, Gauge, 1.0) {
            samples.push(Sample { metric, kind: Gauge, value });
        }
    }
    if numbers.len() > OTHER_KEYS_MAX {
        bad.push(format!(
            "{} numbers were left out: at most {OTHER_KEYS_MAX} are taken",
            numbers.len() - OTHER_KEYS_MAX
        ));
    }
    usable(samples, bad)
}

/// Whether a metric is named after a tool and a key that the table does not know.
pub(super) fn is_other(metric: &str) -> bool {
    metric.starts_with(OTHER_PREFIX)
}

fn metric_name(tool: &str, key: &str) -> String {
    let plain = |text: &str| text.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_', "_");
    let name = format!("{OTHER_PREFIX}{}.{}", plain(tool), plain(key));
    let as_exported = name.replace('.', "_");
    let reserved = ["_count", "_sum", "_bucket", "_total"].iter().any(|ending| as_exported.ends_with(ending));
    if reserved { name + "_value" } else { name }
}

/// `None` for null.
fn number(value: &Value, kind: SampleKind, factor: f64) -> Result<Option<f64>, String> {
    let value = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN) * factor,
        Value::String(text) if super::lenient::is_no_number(text) => return Err(format!("{text} is no number")),
        Value::String(_) => return Err("it is a text, not a number".to_owned()),
        Value::Bool(_) => return Err("it is true or false, not a number".to_owned()),
        Value::Array(_) => return Err("it is a list, not a number".to_owned()),
        Value::Object(_) => return Err("it is an object, not a number".to_owned()),
    };
    match kind {
        _ if !value.is_finite() => Err("it is not finite".to_owned()),
        SampleKind::Counter if value < 0.0 => Err(format!("{value} is negative, which a total cannot be")),
        // The sum of a histogram would fall, as if the program had begun anew.
        SampleKind::Histogram if value < 0.0 => {
            Err(format!("{value} is negative, which a duration or a size cannot be"))
        }
        _ => Ok(Some(value)),
    }
}

fn keys(object: &Map<String, Value>) -> String {
    let mut shown: Vec<&str> =
        object.keys().map(String::as_str).filter(|key| key.len() <= 64).take(SHOWN_KEYS_MAX).collect();
    if shown.is_empty() {
        return "no keys".to_owned();
    }
    if object.len() > shown.len() {
        shown.push("…");
    }
    shown.join(", ")
}
