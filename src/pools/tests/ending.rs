//! Tasks that end before their function does, and pools that end before their tasks.

use super::*;
use std::sync::Arc;

#[test]
fn a_timeout_answers_though_the_function_hangs() {
    let (pool, begun) = held_pool("hung");
    let outcome = pool.execute(Task::new("hang").timeout(SHORT));
    assert_eq!(said(outcome), "the task had no result within 100ms");
    let hanging = begun.next();
    assert!(hanging.cancel.is_cancelled(), "it is told");

    // Two workers are left until it returns.
    let _tickets = ["a", "b", "c"].map(|prompt| pool.submit(prompt).unwrap());
    let _at_work = [begun.next(), begun.next()];
    assert!(begun.none());
    let status = pool.get_status();
    assert_eq!((status.queue_size, status.tasks_failed, status.tasks_completed), (1, 1, 0));

    hanging.end(Ok("too late"));
    let next = begun.next();
    assert_eq!(next.prompt, "c");
    assert_eq!(pool.get_status().tasks_completed, 0, "what comes after the deadline does not count");
}

#[test]
fn a_task_that_waits_too_long_is_answered_and_never_run() {
    let (pool, begun) = held_pool("waiting");
    let _busy = ["a", "b", "c"].map(|prompt| pool.submit(prompt).unwrap());
    let at_work = [begun.next(), begun.next(), begun.next()];
    assert!(matches!(pool.execute(Task::new("d").timeout(SHORT)), Err(TaskError::TimedOut { after: SHORT })));
    assert_eq!(pool.get_status().queue_size, 0);
    drop(at_work);
    let next = pool.submit("e").unwrap();
    drop(begun.next());
    assert_eq!(said(next.wait()), "e");
}

#[test]
fn what_is_overdue_makes_room_though_nobody_waits_for_it() {
    let (pool, begun) = held_pool("overdue");
    let _busy = ["a", "b", "c"].map(|prompt| pool.submit(prompt).unwrap());
    let _at_work = [begun.next(), begun.next(), begun.next()];
    for prompt in ["d", "e"] {
        drop(pool.submit(Task::new(prompt).timeout(SHORT)).unwrap());
    }
    until("there is room again", || pool.submit("f").is_ok());
}

#[test]
fn a_wait_that_ends_sooner_gives_the_ticket_back() {
    let (pool, begun) = held_pool("patient");
    let ticket = pool.submit("a").unwrap();
    let ticket = ticket.wait_timeout(Duration::ZERO).unwrap_err();
    begun.next().end(Ok("there"));
    assert_eq!(said(ticket.wait_timeout(PATIENCE).unwrap()), "there");
}

#[test]
fn what_is_cancelled_is_answered_at_once_and_only_once() {
    let (pool, begun) = held_pool("cancel");
    let [running, _b, _c, queued] = ["a", "b", "c", "d"].map(|prompt| pool.submit(prompt).unwrap());
    let mut at_work = vec![begun.next(), begun.next(), begun.next()];
    assert!(queued.cancel() && running.cancel());
    assert!(!queued.cancel() && !running.cancel());
    assert_eq!(said(queued.wait()), "the task was cancelled");
    assert_eq!(said(running.wait()), "the task was cancelled");
    assert_eq!(at_work.iter().filter(|task| task.cancel.is_cancelled()).count(), 1);
    at_work.retain(|task| task.prompt != "a");
    let next = pool.submit("e").unwrap();
    drop(begun.next());
    assert_eq!(said(next.wait()), "e");
    let status = pool.get_status();
    assert_eq!((status.tasks_failed, status.success_rate), (0, 1.0), "it is nobody's failure");
}

#[test]
fn a_shutdown_does_what_there_is() {
    let pool = answering_pool("drained");
    let tickets: Vec<Ticket> = (0..50).map(|number| pool.submit(number.to_string()).unwrap()).collect();
    assert_eq!(pool.shutdown(PATIENCE), Shutdown { cancelled: 0, workers_busy: 0 });
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    assert_eq!(pool.get_status().status, "stopped");
}

