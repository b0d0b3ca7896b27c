//! What a database looks like from outside, for whoever wants to know why something does not work. Nothing is changed.

use super::copy::findings;
use super::{StoreError, copy, schema, value};
use crate::clock::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
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

/// Looks at a database, which others may be using. `whole`: every index is compared with its table as well.
///
/// # Errors
/// It cannot be opened or read at all.
pub fn diagnose(path: &Path, whole: bool) -> Result<Diagnosis, StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = Path::new(&log).exists();
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Should nobody else have it open, the log stays as it was found; one that only comes into being now goes again.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
    db.busy_timeout(LOCK_PATIENCE)?;
    db.execute_batch("PRAGMA query_only = ON")?;
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
