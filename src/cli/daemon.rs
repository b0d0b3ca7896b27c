//! `daemon` and `poll start`: the two ways into the daemon, and the only file that knows it.

use std::env;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::config;
use super::exit::{FAILED, Failure, INTERNAL, NO_ANSWER, OK, Outcome};
use super::session::Session;
use crate::clock::{Clock, SystemClock};
use crate::config::{Loaded, Overrides};
use crate::control::ClientError;
use crate::control::wire::{self, Request};
use crate::daemon::{self, Setup, StartError};
use crate::service::logging::{self, Filter, Style};
use crate::service::{self, DetachError, Detached, Paths, Report, Reporter};

/// How long a daemon that somebody else is starting may take to answer, and how often it is tried.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const ANSWER_INTERVAL: Duration = Duration::from_millis(10);
/// A daemon that was just killed has the lock until the kernel is done with it; for so long it is given time.
const DYING_MAX: Duration = Duration::from_secs(2);
/// The word for programs when a daemon says why it did not start.
const START_FAILED: &str = "start_failed";

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms daemon                                         in the foreground, until it is interrupted
  claude-comms --state-dir /tmp/try -v daemon --listen none   everything in one directory, and much talk
  claude-comms service install                                have systemd or launchd run it

Environment, below the flags and above the configuration file:
  CLAUDE_COMMS_DAEMON__INTERVAL_SECONDS, CLAUDE_COMMS_DAEMON__MAX_MESSAGES, CLAUDE_COMMS_DAEMON__LISTEN   as the flags
  CLAUDE_COMMS_LOG   what is logged: off, error, warn, info, debug or trace

TERM stops it in order, a second TERM at once, HUP has it read its configuration again. See claude-comms-daemon(8).";

/// What the command line says of the daemon's settings; checked with the rest of the configuration.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// How often the database is looked at even when nothing said that it changed (0.05 to 3600; 1)
    #[arg(long, value_name = "SECONDS")]
    interval: Option<String>,
    /// How many messages may be watched at the same time (1 to 1000000; 1000)
    #[arg(long, value_name = "N")]
    max_messages: Option<String>,
    /// Where the TCP port is opened, or none (127.0.0.1:8690)
    #[arg(long, value_name = "ADDR|none")]
    listen: Option<String>,
}

impl Flags {
    fn overrides(self) -> Overrides {
        Overrides { interval: self.interval, max_messages: self.max_messages, listen: self.listen }
    }
}

#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    flags: Flags,
    /// Stay in the foreground, as `claude-comms daemon` does
    #[arg(long)]
    foreground: bool,
    /// Be content when one is running already
    #[arg(long)]
    if_needed: bool,
}

/// Everything that must be right before a daemon is started.
struct Prepared {
    paths: Paths,
    overrides: Overrides,
    loaded: Loaded,
}

fn prepare(flags: Flags, session: &Session) -> Result<Prepared, Failure> {
    let (paths, overrides) = (session.paths()?, flags.overrides());
    let loaded = config::load(&paths, &overrides)?;
    paths.prepare().map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Prepared { paths, overrides, loaded })
}

/// Runs the daemon in this process.
pub(super) fn foreground(flags: Flags, session: &mut Session) -> Outcome {
    let prepared = prepare(flags, session)?;
    // Whoever has the lock then is named when it cannot be taken.
    drop(other_daemon(&prepared.paths, DYING_MAX, session)?);
    stay(prepared, session.verbose)
}

fn stay(prepared: Prepared, verbose: u8) -> Outcome {
    let style = if is_journal() { Style::Journal } else { Style::Timed };
    run(prepared, verbose, style, None).map_err(|(StartError { exit_code, sentence }, _)| Failure::Told {
        exit_code,
        code: START_FAILED,
        sentence,
    })
}

fn run(
    Prepared { paths, overrides, loaded }: Prepared,
    verbose: u8,
    style: Style,
    reporter: Option<Reporter>,
) -> Result<u8, (StartError, Option<Reporter>)> {
    let filter = Filter::choose(&|name| env::var_os(name), verbose, loaded.config.daemon.log_level);
    if let Err(error) = logging::start(filter, style) {
        return Err((StartError { exit_code: INTERNAL, sentence: error.to_string() }, reporter));
    }
    loaded.ignored.iter().for_each(|variable| log::warn!("{variable}"));
    let reload = {
        let paths = paths.clone();
        move || config::load(&paths, &overrides).map_err(|failure| failure.to_string())
    };
    daemon::run(Setup { loaded, paths, reload: Box::new(reload), reporter })
}

/// Whether standard error is the journal's own stream: systemd says which one that is.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    rustix::io::dup(io::stderr()).is_ok_and(|stderr| is_stream(&stream, &File::from(stderr)))
}

/// Whether `file` is what systemd names so: its device and inode.
fn is_stream(name: &str, file: &File) -> bool {
    file.metadata().is_ok_and(|found| name == format!("{}:{}", found.dev(), found.ino()))
}

