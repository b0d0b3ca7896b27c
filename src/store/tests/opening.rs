//! New, taken-over, newer and damaged files.

use super::*;
use crate::ports::Reader;
use crate::store::schema::VERSION;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt;

/// Name, type, whether NULL is refused, default and place in the primary key, as `PRAGMA table_info` tells them.
type Column = (String, String, bool, Option<String>, i64);

fn columns(db: &Connection, table: &str) -> Vec<Column> {
    let mut statement =
        db.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)").unwrap();
    let rows = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn column(name: &str, kind: &str, not_null: bool, default: Option<&str>, key: i64) -> Column {
    (name.to_owned(), kind.to_owned(), not_null, default.map(str::to_owned), key)
}

#[test]
fn a_new_file_has_the_published_tables() {
    let bench = Bench::new();
    let db = bench.foreign();
    assert_eq!(
        columns(&db, "threads"),
        [
            column("thread_id", "TEXT", false, None, 1),
            column("title", "TEXT", false, None, 0),
            column("modules", "TEXT", false, None, 0),
            column("metadata", "TEXT", false, None, 0),
            column("created_at", "REAL", true, None, 0),
        ]
    );
    assert_eq!(
        columns(&db, "messages"),
        [
            column("message_id", "TEXT", false, None, 1),
            column("thread_id", "TEXT", true, None, 0),
            column("module", "TEXT", true, None, 0),
            column("content", "TEXT", true, None, 0),
            column("type", "TEXT", true, None, 0),
            column("timestamp", "REAL", true, None, 0),
            column("status", "TEXT", false, Some("'complete'"), 0),
            column("metadata", "TEXT", false, None, 0),
        ]
    );
    let key: (String, String, String) = db
        .query_row("SELECT \"table\", \"from\", on_delete FROM pragma_foreign_key_list('messages')", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(key, ("threads".to_owned(), "thread_id".to_owned(), "CASCADE".to_owned()));
}

#[test]
fn a_new_file_is_private_and_its_log_is_grown() {
    let bench = Bench::new();
    for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
        let mode = fs::metadata(bench.directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let log = fs::metadata(bench.directory.path().join("messages.db-wal")).unwrap().len();
    assert_eq!(log, crate::store::open::WAL_BYTES);
}

#[test]
fn opening_again_keeps_the_epoch_and_a_new_file_gets_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let first = prepare(&directory.path().join("a.db")).unwrap();
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    assert!(first.epoch.len() == 16 && first.epoch.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", first.epoch);
    drop(first.store);
    let again = prepare(&directory.path().join("a.db")).unwrap();
    assert_eq!(again.epoch, first.epoch);
    assert_ne!(prepare(&directory.path().join("b.db")).unwrap().epoch, first.epoch);
}

/// The two tables as somebody else made them: other types, one column more, and no version.
fn made_by_somebody_else(path: &Path, thread_columns: &str) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE threads({thread_columns});
         CREATE TABLE messages(message_id TEXT PRIMARY KEY, thread_id TEXT, module TEXT, content TEXT, type TEXT,
           timestamp REAL, status TEXT, metadata TEXT, colour TEXT);
         INSERT INTO messages VALUES('old-message', 'old-thread', 'a', 'about migrating geese', 'question', 12.5,
           'pending', NULL, 'blue');
         INSERT INTO messages(message_id, content) VALUES(NULL, 'nameless');"
    ))
    .unwrap();
}

const THREAD_COLUMNS: &str = "thread_id TEXT PRIMARY KEY, title TEXT, modules TEXT, metadata TEXT, created_at REAL";

#[test]
fn a_file_of_claude_comms_is_taken_over_with_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    made_by_somebody_else(&path, THREAD_COLUMNS);
    let mut bench = Bench { store: prepare(&path).unwrap().store, directory };

    let kept = Reader::message(&mut bench.store, &MessageId::new("old-message")).unwrap().unwrap();
    assert_eq!((kept.status, kept.at), (Status::Pending, Timestamp::from_micros(12_500_000)));
    assert_eq!((kept.thread_id.as_str(), kept.thread_title), ("old-thread", None));
    let colour: String =
        bench.foreign().query_row("SELECT colour FROM messages WHERE colour NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(colour, "blue");

    // What was there before is no news, but is found.
    let folded = bench.store.changes_folded().unwrap();
    assert!(bench.store.changes_after(folded).unwrap().changes.is_empty());
    assert!(bench.store.has_unindexed().unwrap());
    bench.index();
    let found = bench.store.search("migration goose OR geese", 10).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id.as_str(), "old-message");
}

