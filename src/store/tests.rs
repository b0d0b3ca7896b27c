//! The room against real files. A foreign program is a connection of its own, without any of our settings.

mod foreign;
mod opening;
mod plans;
mod reading;
mod search;
mod writing;

use super::{Prepared, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::id::{MessageId, ModuleName, ThreadId, WatchId};
use crate::model::message::{NewMessage, NewThread, Status};
use crate::model::rows::Write;
use crate::model::watch::Watch;
use crate::ports::StoredEvent;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(5);

/// A database in a directory of its own, and the hub's connection to it.
struct Bench {
    store: Store,
    directory: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = prepare(&directory.path().join("messages.db")).unwrap().store;
        Bench { store, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("messages.db")
    }

    /// Another program's connection, with SQLite's usual settings.
    fn foreign(&self) -> Connection {
        let db = Connection::open(self.path()).unwrap();
        db.pragma_update(None, "foreign_keys", false).unwrap();
        db
    }

    fn reader(&self) -> Store {
        Store::open_for_reading(&self.path(), self.directory.path().join("tasks")).unwrap()
    }

    fn write(&mut self, writes: &[Write]) {
        self.store.begin().unwrap();
        self.store.apply(writes).unwrap();
        self.store.commit().unwrap();
    }

    fn append(&mut self, at: Timestamp, events: &[StoredEvent]) {
        self.store.begin().unwrap();
        self.store.append_events(at, events).unwrap();
        self.store.commit().unwrap();
    }

    /// Brings the index up to date, as the hub does when it is idle.
    fn index(&mut self) {
        self.store.begin().unwrap();
        while self.store.index_some().unwrap() {}
        self.store.commit().unwrap();
    }
}

fn prepare(path: &Path) -> Result<Prepared, StoreError> {
    Store::open_for_writing(path, path.with_file_name("tasks"), PATIENCE)
}

fn thread(id: &str) -> Write {
    Write::InsertThread(NewThread {
        id: ThreadId::new(id),
        title: format!("title of {id}"),
        modules: vec![ModuleName::new("a"), ModuleName::new("b")],
        at: Timestamp::from_micros(1_700_000_000_000_001),
    })
}

fn new_message(id: &str, content: &str) -> NewMessage {
    NewMessage {
        id: MessageId::new(id),
        thread_id: ThreadId::new("t"),
        module: ModuleName::new("a"),
        target: None,
        content: content.into(),
        kind: "question",
        status: Status::Pending,
        in_reply_to: None,
        task_id: None,
        metadata: None,
        at: Timestamp::from_micros(1_700_000_000_000_002),
    }
}

fn message(id: &str, content: &str) -> Write {
    Write::InsertMessage(new_message(id, content))
}

fn watch(id: i64, message: &str, status: &str) -> Watch {
    Watch {
        id: WatchId(id),
        message_id: Some(MessageId::new(message)),
        task_id: None,
        thread_id: None,
        source: None,
        target: None,
        status: Status::parse(status),
        added_at: Timestamp::from_micros(1),
        updated_at: Timestamp::from_micros(2),
        expires_at: None,
        ended_at: None,
    }
}

fn event(seq: u64, message: &str) -> StoredEvent {
    StoredEvent {
        seq,
        channel: format!("message:{message}").into(),
        name: "message.status_changed".into(),
        frame: format!("frame {seq}").into_bytes().into(),
    }
}
