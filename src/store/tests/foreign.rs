//! What other programs may do to the public tables, and to us.

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::model::rows::{Change, ChangeKind, Rows};
use crate::ports::{IdKind, MessageFilter, Reader, Resolved};

fn insert(db: &Connection, id: &str) {
    db.execute(
        "INSERT INTO messages(message_id, thread_id, module, content, type, timestamp, status)
         VALUES(?1, 't', 'a', 'four', 'note', 0, 'pending')",
        [id],
    )
    .unwrap();
}

fn change(kind: ChangeKind, id: &str, old: Option<&str>, new: Option<&str>, length: u64) -> Change {
    Change {
        seq: 0,
        kind,
        message_id: MessageId::new(id),
        old_status: old.map(Status::parse),
        new_status: new.map(Status::parse),
        content_length: Some(length),
    }
}

/// The changes after `seq`, without their numbers, which must rise.
fn changes(store: &mut Store, seq: i64) -> Vec<Change> {
    let page = store.changes_after(seq).unwrap();
    assert!(page.changes.is_sorted_by(|earlier, later| earlier.seq < later.seq));
    page.changes.into_iter().map(|change| Change { seq: 0, ..change }).collect()
}

#[test]
fn every_kind_of_change_is_noted() {
    use ChangeKind::{Delete, Insert, Update};
    let mut bench = Bench::new();
    let db = bench.foreign();
    insert(&db, "m");
    let table = [
        (
            "UPDATE messages SET status = 'processing'",
            vec![change(Update, "m", Some("pending"), Some("processing"), 4)],
        ),
        (
            "UPDATE messages SET content = 'seven!!'",
            vec![change(Update, "m", Some("processing"), Some("processing"), 7)],
        ),
        ("UPDATE messages SET metadata = '{}', timestamp = 3", vec![]),
        ("UPDATE messages SET status = 'processing'", vec![]),
        (
            "UPDATE messages SET message_id = 'n'",
            vec![
                change(Delete, "m", Some("processing"), None, 0),
                change(Update, "n", Some("processing"), Some("processing"), 7),
            ],
        ),
        (
            "INSERT OR REPLACE INTO messages VALUES('n', 't', 'a', 'x', 'note', 0, 'complete', NULL)",
            vec![change(Insert, "n", None, Some("complete"), 1)],
        ),
        ("UPDATE messages SET status = NULL", vec![change(Update, "n", Some("complete"), Some("unknown"), 1)]),
        ("DELETE FROM messages", vec![change(Delete, "n", Some("unknown"), None, 0)]),
    ];
    for (sql, expected) in table {
        let before = bench.store.newest_change().unwrap();
        db.execute(sql, []).unwrap();
        assert_eq!(changes(&mut bench.store, before), expected, "{sql}");
    }
}

#[test]
fn two_updates_between_looks_are_two_changes() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    insert(&db, "m");
    let before = bench.store.newest_change().unwrap();
    db.execute_batch("BEGIN; UPDATE messages SET status = 'processing'; UPDATE messages SET status = 'failed'; COMMIT")
        .unwrap();
    let steps: Vec<_> = changes(&mut bench.store, before)
        .into_iter()
        .map(|change| (change.old_status.unwrap(), change.new_status.unwrap()))
        .collect();
    assert_eq!(steps, [(Status::Pending, Status::Processing), (Status::Processing, Status::Failed)]);
}

#[test]
fn changes_come_in_pages_and_numbers_are_never_used_again() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    db.execute_batch("BEGIN").unwrap();
    for number in 0..1500 {
        insert(&db, &format!("m{number}"));
    }
    db.execute_batch("COMMIT").unwrap();
    let first = bench.store.changes_after(0).unwrap();
    assert_eq!((first.changes.len(), first.last, first.more), (1024, 1024, true));
    let second = bench.store.changes_after(first.last).unwrap();
    assert_eq!((second.changes.len(), second.last, second.more), (476, 1500, false));

    bench.store.begin().unwrap();
    assert_eq!(bench.store.fold_all().unwrap(), 1500);
    while bench.store.index_some().unwrap() {}
    while bench.store.prune(Timestamp::from_micros(0), 1).unwrap() {}
    bench.store.commit().unwrap();
    assert_eq!(bench.store.newest_change().unwrap(), 1500);
    assert!(!bench.store.has_unindexed().unwrap());
    insert(&db, "later");
    let later = bench.store.changes_after(1500).unwrap();
    assert_eq!((later.changes.len(), later.last), (1, 1501));
}