#[test]
fn a_column_that_is_missing_is_named_and_the_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    made_by_somebody_else(&path, "thread_id TEXT PRIMARY KEY, title TEXT, metadata TEXT, created_at REAL");
    let error = prepare(&path).unwrap_err();
    assert!(
        matches!(&error, StoreError::MissingColumn { table: "threads", column } if column == "modules"),
        "{error:?}"
    );
    assert!(error.is_configuration() && error.to_string().contains("modules"), "{error}");
    let tables: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 2);
}

#[test]
fn a_newer_file_is_refused() {
    let bench = Bench::new();
    bench.foreign().pragma_update(None, "user_version", 99).unwrap();
    let error = prepare(&bench.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: VERSION, copy: None }), "{error:?}");
    assert!(error.is_configuration());
    // The newest copy that this program can use is the way back.
    for name in ["messages.db.v1", "messages.db.v2", "messages.db.v99"] {
        fs::write(bench.directory.path().join(name), "").unwrap();
    }
    let said = prepare(&bench.path()).unwrap_err().to_string();
    assert!(said.ends_with(&format!("claude-comms restore {}.v2", bench.path().display())), "{said}");
}

/// Version 1 is what a new file has without the steps since.
fn back_to_version_1(db: &Connection) {
    db.execute_batch(
        "DROP TABLE breakers; DROP TABLE upstreams; DROP TABLE counters; DROP TABLE samples; DROP TABLE alerts;
         DROP TABLE hook_cursors;
         PRAGMA user_version = 1;",
    )
    .unwrap();
}

#[test]
fn an_older_file_is_copied_and_then_brought_up_to_date() {
    let mut bench = Bench::new();
    bench.write(&[thread("t"), message("m", "t")]);
    back_to_version_1(&bench.foreign());
    let path = bench.path();
    let Bench { directory, store } = bench;
    drop(store);
    let prepared = prepare(&path).unwrap();
    let copy = directory.path().join("messages.db.v1");
    assert!(prepared.warnings[0].contains(&*copy.to_string_lossy()), "{:?}", prepared.warnings);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let version = |db: &Connection| db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let old = Connection::open(&copy).unwrap();
    assert_eq!(version(&old), 1);
    assert_eq!(old.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    let mut bench = Bench { directory, store: prepared.store };
    assert_eq!(version(&bench.foreign()), VERSION);
    assert_eq!(bench.store.breakers().unwrap(), []);
    assert!(prepare(&path).unwrap().warnings.is_empty());
}

/// Every table and index that version 3 has, as that version itself wrote them down.
const VERSION_3: &str = include_str!("version_3.sql");

#[test]
fn a_file_of_version_3_keeps_what_it_has_and_gets_a_place_for_alerts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(VERSION_3).unwrap();
    drop(db);
    let mut bench = Bench { store: prepare(&path).unwrap().store, directory };
    let copy = Connection::open(bench.directory.path().join("messages.db.v3")).unwrap();
    let has_alerts = |db: &Connection| {
        db.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'alerts'", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!((has_alerts(&copy), has_alerts(&bench.foreign())), (0, 1));
    let snapshot = bench.store.snapshot().unwrap();
    assert_eq!((snapshot.seq, snapshot.pools.len(), snapshot.upstreams.len()), (6, 1, 3));
    assert_eq!((snapshot.totals.len(), snapshot.alerts), (1, Vec::new()));
    assert_eq!(bench.store.modules().unwrap().len(), 2);
    assert_eq!(bench.store.breakers().unwrap().len(), 1);
}

/// What version 4 has besides.
const VERSION_4: &str = include_str!("version_4.sql");

#[test]
fn a_file_of_the_version_before_keeps_what_it_has_and_gets_a_place_for_hooks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(VERSION_3).unwrap();
    db.execute_batch(VERSION_4).unwrap();
    drop(db);
    let mut bench = Bench { store: prepare(&path).unwrap().store, directory };
    let copy = Connection::open(bench.directory.path().join("messages.db.v4")).unwrap();
    let has_hooks = |db: &Connection| {
        db.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'hook_cursors'", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!((has_hooks(&copy), has_hooks(&bench.foreign())), (0, 1));
    let snapshot = bench.store.snapshot().unwrap();
    assert_eq!((snapshot.seq, snapshot.pools.len(), snapshot.upstreams.len()), (9, 1, 3));
    assert_eq!((snapshot.alerts.len(), &*snapshot.alerts[0].rule), (1, "awake"));
    assert!(bench.store.hook_cursors().unwrap().is_empty());
}

#[test]
fn how_far_a_hook_has_come_is_kept_by_its_name() {
    let mut bench = Bench::new();
    let put = |name: &str, seq| Write::PutHookCursor { name: name.to_owned(), seq };
    bench.write(&[put("a", 5), put("b", 6), put("c", u64::MAX)]);
    bench.write(&[put("a", 7), Write::DeleteHookCursor("b".to_owned()), Write::DeleteHookCursor("none".to_owned())]);
    let cursors = bench.store.hook_cursors().unwrap();
    assert_eq!(cursors, BTreeMap::from([("a".to_owned(), 7), ("c".to_owned(), i64::MAX.unsigned_abs())]));
}

#[test]
fn what_an_earlier_try_has_left_of_a_copy_is_no_obstacle() {
    let bench = Bench::new();
    back_to_version_1(&bench.foreign());
    let copy = bench.directory.path().join("messages.db.v1");
    fs::write(&copy, "half of a copy").unwrap();
    prepare(&bench.path()).unwrap();
    assert!(fs::read(&copy).unwrap().starts_with(b"SQLite format 3"));
}

#[test]
fn a_breaker_is_kept_by_its_name() {
    use crate::model::breaker::BreakerRow;
    let mut bench = Bench::new();
    let row = |name: &str, snapshot: &str| BreakerRow {
        name: name.to_owned(),
        snapshot: snapshot.to_owned(),
        saved_at: Timestamp::from_micros(12_500_000),
    };
    let put = |name, snapshot| Write::PutBreaker(row(name, snapshot));
    bench.write(&[
        put("a", "1 open 5"),
        put("b", "1 disabled"),
        put("a", "1 open 4"),
        Write::DeleteBreaker("b".into()),
    ]);
    assert_eq!(bench.store.breakers().unwrap(), [row("a", "1 open 4")]);
}

#[test]
fn an_alert_that_is_raised_is_kept_by_its_rule_and_series() {
    use crate::model::alert::{Alert, Bound};
    let mut bench = Bench::new();
    let alert = |pool: &str, bound| Alert {
        rule: "r".into(),
        metric: "m".into(),
        labels: [("pool".to_owned(), pool.to_owned()), ("a".to_owned(), "\"ä\"".to_owned())]
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .into(),
        bound,
        value: f64::MAX,
        since: Timestamp::from_micros(12_500_000),
        raised_at: Timestamp::from_micros(13_500_001),
    };
    let kept = [alert("x", Bound::Above(0.1)), alert("y", Bound::Below(-1e300))];
    let gone = alert("z", Bound::Above(1.0));
    let put = |alert: &Alert| Write::PutAlert(Box::new(alert.clone()));
    bench.write(&[put(&gone), put(&kept[1]), put(&kept[0]), Write::DeleteAlert(gone.key())]);
    assert_eq!(bench.store.snapshot().unwrap().alerts, kept);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    let garbage = b"this is a shopping list and no database\n".repeat(200);
    fs::write(&path, &garbage).unwrap();
    let error = prepare(&path).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), garbage);
}

