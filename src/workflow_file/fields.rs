//! The fields of one table: each is taken once, and those that nobody took are unknown.

use super::Problems;
use super::tree::{Entry, Node, Value};
use crate::model::limits;
use std::time::Duration;

pub(super) struct Fields<'a> {
    /// What the table is, for a complaint.
    what: String,
    pub(super) at: usize,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    /// Complains of keys that are none, with the one that may be meant.
    pub(super) fn new(node: &'a Node, what: &str, known: &[&str], problems: &mut Problems<'_>) -> Option<Fields<'a>> {
        let Value::Table(entries) = &node.value else {
            problems.add(node.at(), format!("{what} is {}; it must be a table", node.value.kind()));
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            let near = suggestion(&entry.key, known.iter().copied());
            let all = if near.is_empty() { format!("; it has {}", known.join(", ")) } else { near };
            problems.add(entry.key_at, format!("{what} has no key {:?}{all}", shown(&entry.key)));
        }
        Some(Fields { what: what.to_owned(), at: node.at(), entries })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Where something about a key is to be said.
    pub(super) fn place(&self, key: &str) -> usize {
        self.get(key).map_or(self.at, Node::at)
    }

    pub(super) fn text(&self, key: &str, problems: &mut Problems<'_>) -> Option<&'a str> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) => Some(text),
            other => {
                problems.add(node.at(), format!("{key} is {}; it must be a string", other.kind()));
                None
            }
        }
    }

    pub(super) fn required(&self, key: &str, problems: &mut Problems<'_>) -> Option<&'a str> {
        if self.get(key).is_none() {
            problems.add(self.at, format!("{} has no {key}", self.what));
        }
        self.text(key, problems)
    }

    pub(super) fn whole(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
        problems: &mut Problems<'_>,
    ) -> Option<i64> {
        let node = self.get(key)?;
        match node.value {
            Value::Integer(whole) if range.contains(&whole) => Some(whole),
            Value::Integer(_) | Value::Fraction(_) => {
                let (least, most) = (range.start(), range.end());
                problems.add(node.at(), format!("{key} must be a whole number from {least} to {most}"));
                None
            }
            _ => {
                problems.add(node.at(), format!("{key} is {}; it must be a number", node.value.kind()));
                None
            }
        }
    }

    /// How long an attempt may take: seconds, or like "10m".
    pub(super) fn timeout(&self, problems: &mut Problems<'_>) -> Option<Duration> {
        let node = self.get("timeout")?;
        let seconds = match &node.value {
            Value::Integer(seconds) => Some(*seconds as f64),
            Value::Fraction(seconds) => Some(*seconds),
            Value::Text(text) => text.parse::<jiff::SignedDuration>().ok().map(|length| length.as_secs_f64()),
            _ => None,
        };
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let range = limits::TASK_TIMEOUT_MIN..=limits::TASK_TIMEOUT_MAX;
        if timeout.is_none_or(|timeout| !range.contains(&timeout)) {
            let (least, most) = (range.start().as_secs_f64(), range.end().as_secs());
            problems.add(node.at(), format!("timeout must be seconds from {least} to {most}, or a text like \"10m\""));
            return None;
        }
        timeout
    }

    pub(super) fn list(&self, key: &str, problems: &mut Problems<'_>) -> Option<&'a [Node]> {
        let node = self.get(key)?;
        match &node.value {
            Value::List(nodes) => Some(nodes),
            other => {
                problems.add(node.at(), format!("{key} is {}; it must be a list", other.kind()));
                None
            }
        }
    }
}

/// A name as a complaint repeats it: not all of a long one.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// `; did you mean NAME?` when a name is close to the one that was given.
pub(super) fn suggestion<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|name| (distance(given, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len() / 4 && distance < name.len() => {
            format!("; did you mean {name:?}?")
        }
        _ => String::new(),
    }
}

/// How many letters are to be put in, left out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().take(limits::NAME_BYTES_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, same) in other.iter().map(|known| *known == letter).enumerate() {
            let changed = diagonal + usize::from(!same);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}