#[test]
fn a_commit_of_somebody_else_moves_the_version_and_ours_does_not() {
    let mut bench = Bench::new();
    let before = bench.store.data_version().unwrap();
    bench.write(&[thread("t")]);
    assert_eq!(bench.store.data_version().unwrap(), before);
    insert(&bench.foreign(), "m");
    assert_ne!(bench.store.data_version().unwrap(), before);
}

#[test]
fn dropped_triggers_are_put_back_and_what_was_missed_is_noted() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    for id in ["same", "moved", "gone", "unwatched"] {
        insert(&db, id);
    }
    let watches = ["same", "moved", "gone", "awaited"];
    let watches = watches.iter().zip(1..).map(|(id, number)| {
        let status = if *id == "awaited" { "unknown" } else { "pending" };
        Write::PutWatch(watch(number, id, status))
    });
    bench.write(&watches.collect::<Vec<_>>());
    let schema = bench.store.schema_version().unwrap();
    let before = bench.store.newest_change().unwrap();
    db.execute_batch(
        "DROP TRIGGER messages_updated; DROP TRIGGER messages_deleted;
         UPDATE messages SET status = 'complete' WHERE message_id IN ('moved', 'unwatched');
         DELETE FROM messages WHERE message_id = 'gone';",
    )
    .unwrap();
    assert_ne!(bench.store.schema_version().unwrap(), schema);
    assert!(changes(&mut bench.store, before).is_empty());

    bench.store.begin().unwrap();
    assert!(bench.store.repair_triggers().unwrap());
    bench.store.append_unseen_as_changes().unwrap();
    bench.store.commit().unwrap();
    let mut noted = changes(&mut bench.store, before);
    noted.sort_by(|one, other| one.message_id.cmp(&other.message_id));
    assert_eq!(
        noted,
        [
            change(ChangeKind::Delete, "gone", Some("pending"), None, 0),
            change(ChangeKind::Update, "moved", Some("pending"), Some("complete"), 4),
        ]
    );

    // They work again, and there is nothing more to repair.
    let before = bench.store.newest_change().unwrap();
    db.execute("UPDATE messages SET status = 'failed' WHERE message_id = 'same'", []).unwrap();
    assert_eq!(changes(&mut bench.store, before).len(), 1);
    bench.store.begin().unwrap();
    assert!(!bench.store.repair_triggers().unwrap());
    bench.store.rollback();
}

#[test]
fn what_was_written_without_triggers_is_found_by_a_search_and_noted_once() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    insert(&db, "indexed");
    bench.index();
    insert(&db, "noted");
    bench.write(&[Write::PutWatch(watch(1, "awaited", "unknown"))]);
    let before = bench.store.newest_change().unwrap();
    let leave_unnoted = |ids: [&str; 2]| {
        db.execute_batch("DROP TRIGGER messages_inserted").unwrap();
        ids.iter().for_each(|id| insert(&db, id));
    };
    leave_unnoted(["awaited", "unseen"]);
    let long = "i".repeat(300);
    insert(&db, &long);
    bench.store.begin().unwrap();
    assert!(bench.store.repair_triggers().unwrap());
    bench.store.append_unseen_as_changes().unwrap();
    bench.store.commit().unwrap();
    let inserted = |id: &str| change(ChangeKind::Insert, id, None, Some("pending"), 4);
    assert_eq!(changes(&mut bench.store, before), [inserted("awaited"), inserted("unseen")]);

    // The same when nobody was there to see it.
    bench.write(&[Write::PutWatch(watch(1, "awaited", "pending"))]);
    let before = bench.store.newest_change().unwrap();
    leave_unnoted(["by", "night"]);
    let prepared = prepare(&bench.path()).unwrap();
    assert!(prepared.warnings[0].contains("triggers"), "{:?}", prepared.warnings);
    bench.store = prepared.store;
    assert_eq!(changes(&mut bench.store, before), [inserted("by"), inserted("night")]);
    assert!(prepare(&bench.path()).unwrap().warnings.is_empty());
    bench.index();
    assert_eq!(bench.store.search("four", 100).unwrap().len(), 6);
}

