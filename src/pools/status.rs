//! Pools and workers as they are shown: the same fields as everywhere else that claude-comms shows them.

use crate::model::pool::{Health, PoolStatus as Status, PoolView, WorkerView};
use crate::model::task::worker_id;
use serde::Serialize;

/// One of the three workers of a pool. Counters are since the pool was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// `{pool}-worker-{0..2}`
    pub worker_id: String,
    pub pool_id: String,
    /// Whether its thread runs.
    pub running: bool,
    /// False after three failures in a row, until one success; and while it is busy and nothing was heard of it for
    /// five minutes.
    pub healthy: bool,
    pub tasks_processed: u64,
    pub tasks_succeeded: u64,
    /// Errors, panics, and tasks whose time was up while it had them. What was cancelled counts as neither.
    pub tasks_failed: u64,
    /// 0.0 to 1.0; 1.0 when it has done nothing yet.
    pub success_rate: f64,
    /// Seconds.
    pub avg_processing_time: f64,
    /// Seconds.
    pub total_processing_time: f64,
    /// When it last ended a task, as RFC 3339.
    pub last_activity: Option<String>,
}

/// A pool with its workers. Counters are since it was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolStatus {
    pub pool_id: String,
    /// `running`; `draining` while it is shut down; `stopped` before it is initialized and after it was shut down.
    pub status: &'static str,
    /// Whether it takes tasks.
    pub running: bool,
    /// Always 3.
    pub workers_count: usize,
    /// Tasks that wait; those that run are not among them.
    pub queue_size: usize,
    pub tasks_submitted: u64,
    pub tasks_completed: u64,
    /// Those whose time was up in the queue are among them; what was cancelled is not.
    pub tasks_failed: u64,
    /// 0.0 to 1.0, of the completed and failed ones; 1.0 when there are none.
    pub success_rate: f64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; `None` until it is initialized.
    pub started_at: Option<String>,
    pub workers: Vec<WorkerStatus>,
}

/// How a pool is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolHealth {
    pub pool_id: String,
    /// `healthy`; `degraded` when a worker is not; `not_running`.
    pub status: &'static str,
    pub workers_healthy: usize,
    /// Always 3.
    pub workers_total: usize,
    pub worker_health: Vec<WorkerStatus>,
}

impl PoolHealth {
    pub fn is_healthy(&self) -> bool {
        self.status == Health::Healthy.as_str()
    }
}

/// How all pools of a manager are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ManagerHealth {
    pub pool_manager_running: bool,
    pub pools_total: usize,
    pub pools_healthy: usize,
    /// In the order of their ids.
    pub pool_details: Vec<PoolHealth>,
}

impl From<&PoolView> for PoolStatus {
    fn from(view: &PoolView) -> PoolStatus {
        let row = &view.row;
        PoolStatus {
            pool_id: row.id.to_string(),
            status: row.status.as_str(),
            running: row.status == Status::Running,
            workers_count: view.workers.len(),
            queue_size: view.queue_size,
            tasks_submitted: row.submitted,
            tasks_completed: row.completed,
            tasks_failed: row.failed,
            success_rate: row.success_rate(),
            created_at: row.created_at.to_string(),
            started_at: row.started_at.map(|at| at.to_string()),
            workers: workers(view),
        }
    }
}

impl From<&PoolView> for PoolHealth {
    fn from(view: &PoolView) -> PoolHealth {
        PoolHealth {
            pool_id: view.row.id.to_string(),
            status: view.health().as_str(),
            workers_healthy: view.workers_healthy(),
            workers_total: view.workers.len(),
            worker_health: workers(view),
        }
    }
}

fn workers(view: &PoolView) -> Vec<WorkerStatus> {
    view.workers.iter().map(|worker| self::worker(view, worker)).collect()
}

fn worker(pool: &PoolView, worker: &WorkerView) -> WorkerStatus {
    WorkerStatus {
        worker_id: worker_id(&pool.row.id, worker.slot),
        pool_id: pool.row.id.to_string(),
        running: pool.staffed,
        healthy: worker.healthy,
        tasks_processed: worker.processed(),
        tasks_succeeded: worker.succeeded,
        tasks_failed: worker.failed,
        success_rate: worker.success_rate(),
        avg_processing_time: worker.seconds_mean(),
        total_processing_time: worker.busy_for.as_secs_f64(),
        last_activity: worker.last_activity.map(|at| at.to_string()),
    }
}
