//! `poll logs`: the daemon's own log, as far as it goes into a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::exit::{Failure, OK, Outcome};
use super::output::Output;
use super::session::Session;

/// How often a followed log is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Go on and print what is added, until interrupted
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn run(logs: &Logs, session: &mut Session) -> Outcome {
    let path = session.paths()?.log;
    let mut log = match File::open(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_log(&path)),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    loop {
        copy(&mut log, &mut session.output).map_err(|error| error.at(&path))?;
        if !logs.follow {
            return Ok(OK);
        }
        session.output.pause(LOOK_INTERVAL)?;
        if let Some(newer) = successor(&log, &path) {
            // What was written to the old one until it was put aside.
            copy(&mut log, &mut session.output).map_err(|error| error.at(&path))?;
            log = newer;
        }
        start_over_if_cut(&mut log).map_err(|error| unreadable(&path, &error))?;
    }
}

fn no_log(path: &Path) -> Failure {
    Failure::not_found(format!(
        "there is no log at {} yet; a daemon that systemd runs logs to the journal: journalctl --user -u claude-comms",
        path.display()
    ))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("the log {} cannot be read: {error}", path.display()))
}

enum CopyError {
    Read(io::Error),
    Write(Failure),
}

impl CopyError {
    fn at(self, path: &Path) -> Failure {
        match self {
            CopyError::Read(error) => unreadable(path, &error),
            CopyError::Write(failure) => failure,
        }
    }
}

/// Prints up to the present end.
fn copy(log: &mut File, output: &mut Output) -> Result<(), CopyError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match log.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => show(&chunk[..count], output).map_err(CopyError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
}

/// Records are harmless already, but not the last words of a thread that panicked.
fn show(chunk: &[u8], output: &mut Output) -> Result<(), Failure> {
    if output.terminal { output.text(&String::from_utf8_lossy(chunk)) } else { output.bytes(chunk) }
}

/// The file that has taken this one's place.
fn successor(log: &File, path: &Path) -> Option<File> {
    let newer = File::open(path).ok()?;
    let (old, new) = (log.metadata().ok()?, newer.metadata().ok()?);
    ((old.dev(), old.ino()) != (new.dev(), new.ino())).then_some(newer)
}

fn start_over_if_cut(log: &mut File) -> io::Result<()> {
    if log.metadata()?.len() < log.stream_position()? {
        log.seek(SeekFrom::Start(0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_log_that_was_put_aside_is_followed_into_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.log");
        fs::write(&path, "one\n").unwrap();
        let mut log = File::open(&path).unwrap();
        assert!(successor(&log, &path).is_none());

        log.seek(SeekFrom::End(0)).unwrap();
        fs::write(&path, "").unwrap();
        start_over_if_cut(&mut log).unwrap();
        assert_eq!(log.stream_position().unwrap(), 0);

        fs::rename(&path, dir.path().join("daemon.log.1")).unwrap();
        assert!(successor(&log, &path).is_none(), "there is no new one yet");
        fs::write(&path, "two\n").unwrap();
        let mut text = String::new();
        successor(&log, &path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "two\n");
    }
}
