//! What the hub writes, and what it gets back when it starts again.

use super::*;
use crate::model::id::WorkflowId;
use crate::model::id::{PoolId, TaskId, TaskSeq, Token};
use crate::model::pool::{ExecutorKind, OnStuck, PoolRow, PoolStatus};
use crate::model::rows::Rows;
use crate::model::task::{Exchange, OnCrash, Process, Reason, Task, TaskInput, TaskResult, TaskStatus, sample};
use crate::model::workflow::Step;
use crate::ports::Reader;
use std::collections::BTreeMap;

fn pool(id: &str) -> PoolRow {
    PoolRow {
        id: PoolId::new(id),
        group: Some("night".to_owned()),
        executor: ExecutorKind::Echo,
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), "echo \"ä\"".to_owned()]),
        directory: Some("/srv".to_owned()),
        environment: BTreeMap::from([("KEY".to_owned(), "v=1".to_owned())]),
        on_stuck: OnStuck::Kill,
        retiring: true,
        queue_max: 77,
        timeout: Duration::from_millis(1_234_567),
        status: PoolStatus::Paused,
        submitted: 9,
        completed: 5,
        failed: 3,
        created_at: Timestamp::from_micros(1_790_000_000_123_456),
        started_at: Some(Timestamp::from_micros(1_790_000_000_123_457)),
        deleted_at: None,
    }
}

/// A task with something in every field.
fn full_task() -> Task {
    Task {
        seq: TaskSeq(41),
        id: TaskId::new("full"),
        pool: PoolId::new("p"),
        status: TaskStatus::Running,
        reason: Some(Reason::Retrying),
        priority: -7,
        not_before: Some(Timestamp::from_micros(1_790_000_000_999_999)),
        timeout: Duration::from_millis(100_001),
        attempt: 4,
        failures: 2,
        token: Some(Token(99)),
        retries_max: 5,
        crashes: 1,
        on_crash: OnCrash::Requeue,
        lock: Some("repo".to_owned()),
        key: Some("key".to_owned()),
        exchange: Some(Exchange { question: MessageId::new("q"), response: MessageId::new("r") }),
        step: Some(Step { workflow: WorkflowId::new("w"), stage: "stage".into(), name: "name".into() }),
        slot: Some(2),
        process: Some(Process { pid: u32::MAX, started: 123_456_789, boot_id: "boot".to_owned() }),
        exit_code: Some(-3),
        exit_signal: Some(9),
        cancel_requested: true,
        created_at: Timestamp::from_micros(1_790_000_000_000_001),
        started_at: Some(Timestamp::from_micros(1_790_000_000_000_002)),
        completed_at: Some(Timestamp::from_micros(1_790_000_000_000_003)),
    }
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let mut bench = Bench::new();
    let empty = bench.store.snapshot().unwrap();
    assert_eq!((empty.seq, empty.next_token, empty.next_task_seq, empty.next_watch_id), (0, 1, 1, 1));
    assert!(bench.store.has_no_pool().unwrap());

    let (full, plain) = (full_task(), Task { seq: TaskSeq(7), ..sample() });
    let done = Task { seq: TaskSeq(8), id: TaskId::new("done"), status: TaskStatus::Completed, ..sample() };
    let watched = Watch {
        task_id: Some(TaskId::new("full")),
        thread_id: Some(ThreadId::new("t")),
        source: Some(ModuleName::new("a")),
        target: Some(ModuleName::new("b")),
        expires_at: Some(Timestamp::from_micros(1_790_000_000_000_009)),
        ..watch(3, "m", "in review")
    };
    let ended = Watch { ended_at: Some(Timestamp::from_micros(5)), ..watch(4, "n", "failed") };
    bench.write(&[
        Write::PutPool(pool("p")),
        Write::PutPool(pool("gone")),
        Write::DeletePool(PoolId::new("gone")),
        Write::PutTask(Box::new(full.clone())),
        Write::PutTask(Box::new(plain.clone())),
        Write::PutTask(Box::new(done)),
        Write::PutWatch(watched.clone()),
        Write::PutWatch(ended),
        Write::PutWatch(watch(5, "x", "pending")),
        Write::DeleteWatch(WatchId(5)),
        Write::NextToken(Token(1 << 40)),
    ]);
    bench.append(Timestamp::from_micros(1), &[event(1, "m"), event(2, "m")]);

    let Bench { store, directory } = bench;
    drop(store);
    let mut store = prepare(&directory.path().join("messages.db")).unwrap().store;
    let kept = store.snapshot().unwrap();
    assert_eq!((kept.seq, kept.next_token, kept.next_task_seq, kept.next_watch_id), (2, 1 << 40, 42, 5));
    assert_eq!(kept.tasks, [plain, full]);
    assert_eq!(kept.watches, [watched]);
    assert_eq!(kept.pools, [pool("p")]);
    assert!(!store.has_no_pool().unwrap());
}

