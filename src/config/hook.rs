//! Hooks: commands that run when something happens.

use std::time::Duration;

use super::record::Record;
use super::value::{Given, Value, quoted};

/// Longest channel, and longest name of an event, that may be named.
const CHANNEL_BYTES_MAX: usize = 320;
const EVENT_BYTES_MAX: usize = 64;

/// A `[[hook]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Unique.
    pub name: String,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Any of these; never empty.
    pub channels: Vec<String>,
    /// Any of these; all when empty.
    pub events: Vec<String>,
    pub min_severity: MinSeverity,
    /// For one run of the command.
    pub timeout: Duration,
}

/// How loud an event must be at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinSeverity {
    Info,
    Warning,
    Error,
}

impl From<&Record> for Hook {
    fn from(record: &Record) -> Hook {
        Hook {
            name: record.text("name"),
            command: record.words("command"),
            channels: record.words("channels"),
            events: record.words("events"),
            min_severity: match record.choice("min_severity") {
                Some("error") => MinSeverity::Error,
                Some("warning") => MinSeverity::Warning,
                _ => MinSeverity::Info,
            },
            timeout: record.seconds("timeout_seconds"),
        }
    }
}

/// Values that are good by themselves contradict each other nowhere.
pub(super) fn fault(_: &Record) -> Option<(&'static str, String)> {
    None
}

/// None at all would be a hook for nothing.
pub(super) fn check_channels(items: &[Given]) -> Result<Value, String> {
    if items.is_empty() { Err("an empty list".to_owned()) } else { check(items, is_channel) }
}

pub(super) fn check_events(items: &[Given]) -> Result<Value, String> {
    check(items, is_event)
}

fn check(items: &[Given], is_one: fn(&str) -> bool) -> Result<Value, String> {
    let one = |item: &Given| match item {
        Given::Text(text) if is_one(text) => Ok(text.clone()),
        Given::Text(text) => Err(format!("a list with {} in it", quoted(text))),
        other => Err(format!("a list with {} in it", other.type_name())),
    };
    items.iter().map(one).collect::<Result<_, _>>().map(Value::Words)
}

/// What subscribers may name too; a test holds it against that.
fn is_channel(text: &str) -> bool {
    let whole = ["*", "global", "messages", "alerts", "insights"].contains(&text);
    let parts = text.split_once(':').is_some_and(|(kind, id)| !kind.is_empty() && !id.is_empty());
    text.len() <= CHANNEL_BYTES_MAX && (whole || parts)
}

fn is_event(text: &str) -> bool {
    let fits = (1..=EVENT_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests;
