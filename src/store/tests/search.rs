//! Finding messages by their words.

use super::*;
use crate::ports::Reader;

fn found(store: &mut Store, query: &str) -> Vec<String> {
    let mut ids: Vec<_> = store.search(query, 100).unwrap().iter().map(|message| message.id.to_string()).collect();
    ids.sort();
    ids
}

fn with_messages(messages: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new();
    bench.write(&[thread("t")]);
    bench.write(&messages.iter().map(|(id, content)| message(id, content)).collect::<Vec<_>>());
    bench.index();
    bench
}

#[test]
fn words_are_found_in_every_form() {
    let mut bench = with_messages(&[
        ("one", "Migrating the backend failed"),
        ("two", "The migration of the frontend was Naïve"),
        ("three", "nothing of the kind"),
    ]);
    let table: [(&str, &[&str]); 9] = [
        ("migrated", &["one", "two"]),
        ("fro*", &["two"]),
        ("MIGRATES backend", &["one"]),
        ("migrate AND nothing", &[]),
        ("backend OR nothing", &["one", "three"]),
        ("\"the kind\"", &["three"]),
        ("\"kind the\"", &[]),
        ("naive", &["two"]),
        ("absent", &[]),
    ];
    for (query, expected) in table {
        assert_eq!(found(&mut bench.store, query), expected, "{query}");
    }
    assert_eq!(bench.store.search("the", 2).unwrap().len(), 2, "no more than asked for");
}

#[test]
fn the_author_does_not_get_in_the_way_of_the_content() {
    // The author is "a", and so is a word of one content.
    let mut bench = with_messages(&[("one", "a goose"), ("two", "the goose")]);
    assert_eq!(found(&mut bench.store, "\"a goose\""), ["one"]);
    assert_eq!(found(&mut bench.store, "content : a"), ["one"]);
    assert_eq!(found(&mut bench.store, "goose"), ["one", "two"]);
    assert_eq!(found(&mut bench.store, "module : a goose"), ["one", "two"]);
}

#[test]
fn the_index_follows_what_others_write() {
    let mut bench = with_messages(&[("one", "geese"), ("two", "ducks"), ("three", "swans")]);
    let db = bench.foreign();
    db.execute_batch(
        "UPDATE messages SET content = 'herons' WHERE message_id = 'one';
         DELETE FROM messages WHERE message_id = 'two';
         INSERT OR REPLACE INTO messages VALUES('three', 't', 'a', 'storks', 'note', 0, 'complete', NULL);
         UPDATE messages SET message_id = 'four' WHERE message_id = 'three';
         INSERT INTO messages VALUES('five', 't', 'a', 'geese again', 'note', 0, 'complete', NULL);",
    )
    .unwrap();
    assert!(bench.store.has_unindexed().unwrap());
    bench.index();
    assert!(!bench.store.has_unindexed().unwrap());
    let table: [(&str, &[&str]); 5] =
        [("goose OR geese", &["five"]), ("heron", &["one"]), ("duck", &[]), ("swan", &[]), ("stork", &["four"])];
    for (query, expected) in table {
        assert_eq!(found(&mut bench.store, query), expected, "{query}");
    }
    let rows: i64 = db.query_row("SELECT COUNT(*) FROM search_rows", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
    bench.store.db.execute_batch("INSERT INTO messages_fts(messages_fts) VALUES('integrity-check')").unwrap();
}

#[test]
fn what_is_no_query_is_looked_for_as_it_stands() {
    let mut bench = with_messages(&[
        ("percent", "it is 100% done ("),
        ("word", "it is 1000 done"),
        ("quote", "say \"hello"),
        ("under", "a_b AND"),
        ("letter", "axb AND"),
        ("slash", "C:\\temp\\x \""),
    ]);
    let table: [(&str, &[&str]); 7] = [
        ("100% done (", &["percent"]),
        ("say \"hello", &["quote"]),
        ("a_b AND", &["under"]),
        ("\\temp\\x", &["slash"]),
        ("AND", &["letter", "under"]),
        ("%", &["percent"]),
        ("nowhere (", &[]),
    ];
    for (query, expected) in table {
        assert_eq!(found(&mut bench.store, query), expected, "{query}");
    }
}

#[test]
fn indexing_comes_in_bites() {
    let mut bench = Bench::new();
    bench.write(&[thread("t")]);
    bench.write(&(0..700).map(|number| message(&format!("m{number}"), "word")).collect::<Vec<_>>());
    bench.store.begin().unwrap();
    assert!(bench.store.index_some().unwrap());
    bench.store.commit().unwrap();
    assert_eq!(bench.store.search("word", 1000).unwrap().len(), 500);
    bench.index();
    assert_eq!(bench.store.search("word", 1000).unwrap().len(), 700);
}

#[test]
fn a_search_ends_when_it_has_found_much() {
    let much = format!("goose {}", "x".repeat(1 << 20));
    let ids: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    let mut bench = with_messages(&ids.iter().map(|id| (id.as_str(), much.as_str())).collect::<Vec<_>>());
    for query in ["goose", "goose x\""] {
        let bytes: usize = bench.store.search(query, 100).unwrap().iter().map(|message| message.content.len()).sum();
        assert!(bytes <= 4 << 20, "{query}: {bytes}");
    }
    assert_eq!(bench.store.search("goose", 100).unwrap().len(), 3);
}
