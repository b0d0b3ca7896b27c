//! `module`: names for the directories that agents work in.

use std::path::PathBuf;

use clap::Subcommand;

use super::exit::{OK, Outcome};
use super::input;
use super::session::Session;
use super::table;
use crate::control::wire::{self, Request};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms module add backend ~/src/backend
  claude-comms ask --to backend 'Which port do you listen on?'
  claude-comms module list
  claude-comms module remove backend              its messages are kept";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Give a directory a name; again: give the name another directory
    Add {
        /// Letters, digits, '.', '_' and '-', at most 64
        name: String,
        /// Where the module's agent works
        dir: PathBuf,
    },
    /// List the names and their directories
    List,
    /// Forget a name; messages are kept
    Remove {
        /// The module's name
        name: String,
    },
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Add { name, dir } => {
            let directory = input::directory(&dir)?;
            let request = Request::ModuleAdd(wire::ModuleAdd { name: name.clone(), directory: directory.clone() });
            session.ask(&request, |output, _: wire::Empty| {
                output.say(format_args!("{name} is {directory}"));
                Ok(())
            })?;
        }
        Verb::List => session.ask(&Request::ModuleList(wire::Empty {}), |output, found: wire::Modules| {
            let row = |module: &wire::Module| {
                vec![table::word(&module.name), table::time(&module.added_at), table::text(&module.directory)]
            };
            let rows = found.modules.iter().map(row).collect();
            let empty = "there are no modules; add one with: claude-comms module add NAME DIR";
            table::print(output, &["MODULE", "ADDED (UTC)", "DIRECTORY"], rows, empty)
        })?,
        Verb::Remove { name } => {
            let request = Request::ModuleRemove(wire::ModuleRemove { name: name.clone() });
            session.ask(&request, |output, _: wire::Empty| {
                output.say(format_args!("{name} is no module any more"));
                Ok(())
            })?;
        }
    }
    Ok(OK)
}