#[test]
fn a_task_is_rewritten_with_every_step_and_its_bodies_are_kept() {
    let mut bench = Bench::new();
    let task = full_task();
    let input = TaskInput {
        prompt: "do it".to_owned(),
        context: Some("{\"a\":1}".to_owned()),
        directory: Some("/srv".to_owned()),
        system_prompt: Some("be kind".to_owned()),
    };
    let queued = Task { status: TaskStatus::Pending, token: None, process: None, slot: None, ..task.clone() };
    bench.write(&[
        Write::PutTask(Box::new(queued.clone())),
        Write::PutTaskInput { seq: task.seq, input: input.clone() },
    ]);
    assert_eq!(bench.store.task_by_key("key").unwrap(), Some(queued));
    bench.write(&[Write::PutTask(Box::new(task.clone()))]);
    let before = Reader::task(&mut bench.store, &task.id).unwrap().unwrap();
    assert_eq!((before.task, before.input, before.outcome), (task.clone(), input, TaskResult::default()));

    for text in ["first", "second"] {
        let result = TaskResult {
            result: Some(text.into()),
            error: Some("one sentence".into()),
            truncated: true,
            usage: Some("{\"cost\":0.5}".to_owned()),
        };
        bench.write(&[Write::PutTaskResult { seq: task.seq, result: result.clone() }]);
        assert_eq!(bench.store.task_result(task.seq).unwrap(), result);
    }
}

#[test]
fn two_tasks_cannot_have_one_key() {
    let mut bench = Bench::new();
    bench.write(&[Write::PutTask(Box::new(full_task()))]);
    bench.store.begin().unwrap();
    let other = Task { seq: TaskSeq(42), id: TaskId::new("other"), ..full_task() };
    assert!(bench.store.apply(&[Write::PutTask(Box::new(other))]).is_err());
    bench.store.rollback();
}

#[test]
fn a_batch_that_is_rolled_back_leaves_nothing() {
    let mut bench = Bench::new();
    bench.store.rollback();
    bench.store.begin().unwrap();
    assert!(!bench.store.has_written());
    bench.store.apply(&[thread("t"), message("m", "x"), Write::NextToken(Token(50))]).unwrap();
    bench.store.append_events(Timestamp::from_micros(1), &[event(1, "m")]).unwrap();
    assert!(bench.store.has_written());
    bench.store.rollback();
    bench.store.rollback();
    assert!(Reader::message(&mut bench.store, &MessageId::new("m")).unwrap().is_none());
    assert_eq!(bench.store.newest_change().unwrap(), 0);
    let snapshot = bench.store.snapshot().unwrap();
    assert_eq!((snapshot.seq, snapshot.next_token), (0, 1));
    // And the next one is as good as any.
    bench.write(&[thread("t"), message("m", "x")]);
    assert!(Reader::message(&mut bench.reader(), &MessageId::new("m")).unwrap().is_some());
}

#[test]
fn a_batch_sees_its_own_rows_and_others_do_not_yet() {
    let mut bench = Bench::new();
    let mut reader = bench.reader();
    bench.store.begin().unwrap();
    bench.store.apply(&[thread("t"), message("m", "héllo")]).unwrap();
    let head = Rows::message(&mut bench.store, &MessageId::new("m")).unwrap().unwrap();
    assert_eq!((head.status, head.content_length, head.target), (Status::Pending, 5, Some(ModuleName::new("b"))));
    assert!(bench.store.thread_exists(&ThreadId::new("t")).unwrap());
    assert!(Reader::message(&mut reader, &MessageId::new("m")).unwrap().is_none());
    let folded = bench.store.fold_all().unwrap();
    bench.store.commit().unwrap();
    assert_eq!((folded, bench.store.changes_folded().unwrap()), (1, 1));
    assert!(Reader::message(&mut reader, &MessageId::new("m")).unwrap().is_some());
}

#[test]
fn a_message_keeps_what_its_writer_gave_under_our_own_keys() {
    let mut bench = Bench::new();
    let message = NewMessage {
        target: Some(ModuleName::new("c")),
        in_reply_to: Some(MessageId::new("q")),
        task_id: Some(TaskId::new("task-1")),
        metadata: Some("{\"target_module\":\"mine\",\"colour\":\"blue\"}".to_owned()),
        ..new_message("m", "x")
    };
    bench.write(&[thread("t"), Write::InsertMessage(message)]);
    let shown = Reader::message(&mut bench.store, &MessageId::new("m")).unwrap().unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&shown.metadata.unwrap()).unwrap();
    let expected = serde_json::json!({"target_module": "c", "colour": "blue", "in_reply_to": "q", "task_id": "task-1"});
    assert_eq!(metadata, expected);
    assert_eq!((shown.target, shown.thread_title.as_deref()), (Some(ModuleName::new("c")), Some("title of t")));
    let of_task = bench.store.message_of_task("task-1").unwrap().unwrap();
    assert_eq!(of_task.id.as_str(), "m");
    assert!(bench.store.message_of_task("task").unwrap().is_none(), "a part of an id is not the id");
}

