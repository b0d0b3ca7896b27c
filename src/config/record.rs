//! The checked values of one section, each with where it came from, and how the typed settings are read from them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::problems::Place;
use super::sections::{Row, Section};
use super::value::{Secret, Value};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    Set(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Set(place) => write!(f, "{place}"),
        }
    }
}

/// One setting as it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    pub row: &'static Row,
    /// `None`: not set, and without a default.
    pub value: Option<Value>,
    pub origin: Origin,
}

/// A section as it stands, in the order of its rows.
#[derive(Clone, Debug)]
pub struct Record {
    pub section: &'static Section,
    /// Where it begins, if it is one of a list.
    pub place: Option<Place>,
    pub entries: Vec<Entry>,
}

impl Record {
    pub(super) fn defaults(section: &'static Section) -> Record {
        let entry = |row: &'static Row| Entry { row, value: row.kind.default(), origin: Origin::Default };
        Record { section, place: None, entries: section.rows().map(entry).collect() }
    }

    pub(super) fn set(&mut self, row: &'static Row, value: Value, place: Place) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.row.name == row.name) {
            entry.value = Some(value);
            entry.origin = Origin::Set(place);
        }
    }

    /// What it is called among others of its list, and where that is written.
    pub(super) fn name(&self) -> Option<(&str, &Place)> {
        match self.entries.iter().find(|entry| entry.row.name == "name") {
            Some(Entry { value: Some(Value::Text(name)), origin: Origin::Set(place), .. }) => Some((name, place)),
            _ => None,
        }
    }

    /// Where a value was written, if it was.
    pub(super) fn place_of(&self, name: &str) -> Option<Place> {
        match self.entries.iter().find(|entry| entry.row.name == name).map(|entry| &entry.origin) {
            Some(Origin::Set(place)) => Some(place.clone()),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let entry = self.entries.iter().find(|entry| entry.row.name == name);
        debug_assert!(entry.is_some(), "{} has no {name}", self.section.heading());
        entry?.value.as_ref()
    }

    pub(super) fn seconds(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Seconds(seconds)) => Duration::from_secs_f64(*seconds),
            other => misread(name, other),
        }
    }

    pub(super) fn count(&self, name: &str) -> u32 {
        match self.value(name) {
            Some(Value::Count(count)) => *count,
            other => misread(name, other),
        }
    }

    pub(super) fn address(&self, name: &str) -> Option<SocketAddr> {
        match self.value(name) {
            Some(Value::Address(address)) => *address,
            other => misread(name, other),
        }
    }

    pub(super) fn choice(&self, name: &str) -> Option<&'static str> {
        match self.value(name) {
            Some(Value::Choice(choice)) => Some(choice),
            None => None,
            other => misread(name, other),
        }
    }

    pub(super) fn switch(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Switch(on)) => *on,
            other => misread(name, other),
        }
    }

    pub(super) fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(text)) => text.clone(),
            other => misread(name, other),
        }
    }

    pub(super) fn text_if_set(&self, name: &str) -> Option<String> {
        self.value(name).is_some().then(|| self.text(name))
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(*number),
            None => None,
            other => misread(name, other),
        }
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        match self.value(name) {
            Some(Value::Secret(secret)) => Some(secret.clone()),
            None => None,
            other => misread(name, other),
        }
    }

    pub(super) fn secrets(&self, name: &str) -> BTreeMap<String, Secret> {
        match self.value(name) {
            Some(Value::Secrets(secrets)) => secrets.clone(),
            other => misread(name, other),
        }
    }

    pub(super) fn words(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::Words(words)) => words.clone(),
            other => misread(name, other),
        }
    }

    pub(super) fn table(&self, name: &str) -> BTreeMap<String, String> {
        match self.value(name) {
            Some(Value::Table(table)) => table.clone(),
            other => misread(name, other),
        }
    }
}

/// A row is of another kind than what is read from it: a slip in this room, which the tests of the defaults find.
fn misread<T: Default>(name: &str, value: Option<&Value>) -> T {
    debug_assert!(false, "{name} is read as another kind than {value:?}");
    T::default()
}