#[test]
fn what_is_left_when_the_time_is_up_is_cancelled() {
    let (pool, begun) = held_pool("cut");
    let tickets = ["a", "b", "c", "d", "e"].map(|prompt| pool.submit(prompt).unwrap());
    let at_work = [begun.next(), begun.next(), begun.next()];
    assert_eq!(pool.shutdown(Duration::ZERO), Shutdown { cancelled: 5, workers_busy: 3 });
    assert!(tickets.into_iter().all(|ticket| said(ticket.wait()) == "the task was cancelled"));
    assert!(begun.none() && at_work.iter().all(|task| task.cancel.is_cancelled()));
    assert_eq!(pool.get_status().status, "draining", "three functions have not returned");
    drop(at_work);
    assert_eq!(pool.shutdown(PATIENCE), Shutdown { cancelled: 0, workers_busy: 0 });
}

#[test]
fn functions_that_look_at_their_token_end_with_the_pool() {
    let (tell, begun) = bounded(3);
    let mut pool = WorkerPool::new("polite", move |job: &Job| {
        let _ = tell.send(());
        job.cancel_token().wait_until(&SystemClock::new(), Tick::FAR);
        assert!(job.is_cancelled());
        Ok("never mind".to_owned())
    })
    .unwrap();
    pool.initialize().unwrap();
    let tickets = ["a", "b", "c", "d"].map(|prompt| pool.submit(prompt).unwrap());
    (0..3).for_each(|_| begun.recv_timeout(PATIENCE).unwrap());
    assert_eq!(pool.shutdown(Duration::ZERO), Shutdown { cancelled: 4, workers_busy: 0 });
    assert!(tickets.into_iter().all(|ticket| matches!(ticket.wait(), Err(TaskError::Cancelled))));
}

#[test]
fn dropping_a_pool_does_what_there_is_and_joins_its_threads() {
    let pool = answering_pool("dropped");
    let tickets: Vec<Ticket> = (0..50).map(|number| pool.submit(number.to_string()).unwrap()).collect();
    drop(pool);
    until("no thread is left", || threads_of("dropped").is_empty());
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
}

#[test]
fn a_function_may_drop_the_pool_that_runs_it() {
    let (give, given) = bounded::<Arc<WorkerPool>>(1);
    let mut pool = WorkerPool::new("itself", move |_job: &Job| {
        let pool = given.recv_timeout(PATIENCE)?;
        pool.shutdown(Duration::ZERO);
        drop(pool);
        Ok("gone".to_owned())
    })
    .unwrap();
    pool.initialize().unwrap();
    let ticket = pool.submit("drop it").unwrap();
    give.send(Arc::new(pool)).unwrap();
    assert_eq!(said(ticket.wait()), "the task was cancelled");
    until("no thread is left", || threads_of("itself").is_empty());
}

/// Eight threads submit while the pool ends. Whatever was taken is answered, once, and the counters agree.
#[test]
fn every_task_that_is_taken_while_a_pool_ends_is_answered() {
    for timeout in [Duration::ZERO, PATIENCE].repeat(10) {
        let pool = Arc::new(answering_pool("race"));
        let (first, begun) = bounded::<()>(1);
        let submitters: Vec<_> = (0..8)
            .map(|_| {
                let (pool, first) = (Arc::clone(&pool), first.clone());
                crate::thread::Joined::spawn("submitter", move || submit_until_refused(&pool, &first)).unwrap()
            })
            .collect();
        begun.recv_timeout(PATIENCE).unwrap();
        let shutdown = pool.shutdown(timeout);
        let tickets: Vec<Ticket> = submitters.into_iter().flat_map(|thread| thread.join().unwrap()).collect();

        let status = pool.get_status();
        assert_eq!((shutdown.workers_busy, status.status), (0, "stopped"));
        assert_eq!(tickets.len() as u64, status.tasks_submitted);
        let outcomes: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();
        let completed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let cancelled = outcomes.iter().filter(|outcome| matches!(outcome, Err(TaskError::Cancelled))).count();
        assert_eq!((completed as u64, cancelled), (status.tasks_completed, shutdown.cancelled));
        assert_eq!(completed + cancelled, outcomes.len());
    }
}

fn submit_until_refused(pool: &WorkerPool, first: &Sender<()>) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    loop {
        match pool.submit("now") {
            Ok(ticket) => tickets.push(ticket),
            Err(PoolError::QueueFull { .. }) => std::thread::yield_now(),
            Err(_) => return tickets,
        }
        let _ = first.try_send(());
    }
}
