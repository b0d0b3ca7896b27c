//! Pools by name.

use super::*;
use std::sync::Arc;

fn started() -> PoolManager {
    let manager = PoolManager::new(answer);
    manager.start();
    manager
}

#[test]
fn a_manager_that_was_not_started_takes_no_pools() {
    let manager = PoolManager::new(answer);
    let refused = manager.create_pool(Some("early")).unwrap_err();
    assert_eq!(refused.to_string(), "the pool manager is not running; start it first");
    manager.start();
    manager.create_pool(Some("early")).unwrap();
}

#[test]
fn what_is_wrong_is_said_in_the_same_words_everywhere() {
    let manager = started();
    manager.create_pool(Some("a")).unwrap();
    assert_eq!(manager.create_pool(Some("a")).unwrap_err().to_string(), "Pool a already exists");
    assert_eq!(said(manager.execute_on_pool("b", "x")), "Pool b not found");
    assert_eq!(manager.delete_pool("b", Duration::ZERO).unwrap_err().to_string(), "Pool b not found");
    assert!(matches!(manager.execute_batch_on_pool("b", ["x"]), Err(PoolError::NotFound(_))));
    manager.get_pool("a").unwrap().shutdown(Duration::ZERO);
    assert_eq!(said(manager.execute_on_pool("a", "x")), "Pool a is not running");
    for bad in ["", "-a", "a b", &"a".repeat(65)] {
        assert!(matches!(manager.create_pool(Some(bad)), Err(PoolError::BadId(_))), "{bad:?}");
    }
}

