//! The lock that makes a daemon the only one of its state directory. The kernel holds it, for as long as the process
//! lives; the process id in the file is for people.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::OFlags;
use rustix::thread::sched_yield;

const OWNER_ONLY: u32 = 0o600;
/// What stands in the file is shorter, in bytes.
const FILE_BYTES_MAX: u64 = 64;
/// How often somebody who only looks may be in the way, for the length of two system calls each time.
const TRIES_MAX: u32 = 10_000;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who has the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What it wrote into the file; `None` when it has not come to that yet.
    pub pid: Option<u32>,
    /// Of its database; `None` while it is only starting.
    pub epoch: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("a daemon is already running here{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held { pid: Option<u32> },
    #[error("could not use the lock file {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Lock {
    /// Takes the lock, or says who has it. Does not wait.
    ///
    /// # Errors
    /// Another process (or another `Lock` of this one) has it, or the file cannot be used.
    pub fn take(path: &Path) -> Result<Lock, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let mut file = open(path).map_err(failed)?;
        if !acquire(&file).map_err(failed)? {
            return Err(LockError::Held { pid: read(&mut file).pid });
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Lock { file })
    }

    /// Tells whoever has to end this process by force which marker its tasks carry.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_epoch(&mut self, epoch: &str) -> io::Result<()> {
        self.file.write_all(format!("{epoch}\n").as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody shall read there that we still run. The file stays: removing it would let two others lock two files.
        // Closing it, which follows, is what gives the lock up; a failure here misleads people, not programs.
        drop(self.file.set_len(0));
    }
}

/// Whether the lock is held, and by whom. Never in the way of somebody who takes it.
///
/// # Errors
/// The file exists but cannot be used.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    let mut file = match options().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if is_held(&file)? { Ok(Some(read(&mut file))) } else { Ok(None) }
}

/// Follows no link, and waits for nobody should it be a FIFO.
fn options() -> OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    // The bits of the flags are C's own numbers; none of them is near the sign.
    options.custom_flags(flags.bits() as i32);
    options
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = options();
    let file = options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    Ok(file)
}

/// Takes the exclusive lock unless somebody has it. [`holder`] looks by taking a shared lock for a moment; that moment
/// is waited out, because it must not be mistaken for a daemon.
fn acquire(file: &File) -> io::Result<bool> {
    for _ in 0..TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if is_held(file)? => return Ok(false),
            Err(TryLockError::WouldBlock) => sched_yield(),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether somebody has the exclusive lock.
fn is_held(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    // A line without its newline may be half written.
    let mut lines = text.split_inclusive('\n').map_while(|line| line.strip_suffix('\n'));
    let pid = lines.next().and_then(|line| line.parse().ok());
    Holder { pid, epoch: lines.next().filter(|line| !line.is_empty()).map(ToOwned::to_owned) }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", process::id()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::thread::Joined;

    #[test]
    fn a_second_one_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.lock");
        assert_eq!(holder(&path).unwrap(), None);
        assert!(!path.exists(), "looking does not make the file");

        let mut lock = Lock::take(&path).unwrap();
        let us = Some(process::id());
        assert!(matches!(Lock::take(&path), Err(LockError::Held { pid }) if pid == us));
        assert_eq!(holder(&path).unwrap(), Some(Holder { pid: us, epoch: None }));
        lock.note_epoch("0123456789abcdef").unwrap();
        let epoch = Some("0123456789abcdef".to_owned());
        assert_eq!(holder(&path).unwrap(), Some(Holder { pid: us, epoch }));
        assert!(matches!(Lock::take(&path), Err(LockError::Held { pid }) if pid == us));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);

        drop(lock);
        assert_eq!(holder(&path).unwrap(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn what_a_killed_daemon_left_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.lock");
        // A living process, to show that its living is not asked for.
        fs::write(&path, "1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        let lock = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        drop(lock);
    }

    #[test]
    fn junk_in_the_file_is_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.lock");
        let held = open(&path).unwrap();
        held.try_lock().unwrap();
        for junk in ["", "12", "-1\n", "\u{fffd}\n", "99999999999999999999999999\n", "x\n"] {
            fs::write(&path, junk).unwrap();
            assert!(matches!(Lock::take(&path), Err(LockError::Held { pid: None })), "{junk:?}");
        }
    }

    #[test]
    fn a_link_or_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        symlink(&target, &link).unwrap();
        assert!(matches!(Lock::take(&link), Err(LockError::Io { .. })));
        assert!(!target.exists());
        assert!(matches!(Lock::take(dir.path()), Err(LockError::Io { .. })));
    }

    #[test]
    fn those_who_only_look_are_never_taken_for_a_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.lock");
        drop(Lock::take(&path).unwrap());
        let done = Arc::new(AtomicBool::new(false));
        let looking = {
            let (path, done) = (path.clone(), Arc::clone(&done));
            Joined::spawn("looking", move || {
                while !done.load(Ordering::Relaxed) {
                    holder(&path).unwrap();
                }
            })
            .unwrap()
        };
        let failures = (0..500).filter(|_| Lock::take(&path).is_err()).count();
        done.store(true, Ordering::Relaxed);
        drop(looking);
        assert_eq!(failures, 0);
    }
}
