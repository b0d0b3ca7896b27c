//! How much is too much. Every bound that a user can meet stands here, with its unit in its name.

use crate::resilience::Backoff;
use std::time::Duration;

/// A pool has exactly this many workers.
pub const WORKERS_PER_POOL: usize = 3;

/// Names that users choose.
pub const NAME_BYTES_MAX: usize = 64;
/// Ids that we store; foreign ones that are longer are shown cut.
pub const ID_BYTES_MAX: usize = 256;
/// A prompt, or the content of a message written through us.
pub const CONTENT_BYTES_MAX: usize = 1 << 20;
/// Context and metadata.
pub const JSON_BYTES_MAX: usize = 256 << 10;
/// The data of an event that somebody publishes.
pub const PUBLISHED_BYTES_MAX: usize = 16 << 10;
/// A task's result; what is longer stands in the task's log.
pub const RESULT_BYTES_MAX: usize = 1 << 20;
/// One row of a list is much; this many rows are a page.
pub const PAGE_ROWS_MAX: usize = 1000;

/// Pictures of a state are sent at most this often for each subject.
pub const PICTURE_INTERVAL: Duration = Duration::from_millis(100);

pub const PRIORITY_MIN: i32 = -100;
pub const PRIORITY_MAX: i32 = 100;
/// A waiting task gains one step of priority in this time.
pub const AGING_STEP: Duration = Duration::from_secs(30);

pub const RETRIES_MAX: u32 = 100;
/// How long a failed task waits before it is tried again: 1 s, doubled each time, at most 60 s.
pub const RETRY_BACKOFF: Backoff = Backoff::EXPONENTIAL;
/// A task that took the daemon down this often is dead.
pub const CRASHES_MAX: u32 = 3;

/// How long a pool that is deleted serves what it has, unless somebody says.
pub const DRAIN: Duration = Duration::from_secs(5);
/// How long functions have to notice that they were cancelled, before their pool is left without them.
pub const CANCEL_GRACE: Duration = Duration::from_secs(1);
/// A pool is three threads: so many pools are enough, and a loop that makes more is a mistake.
pub const POOLS_MAX: usize = 256;
/// Each is a thread.
pub const UPSTREAMS_MAX: usize = 128;

/// Series that one alert rule is about.
pub const ALERT_SERIES_MAX: usize = 256;
/// The same of all rules together.
pub const ALERT_SERIES_ALL_MAX: usize = 4096;
/// Looks further apart than this do not show that a threshold was crossed all the time; and a series that was not there
/// for longer is gone.
pub const ALERT_GAP_MAX: Duration = Duration::from_secs(5);
/// After a start the series of an alert that is raised may take so long to come back: an upstream is polled every ten
/// minutes, at most.
pub const ALERT_RETURN_MAX: Duration = Duration::from_secs(15 * 60);

/// The names of members are the group's, a dash and a number: so long may the group's own be.
pub const SCALED_GROUP_BYTES_MAX: usize = NAME_BYTES_MAX - 4;
/// A group that scales itself must have too much to do for so long before it gets another pool.
pub const SCALE_HOLD: Duration = Duration::from_secs(2);
/// Between two steps of such a group.
pub const SCALE_PAUSE: Duration = Duration::from_secs(3);
/// Before a pool is tried again whose workers could not be started.
pub const SCALE_RETRY: Duration = Duration::from_secs(30);
/// So many tasks ready to run, for each pool, are too many unless somebody says.
pub const SCALE_UP_QUEUE: usize = 3;
/// A pool that had nothing to do for so long is not needed unless somebody says.
pub const SCALE_DOWN_IDLE: Duration = Duration::from_secs(300);

/// How many others a task may wait for.
pub const AFTER_MAX: usize = 256;
/// Tasks that one call may hand in and wait for.
pub const BATCH_PROMPTS_MAX: usize = 256;
/// A workflow file.
pub const WORKFLOW_BYTES_MAX: usize = 1 << 20;
pub const WORKFLOW_STAGES_MAX: usize = 64;
pub const WORKFLOW_TASKS_MAX: usize = 256;
/// Pairs of tasks of a workflow of which one needs the other.
pub const WORKFLOW_EDGES_MAX: usize = 10_000;
/// A prompt in which results stand in the place of their names.
pub const EXPANDED_PROMPT_BYTES_MAX: usize = 4 << 20;
/// A worker whose task has written nothing for so long counts as stuck, unless configured otherwise.
pub const STUCK_AFTER: Duration = Duration::from_secs(300);

/// Bounds of a task's own timeout.
pub const TASK_TIMEOUT_MIN: Duration = Duration::from_millis(100);
pub const TASK_TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest wait or watch that makes sense to ask for.
pub const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Consecutive failures after which a worker counts as unhealthy.
pub const FAILURES_UNHEALTHY: u32 = 3;
/// What a refused client should wait before it tries again.
pub const RETRY_AFTER_MS: u64 = 250;
