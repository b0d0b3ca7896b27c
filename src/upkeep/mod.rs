//! What looks after an installation from outside of the daemon: backup, restore and shrinking of its
//! database, and the doctor, who finds out what is wrong.

mod backup;
pub mod doctor;
mod draft;
mod restore;
mod vacuum;

pub use backup::{BackupError, BackupOrder, BackupTaken, Promise, back_up};
pub use restore::{RestoreError, Restored, restore};
pub use vacuum::{VacuumError, vacuum};
