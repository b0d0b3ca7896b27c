//! How pools and workers are.

use super::*;
use crate::clock::ManualClock;
use std::sync::Arc;

/// Keeps two workers busy, so that the third has all that comes.
fn with_one_worker_left(id: &str) -> (WorkerPool, Begun, [Held; 2]) {
    let (pool, begun) = held_pool(id);
    drop(pool.submit("a").unwrap());
    drop(pool.submit("b").unwrap());
    let busy = [begun.next(), begun.next()];
    (pool, begun, busy)
}

fn run(pool: &WorkerPool, begun: &Begun, result: Result<&str, &str>) {
    let ticket = pool.submit("next").unwrap();
    begun.next().end(result);
    drop(ticket.wait());
}

#[test]
fn three_failures_in_a_row_make_a_worker_unhealthy_and_one_success_heals_it() {
    let (pool, begun, _busy) = with_one_worker_left("health");
    let health = || (pool.health_check().status, pool.health_check().workers_healthy);
    run(&pool, &begun, Err("no"));
    run(&pool, &begun, Err("no"));
    assert_eq!(health(), ("healthy", 3));
    run(&pool, &begun, Err("no"));
    assert_eq!(health(), ("degraded", 2));
    run(&pool, &begun, Ok("yes"));
    assert_eq!(health(), ("healthy", 3));

    let [tried] = &pool.workers().into_iter().filter(|worker| worker.tasks_processed > 0).collect::<Vec<_>>()[..]
    else {
        panic!("only one worker has done anything")
    };
    assert_eq!((tried.tasks_succeeded, tried.tasks_failed, tried.success_rate), (1, 3, 0.25));
    assert!(tried.last_activity.is_some());
}

#[test]
fn functions_that_run_out_of_time_count_against_their_worker() {
    let (pool, begun, _busy) = with_one_worker_left("slow");
    for _ in 0..3 {
        drop(pool.execute(Task::new("hang").timeout(SHORT)));
        begun.next().end(Ok("too late"));
        until("the function has returned", || pool.workers_busy() == 2);
    }
    assert_eq!(pool.health_check().status, "degraded");
}

#[test]
fn a_worker_of_which_nothing_is_heard_for_five_minutes_is_stuck_until_it_is() {
    let (ask, asked) = bounded::<bool>(0);
    let (tell, told) = bounded::<()>(1);
    let clock = ManualClock::new();
    let executor = move |job: &Job| {
        while asked.recv()? {
            job.heartbeat();
            tell.send(())?;
        }
        Ok("at last".to_owned())
    };
    let mut pool = WorkerPool::builder("quiet", executor).clock(Arc::new(clock.clone())).build().unwrap();
    pool.initialize().unwrap();
    let healthy = || pool.health_check().workers_healthy;
    let ticket = pool.submit("think").unwrap();
    ask.send(true).unwrap();
    told.recv_timeout(PATIENCE).unwrap();

    clock.advance(Duration::from_secs(299));
    assert_eq!(healthy(), 3);
    clock.advance(Duration::from_secs(1));
    assert_eq!(healthy(), 2, "idle ones are healthy however long they are");
    ask.send(true).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(healthy(), 3);
    clock.advance(Duration::from_secs(300));
    assert_eq!(healthy(), 2);
    ask.send(false).unwrap();
    assert_eq!(said(ticket.wait()), "at last");
    until("the worker is free", || healthy() == 3);

    let worker = pool.workers().into_iter().find(|worker| worker.tasks_processed == 1).unwrap();
    assert_eq!((worker.total_processing_time, worker.avg_processing_time), (600.0, 600.0));
}

#[test]
fn time_at_work_is_counted_to_the_end_of_the_function() {
    let clock = ManualClock::new();
    let (pool, begun) = held_pool_as("count", |builder| builder.clock(Arc::new(clock.clone())));
    let ticket = pool.submit(Task::new("hang").timeout(Duration::from_secs(10))).unwrap();
    let hanging = begun.next();
    clock.advance(Duration::from_secs(10));
    assert!(matches!(ticket.wait(), Err(TaskError::TimedOut { .. })));
    clock.advance(Duration::from_secs(5));
    hanging.end(Ok("too late"));
    let worked = || pool.workers().iter().map(|worker| worker.total_processing_time).sum::<f64>();
    until("all of it is counted", || worked() == 15.0);
    assert_eq!(pool.get_status().tasks_failed, 1);
}
