//! Alerts: rules that say which number of which metric is too high or too low, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Record;

/// An `[[alert]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Unique.
    pub name: String,
    /// As Prometheus has it: dots have become underscores.
    pub metric: String,
    /// What a series must have to be meant; all series when empty.
    pub labels: BTreeMap<String, String>,
    pub bound: Bound,
    /// How far the number must come back: not above it, or not below it. Never beyond the bound.
    pub clear: f64,
    /// How long the bound must be crossed without a break.
    pub hold: Duration,
}

/// What a number should not cross. Always finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Above(f64),
    Below(f64),
}

impl Bound {
    pub fn threshold(self) -> f64 {
        match self {
            Bound::Above(threshold) | Bound::Below(threshold) => threshold,
        }
    }
}

impl From<&Record> for Alert {
    fn from(record: &Record) -> Alert {
        let bound = match (record.number("above"), record.number("below")) {
            (Some(threshold), _) => Bound::Above(threshold),
            (None, threshold) => Bound::Below(threshold.unwrap_or_default()),
        };
        Alert {
            name: record.text("name"),
            metric: record.text("metric").replace('.', "_"),
            labels: record.table("labels"),
            bound,
            clear: record.number("clear").unwrap_or(bound.threshold()),
            hold: record.seconds("hold_seconds"),
        }
    }
}

/// What is wrong with an `[[alert]]` whose values are all good by themselves.
pub(super) fn fault(record: &Record) -> Option<(&'static str, String)> {
    let clear = record.number("clear");
    let beyond = |wanted: &str, threshold: f64, clear: f64| {
        Some(("clear", format!("alert.clear must be {wanted} the threshold {threshold}, not {clear}")))
    };
    match (record.number("above"), record.number("below"), clear) {
        (None, None, _) => Some(("name", "[[alert]] needs one of above and below".to_owned())),
        (Some(_), Some(_), _) => Some(("below", "[[alert]] takes one of above and below, not both".to_owned())),
        (Some(above), None, Some(clear)) if clear > above => beyond("at most", above, clear),
        (None, Some(below), Some(clear)) if clear < below => beyond("at least", below, clear),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