#[test]
fn a_watch_on_a_foreign_word_is_noted_only_when_the_word_is_another() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    for (id, status) in [("spelt", "completed"), ("null", "NULL"), ("word", "in review")] {
        insert(&db, id);
        let status = if status == "NULL" { None } else { Some(status) };
        db.execute("UPDATE messages SET status = ?2 WHERE message_id = ?1", (id, status)).unwrap();
    }
    bench.write(&[
        Write::PutWatch(watch(1, "spelt", "complete")),
        Write::PutWatch(watch(2, "null", "unknown")),
        Write::PutWatch(watch(3, "word", "in review")),
    ]);
    let before = bench.store.newest_change().unwrap();
    bench.store.begin().unwrap();
    bench.store.append_unseen_as_changes().unwrap();
    bench.store.commit().unwrap();
    let noted = changes(&mut bench.store, before);
    // A repeated status is no change to whoever folds it; what matters is that none of these is one.
    assert!(noted.iter().all(|change| change.old_status == change.new_status), "{noted:?}");
}

#[test]
fn a_log_that_was_cut_is_grown_again() {
    let mut bench = Bench::new();
    bench.write(&[thread("t"), message("m", "x")]);
    let log = bench.directory.path().join("messages.db-wal");
    let length = || std::fs::metadata(&log).unwrap().len();
    let db = bench.foreign();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(length(), 0);
    bench.store.keep_log_grown();
    assert_eq!(length(), crate::store::open::WAL_BYTES);

    // Both still write, and read what the other wrote.
    insert(&db, "theirs");
    bench.write(&[message("ours", "x")]);
    let theirs = Reader::message(&mut bench.store, &MessageId::new("theirs")).unwrap();
    assert!(theirs.is_some());
    let count: i64 = db.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
    drop(db);
    let check: String = bench.foreign().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_lock_that_is_held_is_reported_soon() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let clock = SystemClock::new();
    let started = clock.tick();
    assert!(matches!(bench.store.begin(), Err(StoreError::Busy)));
    let took = clock.tick().since(started);
    assert!(took >= Duration::from_millis(80) && took < Duration::from_secs(2), "{took:?}");
    // Reading goes on.
    assert!(Reader::message(&mut bench.reader(), &MessageId::new("m")).unwrap().is_none());
    db.execute_batch("COMMIT").unwrap();
    bench.store.begin().unwrap();
    bench.store.rollback();
}

/// Everything that a column can hold, in tables that refuse nothing.
fn strange_rows() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE threads(thread_id TEXT PRIMARY KEY, title TEXT, modules TEXT, metadata TEXT, created_at REAL);
             CREATE TABLE messages(message_id TEXT PRIMARY KEY, thread_id TEXT, module TEXT, content TEXT, type TEXT,
               timestamp REAL, status TEXT, metadata TEXT);",
        )
        .unwrap();
    let bench = Bench { store: prepare(&path).unwrap().store, directory };
    let db = bench.foreign();
    db.execute_batch(
        "INSERT INTO threads VALUES('t', x'00ff', '{\"not\": \"an array\"}', '[1', 'yesterday');
         INSERT INTO threads VALUES(NULL, NULL, NULL, NULL, NULL);
         INSERT INTO threads VALUES(CAST(x'74808074' AS TEXT), 1.5, '[1, \"b\", null]', x'7b7d', x'01');
         INSERT INTO messages(message_id) VALUES('all-null');
         INSERT INTO messages(content) VALUES('no id');
         INSERT INTO messages VALUES(x'626c6f62', x'74', x'61', x'6162ff', x'71', x'00', x'70656e64696e67', x'7b7d');
         INSERT INTO messages VALUES('blob', 't', 'a', x'6162ff', 'note', '2024-01-01 12:00', 'in review', '{\"error\": 3');
         INSERT INTO messages VALUES('utf8', 't', 'a', CAST(x'61ff62' AS TEXT), 'note', ' 12.5 ', CAST(x'ff' AS TEXT),
           CAST(x'7bff' AS TEXT));
         INSERT INTO messages VALUES(CAST(x'71758078' AS TEXT), 't', 'a', 'x', 'note', 1e300, 'completed', '[]');
         INSERT INTO messages VALUES(17, 4, 5, 6, 7, -1e300, 8, 9);
         INSERT INTO messages VALUES('blob-metadata', 't', 'a', 'x', 'note', 9e999, 'pending', x'7b2261223a317d');",
    )
    .unwrap();
    db.execute("INSERT INTO messages(message_id, content) VALUES(?1, ?2)", ("i".repeat(300), "y".repeat(20_000_000)))
        .unwrap();
    bench
}

