//! Leaving the terminal, for `poll start`: the only use of `daemonize`. The command stays behind until the daemon says
//! that it answers, or why it does not. Units never come here; they run the daemon in the foreground.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, PipeReader, PipeWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonize::{Daemonize, Outcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::logging;
use crate::clock::{Clock, SystemClock, Tick};

/// How long the command waits to hear of the daemon.
const START_MAX: Duration = Duration::from_secs(30);
/// Longest line that the daemon may say about its start, in bytes.
const REPORT_BYTES_MAX: usize = 4096;
/// How much of the log is shown of a daemon that died, in lines and in bytes.
const LOG_END_LINES_MAX: usize = 40;
const LOG_END_BYTES_MAX: u64 = 8192;
/// A log that is larger when the daemon starts is put aside as `daemon.log.1`, in bytes.
const LOG_BYTES_MAX: u64 = 16 << 20;
const OWNER_ONLY: u32 = 0o600;

/// Which of the two processes we have become.
#[derive(Debug)]
pub enum Detached {
    /// The command, with what came of the start; its only duty left is to say so and end.
    Parent(Report),
    /// The daemon: without a terminal, in `/`, umask 077, output going to the log.
    Child(Reporter),
}

/// What came of the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Ready {
        pid: u32,
    },
    Failed {
        exit_code: u8,
        sentence: String,
    },
    /// It ended without a word; the last that it wrote to the log since, safe to print.
    Died {
        log_end: String,
    },
    /// Not a word so far. It may yet come up.
    Silent {
        after: Duration,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    #[error("the log's path {} is not absolute", .0.display())]
    RelativePath(PathBuf),
    #[error("cannot detach with {count} threads running: all but one would be lost")]
    Threads { count: usize },
    #[error("could not open the log {}: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("could not make or read the pipe to the daemon: {0}")]
    Pipe(#[source] io::Error),
    #[error("could not start a process in the background: {0}")]
    Fork(#[source] daemonize::Error),
    /// Seen in the process that was to become the daemon. The command has been told and will say it; end quietly.
    #[error("could not leave the terminal: {0}")]
    Child(#[source] daemonize::Error),
}

/// The daemon's word to the command that started it. Dropped without one, it counts as died.
#[derive(Debug)]
pub struct Reporter {
    writer: PipeWriter,
}

impl Reporter {
    /// The doors are open: the command ends well.
    pub fn ready(self, pid: u32) {
        self.say(&format!("ready {pid}"));
    }

    /// The command is to end with that exit code, saying that sentence.
    pub fn failed(self, exit_code: u8, sentence: &str) {
        let sentence = logging::escape(sentence);
        let end = sentence.floor_char_boundary(REPORT_BYTES_MAX - 16);
        self.say(&format!("failed {exit_code} {}", &sentence[..end]));
    }

    fn say(mut self, line: &str) {
        // Nobody listens any more: the command was interrupted, which does not concern the daemon.
        drop(self.writer.write_all(format!("{line}\n").as_bytes()));
    }
}

/// Becomes two processes: the command, which returns once it has heard of the daemon, and the daemon.
///
/// Must come before any thread, lock or database: a fork keeps only the thread that forks, without a word.
///
/// # Errors
/// Nothing was started, except for [`DetachError::Child`].
pub fn detach(log: &Path) -> Result<Detached, DetachError> {
    if !log.is_absolute() {
        return Err(DetachError::RelativePath(log.to_owned()));
    }
    only_one_thread()?;
    let failed = |source| DetachError::Log { path: log.to_owned(), source };
    let (out, log_start) = open_log(log).map_err(failed)?;
    let err = out.try_clone().map_err(failed)?;
    let (reader, writer) = io::pipe().map_err(DetachError::Pipe)?;
    // What is still buffered would be written by both processes.
    io::stdout().flush().map_err(DetachError::Pipe)?;

    // No pid file: the lock is ours, and taken later by the daemon itself.
    let daemonize = Daemonize::new().umask(0o077).working_directory("/").stdout(out).stderr(err);
    match daemonize.execute() {
        Outcome::Parent(Err(error)) => Err(DetachError::Fork(error)),
        Outcome::Parent(Ok(_)) => {
            // Ours must be closed, or the end of the daemon would not be the end of the pipe.
            drop(writer);
            match listen(reader, START_MAX, &SystemClock::new()).map_err(DetachError::Pipe)? {
                Some(report) => Ok(Detached::Parent(report)),
                None => Ok(Detached::Parent(Report::Died { log_end: log_end(log, log_start) })),
            }
        }
        Outcome::Child(Ok(_)) => Ok(Detached::Child(Reporter { writer })),
        Outcome::Child(Err(error)) => {
            let error = DetachError::Child(error);
            Reporter { writer }.failed(70, &error.to_string());
            Err(error)
        }
    }
}

#[cfg(target_os = "linux")]
fn only_one_thread() -> Result<(), DetachError> {
    // Where /proc is not mounted there is nothing to go by.
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(count) if count != 1 => Err(DetachError::Threads { count }),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn only_one_thread() -> Result<(), DetachError> {
    Ok(())
}

/// Opens the log for adding to it, and says where this daemon's part of it begins.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    // The bits of the flags are C's own numbers; none of them is near the sign.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let mut options = OpenOptions::new();
    let log = options.append(true).create(true).mode(OWNER_ONLY).custom_flags(flags).open(path)?;
    let found = log.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    log.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    Ok((log, found.len()))
}

/// Waits for the daemon's line; `None` when the pipe ended without one.
fn listen(mut reader: PipeReader, limit: Duration, clock: &dyn Clock) -> io::Result<Option<Report>> {
    let deadline = clock.tick().after(limit);
    let mut heard = Vec::new();
    let mut piece = [0; 512];
    while !heard.contains(&b'\n') && heard.len() < REPORT_BYTES_MAX {
        if !wait_until_readable(&reader, deadline, clock)? {
            return Ok(Some(Report::Silent { after: limit }));
        }
        match reader.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(parse(&String::from_utf8_lossy(&heard)))
}

fn parse(heard: &str) -> Option<Report> {
    let line = heard.split_once('\n')?.0;
    match line.split_once(' ')? {
        ("ready", pid) => Some(Report::Ready { pid: pid.parse().ok()? }),
        ("failed", rest) => {
            let (exit_code, sentence) = rest.split_once(' ')?;
            Some(Report::Failed { exit_code: exit_code.parse().ok()?, sentence: sentence.to_owned() })
        }
        _ => None,
    }
}

/// Waits until there is something to read or the pipe has ended; false when neither came in time.
fn wait_until_readable(reader: &PipeReader, deadline: Tick, clock: &dyn Clock) -> io::Result<bool> {
    loop {
        let wait = Timespec::try_from(clock.tick().until(deadline)).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&wait)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The last lines of the log from `start` on, safe to print; empty when there are none or they cannot be read.
fn log_end(path: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut log = File::open(path)?;
        let end = log.seek(SeekFrom::End(0))?;
        log.seek(SeekFrom::Start(start.max(end.saturating_sub(LOG_END_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        log.take(LOG_END_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(logging::escape).collect();
    lines[lines.len().saturating_sub(LOG_END_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests;
