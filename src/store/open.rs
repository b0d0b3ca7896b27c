//! Opening the file: for the hub, which writes, and for everybody else, who only reads.

use super::{Store, StoreError, schema};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The write-ahead log is grown to this many bytes beforehand, so that a commit changes no file size: such a sync is
/// about twice as fast.
pub(super) const WAL_BYTES: u64 = 16 << 20;
/// How long one attempt to begin a transaction waits for a foreign writer; in between the hub serves others.
pub(super) const BUSY_SLICE: Duration = Duration::from_millis(100);
/// Prepared statements kept per connection; the hub uses about forty.
const STATEMENTS_MAX: usize = 64;
/// What is said of a program that does not want us to see what it does.
pub const REPAIRED: &str = "the triggers on messages were missing or changed and have been put back";
/// A file up to this size is checked for damage when it is opened.
const CHECK_BYTES_MAX: u64 = 16 << 20;

/// What opening for writing found out.
#[derive(Debug)]
pub struct Prepared {
    pub store: Store,
    /// 16 hexadecimal digits, new with every new database.
    pub epoch: String,
    /// Things that are unexpected but harmless, as sentences.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates the file for the hub, and brings it up to date.
    ///
    /// # Errors
    /// See [`StoreError`]: a newer or foreign file, damage, a lock that is held, a full disk.
    pub fn open_for_writing(path: &Path, tasks_root: PathBuf, patience: Duration) -> Result<Prepared, StoreError> {
        create_private(path)?;
        let mut db =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(patience)?;
        keep_plans(&db)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // Foreign keys are not enforced, as they are not by most programs that write here: a thread that one of them has
        // deleted must not keep us from writing to its messages.
        db.execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;",
        )?;
        assert_wal(&db)?;
        check_for_damage(&db, path)?;
        let mut warnings = Vec::new();
        let prepared = schema::prepare(&mut db, path)?;
        if let Some((version, copy)) = prepared.migrated {
            warnings.push(format!(
                "the database was of version {version} and is of version {} now; as it was it is kept in {}",
                schema::VERSION,
                copy.display()
            ));
        }
        if prepared.repaired {
            warnings.push(REPAIRED.to_owned());
        }
        if let Err(error) = grow_wal(&db, path) {
            warnings
                .push(format!("the write-ahead log could not be grown beforehand, commits will be slower: {error}"));
        }
        let epoch = db.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0))?;
        db.busy_timeout(BUSY_SLICE)?;
        let log_frames = Arc::new(AtomicU32::new(0));
        let frames = Arc::clone(&log_frames);
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
            frames.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Prepared {
            store: Store {
                db,
                path: path.to_owned(),
                tasks_root,
                log_frames,
                file: identity(path),
                changes_at_begin: 0,
            },
            epoch,
            warnings,
        })
    }

    /// Opens the file for reading, in the thread that will use it.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn open_for_reading(path: &Path, tasks_root: PathBuf) -> Result<Store, StoreError> {
        let db =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(Duration::from_secs(5))?;
        keep_plans(&db)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // The connection may write, as readers of a write-ahead log must, but no statement of ours can.
        db.execute_batch(
            "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;",
        )?;
        Ok(Store { db, path: path.to_owned(), tasks_root, log_frames: Arc::default(), file: None, changes_at_begin: 0 })
    }

    /// Whether the path still names the file that was opened.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path) == self.file
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Grows the log again when a foreign checkpoint has cut it.
    pub(super) fn regrow_wal(&self) -> io::Result<()> {
        grow_wal(&self.db, &self.path)
    }
}

/// Device and inode; `None` when there is no file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Creates the file unreadable for others whatever the umask says; SQLite gives its companions the same mode.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    match OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::StorageFull => StoreError::Full,
            _ => StoreError::ReadOnly(format!("{}: {error}", path.display())),
        }),
    }
}

/// Or SQLite would plan many a prepared statement anew for each value that is bound to it, which costs more than to run it.
fn keep_plans(db: &Connection) -> Result<(), StoreError> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn assert_wal(db: &Connection) -> Result<(), StoreError> {
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(StoreError::Other(format!("the database cannot use a write-ahead log here (it uses {mode})")))
}

fn check_for_damage(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let large = std::fs::metadata(path).is_ok_and(|file| file.len() > CHECK_BYTES_MAX);
    if large {
        return Ok(());
    }
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(found)) }
}

/// Writes zeros behind the end of the log. SQLite takes them for the end of what is valid.
fn grow_wal(db: &Connection, path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    // A write transaction, so that nobody else extends the file at the same time.
    db.execute_batch("BEGIN IMMEDIATE").map_err(io::Error::other)?;
    let grown = OpenOptions::new().write(true).open(&name).and_then(|mut wal| {
        let mut at = wal.seek(SeekFrom::End(0))?;
        let zeros = vec![0u8; 1 << 20];
        while at < WAL_BYTES {
            let part = zeros.len().min((WAL_BYTES - at) as usize);
            wal.write_all(&zeros[..part])?;
            at += part as u64;
        }
        wal.sync_all()
    });
    db.execute_batch("ROLLBACK").map_err(io::Error::other)?;
    grown
}
