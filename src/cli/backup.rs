//! `backup` and `restore`: a copy of everything that is stored, and the way back.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit::{FAILED, Failure, OK, Outcome};
use super::session::Session;
use crate::clock::SystemClock;
use crate::control::ClientError;
use crate::control::wire::{DaemonStatus, Empty, Request};
use crate::service::Paths;
use crate::upkeep::{self, BackupError, BackupOrder, BackupTaken, Promise, RestoreError, Restored};

pub(super) const BACKUP_EXAMPLES: &str = "\
Examples:
  claude-comms backup \"comms-$(date +%F).db\"    a copy of everything, while the daemon runs
  claude-comms backup --force /mnt/comms.db     the same file each time

The copy is checked before it gets its name. Put it back with claude-comms restore.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  claude-comms poll stop && claude-comms restore comms-2026-11-29.db && claude-comms poll start

The old database is kept beside the new one; the name is printed.";

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file that is written; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE when it exists, once the new copy is whole
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `claude-comms backup` has written, or a copy that was kept before an upgrade
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn back_up(backup: &Backup, session: &mut Session) -> Outcome {
    let paths = session.paths()?;
    let target = absolute(&backup.file)?;
    let promised = acknowledged(session, &paths)?;
    let order = BackupOrder { paths: &paths, target: &target, replace: backup.force, promised };
    let taken = upkeep::back_up(&order, &mut |_, _| {}).map_err(|error| failed(&error))?;
    tell_taken(&taken, &target, session)?;
    Ok(OK)
}

/// What the daemon has acknowledged until now. Without one, what is in the file is all there is.
fn acknowledged(session: &mut Session, paths: &Paths) -> Result<Option<Promise>, Failure> {
    let asked =
        session.connect().and_then(|mut client| Ok(client.call::<DaemonStatus>(&Request::PollStatus(Empty {}))?));
    match asked {
        Ok(status) if !is_same_file(Path::new(&status.database), &paths.database) => Err(Failure::usage(format!(
            "the daemon that answers at {} has its database in {}; name that with --state-dir",
            paths.socket.display(),
            status.state_dir
        ))),
        Ok(status) => Ok(Some(Promise { epoch: status.epoch, seq: status.seq })),
        Err(Failure::Client(ClientError::NoDaemon { .. })) => Ok(None),
        Err(failure) => {
            session.output.say(format_args!(
                "the daemon does not say what it has acknowledged ({failure}); the backup has what is stored"
            ));
            Ok(None)
        }
    }
}

/// A path may lead there in several ways.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
    identity(one) == identity(other)
}

fn tell_taken(taken: &BackupTaken, target: &Path, session: &mut Session) -> Result<(), Failure> {
    let BackupTaken { bytes, contents } = taken;
    if session.output.json {
        return session.output.json(&json!({
            "file": target, "bytes": bytes, "epoch": contents.epoch, "seq": contents.seq,
            "schema_version": contents.version, "threads": contents.threads, "messages": contents.messages,
            "tasks": contents.tasks,
        }));
    }
    session.output.paragraph(&format!(
        "{} was written and checked: {} messages in {} threads, {} tasks, up to event {}; {bytes} bytes\n",
        target.display(),
        contents.messages,
        contents.threads,
        contents.tasks,
        contents.seq
    ))
}

pub(super) fn restore(restore: &Restore, session: &mut Session) -> Outcome {
    let paths = session.paths()?;
    let from = absolute(&restore.file)?;
    let restored = upkeep::restore(&paths, &from, &SystemClock::new()).map_err(|error| not_restored(&error))?;
    tell_restored(&restored, &from, session)?;
    session.output.hint("start the daemon with: claude-comms poll start");
    Ok(OK)
}

fn tell_restored(restored: &Restored, from: &Path, session: &mut Session) -> Result<(), Failure> {
    let Restored { contents, kept, ended } = restored;
    if session.output.json {
        return session.output.json(&json!({
            "file": from, "kept": kept, "epoch": contents.epoch, "seq": contents.seq,
            "schema_version": contents.version, "threads": contents.threads, "messages": contents.messages,
            "tasks": contents.tasks, "ended_processes": ended,
        }));
    }
    if *ended > 0 {
        session.output.say(format_args!("ended {ended} processes that an earlier daemon had left running"));
    }
    let kept = match kept {
        Some(kept) => format!("what was there before is kept in {}", kept.display()),
        None => "there was none before".to_owned(),
    };
    session.output.paragraph(&format!(
        "{} is the database now: {} messages in {} threads, {} tasks, up to event {}; {kept}\n",
        from.display(),
        contents.messages,
        contents.threads,
        contents.tasks,
        contents.seq
    ))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{} is no file name: {error}", path.display())))
}

fn failed(error: &BackupError) -> Failure {
    match error {
        BackupError::OwnFile(_) | BackupError::OtherDatabase(_) => Failure::usage(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}

fn not_restored(error: &RestoreError) -> Failure {
    match error {
        RestoreError::Running { .. } => {
            Failure::Told { exit_code: FAILED, code: "conflict", sentence: error.to_string() }
        }
        RestoreError::ItIsTheDatabase(_) => Failure::usage(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}
