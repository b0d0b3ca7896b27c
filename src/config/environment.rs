//! The layers of environment variables: the original's names for what it knows, and ours, `CLAUDE_COMMS_SECTION__FIELD`.

use std::ffi::OsString;

use super::layers::{Layer, Written};
use super::problems::{Place, Problem};
use super::sections::{ORIGINAL_PREFIX, PREFIX, Section, settings};
use super::suggest::nearest;

/// Reads the variables that name a setting; one that is set but empty counts as not set.
/// Two layers, because ours win over the original's.
pub(super) fn read(variables: &[(OsString, OsString)]) -> [Layer; 2] {
    // Of the original's variables only those of the sections that it has in common with us are ours to judge.
    let original = |section: &str| Section::named(section).is_some_and(|section| section.original);
    [layer(variables, ORIGINAL_PREFIX, original), layer(variables, PREFIX, |_| true)]
}

fn layer(variables: &[(OsString, OsString)], prefix: &str, is_ours: impl Fn(&str) -> bool) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables {
        // Names without the double underscore (CLAUDE_COMMS_LOG and others) are no settings.
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let Some((section, field)) = rest.split_once("__") else {
            layer.problems.extend(whole_list(name, rest).filter(|_| !value.is_empty() && prefix == PREFIX));
            continue;
        };
        let section = section.to_lowercase();
        if value.is_empty() || !is_ours(&section) {
            continue;
        }
        let place = Place::Environment { name: name.to_owned() };
        let setting = Section::named(&section).and_then(|section| section.setting(&field.to_lowercase()));
        let setting = setting.filter(|setting| setting.environment_names().iter().any(|known| known == name));
        match (setting, value.to_str()) {
            (Some(setting), Some(text)) => layer.take_text(setting, text, place),
            (Some(setting), None) => {
                let sentence = format!("{} must be UTF-8", setting.key());
                layer.problems.push(Problem { place, sentence });
            }
            (None, _) => layer.problems.push(Problem { place, sentence: unknown(name, prefix, &section) }),
        }
    }
    // The environment has no order worth keeping; equal input gives equal output.
    layer.written.sort_by_key(|Written { setting, .. }| setting.key());
    layer.problems.sort();
    layer
}

/// Of a variable that would be a list as a whole.
fn whole_list(name: &str, rest: &str) -> Option<Problem> {
    let list = Section::named(&rest.to_lowercase()).filter(|section| section.is_list())?;
    let sentence = format!("{} can be written in a file only", list.heading());
    Some(Problem { place: Place::Environment { name: name.to_owned() }, sentence })
}

fn unknown(name: &str, prefix: &str, section: &str) -> String {
    if let Some(list) = Section::named(section).filter(|section| section.is_list()) {
        return format!("{} can be written in a file only", list.heading());
    }
    // The prefix is right already: counted, it would make everything look near.
    let bare = |name: &str| name.strip_prefix(prefix).map(str::to_lowercase);
    let known = settings().flat_map(|setting| setting.environment_names());
    let words: Vec<String> = known.filter_map(|name| bare(&name)).collect();
    match nearest(&bare(name).unwrap_or_default(), words.iter().map(String::as_str)) {
        Some(word) => {
            format!("there is no such setting; did you mean {prefix}{}?", word.to_uppercase())
        }
        None => "there is no such setting".to_owned(),
    }
}
