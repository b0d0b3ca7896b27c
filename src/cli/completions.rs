//! `completions`: a script for each shell, and `__complete`, which the scripts ask what could come next. The words come from
//! the definition of the command line, and ids from the daemon, so that nothing stands anywhere a second time. (The
//! generator that belongs to the parser knows no values that change, except behind a feature that it calls unstable.)

mod candidates;
mod live;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::exit::{Failure, OK, Outcome};
use super::session::Session;
use crate::service::{PathOptions, logging};
use candidates::Wanted;

pub(super) const EXAMPLES: &str = "\
Examples:
  source <(claude-comms completions bash)                                   for this shell
  claude-comms completions bash > ~/.local/share/bash-completion/completions/claude-comms
  claude-comms completions zsh > ~/.zfunc/_claude-comms                     with ~/.zfunc in $fpath, before compinit
  claude-comms completions fish > ~/.config/fish/completions/claude-comms.fish

Packages bring all three along. Verbs, flags and their values are completed, and ids of pools, tasks, messages, threads,
modules, workflows and upstreams as the daemon knows them at that moment; without a daemon there are none.";

/// A shell that we know how to speak to.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to read it
    shell: Shell,
}

pub(super) fn print(wanted: &Completions, session: &mut Session) -> Outcome {
    let script = match wanted.shell {
        Shell::Bash => include_str!("completions/claude-comms.bash"),
        Shell::Zsh => include_str!("completions/_claude-comms"),
        Shell::Fish => include_str!("completions/claude-comms.fish"),
    };
    session.output.bytes(script.as_bytes())?;
    Ok(OK)
}

#[derive(Debug, Args)]
pub(super) struct Words {
    /// What stands on the line behind the program's name; the last word is to be completed
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// Prints a candidate a line, and what it is behind a tab; or one line with a colon in front that has the shell look for
/// files itself. Whatever goes wrong, a person who presses a key is told nothing.
pub(super) fn complete(asked: &Words, session: &mut Session) -> Outcome {
    let words: Vec<String> = asked.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let wanted = candidates::wanted(&super::command(), &words);
    let lines = match wanted {
        Wanted::Nothing => Vec::new(),
        Wanted::Words(words) => words,
        Wanted::Shell(what) => vec![(format!(":{what}"), String::new())],
        Wanted::Live { kind, typed, before, places } => {
            let options = options(places, session);
            let found = live::fetch(options, kind).unwrap_or_default();
            live::matching(found, &typed)
                .into_iter()
                .map(|(value, about)| (format!("{before}{value}"), about))
                .collect()
        }
    };
    show(&lines, session)?;
    Ok(OK)
}

fn show(lines: &[(String, String)], session: &mut Session) -> Result<(), Failure> {
    for (value, about) in lines.iter().filter(|(value, _)| !value.contains(char::is_control)) {
        session.output.line(format_args!("{value}\t{}", logging::escape(about)))?;
    }
    Ok(())
}

/// Where the daemon is, as the line itself says it.
fn options(places: Vec<(String, String)>, session: &Session) -> PathOptions {
    let mut options = session.options.clone();
    for (flag, value) in places {
        let value = Some(PathBuf::from(value));
        match flag.as_str() {
            "state-dir" => options.state_dir = value,
            "socket" => options.socket = value,
            "config" => options.config = value,
            _ => {}
        }
    }
    options
}
