//! What is different between two readings of the configuration, for whoever is to be told.

use super::layers::Origins;
use super::record::Record;
use super::sections::{SECTIONS, Section};
use std::fmt;

/// One setting that has another value, or one of a list that has come or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub section: &'static str,
    /// `None`: all that belongs to one of a list.
    pub setting: Option<&'static str>,
    what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Origins {
    /// What is different in `new`, in the order of the table of settings.
    pub fn changes(&self, new: &Origins) -> Vec<Change> {
        let mut changes = Vec::new();
        for &section in SECTIONS {
            if section.is_list() {
                in_list(section, self, new, &mut changes);
            } else {
                between(&self.section(section), &new.section(section), section.name, &mut changes);
            }
        }
        changes
    }
}

/// Those of a list are known by their names.
fn in_list(section: &'static Section, old: &Origins, new: &Origins, changes: &mut Vec<Change>) {
    let named = |all: &Origins, name: &str| all.all(section).find(|record| name_of(record) == name).cloned();
    let whole = |name: &str, verb: &str| Change {
        section: section.name,
        setting: None,
        what: format!("{} {name:?} is {verb}", section.heading()),
    };
    for record in old.all(section) {
        let name = name_of(record);
        match named(new, name) {
            Some(other) => between(record, &other, &format!("{} {name:?}", section.heading()), changes),
            None => changes.push(whole(name, "gone")),
        }
    }
    for record in new.all(section).filter(|record| named(old, name_of(record)).is_none()) {
        changes.push(whole(name_of(record), "new"));
    }
}

fn name_of(record: &Record) -> &str {
    record.name().map_or("", |(name, _)| name)
}

fn between(old: &Record, new: &Record, whose: &str, changes: &mut Vec<Change>) {
    let section = old.section;
    let joint = if section.is_list() { " " } else { "." };
    for (old, new) in old.entries.iter().zip(&new.entries).filter(|(old, new)| old.value != new.value) {
        let [was, is] = [old, new].map(|entry| entry.value.as_ref().map_or("not set".to_owned(), ToString::to_string));
        // Secrets look the same.
        let difference = if was == is { "has changed".to_owned() } else { format!("was {was}, is {is}") };
        changes.push(Change {
            section: section.name,
            setting: Some(old.row.name),
            what: format!("{whose}{joint}{} {difference}", old.row.name),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides, Sources};
    use super::*;

    fn read(text: &str) -> Origins {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { user_file: Some(file), user_file_required: true, ..Sources::default() };
        Config::load(&sources, &Overrides::default()).unwrap().origins
    }

    #[test]
    fn each_difference_is_told_once_with_both_values() {
        let old = read(
            "[daemon]\ninterval_seconds = 2\n[otlp]\nheaders = { authorization = 'a' }\n\
             [[alert]]\nname = 'crowded'\nmetric = 'm'\nabove = 1\n[[alert]]\nname = 'old'\nmetric = 'm'\nabove = 1\n",
        );
        assert_eq!(old.changes(&old), []);
        let new = read(
            "[daemon]\nlog_level = 'debug'\n[otlp]\nheaders = { authorization = 'b' }\n\
             [[alert]]\nname = 'new'\nmetric = 'm'\nabove = 1\n[[alert]]\nname = 'crowded'\nmetric = 'm'\nabove = 2\n",
        );
        let changes: Vec<String> = old.changes(&new).iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "daemon.interval_seconds was 2, is 1",
                "daemon.log_level was \"info\", is \"debug\"",
                "otlp.headers has changed",
                "[[alert]] \"crowded\" above was 1.0, is 2.0",
                "[[alert]] \"old\" is gone",
                "[[alert]] \"new\" is new",
            ]
        );
        assert!(old.changes(&new).iter().all(|change| !change.to_string().contains("authorization")));
        assert_eq!(old.changes(&new)[1].setting, Some("log_level"));
    }
}
