//! `doctor`: what is wrong with the installation, and how it is mended.

use std::env;

use clap::Args;
use serde_json::json;

use super::config;
use super::exit::{FAILED, Failure, OK, Outcome};
use super::output::Output;
use super::session::Session;
use crate::clock::SystemClock;
use crate::config::Overrides;
use crate::control::ClientError;
use crate::control::wire::{DaemonStatus, Empty, Request, Upstreams};
use crate::service::{PathOptions, Paths, PathsError};
use crate::upkeep::doctor::{self, Answer, Case, Daemon, Finding, State};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms doctor                  look at everything, and say how to mend what is wrong
  claude-comms doctor --thorough       compare the indexes of the database as well
  claude-comms doctor --json | jq '.findings[] | select(.state != \"ok\")'

Nothing is changed. Exit code 1 when there is a fault; warnings alone are 0.";

/// Short enough for every system, and never there.
const NO_SOCKET: &str = "/nonexistent/control.sock";

/// The longest word for a state, and a gap.
const WORD_WIDTH: usize = 9;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Check every index of the database against its table; takes longer
    #[arg(long)]
    thorough: bool,
}

pub(super) fn run(arguments: &Doctor, session: &mut Session) -> Outcome {
    let (paths, misplaced) = places(session)?;
    let config = match config::load(&paths, &Overrides::default()) {
        Ok(loaded) => Ok(loaded),
        Err(Failure::Configuration(problems)) => Err(problems),
        Err(failure) => return Err(failure),
    };
    let daemon = if misplaced.is_none() { ask(session) } else { Daemon::Absent };
    let environment = |name: &str| env::var_os(name);
    let clock = SystemClock::new();
    let whole = arguments.thorough;
    let findings =
        doctor::examine(&Case { paths, misplaced, config, daemon, whole, environment: &environment, clock: &clock });
    let has_fault = findings.iter().any(|finding| finding.state == State::Fault);
    show(&findings, has_fault, &mut session.output)?;
    if has_fault { Err(Failure::Shown { exit_code: FAILED }) } else { Ok(OK) }
}

/// With a socket path that is too long the rest can be looked at all the same.
fn places(session: &Session) -> Result<(Paths, Option<PathsError>), Failure> {
    let environment = |name: &str| env::var_os(name);
    let unplaced = |error: PathsError| Failure::usage(error.to_string());
    match Paths::resolve(&session.options, &environment) {
        Ok(paths) => Ok((paths, None)),
        Err(error @ PathsError::SocketTooLong { .. }) => {
            let options = PathOptions { socket: Some(NO_SOCKET.into()), ..session.options.clone() };
            Ok((Paths::resolve(&options, &environment).map_err(unplaced)?, Some(error)))
        }
        Err(error) => Err(unplaced(error)),
    }
}

fn ask(session: &Session) -> Daemon {
    let asked = session.connect().and_then(|mut client| {
        let status = client.call::<DaemonStatus>(&Request::PollStatus(Empty {}))?;
        // A daemon of another version may not know them.
        let upstreams = client.call::<Upstreams>(&Request::UpstreamList(Empty {}));
        Ok((status, upstreams.map(|all| all.upstreams).unwrap_or_default()))
    });
    match asked {
        Ok((status, upstreams)) => Daemon::Answers(Answer {
            pid: status.pid,
            version: status.version,
            listen: status.listen,
            listen_error: status.listen_error,
            degraded: status.degraded,
            polled: upstreams.into_iter().filter(|it| it.running).map(|it| (it.name, it.endpoint)).collect(),
        }),
        Err(Failure::Client(ClientError::NoDaemon { .. })) => Daemon::Absent,
        Err(failure) => Daemon::Silent(failure.to_string()),
    }
}

fn show(findings: &[Finding], has_fault: bool, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        let shown = |finding: &Finding| {
            json!({
                "check": finding.check, "state": finding.state.as_str(), "message": finding.sentence,
                "advice": finding.advice,
            })
        };
        let findings: Vec<_> = findings.iter().map(shown).collect();
        return output.json(&json!({"ok": !has_fault, "findings": findings}));
    }
    for finding in findings {
        let (word, check) = (finding.state.as_str(), finding.check.replace('_', " "));
        let gap = " ".repeat(WORD_WIDTH - word.len());
        output.paragraph(&format!("{}{gap}{check}: {}\n", output.status(word), finding.sentence))?;
        if let Some(advice) = &finding.advice {
            output.paragraph(&format!("{:WORD_WIDTH$}-> {advice}\n", ""))?;
        }
    }
    let count = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    let (faults, warnings) = (count(State::Fault), count(State::Warning));
    output.line(match (faults, warnings) {
        (0, 0) => "all is well".to_owned(),
        (faults, warnings) => format!("faults: {faults}, warnings: {warnings}"),
    })
}
