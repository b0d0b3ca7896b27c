//! Which pool a task goes to.

use super::*;

/// Pools `a`, `b` and `c` whose tasks are held, one of which may wait in each.
fn three() -> (PoolManager, Begun) {
    let (executor, begun) = held();
    let manager = PoolManager::new(executor).queue_max(1).seed(7);
    manager.start();
    for id in ["a", "b", "c"] {
        manager.create_pool(Some(id)).unwrap();
    }
    (manager, begun)
}

fn routes(manager: &PoolManager, strategy: &str, count: usize) -> String {
    let strategy: Strategy = strategy.parse().unwrap();
    let went = (0..count).map(|_| manager.submit_routed("x", strategy).unwrap().pool_id().to_owned());
    went.collect::<Vec<_>>().join(" ")
}

#[test]
fn least_loaded_counts_what_runs_as_well() {
    let (manager, _begun) = three();
    assert_eq!(routes(&manager, "least_loaded", 7), "a b c a b c a");
    drop(manager.get_pool("a").unwrap().submit("direct").unwrap());
    assert_eq!(routes(&manager, "least_loaded", 4), "b c b c");
}

#[test]
fn round_robin_takes_one_after_the_other() {
    let (manager, _begun) = three();
    assert_eq!(routes(&manager, "round_robin", 7), "a b c a b c a");
}

#[test]
fn chance_is_the_same_with_the_same_seed_and_reaches_all() {
    let went = || {
        let (manager, _begun) = three();
        routes(&manager, "random", 8)
    };
    assert_eq!(went(), went());
    let went = went();
    assert!(["a", "b", "c"].iter().all(|id| went.contains(id)), "{went}");
}

#[test]
fn full_pools_are_passed_over_until_all_are() {
    let (manager, _begun) = three();
    for _ in 0..4 {
        drop(manager.get_pool("a").unwrap().submit("x").unwrap());
    }
    assert_eq!(routes(&manager, "round_robin", 8), "b c b c b c b c");
    let refused = manager.route_task("x", Strategy::RoundRobin).unwrap_err();
    assert_eq!(refused.to_string(), "the queues of all 3 pools are full; try again in 250ms");
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(250)));
}

#[test]
fn unhealthy_pools_have_a_turn_only_when_no_other_can_take_it() {
    let (manager, begun) = three();
    let pool = manager.get_pool("a").unwrap();
    // Nine failures are three for each worker at most, and at least one has three.
    for _ in 0..9 {
        let ticket = pool.submit("x").unwrap();
        begun.next().end(Err("no"));
        drop(ticket.wait());
    }
    until("it is unhealthy", || pool.health_check().status == "degraded");
    assert_eq!(routes(&manager, "least_loaded", 8), "b c b c b c b c");
    assert_eq!(routes(&manager, "least_loaded", 1), "a");
}

#[test]
fn pools_that_do_not_run_have_no_turn() {
    let (manager, begun) = three();
    drop(manager.get_pool("a").unwrap().submit("x").unwrap());
    let at_work = begun.next();
    // Shut down by its user, but not deleted.
    manager.get_pool("a").unwrap().shutdown(Duration::ZERO);
    assert_eq!(routes(&manager, "round_robin", 4), "b c b c");
    drop(at_work);
}

#[test]
fn without_pools_there_is_nowhere_to_go() {
    let manager = PoolManager::new(answer);
    assert_eq!(manager.route_task("x", Strategy::Random).unwrap_err().to_string(), "No pools available for routing");
    let unknown = "quickest".parse::<Strategy>().unwrap_err();
    assert_eq!(unknown.to_string(), "Unknown selector strategy: quickest");
}

#[test]
fn a_routed_task_says_where_it_was_done_and_what_came_of_it() {
    let manager = PoolManager::new(answer);
    manager.start();
    manager.create_pool(Some("only")).unwrap();
    let (pool_id, result) = manager.route_task("fine", Strategy::default()).unwrap();
    assert_eq!((pool_id.as_str(), said(result).as_str()), ("only", "fine"));
    let (pool_id, result) = manager.route_task("fail", Strategy::default()).unwrap();
    assert_eq!((pool_id.as_str(), said(result).as_str()), ("only", "fail"));
}
