//! Lists in pages, ids as people type them, logs and histories.

use super::*;
use crate::model::id::{TaskId, TaskSeq};
use crate::model::task::{Task, TaskStatus, sample};
use crate::model::watch::WatchFilter;
use crate::ports::{IdKind, LogStream, MessageFilter, Page, ReadError, Reader, Resolved, TaskFilter};

/// Reads a list to its end in pages of `rows_max`; every page but the last must be full.
fn every<T>(rows_max: usize, mut read: impl FnMut(Option<i64>) -> Result<Page<T>, ReadError>) -> Vec<T> {
    let (mut rows, mut before) = (Vec::new(), None);
    loop {
        let page = read(before).unwrap();
        let next = page.next;
        assert!(page.rows.len() == rows_max || (next.is_none() && page.rows.len() < rows_max));
        rows.extend(page.rows);
        before = next;
        if next.is_none() {
            return rows;
        }
    }
}

#[test]
fn every_list_can_be_paged_through_newest_first() {
    let mut bench = Bench::new();
    let mut writes = Vec::new();
    for number in 0..10_u32 {
        writes.push(thread(&format!("t{number}")));
        let status = if number % 2 == 0 { "pending" } else { "complete" };
        writes.push(Write::InsertMessage(NewMessage {
            thread_id: ThreadId::from(format!("t{}", number % 3)),
            status: Status::parse(status),
            module: ModuleName::new(if number < 4 { "a" } else { "b" }),
            ..new_message(&format!("m{number}"), "x")
        }));
        let ended_at = (number % 2 == 1).then_some(Timestamp::from_micros(9));
        writes.push(Write::PutWatch(Watch { ended_at, ..watch(i64::from(number), &format!("m{number}"), status) }));
        let task = TaskId::from(format!("k{number}"));
        let status = if number % 2 == 0 { TaskStatus::Pending } else { TaskStatus::Failed };
        writes.push(Write::PutTask(Box::new(Task { seq: TaskSeq(i64::from(number)), id: task, status, ..sample() })));
    }
    bench.write(&writes);
    let store = &mut bench.store;
    let numbers = |rows: Vec<String>| rows.iter().map(|id| id[1..].parse().unwrap()).collect::<Vec<u32>>();
    for rows_max in [1, 3, 5, 10, 11] {
        let all = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
        let threads = every(rows_max, |before| store.threads(before, rows_max));
        assert_eq!(numbers(threads.iter().map(|thread| thread.id.to_string()).collect()), all);

        let mut messages = |filter: MessageFilter| {
            let rows = every(rows_max, |before| store.messages(&MessageFilter { before, rows_max, ..filter.clone() }));
            numbers(rows.iter().map(|message| message.id.to_string()).collect())
        };
        assert_eq!(messages(MessageFilter::default()), all);
        let of_thread = MessageFilter { thread: Some(ThreadId::new("t1")), ..MessageFilter::default() };
        assert_eq!(messages(of_thread.clone()), [7, 4, 1]);
        assert_eq!(messages(MessageFilter { status: Some(Status::Pending), ..of_thread }), [4]);
        let of_module = MessageFilter { module: Some(ModuleName::new("a")), ..MessageFilter::default() };
        assert_eq!(messages(of_module), [3, 2, 1, 0]);
        let pending = MessageFilter { status: Some(Status::Pending), ..MessageFilter::default() };
        assert_eq!(messages(pending), [8, 6, 4, 2, 0]);

        for (filter, expected) in [
            (WatchFilter::All, all.to_vec()),
            (WatchFilter::Active, vec![8, 6, 4, 2, 0]),
            (WatchFilter::Completed, vec![9, 7, 5, 3, 1]),
            (WatchFilter::Failed, vec![]),
            (WatchFilter::Expired, vec![]),
        ] {
            let watches = every(rows_max, |before| store.watches(filter, before, rows_max));
            assert_eq!(numbers(watches.iter().map(|watch| watch.name().to_owned()).collect()), expected);
        }

        let mut tasks = |filter: TaskFilter| {
            let rows = every(rows_max, |before| store.tasks(&TaskFilter { before, rows_max, ..filter.clone() }));
            numbers(rows.iter().map(|task| task.id.to_string()).collect())
        };
        assert_eq!(tasks(TaskFilter::default()), all);
        let failed = TaskFilter { status: Some(TaskStatus::Failed), ..TaskFilter::default() };
        assert_eq!(tasks(failed), [9, 7, 5, 3, 1]);
        assert_eq!(tasks(TaskFilter { pool: Some("other".to_owned()), ..TaskFilter::default() }), [0; 0]);
    }
}

#[test]
fn a_page_of_messages_ends_at_four_mebibytes() {
    let mut bench = Bench::new();
    bench.write(&[thread("t")]);
    let sizes = [3 << 20, 3 << 20, 1, 1 << 20, 4 << 20, 4 << 20];
    for (number, size) in sizes.iter().enumerate() {
        bench.write(&[message(&number.to_string(), &"x".repeat(*size))]);
    }
    let (mut before, mut pages) = (None, Vec::new());
    loop {
        let page = bench.store.messages(&MessageFilter { before, rows_max: 100, ..MessageFilter::default() }).unwrap();
        let bytes: usize = page.rows.iter().map(|message| message.content.len()).sum();
        // A row that is too long by itself is shown all the same, alone.
        assert!(bytes <= 4 << 20 || page.rows.len() == 1, "{bytes} bytes in {} rows", page.rows.len());
        pages.push(page.rows.iter().map(|message| message.id.to_string()).collect::<Vec<_>>().join(" "));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages.join(" "), "5 4 3 2 1 0");
    assert!(pages.len() <= 5, "{pages:?}");
}

