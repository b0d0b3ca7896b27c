//! The database, and the only room that knows SQL. A [`Store`] belongs to one thread; the hub's writes, all others read.

mod schema;

mod open;
mod value;

mod batch;
mod changes;
mod housekeeping;

mod alerts;
mod breakers;
mod events;
mod forgetting;
mod groups;
mod hooks;
mod imports;
mod messages;
mod pools;
mod search;
mod tasks;
mod threads;
mod upstreams;
mod watches;
mod workflows;

mod archive;
mod copy;
mod diagnosis;
mod reading;
mod rows;
mod snapshot;
mod vacuum;

#[cfg(test)]
mod tests;

pub use archive::{Archive, ArchiveError};
pub use changes::ChangePage;
pub use copy::{Contents, check, copy, epoch_of, fold_log, renew_epoch};
pub use diagnosis::{Diagnosis, diagnose};
pub use forgetting::OldTasks;
pub use open::{Prepared, REPAIRED};

pub use vacuum::{Vacuumed, vacuum};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// One connection.
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Where tasks keep their output.
    tasks_root: PathBuf,
    /// Length of the write-ahead log after our last commit, in frames.
    log_frames: Arc<AtomicU32>,
    /// Which file that path was when it was opened.
    file: Option<(u64, u64)>,
    /// Rows that this connection had changed when the batch was begun.
    changes_at_begin: u64,
}

/// What a caller can do about a failing store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another program holds the write lock; try again.
    #[error("another program is writing to the database")]
    Busy,
    /// What is written now would be lost with the last process that has the file open.
    #[error(
        "the database file {0} was removed or replaced; stop the daemon, put the file back or leave it, and start again"
    )]
    Removed(String),
    /// A constraint, or a trigger of another program's, forbids what was to be written.
    #[error("{0}")]
    Refused(String),
    #[error("the disk is full")]
    Full,
    #[error("the database is read-only: {0}")]
    ReadOnly(String),
    #[error("the database cannot be opened: {0}")]
    Closed(String),
    #[error(
        "the database is damaged ({0}); restore a backup (claude-comms restore FILE), or move the file away and start \
         anew"
    )]
    Corrupt(String),
    #[error(
        "the database has version {found}, this program knows up to {known}; use a newer claude-comms{}",
        way_back(copy.as_deref())
    )]
    Newer {
        found: i64,
        known: i64,
        /// What was kept when it was brought to a version that this program does not know.
        copy: Option<PathBuf>,
    },
    #[error("table {table} of the database has no column {column}; it was not made by Claude Comms")]
    MissingColumn { table: &'static str, column: String },
    #[error(
        "before the database is brought up to date it is copied, and that failed ({to}: {why}); nothing was changed: \
         make room or move what stands there, and start again"
    )]
    NotCopied { to: String, why: String },
    #[error("{0}")]
    Other(String),
}

/// How to have this version again, after a newer one has changed the database.
fn way_back(copy: Option<&Path>) -> String {
    copy.map_or_else(String::new, |copy| {
        format!(
            ", or go back to the database as it was before that one changed it, without what came since: \
             claude-comms restore {}",
            copy.display()
        )
    })
}

impl StoreError {
    fn newer(found: i64, path: &Path) -> StoreError {
        StoreError::Newer { found, known: schema::VERSION, copy: copy::kept_before(path) }
    }

    /// Whether only the owner can mend it, by another configuration or another file.
    pub fn is_configuration(&self) -> bool {
        matches!(self, StoreError::Newer { .. } | StoreError::MissingColumn { .. })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
            Some(ErrorCode::ConstraintViolation) => StoreError::Refused(error.to_string()),
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(error.to_string()),
            // Without the path that may follow: this is told to whoever looks on as well.
            Some(ErrorCode::CannotOpen) => {
                let text = error.to_string();
                StoreError::Closed(text.split(": /").next().unwrap_or_default().to_owned())
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
            _ => StoreError::Other(error.to_string()),
        }
    }
}

impl From<StoreError> for crate::ports::ReadError {
    fn from(error: StoreError) -> Self {
        crate::ports::ReadError(error.to_string())
    }
}
