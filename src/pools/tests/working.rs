//! Tasks that are taken, run and answered.

use super::*;

#[test]
fn exactly_three_run_at_once_and_a_fourth_waits() {
    let (pool, begun) = held_pool("three");
    let tickets: Vec<Ticket> = ["a", "b", "c", "d"].map(|prompt| pool.submit(prompt).unwrap()).into();
    let at_work = [begun.next(), begun.next(), begun.next()];
    let mut workers: Vec<&str> = at_work.iter().map(|task| task.worker_id.as_str()).collect();
    workers.sort_unstable();
    assert_eq!(workers, ["three-worker-0", "three-worker-1", "three-worker-2"]);
    assert!(begun.none());
    assert_eq!(pool.get_status().queue_size, 1);

    let [first, second, third] = at_work;
    first.end(Ok("done"));
    assert_eq!(begun.next().prompt, "d");
    drop((second, third));
    assert_eq!(tickets.into_iter().map(|ticket| said(ticket.wait())).filter(|result| result == "done").count(), 1);
}

#[test]
fn the_three_threads_are_named_and_joined() {
    let (pool, begun) = held_pool("named");
    let _tickets = ["a", "b", "c"].map(|prompt| pool.submit(prompt).unwrap());
    let at_work = [begun.next(), begun.next(), begun.next()];
    assert_eq!(threads_of("named"), ["w0-named", "w1-named", "w2-named"]);
    drop(at_work);
    drop(pool);
    // The kernel takes a moment to forget a thread that was joined.
    until("no thread is left", || threads_of("named").is_empty());
}

#[test]
fn a_pool_takes_tasks_from_its_initialization_to_its_end() {
    let mut pool = WorkerPool::new("late", answer).unwrap();
    assert_eq!(said(pool.execute("early")), "Pool late is not running");
    assert_eq!(pool.health_check().status, "not_running");
    pool.initialize().unwrap();
    pool.initialize().unwrap();
    assert_eq!(said(pool.execute("in time")), "in time");
    assert_eq!(pool.shutdown(PATIENCE), Shutdown { cancelled: 0, workers_busy: 0 });
    assert_eq!(said(pool.execute("late")), "Pool late is not running");
    assert_eq!(pool.health_check().status, "not_running");
    assert!(matches!(pool.initialize(), Err(PoolError::Ended(_))));
}

#[test]
fn an_executor_is_told_prompt_context_and_names() {
    let mut pool = WorkerPool::new("telling", |job: &Job| {
        assert!(job.remaining() <= Duration::from_secs(30) && !job.is_cancelled());
        Ok(format!("{} {} {} {}", job.prompt(), job.context()["repo"], job.pool_id(), job.task_id()))
    })
    .unwrap();
    pool.initialize().unwrap();
    let task = Task::new("sweep").context("repo", "/here").timeout(Duration::from_secs(30));
    let output = pool.execute(task).unwrap();
    assert_eq!(output.result, format!("sweep \"/here\" telling {}", output.task_id));
    assert!(output.worker_id.starts_with("telling-worker-"));
}

#[test]
fn greater_priority_goes_first_and_equals_in_order() {
    let (pool, begun) = held_pool_as("order", |builder| builder);
    let _busy = ["x", "y", "z"].map(|prompt| pool.submit(prompt).unwrap());
    let at_work = [begun.next(), begun.next(), begun.next()];
    let _waiting = [("a", 0), ("b", 0), ("c", 7), ("d", -7)]
        .map(|(prompt, priority)| pool.submit(Task::new(prompt).priority(priority)).unwrap());
    let [one, _two, _three] = at_work;
    one.end(Ok(""));
    let order: String = (0..4).map(|_| begun.next().prompt).collect();
    assert_eq!(order, "cabd");
}

#[test]
fn a_full_queue_refuses_and_says_when_to_try_again() {
    let (pool, begun) = held_pool("full");
    let _taken = ["a", "b", "c", "d", "e"].map(|prompt| pool.submit(prompt).unwrap());
    let refused = pool.submit("f").unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(250)));
    assert_eq!(refused.to_string(), "Pool full has 2 tasks waiting and takes no more for now; try again in 250ms");
    begun.next().end(Ok("done"));
    until("there is room again", || pool.submit("g").is_ok());
}