const STRANGE_IDS: [&str; 7] = ["all-null", "blob", "utf8", "qu\u{fffd}x", "17", "blob-metadata", "none"];

#[test]
fn no_value_of_a_foreign_program_makes_reading_fail() {
    let mut bench = strange_rows();
    let changed = bench.store.changes_after(0).unwrap().changes;
    assert_eq!(changed.len(), 8, "every row with an id");
    for change in &changed {
        bench.store.message_head(&change.message_id).unwrap();
        Reader::message(&mut bench.store, &change.message_id).unwrap();
        bench.store.history(change.message_id.as_str(), 10).unwrap();
    }
    bench.index();
    for query in ["x", "ab", "\"", "six"] {
        bench.store.search(query, 100).unwrap();
    }
    assert!(bench.store.message_of_task("3").unwrap().is_none());
    assert_eq!(bench.store.threads(None, 100).unwrap().rows.len(), 2);
    let mut filter = MessageFilter { rows_max: 100, ..MessageFilter::default() };
    let mut shown = 0;
    loop {
        let page = bench.store.messages(&filter).unwrap();
        shown += page.rows.len();
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    assert_eq!(shown, 8);
    let of = |bench: &mut Bench, target: &str| {
        let filter = MessageFilter { rows_max: 100, target: Some(ModuleName::new(target)), ..MessageFilter::default() };
        bench.store.messages(&filter).unwrap().rows.len()
    };
    assert_eq!(of(&mut bench, "nobody"), 0);
    // By its thread, or by its metadata.
    bench
        .foreign()
        .execute_batch(
            "INSERT INTO threads VALUES('pair', 'x', '[\"a\", \"b\"]', NULL, 0);
             INSERT INTO messages VALUES('m1', 'pair', 'a', 'x', 'note', 0, 'pending', NULL);
             INSERT INTO messages VALUES('m2', 'pair', 'a', 'x', 'note', 0, 'pending', '{\"target_module\": null}');
             INSERT INTO messages VALUES('m3', 'pair', 'a', 'x', 'note', 0, 'pending', '{\"target_module\": \"c\"}');",
        )
        .unwrap();
    assert_eq!(["b", "c", "a"].map(|target| of(&mut bench, target)), [2, 1, 0]);
}

#[test]
fn strange_values_are_shown_as_well_as_they_can_be() {
    let mut bench = strange_rows();
    let mut shown = |id: &str| Reader::message(&mut bench.store, &MessageId::new(id)).unwrap().unwrap();
    let null = shown("all-null");
    assert_eq!((null.status, null.content.as_str(), null.at), (Status::Unknown, "", Timestamp::default()));
    assert_eq!((null.thread_title, null.metadata, null.target), (None, None, None));
    let blob = shown("blob");
    assert_eq!((blob.content.as_str(), blob.at), ("ab\u{fffd}", Timestamp::default()));
    assert_eq!((blob.status, blob.error), (Status::parse("in review"), None));
    assert_eq!(blob.metadata.as_deref(), Some("{\"error\": 3"));
    let utf8 = shown("utf8");
    assert_eq!((utf8.content.as_str(), utf8.at), ("a\u{fffd}b", Timestamp::from_micros(12_500_000)));
    assert_eq!(utf8.status.as_str(), "\u{fffd}");
    let number = shown("17");
    assert_eq!((number.module.as_str(), number.content.as_str(), number.status.as_str()), ("5", "6", "8"));

    let page = bench.store.messages(&MessageFilter { rows_max: 1, ..MessageFilter::default() }).unwrap();
    let long = &page.rows[0];
    assert_eq!((long.id.as_str().len(), long.content.len(), long.truncated), (256, 4 << 20, true));
    let page = bench
        .store
        .messages(&MessageFilter { rows_max: 9, status: Some(Status::Complete), ..MessageFilter::default() })
        .unwrap();
    assert_eq!(page.rows.len(), 1, "completed is complete");
}

#[test]
fn a_content_is_cut_where_its_json_would_be_too_long() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    for (unit, count, shown) in [
        ("x", 4 << 20, 4 << 20),
        ("x", (4 << 20) + 1, 4 << 20),
        ("\u{1}", 1 << 20, (4 << 20) / 6),
        ("\"", 3 << 20, 2 << 20),
        ("\u{fc}", 3 << 20, 2 << 20),
        ("x\u{fc}\u{4f60}", 1000, 1000),
    ] {
        db.execute("DELETE FROM messages", []).unwrap();
        insert(&db, "m");
        db.execute("UPDATE messages SET content = ?1, metadata = ?1, type = ?1", [unit.repeat(count)]).unwrap();
        let message = Reader::message(&mut bench.store, &MessageId::new("m")).unwrap().unwrap();
        assert_eq!((message.content, message.truncated), (unit.repeat(shown), shown < count), "{count} of {unit:?}");
        assert!(serde_json::to_string(&message.metadata).unwrap().len() <= (1 << 20) + 2);
        assert!(message.kind.len() <= 3 * 256);
    }
}

