//! Events in a SQLite file of somebody's own, apart from the daemon's: one table that any program can query.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// How long another program that has the file locked is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// `epoch` says which log a number belongs to; both together are an event, which is stored once however often it is given.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS events(
  epoch TEXT NOT NULL, seq INTEGER NOT NULL, timestamp TEXT NOT NULL, channel TEXT, event TEXT NOT NULL,
  severity TEXT, data TEXT NOT NULL /* JSON */, PRIMARY KEY(epoch, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_name ON events(event, seq);";

/// The file, open for writing.
pub struct Archive {
    db: Connection,
    epoch: String,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ArchiveError(#[from] rusqlite::Error);

#[derive(Deserialize)]
struct Frame<'a> {
    seq: Option<u64>,
    timestamp: String,
    room: Option<String>,
    event: String,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Loudness {
    severity: Option<String>,
}

impl Archive {
    /// # Errors
    /// It is no SQLite database, or cannot be written.
    pub fn open(path: &Path) -> Result<Archive, ArchiveError> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.execute_batch(SCHEMA)?;
        Ok(Archive { db, epoch: String::new() })
    }

    /// The last event of that log which is stored.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn begin(&mut self, epoch: &str) -> Result<Option<u64>, ArchiveError> {
        epoch.clone_into(&mut self.epoch);
        let last: Option<i64> = self
            .db
            .query_row("SELECT max(seq) FROM events WHERE epoch = ?1", [epoch], |row| row.get(0))
            .optional()?
            .flatten();
        Ok(last.and_then(|last| u64::try_from(last).ok()))
    }

    /// Stores all of them, or none. What has no number is left out.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, frames: &[String]) -> Result<(), ArchiveError> {
        let transaction = self.db.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR IGNORE INTO events(epoch, seq, timestamp, channel, event, severity, data)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for text in frames {
                let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else { continue };
                let Some(seq) = frame.seq.and_then(|seq| i64::try_from(seq).ok()) else { continue };
                let loudness: Option<Loudness> = serde_json::from_str(frame.data.get()).ok();
                let severity = loudness.and_then(|loudness| loudness.severity);
                let data = frame.data.get();
                insert.execute(params![self.epoch, seq, frame.timestamp, frame.room, frame.event, severity, data])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_stored_once_and_by_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.db");
        let event = |seq: &str| {
            format!(r#"{{"timestamp":"t","room":"a:b","event":"x","data":{{"severity":"error"}},"seq":{seq}}}"#)
        };
        let mut archive = Archive::open(&path).unwrap();
        assert_eq!(archive.begin("e1").unwrap(), None);
        archive.write(&[event("1"), event("2"), event("null")]).unwrap();
        archive.write(&[event("2"), event("3")]).unwrap();
        assert_eq!(archive.begin("e1").unwrap(), Some(3));
        assert_eq!(archive.begin("e2").unwrap(), None);
        archive.write(&[event("1")]).unwrap();
        let found: String = archive
            .db
            .query_row("SELECT group_concat(epoch || seq || channel || severity || data) FROM events", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(found.matches(r#"a:berror{"severity":"error"}"#).count(), 4);
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        std::fs::write(
            &path,
            "my notes, which are longer than the head of a database, and nothing that SQLite knows. ".repeat(20),
        )
        .unwrap();
        assert!(Archive::open(&path).is_err());
    }
}