#[test]
fn a_pool_without_a_name_gets_one() {
    let manager = started();
    let ids = [(); 3].map(|()| manager.create_pool(None).unwrap().id().to_owned());
    for id in &ids {
        let digits = id.strip_prefix("pool_").unwrap();
        assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    assert_eq!(manager.list_pools().len(), 3);
}

#[test]
fn a_pool_may_have_an_executor_and_limits_of_its_own() {
    let manager = started();
    manager.create_pool(Some("common")).unwrap();
    let own = WorkerPool::builder("own", |job: &Job| Ok(job.prompt().to_uppercase())).queue_max(7);
    manager.add_pool(own).unwrap();
    assert_eq!(said(manager.execute_on_pool("common", "x")), "x");
    assert_eq!(said(manager.execute_on_pool("own", "x")), "X");
    let batch = manager.execute_batch_on_pool("own", ["y", "z"]).unwrap();
    assert_eq!(batch.into_iter().map(said).collect::<String>(), "YZ");
}

#[test]
fn deleting_a_pool_answers_everybody_who_waits_for_its_tasks() {
    let (manager, begun) = held_manager();
    let pool = manager.create_pool(Some("doomed")).unwrap();
    let tickets: Vec<Ticket> = (0..10).map(|number| pool.submit(number.to_string()).unwrap()).collect();
    let at_work = [begun.next(), begun.next(), begun.next()];
    // Somebody who waits on another thread.
    let waiting = crate::thread::Joined::spawn("waiting", {
        let mut tickets = tickets;
        move || tickets.drain(..).map(|ticket| said(ticket.wait())).collect::<Vec<_>>()
    })
    .unwrap();
    let shutdown = manager.delete_pool("doomed", Duration::ZERO).unwrap();
    assert_eq!(shutdown, Shutdown { cancelled: 10, workers_busy: 3 });
    assert_eq!(waiting.join().unwrap(), ["the task was cancelled"; 10]);
    assert!(manager.list_pools().is_empty());

    // The name is free at once, and the functions that hung are left alone.
    manager.create_pool(Some("doomed")).unwrap();
    let again = manager.get_pool("doomed").unwrap().submit("again").unwrap();
    assert_eq!(begun.next().prompt, "again");
    assert_eq!(said(again.wait()), "again");
    drop(at_work);
}

#[test]
fn a_pool_that_is_being_deleted_is_listed_and_takes_nothing() {
    let (manager, begun) = held_manager();
    let manager = Arc::new(manager);
    let pool = manager.create_pool(Some("slow")).unwrap();
    let ticket = pool.submit("x").unwrap();
    let at_work = begun.next();
    let deleting = crate::thread::Joined::spawn("deleting", {
        let manager = Arc::clone(&manager);
        move || manager.delete_pool("slow", PATIENCE).unwrap()
    })
    .unwrap();
    until("it drains", || manager.list_pools()[0].status == "draining");
    assert_eq!(said(manager.execute_on_pool("slow", "y")), "Pool slow is not running");
    assert!(matches!(manager.create_pool(Some("slow")), Err(PoolError::AlreadyExists(_))));
    at_work.end(Ok("finished"));
    assert_eq!(deleting.join().unwrap(), Shutdown { cancelled: 0, workers_busy: 0 });
    assert_eq!(said(ticket.wait()), "finished");
    assert!(manager.list_pools().is_empty());
}

#[test]
fn a_pool_that_hangs_slows_no_other() {
    let manager = started();
    let (executor, begun) = held();
    let hung = manager.add_pool(WorkerPool::builder("hung", executor)).unwrap();
    manager.create_pool(Some("well")).unwrap();
    let _tickets = ["a", "b", "c", "d"].map(|prompt| hung.submit(prompt).unwrap());
    let _at_work = [begun.next(), begun.next(), begun.next()];
    let outcomes = manager.execute_batch_on_pool("well", ["x"; 300]).unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    let (pool_id, _) = manager.route_task("x", Strategy::LeastLoaded).unwrap();
    assert_eq!(pool_id, "well");
    assert_eq!(hung.get_status().queue_size, 1);
}

#[test]
fn stopping_ends_all_pools_and_leaves_no_thread() {
    let manager = started();
    let pools = ["stop1", "stop2"].map(|id| manager.create_pool(Some(id)).unwrap());
    let tickets: Vec<Ticket> = pools.iter().map(|pool| pool.submit("x").unwrap()).collect();
    assert_eq!(manager.stop(), Shutdown { cancelled: 0, workers_busy: 0 });
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    let health = manager.get_health_status();
    assert_eq!((health.pool_manager_running, health.pools_total), (false, 0));
    assert!(matches!(manager.create_pool(None), Err(PoolError::ManagerNotRunning)));
    drop(pools);
    until("no thread is left", || threads_of("stop1").is_empty() && threads_of("stop2").is_empty());
    manager.start();
    manager.create_pool(Some("stop1")).unwrap();
}

#[test]
fn dropping_a_manager_leaves_no_thread_of_deleted_pools_either() {
    let (manager, begun) = held_manager();
    drop(manager.create_pool(Some("ghost")).unwrap().submit("x").unwrap());
    let at_work = begun.next();
    assert_eq!(manager.delete_pool("ghost", Duration::ZERO).unwrap().workers_busy, 1);
    drop(at_work);
    drop(manager);
    until("no thread is left", || threads_of("ghost").is_empty());
}

/// Pools come and go on all sides while tasks are routed; nothing hangs and nothing is lost.
#[test]
fn pools_may_be_deleted_while_tasks_are_routed() {
    let manager = Arc::new(started());
    manager.create_pool(Some("rock")).unwrap();
    let routers: Vec<_> = (0..4)
        .map(|_| {
            let manager = Arc::clone(&manager);
            crate::thread::Joined::spawn("router", move || {
                for _ in 0..200 {
                    let (_, result) = manager.route_task("x", Strategy::RoundRobin).unwrap();
                    assert!(matches!(result, Ok(_) | Err(TaskError::Cancelled)));
                }
            })
            .unwrap()
        })
        .collect();
    while !routers.iter().all(|router| router.is_finished()) {
        let id = manager.create_pool(None).unwrap().id().to_owned();
        manager.delete_pool(&id, Duration::ZERO).unwrap();
    }
    assert!(routers.into_iter().all(|router| router.join().is_some()));
}
