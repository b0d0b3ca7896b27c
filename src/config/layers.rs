//! The layers that settings come from, laid over each other, and where each value came from in the end.

use std::ffi::OsString;
use std::path::PathBuf;

use super::problems::{ConfigProblems, Place, Problem};
use super::record::{Origin, Record};
use super::sections::{SECTIONS, Section, Setting, settings};
use super::settings::Config;
use super::value::{Given, Value};
use super::{environment, file, opentelemetry, sections};

/// Where to read from. Nothing else is looked at.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub system_file: Option<PathBuf>,
    pub user_file: Option<PathBuf>,
    /// Whether it is a problem when `user_file` does not exist: somebody named it.
    pub user_file_required: bool,
    pub environment: Vec<(OsString, OsString)>,
}

/// What the flags of this one command say, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub interval: Option<String>,
    pub max_messages: Option<String>,
    pub listen: Option<String>,
}

impl Overrides {
    fn read(&self) -> Layer {
        let mut layer = Layer::default();
        for setting in settings() {
            let Some(flag) = setting.row.flag else { continue };
            let text = match flag {
                "--interval" => &self.interval,
                "--max-messages" => &self.max_messages,
                "--listen" => &self.listen,
                _ => &None,
            };
            if let Some(text) = text {
                layer.take_text(setting, text, Place::Flag { name: flag });
            }
        }
        layer
    }
}

/// One accepted value and its place.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) setting: Setting,
    pub(super) value: Value,
    pub(super) place: Place,
}

/// All of a list, as one source has it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) section: &'static Section,
    pub(super) records: Vec<Record>,
}

/// What one source says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) written: Vec<Written>,
    pub(super) lists: Vec<Listed>,
    pub(super) problems: Vec<Problem>,
    /// What could not be followed and may be wrong.
    pub(super) ignored: Vec<Problem>,
}

impl Layer {
    pub(super) fn put(&mut self, setting: Setting, value: Value, place: Place) {
        self.written.push(Written { setting, value, place });
    }

    /// A value that will do; complains of any other.
    pub(super) fn accept(&mut self, setting: Setting, given: &Given, place: Place) -> Option<Written> {
        self.judge(setting, setting.row.kind.check(given), place)
    }

    pub(super) fn take_text(&mut self, setting: Setting, text: &str, place: Place) {
        let kind = &setting.row.kind;
        let checked = kind.read_text(text).and_then(|given| kind.check(&given));
        let written = self.judge(setting, checked, place);
        self.written.extend(written);
    }

    fn judge(&mut self, setting: Setting, checked: Result<Value, String>, place: Place) -> Option<Written> {
        match checked {
            Ok(value) => Some(Written { setting, value, place }),
            Err(sentence) => {
                let sentence = format!("{} {sentence}", setting.key());
                self.problems.push(Problem { place, sentence });
                None
            }
        }
    }
}

/// Every setting as it stands.
#[derive(Clone, Debug)]
pub struct Origins(Vec<Record>);

impl Origins {
    pub(super) fn defaults() -> Origins {
        let once = SECTIONS.iter().filter(|section| !section.is_list());
        Origins(once.map(|&section| Record::defaults(section)).collect())
    }

    /// Every record of a section: one, or as many as its list has, in their order.
    pub fn all(&self, section: &'static Section) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(|record| record.section.name == section.name)
    }

    pub(super) fn section(&self, section: &'static Section) -> Record {
        self.all(section).next().cloned().unwrap_or_else(|| Record::defaults(section))
    }

    /// Whether somebody wrote the setting `section.name` down, even if it is what the default says.
    pub fn is_explicit(&self, key: &str) -> bool {
        let Some((section, name)) = key.split_once('.') else { return false };
        let of_section = self.0.iter().filter(|record| record.section.name == section);
        let mut entries = of_section.flat_map(|record| &record.entries).filter(|entry| entry.row.name == name);
        entries.any(|entry| entry.origin != Origin::Default)
    }

    fn lay_over(&mut self, layer: Layer) {
        for Written { setting, value, place } in layer.written {
            let home = self.0.iter_mut().find(|record| record.section.name == setting.section.name);
            if let Some(record) = home {
                record.set(setting.row, value, place);
            }
        }
        for Listed { section, records } in layer.lists {
            self.0.retain(|record| record.section.name != section.name);
            self.0.extend(records);
        }
    }
}

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub origins: Origins,
    /// What is allowed, and perhaps not meant.
    pub warnings: Vec<Problem>,
    /// Variables that others read too, and that cannot be followed here.
    pub ignored: Vec<Problem>,
}

impl Config {
    /// Reads every layer: defaults, the system's file, the user's file, the environment (names of others before ours), flags; later ones win, and a
    /// list or table is replaced as a whole.
    ///
    /// # Errors
    /// All problems of all layers, also of values that a later layer replaces.
    pub fn load(sources: &Sources, overrides: &Overrides) -> Result<Loaded, ConfigProblems> {
        let mut layers = Vec::new();
        // One file under both names is read once, and its problems are told once.
        if let Some(path) = sources.system_file.as_ref().filter(|&path| Some(path) != sources.user_file.as_ref()) {
            layers.push(file::read(path, false));
        }
        if let Some(path) = &sources.user_file {
            layers.push(file::read(path, sources.user_file_required));
        }
        layers.push(opentelemetry::read(&sources.environment));
        layers.extend(environment::read(&sources.environment));
        layers.push(overrides.read());

        let mut origins = Origins::defaults();
        let (mut problems, mut ignored) = (Vec::new(), Vec::new());
        for mut layer in layers {
            problems.append(&mut layer.problems);
            ignored.append(&mut layer.ignored);
            origins.lay_over(layer);
        }
        if !problems.is_empty() {
            return Err(ConfigProblems(problems));
        }
        let config = Config::from(&origins);
        let warnings = warnings(&config, &origins);
        Ok(Loaded { config, origins, warnings, ignored })
    }
}

fn warnings(config: &Config, origins: &Origins) -> Vec<Problem> {
    let records = origins.all(&sections::SESSION_BUDDY_POLLING).chain(origins.all(&sections::UPSTREAM));
    let warnings = config.upstreams.iter().zip(records).filter_map(|(upstream, record)| upstream.warning(record));
    warnings.collect()
}

#[cfg(test)]
pub(super) mod tests;