#[test]
fn modules_are_put_replaced_and_removed() {
    let mut bench = Bench::new();
    let module = |directory: &str| Write::PutModule { name: ModuleName::new("m"), directory: directory.to_owned() };
    bench.write(&[module("/one")]);
    bench.write(&[module("/two")]);
    assert_eq!(bench.store.module(&ModuleName::new("m")).unwrap().as_deref(), Some("/two"));
    assert_eq!(bench.store.modules().unwrap().len(), 1);
    bench.write(&[Write::DeleteModule(ModuleName::new("m"))]);
    assert!(bench.store.modules().unwrap().is_empty());
}

#[test]
fn pruning_keeps_the_newest_event_and_what_is_not_folded_and_indexed() {
    let mut bench = Bench::new();
    bench.write(&[thread("t")]);
    for number in 0..10 {
        bench.write(&[message(&number.to_string(), "x")]);
    }
    let prune = |bench: &mut Bench, before: i64, events_max: u64| {
        bench.store.begin().unwrap();
        while bench.store.prune(Timestamp::from_micros(before), events_max).unwrap() {}
        bench.store.commit().unwrap();
        let page = bench.store.changes_after(0).unwrap();
        (page.changes.first().map(|change| change.seq), bench.store.events_kept().unwrap())
    };
    assert_eq!(prune(&mut bench, 0, 100), (Some(1), (1, 0)), "nothing is folded");
    bench.store.begin().unwrap();
    bench.store.fold_up_to(6).unwrap();
    bench.store.commit().unwrap();
    assert_eq!(prune(&mut bench, 0, 100).0, Some(1), "nothing is indexed");
    bench.index();
    assert_eq!(prune(&mut bench, 0, 100).0, Some(7), "six are folded");

    for seq in 1..=1200 {
        bench.append(Timestamp::from_micros(seq as i64 * 1_000_000), &[event(seq, "m")]);
    }
    assert_eq!(prune(&mut bench, 101_000_000, 5_000).1, (101, 1200), "too old");
    assert_eq!(prune(&mut bench, 0, 1_000).1, (201, 1200), "too many");
    assert_eq!(prune(&mut bench, i64::MAX, 0).1, (1200, 1200), "the newest says where to go on");
}

#[test]
fn samples_are_kept_no_longer_and_no_more_than_events() {
    let mut bench = Bench::new();
    let upstream = crate::model::id::UpstreamName::new("u");
    let sample = |number: i64| Write::InsertSample {
        upstream: upstream.clone(),
        at: Timestamp::from_micros(number * 1_000_000),
        metric: "m".to_owned(),
        value: number as f64,
    };
    bench.write(&(1..=1200).map(sample).collect::<Vec<_>>());
    let prune = |bench: &mut Bench, before: i64, events_max: u64| {
        bench.store.begin().unwrap();
        while bench.store.prune(Timestamp::from_micros(before), events_max).unwrap() {}
        bench.store.commit().unwrap();
        let kept = bench.store.samples("u", 10_000).unwrap();
        (kept.len(), kept.first().map(|point| point.value))
    };
    assert_eq!(prune(&mut bench, 101_000_000, 5_000), (1100, Some(101.0)), "too old");
    assert_eq!(prune(&mut bench, 0, 1_000), (1000, Some(201.0)), "too many");
}

#[test]
fn the_history_of_a_metric_is_not_cut_by_that_of_others() {
    let mut bench = Bench::new();
    let upstream = crate::model::id::UpstreamName::new("u");
    let sample = |number: i64| Write::InsertSample {
        upstream: upstream.clone(),
        at: Timestamp::from_micros(number),
        metric: format!("m{}", number % 60),
        value: number as f64,
    };
    bench.write(&(0..600).map(sample).collect::<Vec<_>>());
    let points = bench.store.samples("u", 3).unwrap();
    assert_eq!(points.len(), 180);
    let first: Vec<f64> = points.iter().filter(|point| point.metric == "m0").map(|point| point.value).collect();
    assert_eq!(first, [420.0, 480.0, 540.0]);
}

