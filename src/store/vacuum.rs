//! Giving back to the disk what the database does not need any more.

use super::{StoreError, schema, value};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// How long others that write are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The log is folded and cut as soon as nobody reads it any more, if that is soon.
const CUT_PATIENCE: Duration = Duration::from_secs(2);

/// What it came to, in bytes of the database without its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacuumed {
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Writes the whole database anew, without the pages that nothing is on. Nobody else can write meanwhile; who reads goes
/// on. It is one transaction: whatever breaks it off, the database is what it was.
///
/// # Errors
/// See [`StoreError`]: another program writes for too long, the disk is full, a newer or damaged file.
pub fn vacuum(path: &Path) -> Result<Vacuumed, StoreError> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(PATIENCE)?;
    let version = schema::version(&db)?;
    if version > schema::VERSION {
        return Err(StoreError::newer(version, path));
    }
    db.execute_batch("PRAGMA synchronous = FULL")?;
    let bytes_before = bytes(&db)?;
    db.execute_batch("VACUUM")?;
    let bytes_after = bytes(&db)?;
    // All of it is in the log now. Where somebody reads on, the daemon folds it later.
    db.busy_timeout(CUT_PATIENCE)?;
    let _: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(Vacuumed { bytes_before, bytes_after })
}

fn bytes(db: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    Ok(db.query_row(sql, [], |row| value::unsigned(row, 0))?)
}
