//! What a database looks like from outside, for whoever wants to know why something does not work. Nothing is changed.

use super::copy::findings;
use super::{StoreError, copy, schema, value};
use crate::clock::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another program may hold the write lock before that is found strange.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// Of the schema; 0: made by Claude Comms, and not yet taken over.
    pub version: i64,
    /// The newest one that this program knows.
    pub version_known: i64,
    /// What was kept before the database was brought to a version that this program does not know.
    pub copy: Option<PathBuf>,
    /// What SQLite finds wrong with the pages; nothing when all is well.
    pub damage: Vec<String>,
    /// Of the file, and of it what nothing is on, in bytes.
    pub bytes: u64,
    pub bytes_unused: u64,
    /// When the last event was stored.
    pub last_event_at: Option<Timestamp>,
    /// Somebody has held the write lock for two seconds.
    pub is_locked: bool,
}

/// How a database can be read without making or changing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Others have it open, so all files that SQLite wants are there; or it keeps no log, and SQLite wants none.
    Together,
    /// It is all in one file, and nobody has that open.
    Alone,
    /// Whoever had it open last has left a log that belongs to it.
    WithLeftLog,
}

/// Looks at a database, which others may be using. `whole`: every index is compared with its table as well. `None`: its
/// log was left by somebody, and cannot be read without writing.
///
/// # Errors
/// It cannot be opened or read at all.
pub fn diagnose(path: &Path, whole: bool) -> Result<Option<Diagnosis>, StoreError> {
    let way = way_to(path);
    let found = diagnose_by(way, path, whole);
    if way != Way::Together && is_open_elsewhere(path) {
        // Somebody opened it meanwhile: what was read may be half old and half new.
        return diagnose_by(Way::Together, path, whole).map(Some);
    }
    match found {
        Err(StoreError::Corrupt(reason)) => Err(StoreError::Corrupt(reason)),
        Err(_) if way == Way::WithLeftLog => Ok(None),
        found => found.map(Some),
    }
}

fn way_to(path: &Path) -> Way {
    let has_content = |suffix| fs::metadata(beside(path, suffix)).is_ok_and(|file| file.len() > 0);
    if is_open_elsewhere(path) {
        Way::Together
    } else if has_content("-wal") || has_content("-journal") {
        Way::WithLeftLog
    } else if keeps_log(path) {
        Way::Alone
    } else {
        Way::Together
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether another process has it open with a write-ahead log: such hold a lock on the shared memory beside it.
fn is_open_elsewhere(path: &Path) -> bool {
    /// The place of that lock: what SQLite's file format calls `WALINDEX_LOCK_OFFSET`, and eight locks further.
    const LOCK_OFFSET: u64 = 128;
    let Ok(shared) = File::open(beside(path, "-shm")) else { return false };
    let lock = Flock { start: LOCK_OFFSET, length: 1, ..Flock::from(FlockType::WriteLock) };
    fcntl_getlk(&shared, &lock).is_ok_and(|holder| holder.is_some())
}

/// Whether the header says that the database is used with a write-ahead log.
fn keeps_log(path: &Path) -> bool {
    const WRITE_VERSION_OFFSET: usize = 18;
    const WITH_LOG: u8 = 2;
    let mut header = [0; WRITE_VERSION_OFFSET + 1];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok()
        && header.starts_with(b"SQLite format 3\0")
        && header[WRITE_VERSION_OFFSET] == WITH_LOG
}

fn open(way: Way, path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read_only = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let db = match way {
        Way::Together => Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        Way::Alone => Connection::open_with_flags(address(path, "immutable=1"), read_only)?,
        // What the log holds is then listed in our own memory.
        Way::WithLeftLog => Connection::open_with_flags(address(path, "readonly_shm=1"), read_only)?,
    };
    // Should the others close it while we look, the log stays as it is.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.busy_timeout(LOCK_PATIENCE)?;
    db.execute_batch("PRAGMA query_only = ON")?;
    Ok(db)
}

/// The path as SQLite's own kind of URI.
fn address(path: &Path, parameter: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte);
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if is_plain(byte) { address.push(char::from(*byte)) } else { address += &format!("%{byte:02X}") }
    }
    address + "?mode=ro&" + parameter
}

fn diagnose_by(way: Way, path: &Path, whole: bool) -> Result<Diagnosis, StoreError> {
    let db = open(way, path)?;
    let version = schema::version(&db)?;
    let mut diagnosis = Diagnosis { version, version_known: schema::VERSION, ..Diagnosis::default() };
    if version > schema::VERSION {
        diagnosis.copy = copy::kept_before(path);
    }
    let bytes = |count: &str| {
        let sql = format!("SELECT {count} * page_size FROM pragma_{count}, pragma_page_size");
        db.query_row(&sql, [], |row| value::unsigned(row, 0))
    };
    (diagnosis.bytes, diagnosis.bytes_unused) = (bytes("page_count")?, bytes("freelist_count")?);
    diagnosis.damage = if whole { findings(&db)? } else { quick_findings(&db)? };
    if version > 0 && diagnosis.damage.is_empty() {
        let last = "SELECT at FROM events ORDER BY seq DESC LIMIT 1";
        diagnosis.last_event_at = db.query_row(last, [], |row| value::timestamp(row, 0)).ok();
    }
    if way != Way::Together {
        return Ok(diagnosis);
    }
    // Takes the lock for a moment, and writes nothing.
    let locked = db.execute_batch("PRAGMA query_only = OFF; BEGIN IMMEDIATE; ROLLBACK");
    diagnosis.is_locked = match locked.map_err(StoreError::from) {
        Err(StoreError::Busy) => true,
        // That it is read-only is seen elsewhere.
        Ok(()) | Err(_) => false,
    };
    Ok(diagnosis)
}

fn quick_findings(db: &Connection) -> Result<Vec<String>, StoreError> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(if found == "ok" { Vec::new() } else { vec![found] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<(std::ffi::OsString, u64)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> = entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_made_where_the_database_lies() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("100% ours? #1.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); PRAGMA user_version = 0").unwrap();
        // The files of whoever was killed, under another name.
        let left = directory.path().join("left.db");
        for suffix in ["", "-wal", "-shm"] {
            fs::copy(beside(&path, suffix), beside(&left, suffix)).unwrap();
        }
        drop(db);
        for (path, way) in [(&path, Way::Alone), (&left, Way::WithLeftLog)] {
            assert_eq!(way_to(path), way);
            let before = (names(directory.path()), fs::read(path).unwrap());
            let found = diagnose(path, true).unwrap().unwrap();
            assert_eq!(found.damage, Vec::<String>::new());
            assert!(found.bytes > 0);
            assert!(before == (names(directory.path()), fs::read(path).unwrap()));
        }
        fs::remove_file(beside(&left, "-shm")).unwrap();
        let before = names(directory.path());
        assert_eq!(diagnose(&left, false).unwrap(), None);
        assert_eq!(before, names(directory.path()));
    }
}