#[test]
fn ids_are_found_as_people_type_them() {
    let mut bench = Bench::new();
    let ids = ["abcd-1234", "abcd-5678", "abc", "x%y_z-1", "x%ya", "xzyaz-1", "größe-ß1ß2", "größer", "Größe"];
    bench.write(&[thread("t")]);
    bench.write(&ids.map(|id| message(id, "x")));
    let one = |id: &str| Resolved::One(id.to_owned());
    let many = |ids: &[&str]| Resolved::Many(ids.iter().map(|id| (*id).to_owned()).collect());
    let table = [
        ("abcd-1234", one("abcd-1234")),
        ("abc", one("abc")),
        ("abcd", many(&["abcd-1234", "abcd-5678"])),
        ("abcd-1", one("abcd-1234")),
        ("5678", one("abcd-5678")),
        ("678", Resolved::None),
        ("d-5678", one("abcd-5678")),
        ("x%", many(&["x%y_z-1", "x%ya"])),
        ("x%y_", one("x%y_z-1")),
        ("x_", Resolved::None),
        ("%", Resolved::None),
        ("y_z-1", one("x%y_z-1")),
        ("größ", many(&["größe-ß1ß2", "größer"])),
        ("größe", many(&["größe-ß1ß2", "größer"])),
        ("größe-", one("größe-ß1ß2")),
        ("Grö", one("Größe")),
        ("ß1ß2", one("größe-ß1ß2")),
        ("ABCD-1", Resolved::None),
        ("", Resolved::None),
        ("abcd-12345", Resolved::None),
    ];
    for (text, expected) in table {
        assert_eq!(bench.store.resolve(IdKind::Message, text).unwrap(), expected, "{text}");
    }
    assert_eq!(bench.store.resolve(IdKind::Thread, "t").unwrap(), one("t"));
}

#[test]
fn an_ambiguous_id_names_a_few_candidates() {
    let mut bench = Bench::new();
    bench.write(&[thread("t")]);
    bench.write(&(0..50).map(|number| message(&format!("m{number:02}-tail"), "x")).collect::<Vec<_>>());
    for text in ["m", "tail"] {
        let Resolved::Many(some) = bench.store.resolve(IdKind::Message, text).unwrap() else { panic!("{text}") };
        assert_eq!(some.len(), 5, "{some:?}");
    }
}

#[test]
fn a_watch_is_found_by_its_message_its_task_or_what_could_be_watched() {
    let mut bench = Bench::new();
    bench.write(&[
        thread("t"),
        message("message-1", "x"),
        message("message-2", "x"),
        Write::PutTask(Box::new(Task { id: TaskId::new("task-1"), ..sample() })),
        Write::PutWatch(Watch { task_id: Some(TaskId::new("foreign-task")), ..watch(1, "message-1", "pending") }),
        Write::PutWatch(watch(2, "awaited", "unknown")),
    ]);
    for (text, id) in [
        ("message-1", "message-1"),
        ("ge-2", "message-2"),
        ("fore", "foreign-task"),
        ("awa", "awaited"),
        ("ta", "task-1"),
    ] {
        assert_eq!(bench.store.resolve(IdKind::Watch, text).unwrap(), Resolved::One(id.to_owned()), "{text}");
    }
    for name in ["message-1", "foreign-task"] {
        assert_eq!(Reader::watch(&mut bench.store, name).unwrap().unwrap().id, WatchId(1));
    }
    assert!(Reader::watch(&mut bench.store, "message-2").unwrap().is_none());
}

#[test]
fn a_history_is_the_newest_changes_of_one_message_oldest_first() {
    let mut bench = Bench::new();
    let events: Vec<_> = (1..=9).map(|seq| event(seq, if seq % 3 == 0 { "m" } else { "other" })).collect();
    bench.append(Timestamp::from_micros(1), &events);
    let content = StoredEvent { name: "message.content_updated".into(), ..event(10, "m") };
    bench.append(Timestamp::from_micros(1), &[content]);
    let text = |frames: Vec<std::sync::Arc<[u8]>>| {
        frames.iter().map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(text(bench.store.history("m", 10).unwrap()), ["frame 3", "frame 6", "frame 9"]);
    assert_eq!(text(bench.store.history("m", 2).unwrap()), ["frame 6", "frame 9"]);
    assert_eq!(bench.store.events_kept().unwrap(), (1, 10));
    let after: Vec<u64> = bench.store.events_after(4, 3).unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(after, [5, 6, 7]);
    assert!(bench.store.events_after(u64::MAX, 3).unwrap().is_empty());
}

#[test]
fn a_log_is_read_in_parts() {
    let mut bench = Bench::new();
    let task = Task { id: TaskId::new("task"), attempt: 2, ..sample() };
    let empty = bench.store.task_log(&task, LogStream::Stdout, 0, 10).unwrap();
    assert_eq!((empty.bytes.len(), empty.next, empty.length), (0, 0, 0));
    let directory = bench.directory.path().join("tasks/task/2");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("stderr"), "0123456789").unwrap();
    let part = bench.store.task_log(&task, LogStream::Stderr, 7, 2).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.length), (b"78".as_slice(), 9, 10));
    let behind = bench.store.task_log(&task, LogStream::Stderr, 99, 2).unwrap();
    assert_eq!((behind.bytes.len(), behind.length), (0, 10));
    // A client may name any place, even one that no file has.
    assert!(bench.store.task_log(&task, LogStream::Stderr, u64::MAX, 2).is_ok());
}
