//! Shrinking the database from outside of the daemon.
//!
//! To the daemon this is one of the programs that write to its database: it waits for the lock in slices, between which
//! it serves who reads, hears a stop and feeds the watchdog. Done by the hub itself it could do none of that.

use std::path::PathBuf;

use crate::service::Paths;
use crate::store::{self, StoreError, Vacuumed};

/// Why the database is as large as it was.
#[derive(Debug, thiserror::Error)]
pub enum VacuumError {
    #[error("there is no database at {} yet; start the daemon first, or name the directory with --state-dir", .0.display())]
    NoDatabase(PathBuf),
    #[error("the database was left as it is: {0}")]
    Store(StoreError),
}

impl VacuumError {
    /// Whether it may succeed later.
    pub fn is_busy(&self) -> bool {
        matches!(self, VacuumError::Store(StoreError::Busy))
    }
}

/// Shrinks the database, whether a daemon runs or not.
///
/// # Errors
/// See [`VacuumError`]. Nothing has changed then.
pub fn vacuum(paths: &Paths) -> Result<Vacuumed, VacuumError> {
    if !paths.database.is_file() {
        return Err(VacuumError::NoDatabase(paths.database.clone()));
    }
    store::vacuum(&paths.database).map_err(VacuumError::Store)
}
