//! From a job to a running process, or to the sentence that says why there is none and what to do about it.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Access;
use rustix::io::{Errno, ioctl_fionbio};

use super::finished::Standing;
use super::job::{Job, Purpose};
use super::leader::Leader;
use super::procfs::MARKER;

const CONTEXT: &str = "CLAUDE_COMMS_CONTEXT";

/// Variables that are about how the daemon was started and would mislead its children: systemd's notifications are not
/// theirs to send, an agent that finds itself inside a session of the same kind refuses to work, and the token that opens
/// somebody's port is not for them.
const NOT_FOR_CHILDREN: [&str; 9] = [
    "CLAUDE_COMMS_TOKEN",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
];

/// Why no process was started. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("no command is configured; set [executor] command in config.toml")]
    NoCommand,
    #[error("`{0}` is not on PATH; install it, or correct the pool's command or [executor] command in config.toml")]
    NotOnPath(String),
    #[error("`{0}` does not exist; correct the pool's command or [executor] command in config.toml")]
    NoProgram(String),
    #[error("`{0}` exists but what should run it does not; check the interpreter in its first line")]
    NoInterpreter(String),
    #[error(
        "`{0}` may not be executed; make it executable (chmod +x), or correct the pool's command or [executor] command in config.toml"
    )]
    NotExecutable(String),
    #[error("`{0}` is not a program; a script needs a first line like #!/bin/sh")]
    NotAProgram(String),
    #[error("the directory {0} does not exist; create it, or give the module another one")]
    NoDirectory(PathBuf),
    #[error("{0} is not a directory; give the module one")]
    NotADirectory(PathBuf),
    #[error("the directory {0} may not be entered; check its permissions")]
    ClosedDirectory(PathBuf),
    #[error(
        "what `{0}` is given is too long for an argument or a variable; leave {{prompt}} out of the command, so that the prompt goes to its standard input, and keep the context short"
    )]
    TooLong(String),
    #[error("the command or the environment for `{0}` contains a zero byte or a variable without a proper name")]
    NotPassable(String),
    #[error("the system has no room for another process or file ({source}); raise the limits of the daemon")]
    NoRoom { source: io::Error },
    #[error("`{program}` could not be started: {source}")]
    Other { program: String, source: io::Error },
}

impl StartError {
    /// What to do about it, where that depends on what the process was to be started for.
    pub(super) fn sentence(&self, purpose: Purpose) -> String {
        match (purpose, self) {
            (Purpose::Hook, StartError::NotOnPath(program)) => {
                format!("`{program}` is not on PATH; install it, or correct the hook's command")
            }
            (Purpose::Hook, StartError::NoProgram(program)) => {
                format!("`{program}` does not exist; correct the hook's command")
            }
            (Purpose::Hook, StartError::NotExecutable(program)) => {
                format!("`{program}` may not be executed; make it executable (chmod +x), or correct the hook's command")
            }
            (Purpose::Hook, StartError::TooLong(program)) => {
                format!("the channel of the event is too long for a variable of `{program}`")
            }
            _ => self.to_string(),
        }
    }

    /// Whether the next task would fail in the same way.
    pub(super) fn standing(&self) -> Standing {
        match self {
            StartError::NoDirectory(_)
            | StartError::NotADirectory(_)
            | StartError::ClosedDirectory(_)
            | StartError::TooLong(_)
            | StartError::NotPassable(_) => Standing::Untold,
            StartError::NoCommand
            | StartError::NotOnPath(_)
            | StartError::NoProgram(_)
            | StartError::NoInterpreter(_)
            | StartError::NotExecutable(_)
            | StartError::NotAProgram(_)
            | StartError::NoRoom { .. }
            | StartError::Other { .. } => Standing::Unwell { until: None },
        }
    }
}

