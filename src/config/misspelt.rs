//! What to say of a name that no section and no setting has.

use super::sections::{SECTIONS, Section, settings};
use super::suggest::nearest;
use super::value::quoted;

pub(super) fn unknown_section(word: &str) -> String {
    let unknown = format!("there is no section {}", quoted(word));
    match nearest(word, SECTIONS.iter().map(|section| section.name)).and_then(Section::named) {
        Some(near) => format!("{unknown}; did you mean {}?", near.heading()),
        None => unknown,
    }
}

pub(super) fn unknown_field(section: &Section, name: &str) -> String {
    let unknown = format!("there is no setting {} in {}", quoted(name), section.heading());
    if let Some(near) = near_field(section, name) {
        return format!("{unknown}; did you mean {near}?");
    }
    match settings().find(|setting| setting.row.name == name) {
        Some(elsewhere) => format!("{unknown}; it belongs in {}", elsewhere.section.heading()),
        None => unknown,
    }
}

/// The one with the unit that was left out, or a slip of the fingers away.
fn near_field(section: &Section, name: &str) -> Option<&'static str> {
    let names = || section.rows().map(|row| row.name);
    let with_unit = names().find(|known| known.strip_suffix("_seconds") == Some(name));
    with_unit.or_else(|| nearest(name, names()))
}

/// What to say about a value before the first section.
pub(super) fn outside(name: &str) -> String {
    if let Some(sentence) = of_original(name) {
        return sentence;
    }
    let stray = format!("{} stands outside of any section", quoted(name));
    let near = nearest(name, settings().map(|setting| setting.row.name));
    match near.and_then(|near| settings().find(|setting| setting.row.name == near)) {
        Some(near) => format!("{stray}; {} belongs in {}", near.row.name, near.section.heading()),
        None => stray,
    }
}

/// The same, where it looks like one of the original's names that stand outside.
fn of_original(name: &str) -> Option<String> {
    let unknown = format!("there is no setting {}", quoted(name));
    for section in SECTIONS.iter().filter(|section| section.original) {
        // A long beginning in common would make everything look near.
        if let Some(rest) = name.strip_prefix(section.name).and_then(|rest| rest.strip_prefix('_')) {
            let near = nearest(rest, section.rows().map(|row| row.name));
            return Some(
                near.map_or(unknown.clone(), |near| format!("{unknown}; did you mean {}_{near}?", section.name)),
            );
        }
    }
    let flat: Vec<String> = settings().filter_map(|setting| setting.flat_name()).collect();
    nearest(name, flat.iter().map(String::as_str)).map(|near| format!("{unknown}; did you mean {near}?"))
}
