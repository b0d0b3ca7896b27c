//! A file that comes into being under another name, so that whoever finds it under its own finds all of it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

const OWNER_ONLY: u32 = 0o600;
/// How often the file may be taken from under us by another that has just finished.
const TRIES_MAX: u32 = 100;

/// The file under its other name, empty at first and for us alone; gone when dropped before it was published.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    target: PathBuf,
    /// Holds the lock that keeps others from writing the same.
    file: File,
}

/// Why it did not come to that.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    #[error("{} exists already; choose another name, or replace it with --force", .0.display())]
    Exists(PathBuf),
    #[error("{} is no file that could be replaced; choose another name", .0.display())]
    NotAFile(PathBuf),
    #[error("another claude-comms is writing {} just now; wait for it, or choose another name", .0.display())]
    InUse(PathBuf),
    #[error("{} belongs to somebody else; choose another directory", .0.display())]
    Foreign(PathBuf),
    #[error("{} could not be written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Draft {
    /// Begins to write what is to be `target`. What a killed one has left under the other name is replaced.
    pub(super) fn begin(target: &Path) -> Result<Draft, DraftError> {
        let path = beside(target, ".partial");
        let failed = |source| DraftError::Io { path: path.clone(), source };
        for _ in 0..TRIES_MAX {
            let file = open(&path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?;
            if found.uid() != geteuid().as_raw() || !found.is_file() {
                return Err(DraftError::Foreign(path));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(DraftError::InUse(target.to_owned())),
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Who had the lock before may have published it since it was opened.
            if !fs::symlink_metadata(&path).is_ok_and(|now| now.dev() == found.dev() && now.ino() == found.ino()) {
                continue;
            }
            file.set_permissions(Permissions::from_mode(OWNER_ONLY)).map_err(failed)?;
            file.set_len(0).map_err(failed)?;
            let draft = Draft { path, target: target.to_owned(), file };
            draft.remove_companions();
            return Ok(draft);
        }
        Err(DraftError::InUse(target.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Has all of it on the disk, and only then under its own name. `replace`: what stands there is gone then.
    pub(super) fn publish(self, replace: bool) -> Result<u64, DraftError> {
        let failed = |source| DraftError::Io { path: self.target.clone(), source };
        self.remove_companions();
        self.file.sync_all().map_err(failed)?;
        let bytes = self.file.metadata().map_err(failed)?.len();
        if replace {
            fs::rename(&self.path, &self.target).map_err(failed)?;
        } else {
            // Unlike a rename this fails when something stands there.
            match fs::hard_link(&self.path, &self.target) {
                Ok(()) => fs::remove_file(&self.path).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(DraftError::Exists(self.target.clone()));
                }
                // Some file systems have no second names.
                Err(_) if self.target.symlink_metadata().is_err() => {
                    fs::rename(&self.path, &self.target).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        sync_directory(&self.target).map_err(failed)?;
        Ok(bytes)
    }

    /// What SQLite puts beside a file while it works on it.
    fn remove_companions(&self) {
        for suffix in ["-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&self.path, suffix));
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let ours = |now: fs::Metadata| self.file.metadata().is_ok_and(|ours| ours.ino() == now.ino());
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            self.remove_companions();
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether something may be written there at all; said before any work is done.
pub(super) fn check_target(target: &Path, replace: bool) -> Result<(), DraftError> {
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(DraftError::Io { path: target.to_owned(), source }),
        Ok(found) if !found.is_file() => Err(DraftError::NotAFile(target.to_owned())),
        Ok(_) if replace => Ok(()),
        Ok(_) => Err(DraftError::Exists(target.to_owned())),
    }
}

/// Follows no link, and waits for nobody should it be a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    // The bits of the flags are C's own numbers; none of them is near the sign.
    options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).custom_flags(flags.bits() as i32);
    options.open(path)
}

/// The path with something behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Has a new name in a directory outlive a power cut.
pub(super) fn sync_directory(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("copy.db");
        (directory, target)
    }

    fn names(directory: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let (directory, target) = place();
        let draft = Draft::begin(&target).unwrap();
        fs::write(draft.path(), "half").unwrap();
        fs::write(beside(draft.path(), "-journal"), "half").unwrap();
        assert_eq!(names(&directory), ["copy.db.partial", "copy.db.partial-journal"]);
        drop(draft);
        assert_eq!(names(&directory), [""; 0]);
    }

    #[test]
    fn what_a_killed_one_has_left_is_no_obstacle_and_one_at_work_is() {
        let (directory, target) = place();
        fs::write(directory.path().join("copy.db.partial"), "left").unwrap();
        fs::write(directory.path().join("copy.db.partial-journal"), "left").unwrap();
        let draft = Draft::begin(&target).unwrap();
        assert_eq!((names(&directory), fs::metadata(draft.path()).unwrap().len()), (vec!["copy.db.partial".into()], 0));
        assert!(matches!(Draft::begin(&target), Err(DraftError::InUse(_))));
        fs::write(draft.path(), "whole").unwrap();
        assert_eq!(draft.publish(false).unwrap(), 5);
        assert_eq!(names(&directory), ["copy.db"]);
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, OWNER_ONLY);
    }

    #[test]
    fn what_stands_there_is_replaced_only_when_that_is_wanted() {
        let (directory, target) = place();
        let draft = Draft::begin(&target).unwrap();
        fs::write(draft.path(), "new").unwrap();
        fs::write(&target, "old").unwrap();
        assert!(matches!(check_target(&target, false), Err(DraftError::Exists(_))));
        assert!(matches!(draft.publish(false), Err(DraftError::Exists(_))));
        assert_eq!((names(&directory), fs::read_to_string(&target).unwrap()), (vec!["copy.db".into()], "old".into()));
        let draft = Draft::begin(&target).unwrap();
        fs::write(draft.path(), "new").unwrap();
        check_target(&target, true).unwrap();
        draft.publish(true).unwrap();
        assert_eq!((names(&directory), fs::read_to_string(&target).unwrap()), (vec!["copy.db".into()], "new".into()));
    }

    #[test]
    fn a_link_or_a_directory_is_not_written_through() {
        let (directory, target) = place();
        std::os::unix::fs::symlink("elsewhere", beside(&target, ".partial")).unwrap();
        assert!(matches!(Draft::begin(&target), Err(DraftError::Io { .. })));
        assert!(!directory.path().join("elsewhere").exists());
        assert!(matches!(check_target(directory.path(), true), Err(DraftError::NotAFile(_))));
    }
}
