//! Worker pools within a program: what the daemon's pools are, without the daemon, with a function as the executor.
//!
//! A [`WorkerPool`] is a bounded queue and exactly three workers, each a thread. A [`PoolManager`] keeps pools by name
//! and chooses one for a task that names none. Nothing is stored: when the program ends, so does what it had to do.
//!
//! ```
//! use claude_comms::pools::{Job, PoolManager, Strategy, Task, WorkerPool};
//! use std::time::Duration;
//!
//! // The executor: called by three workers at a time.
//! let answer = |job: &Job| Ok(format!("{} in {}", job.prompt(), job.context()["repo"]));
//!
//! // One pool.
//! let mut pool = WorkerPool::new("my_pool", answer)?;
//! pool.initialize()?;
//! assert_eq!(pool.workers().len(), 3);
//!
//! let task = Task::new("Write code").context("repo", "/path/to/repo").timeout(Duration::from_secs(30));
//! assert_eq!(pool.execute(task)?.result, r#"Write code in "/path/to/repo""#);
//!
//! // Many tasks at once: their outcomes come in the order given, failures among them.
//! let results = pool.execute_batch((1..=3).map(|number| Task::new(format!("Task {number}")).context("repo", "here")));
//! assert_eq!(results[2].as_ref().unwrap().result, r#"Task 3 in "here""#);
//!
//! // A task on its way can be waited for, or not be wanted any more.
//! let ticket = pool.submit(Task::new("Sweep").context("repo", "there"))?;
//! println!("{} is submitted", ticket.task_id());
//! ticket.wait()?;
//!
//! let status = pool.get_status();
//! assert_eq!((status.tasks_submitted, status.tasks_completed, status.success_rate), (5, 5, 1.0));
//! assert_eq!(pool.health_check().status, "healthy");
//! pool.shutdown(Duration::from_secs(5));
//!
//! // Pools by name.
//! let manager = PoolManager::new(|job: &Job| Ok(job.prompt().to_uppercase()));
//! manager.start();
//! manager.create_pool(Some("pool_1"))?;
//! manager.create_pool(None)?;
//! assert_eq!(manager.execute_on_pool("pool_1", "execute task")?.result, "EXECUTE TASK");
//!
//! let (pool_id, result) = manager.route_task("auto-routed task", Strategy::LeastLoaded)?;
//! println!("{pool_id} says {}", result?.result);
//! let (_, result) = manager.route_task("another", "round_robin".parse()?)?;
//! assert!(result.is_ok());
//!
//! assert_eq!(manager.list_pools().len(), 2);
//! assert_eq!(manager.get_health_status().pools_healthy, 2);
//! manager.delete_pool("pool_1", Duration::from_secs(5))?;
//! manager.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! - A pool has three workers from its start to its end. A panic of the executor is that task's failure
//!   ([`TaskError::Panicked`]); its worker goes on.
//! - Each task that is taken is answered exactly once: with its result, or with how it failed. Whoever waits is answered
//!   at the task's deadline at the latest, and when its pool ends. Nothing waits for ever.
//! - A result that comes after the deadline does not count.
//! - At most `queue_max` tasks wait. Another one is refused with [`PoolError::QueueFull`], which says when to try again.
//! - Greater priority goes first, equals in the order of their submission.
//! - No lock is held while an executor runs, and a pool knows nothing of the others: one that hangs slows no other.
//!
//! # What is not
//!
//! A function cannot be ended from outside. When its time is up or its task is cancelled, whoever waits is answered and
//! the function is *told*: [`Job::is_cancelled`], [`Job::remaining`], [`Job::cancel_token`]. Until it returns, its worker
//! is busy and counts as busy. After five minutes without a [`Job::heartbeat`] it counts as unhealthy, and routing
//! prefers other pools. [`WorkerPool::shutdown`] and [`PoolManager::delete_pool`] do not wait for such a function, but
//! dropping its pool does, since its thread is joined. What has to be ended whatever it does belongs in a process of its
//! own, which is what the daemon's pools are for ([`comms`](crate::comms)).

mod error;
mod job;
mod task;
mod ticket;

mod manager;
mod pool;
mod status;

mod batch;
mod books;
mod desk;
mod entry;
mod worker;

#[cfg(test)]
mod tests;

pub use crate::model::routing::Strategy;
pub use error::{ExecuteError, PoolError, TaskError};
pub use job::{Execute, Job};
pub use manager::PoolManager;
pub use pool::{PoolBuilder, Shutdown, WorkerPool};
pub use status::{ManagerHealth, PoolHealth, PoolStatus, WorkerStatus};
pub use task::{Output, Task};
pub use ticket::Ticket;
