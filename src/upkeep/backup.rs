//! A copy of the database, made while the daemon writes to it, and checked before it gets its name.
//!
//! Made by the process of whoever asks for it and not by the daemon: it is written with that user's rights, where a unit
//! may not let the daemon write; a full disk there or a kill costs only the copy; and it works without a daemon too.

use std::path::{Path, PathBuf};

use super::draft::{Draft, DraftError, check_target};
use crate::service::Paths;
use crate::store::{self, Contents, StoreError};

/// What is to be copied, and where to.
#[derive(Debug)]
pub struct BackupOrder<'a> {
    pub paths: &'a Paths,
    pub target: &'a Path,
    /// Whether a file that stands there is replaced.
    pub replace: bool,
    /// What the daemon has acknowledged before; `None` when none runs.
    pub promised: Option<Promise>,
}

/// How far the daemon's log had come before the copy was begun.
#[derive(Clone, Debug)]
pub struct Promise {
    pub epoch: String,
    pub seq: u64,
}

/// A copy that is whole.
#[derive(Debug)]
pub struct BackupTaken {
    pub bytes: u64,
    pub contents: Contents,
}

/// Why there is no copy. Nothing is left of it then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no database at {} yet; start the daemon first, or name the directory with --state-dir", .0.display())]
    NoDatabase(PathBuf),
    #[error("{} is a file of the daemon's own; choose another name for the backup", .0.display())]
    OwnFile(PathBuf),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("the backup {} was not made: {source}", target.display())]
    Store { target: PathBuf, source: StoreError },
    #[error(
        "the backup was not kept: the daemon that answers uses another database than {}; name its directory with \
         --state-dir",
        .0.display()
    )]
    OtherDatabase(PathBuf),
    #[error("the backup was not kept: it ends with event {found}, but {promised} was acknowledged; try again")]
    Incomplete { found: u64, promised: u64 },
}

/// Takes the backup. `copied` hears how many bytes of how many are copied.
///
/// # Errors
/// See [`BackupError`].
pub fn back_up(order: &BackupOrder<'_>, copied: &mut dyn FnMut(u64, u64)) -> Result<BackupTaken, BackupError> {
    let (database, target) = (&order.paths.database, order.target);
    if !database.is_file() {
        return Err(BackupError::NoDatabase(database.clone()));
    }
    if is_own_file(order.paths, target) {
        return Err(BackupError::OwnFile(target.to_owned()));
    }
    check_target(target, order.replace)?;
    let draft = Draft::begin(target)?;
    let failed = |source| BackupError::Store { target: target.to_owned(), source };
    store::copy(database, draft.path(), copied).map_err(failed)?;
    let contents = store::check(draft.path()).map_err(failed)?;
    if let Some(promised) = &order.promised {
        check_promise(promised, &contents, database)?;
    }
    let bytes = draft.publish(order.replace)?;
    Ok(BackupTaken { bytes, contents })
}

/// The copy was begun after the daemon had said how far it was, and whatever it acknowledges is on the disk before.
fn check_promise(promised: &Promise, contents: &Contents, database: &Path) -> Result<(), BackupError> {
    if contents.epoch.as_ref() != Some(&promised.epoch) {
        return Err(BackupError::OtherDatabase(database.to_owned()));
    }
    if contents.seq < promised.seq {
        return Err(BackupError::Incomplete { found: contents.seq, promised: promised.seq });
    }
    Ok(())
}

/// Whether `target` is one of the files that the daemon works with, whatever it is called there.
fn is_own_file(paths: &Paths, target: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let log = super::draft::beside(&paths.database, "-wal");
    let memory = super::draft::beside(&paths.database, "-shm");
    let journal = super::draft::beside(&paths.database, "-journal");
    let own = [&paths.database, &log, &memory, &paths.lock, &paths.log, &paths.token, &paths.token_read_only];
    let own = own.into_iter().chain([&paths.socket]).chain(&paths.config_file);
    let own: Vec<&PathBuf> = own.chain([&journal]).collect();
    match target.metadata() {
        Ok(found) => {
            let same = |file: std::fs::Metadata| (file.dev(), file.ino()) == (found.dev(), found.ino());
            own.iter().any(|path| path.metadata().is_ok_and(same))
        }
        // Nor one that it would make, or read, later.
        Err(_) => own.iter().any(|path| path.file_name() == target.file_name() && is_same_directory(path, target)),
    }
}

fn is_same_directory(one: &Path, other: &Path) -> bool {
    let directory = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        parent.canonicalize().ok()
    };
    directory(one).is_some_and(|one| Some(one) == directory(other))
}
