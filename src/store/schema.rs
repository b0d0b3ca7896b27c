//! The tables, and how a file gets them. Foreign programs parse all of this and run our triggers with their own SQLite,
//! so it must parse on SQLite 3.26 without extensions; only the hub touches the full-text table.

use super::StoreError;
use super::changes::append_unseen;
use super::open::create_private;
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What `PRAGMA user_version` says of a file that this program made: 1, and one for each step since.
pub(super) const VERSION: i64 = 1 + STEPS.len() as i64;

/// What leads from one version to the next, from 1 on. What has once been released is never changed.
const STEPS: [&str; 4] = [
    "CREATE TABLE breakers(name TEXT PRIMARY KEY, snapshot TEXT NOT NULL, saved_at REAL NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE upstreams(
       name TEXT PRIMARY KEY, endpoint TEXT NOT NULL, settings TEXT NOT NULL, configured INTEGER NOT NULL,
       enabled INTEGER NOT NULL, polling INTEGER NOT NULL) WITHOUT ROWID;
     CREATE TABLE counters(
       upstream TEXT NOT NULL, metric TEXT NOT NULL, last REAL NOT NULL, \"offset\" REAL NOT NULL,
       PRIMARY KEY(upstream, metric)) WITHOUT ROWID;
     CREATE TABLE samples(upstream TEXT NOT NULL, metric TEXT NOT NULL, at REAL NOT NULL, value REAL NOT NULL);
     CREATE INDEX samples_by_upstream ON samples(upstream);
     CREATE INDEX samples_by_age ON samples(at);",
    "CREATE TABLE alerts(
       rule TEXT NOT NULL, labels TEXT NOT NULL, metric TEXT NOT NULL, bound TEXT NOT NULL, threshold REAL NOT NULL,
       value REAL NOT NULL, since REAL NOT NULL, raised_at REAL NOT NULL, PRIMARY KEY(rule, labels)) WITHOUT ROWID;",
    "CREATE TABLE hook_cursors(name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;",
];

/// How often a file is copied that others write to meanwhile.
const COPIES_MAX: usize = 20;