#[test]
fn without_a_queue_a_task_is_taken_when_a_worker_is_free() {
    let (pool, begun) = held_pool_as("unqueued", |builder| builder.queue_max(0));
    let _taken = ["a", "b", "c"].map(|prompt| pool.submit(prompt).unwrap());
    let _at_work = [begun.next(), begun.next(), begun.next()];
    assert!(matches!(pool.submit("d"), Err(PoolError::QueueFull { queue_max: 0, .. })));
}

#[test]
fn what_is_too_much_is_refused() {
    let pool = answering_pool("bounds");
    let mebibyte = "x".repeat(1 << 20);
    assert_eq!(pool.execute(mebibyte.as_str()).unwrap().result.len(), 1 << 20);
    let refused = [
        Task::new(mebibyte + "x"),
        Task::new("").context("long", "x".repeat(256 << 10)),
        Task::new("").timeout(Duration::from_millis(99)),
        Task::new("").priority(101),
    ];
    let sentences = refused.map(|task| pool.submit(task).unwrap_err().to_string());
    assert_eq!(
        sentences,
        [
            "the prompt has 1048577 bytes; at most 1048576 are taken",
            "the context has 262155 bytes as JSON; at most 262144 are taken",
            "the timeout is 99ms; it goes from 100ms to 604800s",
            "the priority is 101; it goes from -100 to 100",
        ]
    );
    assert_eq!(pool.get_status().tasks_submitted, 1);
}

#[test]
fn a_batch_answers_in_the_order_given_with_failures_as_values() {
    let pool = answering_pool("batch");
    let said: Vec<String> =
        pool.execute_batch(["one", "fail two", "panic three", "four"]).into_iter().map(said).collect();
    assert_eq!(said, ["one", "fail two", "the executor panicked: on purpose", "four"]);
    assert!(pool.execute_batch(Vec::<Task>::new()).is_empty());
}

#[test]
fn a_batch_may_be_larger_than_the_queue() {
    let mut pool = WorkerPool::builder("large", answer).queue_max(1).build().unwrap();
    pool.initialize().unwrap();
    let prompts: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let results: Vec<String> = pool.execute_batch(prompts.clone()).into_iter().map(said).collect();
    assert_eq!(results, prompts);
}

#[test]
fn a_batch_that_hangs_ends_with_its_timeout_whatever_its_size() {
    let (pool, begun) = held_pool("hanging");
    let clock = SystemClock::new();
    let outcomes = pool.execute_batch((0..40).map(|_| Task::new("hang").timeout(SHORT)));
    assert_eq!(outcomes.len(), 40);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(TaskError::TimedOut { .. }))));
    assert!(clock.tick() >= Tick::ZERO.after(SHORT));
    let _at_work = [begun.next(), begun.next(), begun.next()];
    assert!(begun.none(), "what waited in vain is never run");
}

#[test]
fn a_panic_is_that_tasks_failure_and_its_worker_goes_on() {
    let pool = answering_pool("panics");
    for _ in 0..6 {
        assert_eq!(said(pool.execute("panic")), "the executor panicked: on purpose");
    }
    let outcomes = pool.execute_batch(["a"; 30]);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!((pool.get_status().tasks_failed, pool.get_status().tasks_completed), (6, 30));
}

/// Panics when it is dropped.
#[derive(Debug, thiserror::Error)]
#[error("handle with care")]
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        if !crate::thread::is_panicking() {
            panic!("on purpose, while being dropped");
        }
    }
}

#[test]
fn a_worker_that_dies_all_the_same_is_replaced() {
    let (tell, begun) = bounded::<Sender<()>>(8);
    let mut pool = WorkerPool::new("reborn", move |job: &Job| {
        if job.prompt() == "carry on" {
            return Ok("three of us".to_owned());
        }
        let (go, wait) = bounded(1);
        drop(tell.send(go));
        let _ = wait.recv();
        Err(Explosive.into())
    })
    .unwrap();
    pool.initialize().unwrap();
    // The error of a task that nobody waits for is dropped by the worker.
    for _ in 0..3 {
        drop(pool.submit("die").unwrap());
    }
    let at_work: Vec<Sender<()>> = (0..3).map(|_| begun.recv_timeout(PATIENCE).unwrap()).collect();
    drop(at_work);
    assert!(pool.execute_batch(["carry on"; 9]).into_iter().all(|outcome| said(outcome) == "three of us"));
    assert_eq!(threads_of("reborn").len(), 3);
    until("all three have died", || pool.get_status().tasks_failed == 3);
}
