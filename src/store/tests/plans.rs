//! The cost of what is asked often must not grow with history. Cost is counted in SQLite's own instructions, which a
//! search by an index needs a few of and a scan many.

use super::*;
use crate::model::id::{TaskId, TaskSeq};
use crate::model::rows::Rows;
use crate::model::watch::WatchFilter;
use crate::ports::{IdKind, MessageFilter, Reader, TaskFilter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A database in which much has happened, and a little is going on: ten of everything, spread over all of it.
fn with_history(rows: u32) -> Bench {
    let bench = Bench::new();
    bench
        .foreign()
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF; BEGIN;
             INSERT INTO threads SELECT 't', 'title', '[]', NULL, 0;
             CREATE TEMP TABLE n AS WITH RECURSIVE n(n, open) AS
               (SELECT 0, 1 UNION ALL SELECT n + 1, (n + 1) % ({rows} / 10) = 0 FROM n WHERE n < {rows} - 1)
               SELECT n, open FROM n;
             INSERT INTO messages SELECT 'm' || n, 't', 'a', 'x', 'note', n, iif(open, 'pending', 'complete'), NULL FROM n;
             INSERT INTO watches SELECT n + 1, 'm' || n, 'k' || n, NULL, NULL, NULL, 'pending', 0, 0, 9, iif(open, NULL, 9)
               FROM n;
             INSERT INTO tasks(task_seq, task_id, pool_id, status, priority, timeout_ms, retries_max, on_crash, created_at,
               idempotency_key) SELECT n, 'k' || n, 'local', iif(open, 'pending', 'completed'), 0, 1, 0, 'fail', 0, 'key' || n
               FROM n;
             INSERT INTO events SELECT n + 1, 100, iif(open, 'message:m', 'message:' || n), 'message.status_changed', x'78'
               FROM n;
             COMMIT;"
        ))
        .unwrap();
    bench
}

/// How many instructions the second run takes; the first one prepares the statements.
fn cost(bench: &mut Bench, action: &dyn Fn(&mut Store)) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    action(&mut bench.store);
    let counting = Arc::clone(&count);
    let counted = move || {
        counting.fetch_add(1, Ordering::Relaxed);
        false
    };
    bench.store.db.progress_handler(1, Some(counted)).unwrap();
    action(&mut bench.store);
    bench.store.db.progress_handler(1, None::<fn() -> bool>).unwrap();
    count.load(Ordering::Relaxed)
}

#[test]
fn nothing_that_is_asked_often_costs_more_when_history_is_long() {
    let message = || MessageId::new("m3");
    let pending = || MessageFilter { rows_max: 10, status: Some(Status::Pending), ..MessageFilter::default() };
    let of_thread = || MessageFilter { rows_max: 10, thread: Some(ThreadId::new("t")), ..MessageFilter::default() };
    let unfiltered = || MessageFilter { rows_max: 10, ..MessageFilter::default() };
    type Action = Box<dyn Fn(&mut Store)>;
    let actions: Vec<(&str, Action)> = vec![
        // What the hub asks.
        (
            "new changes",
            Box::new(|store| {
                let newest = store.newest_change().unwrap();
                drop(store.changes_after(newest - 5).unwrap());
            }),
        ),
        ("newest change", Box::new(|store| assert!(store.newest_change().unwrap() > 0))),
        ("head", Box::new(move |store| drop(store.message_head(&message()).unwrap()))),
        ("watch by message", Box::new(|store| drop(Rows::watch(store, "m7").unwrap()))),
        ("watch by task", Box::new(|store| drop(Rows::watch(store, "k7").unwrap()))),
        ("task", Box::new(|store| drop(Rows::task(store, &TaskId::new("k7")).unwrap()))),
        ("task by key", Box::new(|store| drop(store.task_by_key("key7").unwrap()))),
        ("task input", Box::new(|store| drop(store.task_input(TaskSeq(7)).unwrap()))),
        ("task result", Box::new(|store| drop(store.task_result(TaskSeq(7)).unwrap()))),
        ("module", Box::new(|store| drop(Rows::module(store, &ModuleName::new("m")).unwrap()))),
        ("snapshot", Box::new(|store| drop(store.snapshot().unwrap()))),
        (
            "update",
            Box::new(|store| {
                store.update_message(&MessageId::new("m3"), Some(&Status::Pending), None, None).unwrap();
            }),
        ),
        ("missed changes", Box::new(|store| crate::store::changes::append_watched(&store.db, i64::MAX).unwrap())),
        ("forgetting nothing", Box::new(|store| assert!(!store.prune(Timestamp::default(), 1 << 40).unwrap()))),
        ("samples", Box::new(|store| drop(store.samples("u", 10).unwrap()))),
        // What doors ask.
        ("message", Box::new(|store| drop(Reader::message(store, &MessageId::new("m3")).unwrap()))),
        ("history", Box::new(|store| drop(store.history("m", 10).unwrap()))),
        ("events", Box::new(|store| drop(store.events_after(20, 10).unwrap()))),
        ("events kept", Box::new(|store| assert_eq!(store.events_kept().unwrap().0, 1))),
        ("exact id", Box::new(|store| drop(store.resolve(IdKind::Watch, "m3").unwrap()))),
        ("messages", Box::new(move |store| drop(store.messages(&unfiltered()).unwrap()))),
        ("pending messages", Box::new(move |store| drop(store.messages(&pending()).unwrap()))),
        ("messages of a thread", Box::new(move |store| drop(store.messages(&of_thread()).unwrap()))),
        ("tasks", Box::new(|store| drop(store.tasks(&TaskFilter { rows_max: 10, ..TaskFilter::default() }).unwrap()))),
        ("active watches", Box::new(|store| drop(store.watches(WatchFilter::Active, None, 10).unwrap()))),
    ];
    let (mut short, mut long) = (with_history(600), with_history(6_000));
    let mut grown = Vec::new();
    for (name, action) in &actions {
        let (before, after) = (cost(&mut short, action), cost(&mut long, action));
        if after > before * 2 + 100 {
            grown.push(format!("{name}: {before} -> {after}"));
        }
    }
    assert!(grown.is_empty(), "{grown:#?}");
}