#[test]
fn pruning_leaves_no_hole_when_the_clock_was_set() {
    let mut bench = Bench::new();
    // In the middle a minute of another year.
    for (seq, at) in [(1, 100), (2, 100), (3, 9_000_000), (4, 100), (5, 200), (6, 300)] {
        bench.append(Timestamp::from_micros(at), &[event(seq, "m")]);
    }
    bench.store.begin().unwrap();
    while bench.store.prune(Timestamp::from_micros(250), 100).unwrap() {}
    bench.store.commit().unwrap();
    let (oldest, newest) = bench.store.events_kept().unwrap();
    let kept: Vec<u64> = bench.store.events_after(0, 100).unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(kept, (oldest..=newest).collect::<Vec<_>>());
    assert_eq!(oldest, 3, "what is young enough stays");
}

#[test]
fn checkpoints_empty_the_log_as_far_as_readers_let_them() {
    let mut bench = Bench::new();
    bench.write(&[thread("t"), message("m", &"x".repeat(100_000))]);
    assert!(bench.store.log_frames() > 20);
    assert_eq!(bench.store.checkpoint().unwrap(), 0);
    bench.store.checkpoint_and_restart().unwrap();
    bench.write(&[message("n", "x")]);
    assert!(bench.store.log_frames() < 20, "{}", bench.store.log_frames());

    let reading = bench.foreign();
    reading.execute_batch("BEGIN; SELECT COUNT(*) FROM messages").unwrap();
    let _: i64 = reading.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get(0)).unwrap();
    bench.write(&[message("o", "x")]);
    assert!(bench.store.checkpoint().unwrap() > 0, "a reader still needs the frames");
    bench.store.checkpoint_and_restart().unwrap();
}

#[test]
fn only_tasks_that_nothing_needs_are_forgotten() {
    let mut bench = Bench::new();
    let db = bench.foreign();
    db.execute_batch(
        "INSERT INTO workflows(workflow_id, definition, status, stages_completed, total_stages, created_at, ended_at)
           VALUES('open', '{}', 'running', 0, 1, 1, NULL), ('ended', '{}', 'completed', 1, 1, 1, 5);
         INSERT INTO tasks(task_seq, task_id, status, workflow_id, created_at, completed_at,
             pool_id, priority, timeout_ms, retries_max, on_crash)
           SELECT column1, column2, column3, column4, column5, column6, 'p', 0, 1, 0, 'fail' FROM (VALUES
             (1, 'plain', 'completed', NULL, 1, 5), (2, 'needed', 'completed', NULL, 1, 5),
             (3, 'waiting', 'pending', NULL, 1, NULL), (4, 'of open', 'completed', 'open', 1, 5),
             (5, 'of ended', 'failed', 'ended', 1, 5), (6, 'watched', 'cancelled', NULL, 1, 5),
             (7, 'ended late', 'completed', NULL, 1, 50), (8, 'newest', 'completed', NULL, 1, 5));
         INSERT INTO task_inputs(task_seq, prompt) SELECT task_seq, 'p' FROM tasks;
         INSERT INTO task_results(task_seq, result) SELECT task_seq, 'r' FROM tasks;
         INSERT INTO task_dependencies VALUES(3, 2), (2, 1);
         INSERT INTO watches(task_id, status, added_at, updated_at, ended_at)
           VALUES('watched', 'pending', 1, 1, NULL), ('plain', 'complete', 1, 1, 5);",
    )
    .unwrap();
    let before = Timestamp::from_micros(10_000_000);
    bench.store.begin().unwrap();
    let old = bench.store.old_tasks(before, 0).unwrap();
    let names: Vec<&str> = old.tasks.iter().map(|task| task.as_str()).collect();
    assert_eq!((names, old.next), (vec!["plain", "of ended"], None));
    assert!(bench.store.forget(&old).unwrap());
    bench.store.commit().unwrap();
    let count =
        |table: &str| -> i64 { db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap() };
    let left = ["tasks", "task_inputs", "task_results", "task_dependencies", "watches", "workflows"].map(count);
    assert_eq!(left, [6, 6, 6, 1, 1, 1]);
    bench.store.begin().unwrap();
    let old = bench.store.old_tasks(before, 0).unwrap();
    assert!(old.tasks.is_empty() && !bench.store.forget(&old).unwrap());
    bench.store.rollback();
}

#[test]
fn old_tasks_are_looked_through_in_bites() {
    let mut bench = Bench::new();
    bench
        .foreign()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO tasks(task_seq, task_id, status, created_at, completed_at, pool_id, priority, timeout_ms,
                 retries_max, on_crash)
               SELECT i, 't' || i, 'completed', i, i, 'p', 0, 1, 0, 'fail' FROM n;",
        )
        .unwrap();
    let (mut from, mut bites) = (Some(0), Vec::new());
    while let Some(at) = from {
        bench.store.begin().unwrap();
        let old = bench.store.old_tasks(Timestamp::from_micros(250_500_000), at).unwrap();
        bench.store.forget(&old).unwrap();
        bench.store.commit().unwrap();
        bites.push(old.tasks.len());
        from = old.next;
    }
    assert_eq!(bites, [100, 100, 50]);
}
