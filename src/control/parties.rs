//! Who a request is from or for: a module by its name, or by the directory that it works in.

use super::intake::{Ids, absolute, any_id};
use crate::model::command::{Party, Refusal};
use crate::model::id::ModuleName;
use crate::ports::{Module, Reader};
use std::path::{Path, PathBuf};

/// A module's name, or an absolute directory: that of a module, or one whose last part stands for one. Whoever decides
/// refuses a last part that is the name of a module with another directory.
///
/// # Errors
/// It is neither, or the directory is not there.
pub(super) fn party(what: &str, text: &str, ids: &mut Ids<'_>) -> Result<Party, Refusal> {
    if !text.contains('/') {
        return Ok(Party::Module(ModuleName::from(any_id(what, text)?)));
    }
    at(what, text, ids.reader()?)
}

fn at(what: &str, text: &str, reader: &mut dyn Reader) -> Result<Party, Refusal> {
    if !Path::new(text).is_absolute() {
        let sentence = format!("{what} is {text:?}; it must be a module's name or an absolute path");
        return Err(Refusal::bad_request(sentence));
    }
    let path = absolute(what, text)?;
    let Some(whole) = Path::new(&path).canonicalize().ok().filter(|whole| whole.is_dir()) else {
        return Err(Refusal::not_found(format!("{path} is no directory")));
    };
    let name = whole_name(&path, &whole);
    let modules = reader.modules()?;
    match named(&modules, &name, &whole) {
        Some(module) => Ok(Party::Module(module.name.clone())),
        None => Ok(Party::Directory { name: ModuleName::from(any_id(what, &name)?), path }),
    }
}

/// The last part of a path; of one that ends in `..`, that of the directory which it means.
fn whole_name(path: &str, whole: &Path) -> String {
    let last = Path::new(path).file_name().or_else(|| whole.file_name());
    last.map_or("/".into(), |name| name.to_string_lossy().into_owned())
}

/// The module that works in a directory: the one of that name, if there are several.
fn named<'a>(modules: &'a [Module], name: &str, whole: &Path) -> Option<&'a Module> {
    let same_name = modules.iter().find(|module| module.name.as_str() == name);
    let is_there = |module: &&Module| Path::new(&module.directory) == whole;
    // Only of this one links are looked through: others may be on a disk that does not answer.
    let canonical = |module: &&Module| canonical(&module.directory).is_some_and(|directory| directory == whole);
    same_name.filter(canonical).or_else(|| modules.iter().find(is_there))
}

fn canonical(directory: &str) -> Option<PathBuf> {
    Path::new(directory).canonicalize().ok()
}

/// A module that a list is narrowed to, or that is watched. A name may be any that another program has written.
///
/// # Errors
/// It is a directory that is not there, or whose last part is the name of another module.
pub(super) fn module(what: &str, text: &str, reader: &mut dyn Reader) -> Result<ModuleName, Refusal> {
    if !text.starts_with('/') {
        return Ok(ModuleName::new(text));
    }
    match at(what, text, reader)? {
        Party::Module(name) => Ok(name),
        Party::Directory { name, path } => {
            let other = reader.modules()?.into_iter().find(|module| module.name == name);
            other.map_or(Ok(name), |other| Err(Refusal::name_taken(&other.name, &other.directory, &path)))
        }
    }
}
