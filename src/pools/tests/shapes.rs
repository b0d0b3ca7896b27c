//! The fields of what is shown: fixed, since other programs read them.

use super::*;
use serde::Serialize;
use serde_json::Value;

fn fields(shown: &impl Serialize) -> String {
    let Ok(Value::Object(object)) = serde_json::to_value(shown) else { panic!("it is an object") };
    object.keys().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_fields_are_those_of_every_other_door() {
    let manager = PoolManager::new(answer);
    manager.start();
    let pool = manager.create_pool(Some("shown")).unwrap();
    let status = pool.get_status();
    assert_eq!(
        fields(&status),
        "created_at pool_id queue_size running started_at status success_rate tasks_completed tasks_failed \
         tasks_submitted workers workers_count"
    );
    assert_eq!(
        fields(&status.workers[0]),
        "avg_processing_time healthy last_activity pool_id running success_rate tasks_failed tasks_processed \
         tasks_succeeded total_processing_time worker_id"
    );
    assert_eq!(fields(&pool.health_check()), "pool_id status worker_health workers_healthy workers_total");
    assert_eq!(fields(&manager.get_health_status()), "pool_details pool_manager_running pools_healthy pools_total");
    assert_eq!(fields(&pool.execute("x").unwrap()), "pool_id result task_id worker_id");
}

#[test]
fn a_new_pool_is_shown_as_one_that_has_done_nothing() {
    let pool = WorkerPool::new("new", answer).unwrap();
    let status = pool.get_status();
    assert_eq!((status.status, status.running, status.started_at), ("stopped", false, None));
    assert_eq!((status.workers_count, status.queue_size, status.success_rate), (3, 0, 1.0));
    let worker = &status.workers[2];
    assert_eq!(worker.worker_id, "new-worker-2");
    assert_eq!((worker.running, worker.success_rate, worker.avg_processing_time), (false, 1.0, 0.0));
    assert_eq!(worker.last_activity, None);
}

#[test]
fn a_pool_counts_what_it_does() {
    let pool = answering_pool("counts");
    drop(pool.execute_batch(["a", "b", "c", "fail"]));
    let status = pool.get_status();
    assert_eq!((status.status, status.running), ("running", true));
    assert_eq!((status.tasks_submitted, status.tasks_completed, status.tasks_failed), (4, 3, 1));
    assert_eq!(status.success_rate, 0.75);
    assert_eq!(status.workers.iter().map(|worker| worker.tasks_processed).sum::<u64>(), 4);
    assert!(status.created_at <= status.started_at.unwrap());
}
