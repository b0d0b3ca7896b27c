//! The layer of environment variables, `CLAUDE_COMMS_SECTION__FIELD`.

use std::ffi::OsString;

use super::layers::{Layer, Written};
use super::problems::{Place, Problem};
use super::sections::{Section, Setting, settings};
use super::suggest::nearest;

const PREFIX: &str = "CLAUDE_COMMS_";

/// Reads the variables that name a setting; one that is set but empty counts as not set.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables {
        // Names without the double underscore (CLAUDE_COMMS_LOG and others) are no settings.
        let Some(name) = name.to_str() else { continue };
        let Some((section, field)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        let place = Place::Environment { name: name.to_owned() };
        let setting =
            Section::named(&section.to_lowercase()).and_then(|section| section.setting(&field.to_lowercase()));
        match (setting.filter(|setting| setting.environment_name() == name), value.to_str()) {
            (Some(setting), Some(text)) => layer.take_text(setting, text, place),
            (Some(setting), None) => {
                let sentence = format!("{} must be UTF-8", setting.key());
                layer.problems.push(Problem { place, sentence });
            }
            (None, _) => layer.problems.push(Problem { place, sentence: unknown(name) }),
        }
    }
    // The environment has no order worth keeping; equal input gives equal output.
    layer.written.sort_by_key(|Written { setting, .. }| setting.key());
    layer.problems.sort();
    layer
}

fn unknown(name: &str) -> String {
    let known: Vec<String> = settings().map(|setting| Setting::environment_name(&setting)).collect();
    // The prefix is right already: counted, it would make everything look near.
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let words: Vec<String> = known.iter().map(|name| bare(name)).collect();
    match nearest(&bare(name), words.iter().map(String::as_str)) {
        Some(word) => {
            format!("there is no such setting; did you mean {PREFIX}{}?", word.to_uppercase())
        }
        None => "there is no such setting".to_owned(),
    }
}