/// A process and our ends of its pipes, none of which block.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) leader: Leader,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// Starts the job's process; `has_input` says whether somebody will write to it.
pub(super) fn start(job: &Job, has_input: bool) -> Result<Started, StartError> {
    let mut command = command(job)?;
    command.stdin(if has_input { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (leader, mut child) = Leader::spawn(&mut command).map_err(|err| explain(job, err))?;
    let started = Started {
        leader,
        stdin: child.stdin.take().map(OwnedFd::from),
        stdout: child.stdout.take().map(OwnedFd::from),
        stderr: child.stderr.take().map(OwnedFd::from),
    };
    for pipe in [&started.stdin, &started.stdout, &started.stderr].into_iter().flatten() {
        // On failure `started` is dropped, which ends the process again.
        ioctl_fionbio(pipe, true).map_err(|err| explain(job, err.into()))?;
    }
    Ok(started)
}

fn command(job: &Job) -> Result<Command, StartError> {
    let name = job.argv.first().filter(|name| !name.is_empty()).ok_or(StartError::NoCommand)?;
    let mut command = Command::new(program(job, name)?.as_ref());
    command.arg0(name).args(job.arguments().iter().map(Cow::as_ref)).current_dir(&job.directory);
    for variable in NOT_FOR_CHILDREN {
        command.env_remove(variable);
    }
    for (variable, value) in &job.environment {
        // The standard library checks for zero bytes only.
        if variable.is_empty() || variable.contains('=') {
            return Err(StartError::NotPassable(name.clone()));
        }
        command.env(variable, value);
    }
    match &job.context {
        Some(context) => command.env(CONTEXT, context),
        None => command.env_remove(CONTEXT),
    };
    command.env(MARKER, &job.marker);
    Ok(command)
}

/// The path to start. Where the job has a PATH of its own we search it ourselves: leaving that to the standard library
/// would cost the fast way through posix_spawn.
fn program<'a>(job: &Job, name: &'a str) -> Result<Cow<'a, Path>, StartError> {
    let own_path = job.environment.iter().rev().find(|(variable, _)| variable == "PATH");
    match own_path {
        Some((_, path)) if !name.contains('/') => std::env::split_paths(path)
            .map(|directory| job.directory.join(directory).join(name))
            .find(|program| program.is_file() && rustix::fs::access(program, Access::EXEC_OK).is_ok())
            .map(Cow::from)
            .ok_or_else(|| StartError::NotOnPath(name.to_owned())),
        _ => Ok(Cow::from(Path::new(name))),
    }
}

/// The system reports a missing directory, program and interpreter by the same number, so this looks which it was.
fn explain(job: &Job, err: io::Error) -> StartError {
    let program = job.argv.first().cloned().unwrap_or_default();
    match Errno::from_io_error(&err) {
        Some(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => {
            explain_path(job, program, err.kind() == io::ErrorKind::PermissionDenied)
        }
        Some(Errno::NOEXEC) => StartError::NotAProgram(program),
        Some(Errno::TOOBIG) => StartError::TooLong(program),
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => StartError::NoRoom { source: err },
        None if err.kind() == io::ErrorKind::InvalidInput => StartError::NotPassable(program),
        _ => StartError::Other { program, source: err },
    }
}

fn explain_path(job: &Job, program: String, is_denied: bool) -> StartError {
    let directory = &job.directory;
    match directory.metadata() {
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => StartError::ClosedDirectory(directory.clone()),
        Err(_) => StartError::NoDirectory(directory.clone()),
        Ok(found) if !found.is_dir() => StartError::NotADirectory(directory.clone()),
        Ok(_) if rustix::fs::access(directory, Access::EXEC_OK).is_err() => {
            StartError::ClosedDirectory(directory.clone())
        }
        Ok(_) if is_denied => StartError::NotExecutable(program),
        Ok(_) if !program.contains('/') => StartError::NotOnPath(program),
        Ok(_) if directory.join(&program).exists() => StartError::NoInterpreter(program),
        Ok(_) => StartError::NoProgram(program),
    }
}