#[test]
fn an_error_can_be_noted_whatever_the_metadata_were() {
    let mut bench = strange_rows();
    for id in STRANGE_IDS {
        bench.write(&[Write::UpdateMessage {
            id: MessageId::new(id),
            status: Some(Status::Failed),
            content: None,
            error: Some("it \"broke\"".into()),
        }]);
        let Some(message) = Reader::message(&mut bench.store, &MessageId::new(id)).unwrap() else { continue };
        assert_eq!((message.status, message.error.as_deref()), (Status::Failed, Some("it \"broke\"")), "{id}");
    }
}

#[test]
fn ids_can_be_looked_for_beside_strange_ones() {
    let mut bench = strange_rows();
    for kind in [IdKind::Message, IdKind::Thread, IdKind::Task, IdKind::Watch] {
        for text in ["qu", "blob", "t", "ttt", "iiiiiiii", "1", "\u{0}", "i"] {
            bench.store.resolve(kind, text).unwrap();
        }
    }
    assert_eq!(bench.store.resolve(IdKind::Message, "utf").unwrap(), Resolved::One("utf8".to_owned()));
    // The name of a row whose id is not UTF-8 cannot be typed.
    assert_eq!(bench.store.resolve(IdKind::Message, "qu").unwrap(), Resolved::None);
}

#[test]
fn a_task_that_another_program_counts_is_found_by_its_number() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    insert(&db, "m");
    db.execute("UPDATE messages SET status = 'pending', metadata = '{\"task_id\": 42}'", []).unwrap();
    assert_eq!(bench.store.message_of_task("42").unwrap().unwrap().id.as_str(), "m");
    assert!(bench.store.message_of_task("4").unwrap().is_none());
}

#[test]
fn putting_triggers_back_is_worth_a_commit() {
    let mut bench = Bench::new();
    bench.foreign().execute_batch("DROP TRIGGER messages_updated").unwrap();
    bench.store.begin().unwrap();
    assert!(bench.store.repair_triggers().unwrap());
    assert!(bench.store.has_written());
    bench.store.commit().unwrap();
    bench.store.begin().unwrap();
    assert!(!bench.store.repair_triggers().unwrap() && !bench.store.has_written());
    bench.store.rollback();
}
