//! A backup takes the place of the database, which is kept beside it under another name.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::draft::{Draft, DraftError, beside, sync_directory};
use crate::clock::Clock;
use crate::executor::orphans;
use crate::service::{DirectoryError, Lock, LockError, Paths};
use crate::store::{self, Contents, StoreError};

/// How long the processes of a daemon that was killed have to end.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// Names that are tried for the old database within one second.
const NAMES_MAX: u32 = 1000;

/// What has come of it.
#[derive(Debug)]
pub struct Restored {
    /// Of the file that is the database now; with its new epoch.
    pub contents: Contents,
    /// Where the old database is; `None` when there was none.
    pub kept: Option<PathBuf>,
    /// Processes of tasks that a killed daemon had left, and that were ended.
    pub ended: usize,
}

/// Why the database is what it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("a daemon is running here{}; stop it first with: claude-comms poll stop", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Running { pid: Option<u32> },
    #[error(transparent)]
    Lock(LockError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is the database itself; name a backup of it", .0.display())]
    ItIsTheDatabase(PathBuf),
    #[error("{} cannot be restored: {source}", path.display())]
    Backup { path: PathBuf, source: StoreError },
    #[error("the backup {} is damaged ({why}); nothing was changed, restore another one", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} holds nothing of claude-comms: it has no table of messages", .0.display())]
    NotOurs(PathBuf),
    #[error(
        "another program has the database {} open; find it with fuser(1), end it, and restore again",
        .0.display()
    )]
    InUse(PathBuf),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("the old database {} could not be kept: {source}; nothing was changed", path.display())]
    NotKept { path: PathBuf, source: io::Error },
    #[error("processes of tasks that a killed daemon has left could not be ended: {0}")]
    Leftovers(io::Error),
}

/// Puts the backup `from` into the place of the database. It is checked first, and gets an epoch of its own: numbers of
/// events are given again from there on, and whoever follows must notice.
///
/// # Errors
/// See [`RestoreError`]. The database is what it was then.
pub fn restore(paths: &Paths, from: &Path, clock: &dyn Clock) -> Result<Restored, RestoreError> {
    check_source(paths, from)?;
    paths.prepare()?;
    let _lock = Lock::take(&paths.lock).map_err(|error| match error {
        LockError::Held { pid } => RestoreError::Running { pid },
        error @ LockError::Io { .. } => RestoreError::Lock(error),
    })?;
    let failed = |error| match error {
        StoreError::MissingColumn { .. } => RestoreError::NotOurs(from.to_owned()),
        StoreError::Corrupt(why) => RestoreError::Damaged { path: from.to_owned(), why },
        source => RestoreError::Backup { path: from.to_owned(), source },
    };
    let draft = Draft::begin(&paths.database)?;
    store::copy(from, draft.path(), &mut |_, _| {}).map_err(failed)?;
    let mut contents = store::check(draft.path()).map_err(failed)?;
    contents.epoch = store::renew_epoch(draft.path()).map_err(failed)?;
    let ended = end_leftovers(paths, clock)?;
    let kept = keep_old(paths, clock)?;
    draft.publish(true)?;
    Ok(Restored { contents, kept, ended })
}

fn check_source(paths: &Paths, from: &Path) -> Result<(), RestoreError> {
    let unreadable = |source| RestoreError::Unreadable { path: from.to_owned(), source };
    let found = fs::metadata(from).map_err(unreadable)?;
    if !found.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    // SQLite would take it for a new database.
    if found.len() == 0 {
        return Err(unreadable(io::Error::other("it is empty")));
    }
    let same = |old: fs::Metadata| (old.dev(), old.ino()) == (found.dev(), found.ino());
    if paths.database.metadata().is_ok_and(same) {
        return Err(RestoreError::ItIsTheDatabase(from.to_owned()));
    }
    Ok(())
}

/// The next daemon would look for them by the new epoch, and not find them.
fn end_leftovers(paths: &Paths, clock: &dyn Clock) -> Result<usize, RestoreError> {
    let Some(epoch) = store::epoch_of(&paths.database) else { return Ok(0) };
    let ended = orphans::end_all(&epoch, &[], KILL_GRACE, clock).map_err(RestoreError::Leftovers)?;
    Ok(ended.processes)
}

/// Gives the old database a second name, and takes away what SQLite would mix with the new one.
fn keep_old(paths: &Paths, clock: &dyn Clock) -> Result<Option<PathBuf>, RestoreError> {
    let database = &paths.database;
    let log = beside(database, "-wal");
    if database.exists() {
        match store::fold_log(database) {
            // One file, and nobody has it open: from here on a single rename is all that happens to it.
            Ok(()) => {}
            Err(StoreError::Busy) => return Err(RestoreError::InUse(database.clone())),
            // Damaged, which may be why somebody restores: its log is kept as it is.
            Err(_) => {}
        }
    } else if !log.exists() {
        return Ok(None);
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::NotKept { path, source }
    };
    let kept = free_name(paths, clock);
    if log.exists() {
        fs::rename(&log, beside(&kept, "-wal")).map_err(failed(&log))?;
    }
    let _ = fs::remove_file(beside(database, "-shm"));
    if !database.exists() {
        return Ok(Some(beside(&kept, "-wal")));
    }
    // The file stays where it is until the new one takes its place. Some file systems have no second names.
    fs::hard_link(database, &kept).or_else(|_| fs::rename(database, &kept)).map_err(failed(database))?;
    sync_directory(database).map_err(failed(database))?;
    Ok(Some(kept))
}

/// After the second in which it was put aside, like `claude-comms.db.before-restore-20261129T083000Z`.
fn free_name(paths: &Paths, clock: &dyn Clock) -> PathBuf {
    let time: String = clock.wall().to_string().chars().take(19).filter(|char| !matches!(char, '-' | ':')).collect();
    let name = beside(&paths.database, &format!(".before-restore-{time}Z"));
    let taken = |name: &PathBuf| name.exists() || beside(name, "-wal").exists();
    let numbered = (2..NAMES_MAX).map(|number| beside(&name, &format!("-{number}")));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
}