/// The two tables that any program may read and write.
const PUBLIC: &str = "
CREATE TABLE IF NOT EXISTS threads(
  thread_id TEXT PRIMARY KEY, title TEXT, modules TEXT, metadata TEXT, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS messages(
  message_id TEXT PRIMARY KEY, thread_id TEXT NOT NULL REFERENCES threads(thread_id) ON DELETE CASCADE,
  module TEXT NOT NULL, content TEXT NOT NULL, type TEXT NOT NULL, timestamp REAL NOT NULL,
  status TEXT DEFAULT 'complete', metadata TEXT);
";

/// The columns that a file made by somebody else must have.
const PUBLIC_COLUMNS: [(&str, &[&str]); 2] = [
    ("threads", &["thread_id", "title", "modules", "metadata", "created_at"]),
    ("messages", &["message_id", "thread_id", "module", "content", "type", "timestamp", "status", "metadata"]),
];

/// Lists go by rowid, which every index ends with: a column after the one that is asked for would only be in the way.
const PRIVATE: &str = "
CREATE INDEX IF NOT EXISTS messages_by_thread ON messages(thread_id);
CREATE INDEX IF NOT EXISTS messages_active ON messages(status) WHERE status IN ('pending','processing');
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE changes(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, op TEXT NOT NULL, message_id, old_status, new_status, length INTEGER);
CREATE TABLE modules(name TEXT PRIMARY KEY, directory TEXT NOT NULL, added_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE events(
  seq INTEGER PRIMARY KEY, at REAL NOT NULL, channel TEXT NOT NULL, event TEXT NOT NULL, frame BLOB NOT NULL);
CREATE INDEX events_by_message ON events(channel, seq) WHERE event = 'message.status_changed';
CREATE TABLE watches(
  watch_id INTEGER PRIMARY KEY, message_id TEXT UNIQUE, task_id TEXT UNIQUE, thread_id TEXT, source_module TEXT,
  target_module TEXT, status TEXT NOT NULL, added_at REAL NOT NULL, updated_at REAL NOT NULL, expires_at REAL,
  ended_at REAL);
CREATE INDEX watches_active ON watches(expires_at) WHERE ended_at IS NULL;
CREATE TABLE pools(
  pool_id TEXT PRIMARY KEY, pool_group TEXT, executor TEXT NOT NULL, settings TEXT NOT NULL,
  queue_max INTEGER NOT NULL, timeout_ms INTEGER NOT NULL, status TEXT NOT NULL,
  submitted INTEGER NOT NULL DEFAULT 0, completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL, started_at REAL, deleted_at REAL);
CREATE TABLE pool_groups(
  pool_group TEXT PRIMARY KEY, pools_min INTEGER NOT NULL, pools_max INTEGER NOT NULL, up_queue INTEGER NOT NULL,
  down_idle_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tasks(
  task_seq INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, pool_id TEXT NOT NULL, status TEXT NOT NULL,
  reason TEXT, priority INTEGER NOT NULL, not_before REAL, timeout_ms INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, token INTEGER,
  retries_max INTEGER NOT NULL, crashes INTEGER NOT NULL DEFAULT 0, on_crash TEXT NOT NULL, lock_key TEXT,
  idempotency_key TEXT, question_id TEXT, response_id TEXT, workflow_id TEXT, stage TEXT, step TEXT, worker_slot INTEGER,
  pid INTEGER, pid_started INTEGER, boot_id TEXT, exit_code INTEGER, exit_signal INTEGER,
  cancel_requested INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL, started_at REAL, completed_at REAL);
CREATE UNIQUE INDEX tasks_by_key ON tasks(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_open ON tasks(pool_id, task_seq) WHERE status IN ('pending','running');
CREATE INDEX tasks_by_workflow ON tasks(workflow_id, stage) WHERE workflow_id IS NOT NULL;
CREATE TABLE task_inputs(
  task_seq INTEGER PRIMARY KEY, prompt TEXT NOT NULL, context TEXT, directory TEXT, system_prompt TEXT);
CREATE TABLE task_results(
  task_seq INTEGER PRIMARY KEY, result TEXT, error TEXT, truncated INTEGER NOT NULL DEFAULT 0, usage TEXT);
CREATE TABLE task_dependencies(
  task_seq INTEGER NOT NULL, needs_seq INTEGER NOT NULL, PRIMARY KEY(task_seq, needs_seq)) WITHOUT ROWID;
CREATE INDEX dependents ON task_dependencies(needs_seq);
CREATE TABLE workflows(
  workflow_id TEXT PRIMARY KEY, definition TEXT NOT NULL, status TEXT NOT NULL, stages_completed INTEGER NOT NULL,
  total_stages INTEGER NOT NULL, error TEXT, idempotency_key TEXT, created_at REAL NOT NULL, ended_at REAL);
CREATE UNIQUE INDEX workflows_by_key ON workflows(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflows_open ON workflows(workflow_id) WHERE ended_at IS NULL;
CREATE TABLE search_rows(row INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE messages_fts USING fts5(content, module, tokenize='porter unicode61');
INSERT INTO meta(key, value) VALUES
  ('epoch', lower(hex(randomblob(8)))), ('changes_folded', 0), ('search_indexed', 0), ('token_next', 1),
  ('round_robin_next', 0);
";

/// Appends to `changes`, in whatever program writes, and does nothing else. INSERT OR REPLACE fires only the first.
pub(super) const TRIGGERS: [(&str, &str); 3] = [
    (
        "messages_inserted",
        "CREATE TRIGGER messages_inserted AFTER INSERT ON messages BEGIN
  INSERT INTO changes(op, message_id, new_status, length)
    VALUES('insert', new.message_id, new.status, length(new.content));
END",
    ),
    (
        "messages_updated",
        "CREATE TRIGGER messages_updated AFTER UPDATE ON messages
  WHEN old.status IS NOT new.status OR old.content IS NOT new.content OR old.message_id IS NOT new.message_id BEGIN
  INSERT INTO changes(op, message_id, old_status)
    SELECT 'delete', old.message_id, old.status WHERE old.message_id IS NOT new.message_id;
  INSERT INTO changes(op, message_id, old_status, new_status, length)
    VALUES('update', new.message_id, old.status, new.status, length(new.content));
END",
    ),
    (
        "messages_deleted",
        "CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
  INSERT INTO changes(op, message_id, old_status) VALUES('delete', old.message_id, old.status);
END",
    ),
];

/// What bringing a file up to date has led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// One of ours had lost its triggers; what was written without them is noted.
    pub(super) repaired: bool,
    /// It was of this earlier version, and was copied to there first.
    pub(super) migrated: Option<(i64, PathBuf)>,
}

/// Brings a file to the present version: a new one, one of Claude Comms (version 0), or one of ours, which is copied
/// before it is changed.
pub(super) fn prepare(db: &mut Connection, path: &Path) -> Result<Outcome, StoreError> {
    let found = version(db)?;
    let copied = if (1..VERSION).contains(&found) { Some(copy_until_quiet(db, path, found)?) } else { None };
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if copied.as_ref().is_some_and(|copy| data_version(&tx).ok() != Some(copy.seen)) {
        return Err(StoreError::Busy);
    }
    let migrated = copied.map(|copy| (found, copy.path));
    let version = match version(&tx)? {
        0 => {
            create(&tx)?;
            1
        }
        known if known <= VERSION => known,
        newer => return Err(StoreError::newer(newer, path)),
    };
    for step in STEPS.iter().skip(usize::try_from(version - 1).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    if version < VERSION || found == 0 {
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    let repaired = install_triggers(&tx)? && found > 0;
    if repaired {
        append_unseen(&tx)?;
    }
    tx.commit()?;
    Ok(Outcome { repaired, migrated })
}

pub(super) fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Version 1, around the public tables that may be there already.
fn create(tx: &Connection) -> Result<(), StoreError> {
    tx.execute_batch(PUBLIC)?;
    check_public_columns(tx)?;
    tx.execute_batch(PRIVATE)?;
    // What a taken-over file already holds is to be found by a search too.
    tx.execute_batch(
        "INSERT INTO changes(op, message_id, old_status, new_status, length)
           SELECT 'update', message_id, status, status, length(content) FROM messages WHERE message_id IS NOT NULL;
         UPDATE meta SET value = (SELECT COALESCE(MAX(seq), 0) FROM changes) WHERE key = 'changes_folded';",
    )?;
    Ok(())
}

/// A copy of the whole file, and what `PRAGMA data_version` said when it was made.
struct Copied {
    path: PathBuf,
    seen: i64,
}

/// Copies the file until nobody has written meanwhile: a copy cannot be made while we hold the write lock ourselves.
fn copy_until_quiet(db: &Connection, path: &Path, version: i64) -> Result<Copied, StoreError> {
    for _ in 0..COPIES_MAX {
        let seen = data_version(db)?;
        let copy = copy_aside(db, path, version)?;
        // Waits for whoever is writing now.
        db.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
        if data_version(db)? == seen {
            return Ok(Copied { path: copy, seen });
        }
    }
    Err(StoreError::Busy)
}

/// Moves on with each commit of another connection.
fn data_version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

/// The way back, should the new version not be wanted: a whole copy beside the file, named after the version.
fn copy_aside(db: &Connection, path: &Path, version: i64) -> Result<PathBuf, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}"));
    let copy = PathBuf::from(name);
    let failed = |why: String| StoreError::NotCopied { to: copy.display().to_string(), why };
    // One that an earlier try has left may be half of one.
    match std::fs::remove_file(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error.to_string())),
        _ => {}
    }
    let copied = create_private(&copy).and_then(|()| {
        // As bytes: a path need not be UTF-8.
        let name = ValueRef::Text(copy.as_os_str().as_bytes());
        Ok(db.execute("VACUUM INTO ?1", [ToSqlOutput::Borrowed(name)])?)
    });
    match copied {
        Ok(_) => Ok(copy),
        Err(error) => {
            let _ = std::fs::remove_file(&copy);
            Err(match error {
                StoreError::Full | StoreError::Busy => error,
                error => failed(error.to_string()),
            })
        }
    }
}

/// Puts back what somebody dropped. Returns whether something was missing.
pub(super) fn install_triggers(db: &Connection) -> Result<bool, StoreError> {
    let mut missing = false;
    for (name, sql) in TRIGGERS {
        let stored: Option<String> = rusqlite::OptionalExtension::optional(db.query_row(
            "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?1",
            [name],
            |row| row.get(0),
        ))?;
        if stored.as_deref() != Some(sql) {
            missing = true;
            db.execute_batch(&format!("DROP TRIGGER IF EXISTS {name}; {sql}"))?;
        }
    }
    Ok(missing)
}

pub(super) fn check_public_columns(db: &Connection) -> Result<(), StoreError> {
    for (table, columns) in PUBLIC_COLUMNS {
        let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        if let Some(missing) = columns.iter().find(|column| !names.iter().any(|name| name == *column)) {
            return Err(StoreError::MissingColumn { table, column: (*missing).to_owned() });
        }
    }
    Ok(())
}
