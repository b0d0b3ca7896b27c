//! The picture of a pool: what its server has said of it, one thing laid over the other.

use super::describe::Level;
use super::frame::Frame;
use super::text::{SENTENCE_CHARS_MAX, count, name, safe};
use super::workers::Workers;
use crate::clock::{Now, Tick};
use serde_json::{Map, Value};

#[derive(Clone, Debug, Default)]
pub(crate) struct PoolPicture {
    pub(crate) status: Option<String>,
    pub(crate) worker_count: Option<u64>,
    pub(crate) queue_size: Option<u64>,
    pub(crate) active: Option<u64>,
    pub(crate) idle: Option<u64>,
    pub(crate) completed: Option<u64>,
    pub(crate) failed: Option<u64>,
    /// Nothing is given to its workers for now, since too much has failed.
    pub(crate) is_held: bool,
    /// Why its daemon cannot write.
    pub(crate) degraded: Option<String>,
    pub(crate) workers: Workers,
    pub(crate) seen: Seen,
}

/// What was heard of while we watched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) assigned: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
}

impl PoolPicture {
    /// An answer to how it is.
    pub(crate) fn take(&mut self, data: &Map<String, Value>, now: Now) {
        self.figures(data);
        self.is_held = data.get("held").and_then(Value::as_bool).unwrap_or(false);
        self.degraded = data.get("degraded").and_then(Value::as_str).map(|why| safe(why, SENTENCE_CHARS_MAX));
        if let Some(workers) = data.get("workers") {
            self.workers.replace(workers, now);
        }
    }

    pub(crate) fn hear(&mut self, frame: &Frame, at: Tick) {
        self.workers.hear(frame, at);
        match frame.event.as_str() {
            "pool.status_changed" => self.figures(&frame.data),
            "pool.scaling" => self.worker_count = count(&frame.data, "worker_count").or(self.worker_count),
            "pool.closed" => self.status = Some("closed".to_owned()),
            "pool.spawned" => self.status = Some("running".to_owned()),
            "task.assigned" => self.seen.assigned += 1,
            "task.completed" => self.seen.completed += 1,
            "task.failed" => self.seen.failed += 1,
            "task.retrying" => self.seen.retried += 1,
            _ => {}
        }
    }

    /// What is not said stays as it was.
    fn figures(&mut self, data: &Map<String, Value>) {
        let lay = |over: &mut Option<u64>, key: &str| *over = count(data, key).or(*over);
        lay(&mut self.worker_count, "worker_count");
        lay(&mut self.queue_size, "queue_size");
        lay(&mut self.active, "active_workers");
        lay(&mut self.idle, "idle_workers");
        lay(&mut self.completed, "tasks_completed");
        lay(&mut self.failed, "tasks_failed");
        self.status = name(data, "status").or(self.status.take());
    }

    pub(crate) fn level(&self) -> Level {
        match self.status.as_deref() {
            Some("failed" | "error" | "closed" | "stopped" | "unhealthy") => Level::Error,
            None | Some("running" | "active" | "healthy" | "idle" | "busy") => Level::Good,
            Some(_) => Level::Warning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_said_stays_as_it_was() {
        let mut pool = PoolPicture::default();
        let all = json!({"status": "running", "worker_count": 3, "queue_size": 2, "active_workers": 1, "idle_workers": 2,
            "tasks_completed": 7, "tasks_failed": 1, "workers": [{"worker_id": "w", "status": "idle"}]});
        pool.take(all.as_object().unwrap(), Now::default());
        let event = json!({"event": "pool.status_changed", "data": {"queue_size": 0, "status": "paused"}}).to_string();
        pool.hear(&Frame::parse(event.as_bytes()).unwrap(), Tick::ZERO);
        assert_eq!((pool.queue_size, pool.worker_count, pool.completed), (Some(0), Some(3), Some(7)));
        assert_eq!((pool.status.as_deref(), pool.level(), pool.workers.len()), (Some("paused"), Level::Warning, 1));
    }

    #[test]
    fn values_of_another_kind_are_not_taken() {
        let mut pool = PoolPicture::default();
        let odd = json!({"status": 5, "worker_count": "three", "queue_size": -1, "active_workers": 2.7});
        pool.take(odd.as_object().unwrap(), Now::default());
        assert_eq!((pool.status.as_deref(), pool.worker_count, pool.queue_size), (None, None, Some(0)));
        assert_eq!(pool.active, Some(2));
    }
}