#[test]
fn a_page_that_was_overwritten_is_found_at_the_start() {
    let bench = Bench::new();
    let path = bench.path();
    let foreign = bench.foreign();
    for number in 0..200 {
        foreign
            .execute(
                "INSERT INTO messages(message_id, thread_id, module, content, type, timestamp)
                 VALUES(?1, 't', 'a', ?2, 'note', 0)",
                (number, "x".repeat(500)),
            )
            .unwrap();
    }
    let root: i64 =
        foreign.query_row("SELECT rootpage FROM sqlite_master WHERE name = 'messages'", [], |row| row.get(0)).unwrap();
    foreign.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(foreign);
    drop(bench.store);
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start((root as u64 - 1) * 4096)).unwrap();
    file.write_all(&[0xAB; 4096]).unwrap();
    drop(file);
    let error = prepare(&path).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}

#[test]
fn a_place_where_nothing_can_be_written_is_said() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().join("missing/messages.db"), directory.path().to_owned()] {
        let error = prepare(&path).unwrap_err();
        assert!(matches!(&error, StoreError::ReadOnly(text) if text.contains(&*path.to_string_lossy())), "{error:?}");
    }
    // Permissions bind everybody but root.
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may write to read-only files");
        return;
    }
    let path = directory.path().join("messages.db");
    drop(prepare(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let error = prepare(&path).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = prepare(&directory.path().join("new.db")).unwrap_err();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(error, StoreError::ReadOnly(_) | StoreError::Closed(_)), "{error:?}");
}

#[test]
fn a_reader_cannot_write_and_needs_a_file() {
    let bench = Bench::new();
    let mut reader = bench.reader();
    assert!(reader.apply(&[thread("t")]).is_err());
    let missing = Store::open_for_reading(&bench.directory.path().join("no.db"), PathBuf::new()).unwrap_err();
    assert!(matches!(&missing, StoreError::Closed(text) if !text.contains("no.db")), "{missing:?}");
}