/// Runs the daemon in a process of its own, and returns once it answers.
pub(super) fn start(start: Start, session: &mut Session) -> Outcome {
    let prepared = prepare(start.flags, session)?;
    if let Some(outcome) = already_running(&prepared.paths, start.if_needed, session)? {
        return Ok(outcome);
    }
    if start.foreground {
        return stay(prepared, session.verbose);
    }
    match service::detach(&prepared.paths.log) {
        Ok(Detached::Child(reporter)) => Ok(become_daemon(prepared, session.verbose, reporter)),
        Ok(Detached::Parent(report)) => tell(report, &prepared.paths, start.if_needed, session),
        // The command that started us says it.
        Err(DetachError::Child(_)) => Ok(INTERNAL),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

/// What to say when somebody has the lock already; `None` when nobody has.
fn already_running(paths: &Paths, if_needed: bool, session: &mut Session) -> Result<Option<u8>, Failure> {
    let patience = if if_needed { ANSWER_MAX } else { DYING_MAX };
    let Some(other) = other_daemon(paths, patience, session)? else { return Ok(None) };
    if if_needed {
        return tell_running(other.answer?.pid, session).map(Some);
    }
    let pid = other.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let sentence = format!("a daemon is running already{pid}; stop it first with: claude-comms poll stop");
    Err(Failure::Told { exit_code: FAILED, code: "conflict", sentence })
}

/// Somebody who has the lock.
struct Other {
    pid: Option<u32>,
    answer: Result<wire::DaemonStatus, Failure>,
}

/// Who has the lock. One that does not answer is either starting or at its end, perhaps killed, and has so long to be
/// one or the other.
fn other_daemon(paths: &Paths, patience: Duration, session: &mut Session) -> Result<Option<Other>, Failure> {
    let failed = |error| Failure::failed(format!("the lock {} cannot be read: {error}", paths.lock.display()));
    let clock = SystemClock::new();
    let deadline = clock.tick().after(patience);
    while let Some(holder) = service::holder(&paths.lock).map_err(failed)? {
        let asked = session.connect().and_then(|mut client| Ok(client.call(&Request::PollStatus(wire::Empty {}))?));
        match asked {
            Err(Failure::Client(ClientError::NoDaemon { .. } | ClientError::Gone)) if clock.tick() < deadline => {}
            answer => return Ok(Some(Other { pid: holder.pid, answer })),
        }
        session.output.pause(ANSWER_INTERVAL)?;
    }
    Ok(None)
}

fn tell_running(pid: u32, session: &mut Session) -> Outcome {
    if session.output.json {
        session.output.json(&json!({"running": true, "pid": pid}))?;
    } else {
        session.output.line(format_args!("claude-comms is running (pid {pid})"))?;
    }
    Ok(OK)
}

/// The detached process: what goes wrong now is told to the command that waits, and to the log.
fn become_daemon(prepared: Prepared, verbose: u8, reporter: Reporter) -> u8 {
    let (StartError { exit_code, sentence }, reporter) = match run(prepared, verbose, Style::Timed, Some(reporter)) {
        Ok(exit_code) => return exit_code,
        Err(failed) => failed,
    };
    log::error!("did not start: {sentence}");
    if let Some(reporter) = reporter {
        reporter.failed(exit_code, &sentence);
    }
    exit_code
}

/// What came of the start, as the command that waited for it says it.
fn tell(report: Report, paths: &Paths, if_needed: bool, session: &mut Session) -> Outcome {
    let log = paths.log.display();
    let (exit_code, code, sentence) = match report {
        Report::Ready { pid } => return tell_running(pid, session),
        Report::Failed { exit_code, sentence } => {
            // Another start was faster, which is as good.
            if if_needed && let Some(outcome) = already_running(paths, true, session)? {
                return Ok(outcome);
            }
            (exit_code, START_FAILED, sentence)
        }
        Report::Died { log_end } => {
            log_end.lines().for_each(|line| session.output.say(line));
            (INTERNAL, START_FAILED, format!("the daemon ended while it started; its last words stand in {log}"))
        }
        Report::Silent { after } => {
            let sentence = format!(
                "the daemon was started but does not answer after {} s; see: claude-comms poll logs",
                after.as_secs()
            );
            (NO_ANSWER, "no_answer", sentence)
        }
    };
    Err(Failure::Told { exit_code, code, sentence })
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    #[test]
    fn the_daemon_takes_the_same_flags_either_way() {
        for line in ["daemon", "poll start --foreground", "poll start --if-needed"] {
            assert!(parse_words(&format!("{line} --interval 0.5 --max-messages 10 --listen none")).is_ok(), "{line}");
        }
    }

    #[test]
    fn only_the_stream_that_systemd_names_is_the_journal() {
        let (one, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let found = one.metadata().unwrap();
        let name = format!("{}:{}", found.dev(), found.ino());
        assert!(is_stream(&name, &one));
        assert!(!is_stream(&name, &other));
        assert!(!is_stream("", &one));
    }
}
