//! Modules that are not there: an agent that has misspelt a name is told which there are.

use super::desk;
use crate::mcp::server::Step;
use crate::model::command::{Code, Party, Refusal};
use crate::ports::{Module, Reader};
use serde_json::Value;

/// So many names are told, those that begin most like the one that was meant.
const TOLD_MAX: usize = 8;

/// What a tool says that was refused, about whom it was as well. The command line tells a person to add a module, who may; an
/// agent has to find the one that it means.
pub(super) fn refused(refusal: Refusal, parties: impl IntoIterator<Item = Party>, known: Value) -> Step {
    if refusal.code != Code::NotFound {
        return desk::refused(&refusal, known);
    }
    let names: Vec<String> = parties.into_iter().filter_map(named).collect();
    Step::look(move |reader| desk::refused(&stranger(&names, reader).unwrap_or(refusal), known))
}

fn named(party: Party) -> Option<String> {
    match party {
        Party::Module(name) => Some(name.to_string()),
        Party::Directory { .. } => None,
    }
}

/// Of the first that is not there.
fn stranger(names: &[String], reader: &mut dyn Reader) -> Option<Refusal> {
    let modules = reader.modules().ok()?;
    let is_missing = |name: &&String| !modules.iter().any(|module| module.name.as_str() == name.as_str());
    let name = names.iter().find(is_missing)?;
    let told = alike(name, &modules);
    Some(Refusal::not_found(match told.is_empty() {
        true => format!("there is no module {name}, nor any other; give the absolute path of a directory"),
        false => format!(
            "there is no module {name}; list_modules names those that there are, such as {}; or give the absolute path of a \
             directory",
            told.join(", ")
        ),
    }))
}

/// The names that begin most like another one.
fn alike<'a>(name: &str, modules: &'a [Module]) -> Vec<&'a str> {
    let same =
        |other: &str| name.chars().zip(other.chars()).take_while(|(one, two)| one.eq_ignore_ascii_case(two)).count();
    let mut names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    names.sort_by_key(|other| std::cmp::Reverse(same(other)));
    names.truncate(TOLD_MAX);
    names
}
