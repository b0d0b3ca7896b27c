//! One run of a command: where the daemon is, and what is printed of its answers.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::exit::Failure;
use super::output::Output;
use crate::control::wire::Request;
use crate::control::{Client, ClientError, Followed, PATIENCE};
use crate::service::{PathOptions, Paths};

/// What every verb is given.
pub(super) struct Session {
    pub(super) options: PathOptions,
    /// How often `-v` was given.
    pub(super) verbose: u8,
    pub(super) output: Output,
}

impl Session {
    pub(super) fn paths(&self) -> Result<Paths, Failure> {
        Paths::resolve(&self.options, &|name| env::var_os(name)).map_err(|error| Failure::usage(error.to_string()))
    }

    pub(super) fn connect(&self) -> Result<Client, Failure> {
        Ok(connect(&self.paths()?, &self.options)?)
    }

    /// Asks on a connection of its own and prints the answer; see [`Session::print`].
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        show: impl FnOnce(&mut Output, T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let answer = self.connect()?.call_raw(request, Some(PATIENCE))?;
        self.print(&answer, show)
    }

    /// Prints an answer: with `--json` as the daemon wrote it, else as `show` does.
    pub(super) fn print<T: DeserializeOwned>(
        &mut self,
        answer: &RawValue,
        show: impl FnOnce(&mut Output, T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.output.json {
            return self.output.json_text(answer.get());
        }
        show(&mut self.output, read(answer)?)
    }
}

/// # Errors
/// As [`Client::connect`]. A missing daemon is to be started where it was looked for.
pub(super) fn connect(paths: &Paths, options: &PathOptions) -> Result<Client, ClientError> {
    Client::connect(&paths.socket).map_err(|error| match error {
        ClientError::NoDaemon { socket, .. } => ClientError::NoDaemon { socket, options: as_words(options) },
        error => error,
    })
}

/// The options that say where a daemon is, as words behind a verb.
pub(super) fn as_words(options: &PathOptions) -> String {
    let named = [("state-dir", &options.state_dir), ("socket", &options.socket), ("config", &options.config)];
    let word = |(name, path): (&str, &Option<PathBuf>)| {
        path.as_ref().map(|path| format!(" --{name} {}", quoted(&path.to_string_lossy())))
    };
    named.into_iter().filter_map(word).collect()
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |it: char| it.is_alphanumeric() || "/._-+:@%=,".contains(it);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

pub(super) fn read<T: DeserializeOwned>(answer: &RawValue) -> Result<T, Failure> {
    let malformed = |error: serde_json::Error| Failure::Client(ClientError::Malformed(error.to_string()));
    serde_json::from_str(answer.get()).map_err(malformed)
}

/// The next answer or event; whoever reads what is printed may go meanwhile.
pub(super) fn receive(client: &mut Client, output: &mut Output, limit: Option<Duration>) -> Result<Followed, Failure> {
    if !client.has_received() && !output.wait_for(&*client, limit)? {
        return Err(ClientError::NoAnswer.into());
    }
    Ok(client.receive(limit)?)
}

/// How long to listen for the answer to a wait that the daemon itself ends after `timeout`.
pub(super) fn patience(timeout: Option<f64>) -> Option<Duration> {
    // Too long to be a duration is no limit either.
    Duration::try_from_secs_f64(timeout?).ok()?.checked_add(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_to_be_started_where_it_was_looked_for() {
        assert_eq!(as_words(&PathOptions::default()), "");
        let options = PathOptions { state_dir: Some("/a b/it's".into()), socket: Some("/s".into()), config: None };
        assert_eq!(as_words(&options), r" --state-dir '/a b/it'\''s' --socket /s");
    }
}
