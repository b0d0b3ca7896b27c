//! How a command ends: the exit codes, and the failures that lead to them.

use std::io;

use crate::config::ConfigProblems;
use crate::control::ClientError;
use crate::model::command::Code;

pub(super) const OK: u8 = 0;
pub(super) const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const NO_DAEMON: u8 = 3;
pub(super) const NO_ANSWER: u8 = 4;
pub(super) const NOT_FOUND: u8 = 5;
pub(super) const INTERNAL: u8 = 70;
pub(super) const TRY_AGAIN: u8 = 75;
pub(super) const CONFIGURATION: u8 = 78;
pub(super) const TIMED_OUT: u8 = 124;
/// What a shell says of a command that was interrupted (128 + SIGINT).
pub(super) const INTERRUPTED: u8 = 130;
/// What a shell says of a command whose reader went away (128 + SIGPIPE).
pub(super) const NOBODY_READS: u8 = 141;

/// What a verb comes to: an exit code, or a failure that has one.
pub(super) type Outcome = Result<u8, Failure>;

/// Why a verb did not do what was asked. Displayed as the sentence that a person reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{sentence}")]
    Told { exit_code: u8, code: &'static str, sentence: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Configuration(#[from] ConfigProblems),
    /// As before, of the verb that is there to list them.
    #[error("{0}")]
    Mistakes(ConfigProblems),
    /// The result was printed, and with it all that there is to say: only the exit code is left.
    #[error("the result says it")]
    Shown { exit_code: u8 },
    #[error("could not write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl Failure {
    pub(super) fn failed(sentence: impl Into<String>) -> Failure {
        Failure::Told { exit_code: FAILED, code: "failed", sentence: sentence.into() }
    }

    pub(super) fn usage(sentence: impl Into<String>) -> Failure {
        Failure::Told { exit_code: USAGE, code: Code::BadRequest.as_str(), sentence: sentence.into() }
    }

    pub(super) fn internal(sentence: impl Into<String>) -> Failure {
        Failure::Told { exit_code: INTERNAL, code: Code::Internal.as_str(), sentence: sentence.into() }
    }

    pub(super) fn not_found(sentence: impl Into<String>) -> Failure {
        Failure::Told { exit_code: NOT_FOUND, code: Code::NotFound.as_str(), sentence: sentence.into() }
    }

    pub(super) fn timed_out(sentence: impl Into<String>) -> Failure {
        Failure::Told { exit_code: TIMED_OUT, code: Code::TimedOut.as_str(), sentence: sentence.into() }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Failure::Told { exit_code, .. } | Failure::Shown { exit_code } => *exit_code,
            Failure::Client(error) => of_client(error),
            // Flags are a mistake of this command, files and variables one of the installation.
            Failure::Configuration(problems) if problems.only_flags() => USAGE,
            Failure::Configuration(_) | Failure::Mistakes(_) => CONFIGURATION,
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => NOBODY_READS,
            Failure::Output(_) => FAILED,
        }
    }

    /// The word for programs, in `--json`.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Failure::Told { code, .. } => code,
            Failure::Client(error) => match error {
                ClientError::Refused { code, .. } => code.as_str(),
                ClientError::NoDaemon { .. } | ClientError::Gone => "no_daemon",
                ClientError::NoAnswer => "no_answer",
                ClientError::Malformed(_) => Code::Internal.as_str(),
                ClientError::Unusable { .. } | ClientError::Broken(_) => "failed",
            },
            Failure::Configuration(problems) if problems.only_flags() => Code::BadRequest.as_str(),
            Failure::Configuration(_) | Failure::Mistakes(_) => "bad_configuration",
            Failure::Shown { .. } | Failure::Output(_) => "failed",
        }
    }

    pub(super) fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Failure::Client(ClientError::Refused { retry_after_ms, .. }) => *retry_after_ms,
            _ => None,
        }
    }
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::NoDaemon { .. } | ClientError::Gone => NO_DAEMON,
        ClientError::NoAnswer => NO_ANSWER,
        ClientError::Refused { code, .. } => of_refusal(*code),
        ClientError::Malformed(_) => INTERNAL,
        ClientError::Unusable { .. } | ClientError::Broken(_) => FAILED,
    }
}

fn of_refusal(code: Code) -> u8 {
    match code {
        Code::BadRequest | Code::UnknownCommand | Code::TooLarge => USAGE,
        Code::NotFound => NOT_FOUND,
        Code::Conflict | Code::Forbidden | Code::NotRunning => FAILED,
        Code::QueueFull | Code::Busy => TRY_AGAIN,
        Code::TimedOut => TIMED_OUT,
        Code::Internal => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code) -> Failure {
        Failure::Client(ClientError::Refused { code, message: String::new(), retry_after_ms: None })
    }

    #[test]
    fn every_refusal_has_the_documented_exit_code() {
        let documented = [2, 2, 2, 5, 1, 1, 1, 75, 75, 124, 70];
        for (code, exit_code) in Code::ALL.into_iter().zip(documented) {
            assert_eq!(refused(code).exit_code(), exit_code, "{}", code.as_str());
            assert_eq!(refused(code).code(), code.as_str());
        }
    }

    #[test]
    fn a_missing_daemon_is_3_and_a_silent_one_is_4() {
        let missing = ClientError::NoDaemon { socket: "/x".to_owned(), options: String::new() };
        assert_eq!(Failure::from(missing).exit_code(), 3);
        assert_eq!(Failure::from(ClientError::Gone).exit_code(), 3);
        assert_eq!(Failure::from(ClientError::NoAnswer).exit_code(), 4);
        assert_eq!(Failure::from(ClientError::Malformed(String::new())).exit_code(), 70);
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_a_full_disk() {
        assert_eq!(Failure::Output(io::ErrorKind::BrokenPipe.into()).exit_code(), 141);
        assert_eq!(Failure::Output(io::ErrorKind::StorageFull.into()).exit_code(), 1);
    }
}
