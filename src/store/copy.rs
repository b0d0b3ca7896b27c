//! A database file as a whole: copied while others write to it, checked, and made ready to take the place of another.

use super::{StoreError, schema, value};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another program that holds a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pages that are copied between two reports: 4 MiB, as pages are.
const STEP_PAGES: std::ffi::c_int = 1024;
/// What is said of a damaged file, in findings of SQLite.
const FINDINGS_MAX: usize = 3;

/// What a file that was checked holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Of the schema; 0: made by Claude Comms, and not yet taken over.
    pub version: i64,
    /// `None` in a file of version 0.
    pub epoch: Option<String>,
    /// The last event that is kept.
    pub seq: u64,
    pub threads: u64,
    pub messages: u64,
    pub tasks: u64,
}

/// Copies the whole database, page by page, as it is at one moment, into the empty file `to`; others may write on.
/// A page copy and not `VACUUM INTO`: that would number rows anew, which lists go by. `copied` hears how many bytes of
/// how many there are.
///
/// # Errors
/// One of the files cannot be used, or the disk is full. Then `to` is half of a copy.
pub fn copy(from: &Path, to: &Path, copied: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
    let source = open_source(from)?;
    source.busy_timeout(PATIENCE)?;
    // While this transaction is open what it sees stays, and the copy never has to begin again.
    source.execute_batch("PRAGMA query_only = ON; BEGIN")?;
    source.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    let page_bytes: u64 = source.query_row("PRAGMA page_size", [], |row| value::unsigned(row, 0))?;
    let mut target =
        Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Nobody knows of the file yet, and half of it is worth nothing: whoever asked for it has it synced at the end.
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let backup = Backup::new(&source, &mut target)?;
    loop {
        let step = backup.step(STEP_PAGES)?;
        let progress = backup.progress();
        let bytes = |pages: std::ffi::c_int| u64::try_from(pages).unwrap_or(0) * page_bytes;
        copied(bytes(progress.pagecount - progress.remaining), bytes(progress.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Nobody else has the target, and the source is read already.
            _ => return Err(StoreError::Busy),
        }
    }
}

/// A log that another program has left is taken into account, which only who may write can do.
fn open_source(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let may_write = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE);
    match may_write {
        Ok(db) => Ok(db),
        Err(_) => Ok(Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)?),
    }
}

/// Checks a file that only we have, every page and every index of it, and leaves it as one file without a log.
///
/// # Errors
/// It is damaged, newer than this program, or no database of ours.
pub fn check(path: &Path) -> Result<Contents, StoreError> {
    let db = open_alone(path)?;
    let findings = findings(&db)?;
    if !findings.is_empty() {
        return Err(StoreError::Corrupt(findings.join("; ")));
    }
    contents(&db, path)
}

/// Has those who follow the log notice that it is another one: the numbers of its events will be given again. Returns the
/// new epoch; `None` when the file has none yet, and so gets one when it is taken over.
///
/// # Errors
/// It cannot be written.
pub fn renew_epoch(path: &Path) -> Result<Option<String>, StoreError> {
    let db = open_alone(path)?;
    if schema::version(&db)? == 0 {
        return Ok(None);
    }
    db.execute("UPDATE meta SET value = lower(hex(randomblob(8))) WHERE key = 'epoch'", [])?;
    epoch(&db)
}

/// Folds the log into the file, which is one file then. Waits for nobody.
///
/// # Errors
/// [`StoreError::Busy`]: another program has it open. Otherwise it is damaged, or cannot be written.
pub fn fold_log(path: &Path) -> Result<(), StoreError> {
    open_alone(path).map(drop)
}

/// Which log of events a file has; `None` when it has none, or is no database of ours.
pub fn epoch_of(path: &Path) -> Option<String> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    epoch(&db).ok().flatten()
}

fn open_alone(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::ZERO)?;
    // Only whoever is alone can do this.
    let mode: String = db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("delete") { Ok(db) } else { Err(StoreError::Busy) }
}

/// What SQLite finds wrong with a file, at most a few; nothing when all is well. Reads every page.
pub(super) fn findings(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|finding| finding != "ok").collect())
}

fn contents(db: &Connection, path: &Path) -> Result<Contents, StoreError> {
    let version = schema::version(db)?;
    if version > schema::VERSION {
        return Err(StoreError::newer(version, path));
    }
    let count = |table: &str| -> Result<u64, StoreError> {
        Ok(db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| value::unsigned(row, 0))?)
    };
    schema::check_public_columns(db)?;
    let ours = version > 0;
    Ok(Contents {
        version,
        epoch: if ours { epoch(db)? } else { None },
        seq: if ours {
            db.query_row("SELECT COALESCE(MAX(seq), 0) FROM events", [], |row| value::unsigned(row, 0))?
        } else {
            0
        },
        threads: count("threads")?,
        messages: count("messages")?,
        tasks: if ours { count("tasks")? } else { 0 },
    })
}

fn epoch(db: &Connection) -> Result<Option<String>, StoreError> {
    Ok(db.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).optional()?)
}

/// The copy that was made of `path` before it was last brought to a newer version, as far as this program knows its kind.
pub(super) fn kept_before(path: &Path) -> Option<PathBuf> {
    let name = |version: i64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".v{version}"));
        PathBuf::from(name)
    };
    (1..=schema::VERSION).rev().map(name).find(|copy| copy.is_file())
}
