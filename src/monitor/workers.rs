//! The workers of a picture: what each is doing, and since when.

use super::describe::Level;
use super::frame::Frame;
use super::text::{name, short_id, word};
use crate::clock::{Now, Tick};
use serde_json::{Map, Value};

/// Workers that are kept; a pool of ours has three.
const WORKERS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    /// As the server has it, to know it again.
    id: String,
    /// The same, ready to be shown.
    pub(crate) shown: String,
    pub(crate) status: String,
    /// The task as the server has it, and ready to be shown.
    task: Option<(String, String)>,
    /// Since when it has been doing that, if we know.
    pub(crate) since: Option<Tick>,
}

impl Worker {
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_ref().map(|(_, shown)| shown.as_str())
    }

    pub(crate) fn level(&self) -> Level {
        match self.status.as_str() {
            "error" | "offline" | "failed" => Level::Error,
            "initializing" | "stopping" | "unknown" => Level::Warning,
            _ => Level::Good,
        }
    }
}

/// In the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workers {
    all: Vec<Worker>,
}

impl Workers {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.all.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Replaces all by those that an answer lists: objects, or ids alone, or objects by id.
    pub(crate) fn replace(&mut self, listed: &Value, now: Now) {
        let before = std::mem::take(&mut self.all);
        let nothing = Map::new();
        let mut add = |id: Option<&str>, data: &Map<String, Value>, status: Option<&str>| {
            let Some(id) = word(data, "worker_id").or_else(|| word(data, "id")).or(id) else { return };
            let status = name(data, "status").or_else(|| status.map(short_id)).unwrap_or_else(|| "unknown".to_owned());
            let Some(worker) = self.of(id) else { return };
            worker.status = status;
            worker.task = task_of(data).or_else(|| word(data, "current_task").map(both));
            // What is as it was has been so for as long as it was.
            let same = before.iter().find(|old| old.id == id && old.status == worker.status && old.task == worker.task);
            worker.since = same.and_then(|old| old.since).or_else(|| said_since(data, now));
        };
        match listed {
            Value::Array(workers) => workers.iter().for_each(|worker| match worker {
                Value::Object(data) => add(None, data, None),
                Value::String(id) => add(Some(id), &nothing, None),
                _ => {}
            }),
            Value::Object(workers) => workers.iter().for_each(|(id, worker)| match worker {
                Value::Object(data) => add(Some(id), data, None),
                worker => add(Some(id), &nothing, worker.as_str()),
            }),
            _ => {}
        }
    }

    /// Whether an event names one that is there.
    pub(crate) fn knows(&self, data: &Map<String, Value>) -> bool {
        word(data, "worker_id").is_some_and(|id| self.all.iter().any(|worker| worker.id == id))
    }

    /// It has that task.
    pub(crate) fn is_busy(&mut self, id: &str, task: &str, since: Option<Tick>) {
        let Some(worker) = self.of(id) else { return };
        worker.status = "busy".to_owned();
        worker.task = Some(both(task));
        worker.since = since.or(worker.since);
    }

    /// What an event says of a worker.
    pub(crate) fn hear(&mut self, frame: &Frame, at: Tick) {
        let data = &frame.data;
        let Some(id) = word(data, "worker_id") else { return };
        let task = task_of(data);
        let Some(worker) = self.of(id) else { return };
        match frame.event.as_str() {
            "worker.status_changed" => {
                let Some(status) = name(data, "status") else { return };
                if status != "busy" {
                    worker.task = None;
                }
                if worker.status != status {
                    worker.status = status;
                    worker.since = Some(at);
                }
            }
            "task.assigned" => {
                worker.status = "busy".to_owned();
                worker.task = task;
                worker.since = Some(at);
            }
            // It may have got the next one already.
            "task.completed" | "task.failed" | "task.retrying" | "task.cancelled" if worker.task == task => {
                worker.status = "idle".to_owned();
                worker.task = None;
                worker.since = Some(at);
            }
            _ => {}
        }
    }

    /// That worker, made if there is room for it.
    fn of(&mut self, id: &str) -> Option<&mut Worker> {
        let place = match self.all.binary_search_by(|worker| worker.id.as_str().cmp(id)) {
            Ok(place) => place,
            Err(_) if self.all.len() >= WORKERS_MAX => return None,
            Err(place) => {
                let (shown, status) = (short_id(id), "unknown".to_owned());
                self.all.insert(place, Worker { id: id.to_owned(), shown, status, task: None, since: None });
                place
            }
        };
        self.all.get_mut(place)
    }
}

fn task_of(data: &Map<String, Value>) -> Option<(String, String)> {
    word(data, "task_id").map(both)
}

fn both(id: &str) -> (String, String) {
    (id.to_owned(), short_id(id))
}

fn said_since(data: &Map<String, Value>, now: Now) -> Option<Tick> {
    let at = crate::clock::Timestamp::parse(word(data, "since")?)?;
    Some(earlier(now, at))
}

/// The point on the monotonic clock at which that time was.
pub(crate) fn earlier(now: Now, at: crate::clock::Timestamp) -> Tick {
    let ago = u64::try_from(at.until(now.wall).as_nanos()).unwrap_or(u64::MAX);
    Tick::from_nanos(now.tick.as_nanos().saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn shown(workers: &Workers) -> Vec<String> {
        let one = |worker: &Worker| format!("{} {} {}", worker.shown, worker.status, worker.task().unwrap_or("-"));
        workers.iter().map(one).collect()
    }

    fn hear(workers: &mut Workers, event: &str, data: Value, seconds: u64) {
        let frame = Frame::parse(json!({"event": event, "data": data}).to_string().as_bytes()).unwrap();
        workers.hear(&frame, Tick::ZERO.after(Duration::from_secs(seconds)));
    }

    #[test]
    fn a_list_is_read_however_it_is_written() {
        let mut workers = Workers::default();
        for (listed, expected) in [
            (
                json!([{"worker_id": "p-worker-1", "status": "busy", "task_id": "t-1"}, {"id": "a"}]),
                vec!["a unknown -", "worker-1 busy t-1"],
            ),
            (json!(["b", 5, null]), vec!["b unknown -"]),
            (json!({"x": {"status": "idle"}, "y": "error"}), vec!["x idle -", "y error -"]),
            (json!("nonsense"), vec![]),
        ] {
            workers.replace(&listed, Now::default());
            assert_eq!(shown(&workers), expected);
        }
        let many: Vec<Value> = (0..1000).map(|number| json!(format!("w{number}"))).collect();
        workers.replace(&json!(many), Now::default());
        assert_eq!(workers.len(), WORKERS_MAX);
    }

    #[test]
    fn events_move_a_worker_from_task_to_task() {
        let mut workers = Workers::default();
        hear(&mut workers, "worker.status_changed", json!({"worker_id": "w", "status": "idle"}), 1);
        hear(&mut workers, "task.assigned", json!({"worker_id": "w", "task_id": "t1"}), 2);
        hear(&mut workers, "worker.status_changed", json!({"worker_id": "w", "status": "busy"}), 3);
        assert_eq!(shown(&workers), ["w busy t1"]);
        assert_eq!(workers.iter().next().unwrap().since, Some(Tick::ZERO.after(Duration::from_secs(2))));
        hear(&mut workers, "task.assigned", json!({"worker_id": "w", "task_id": "t2"}), 4);
        hear(&mut workers, "task.completed", json!({"worker_id": "w", "task_id": "t1"}), 5);
        assert_eq!(shown(&workers), ["w busy t2"]);
        hear(&mut workers, "task.failed", json!({"worker_id": "w", "task_id": "t2"}), 6);
        assert_eq!(shown(&workers), ["w idle -"]);
        hear(&mut workers, "worker.status_changed", json!({"worker_id": "w", "status": "error"}), 7);
        assert_eq!(
            (shown(&workers), workers.iter().next().unwrap().level()),
            (vec!["w error -".to_owned()], Level::Error)
        );
    }

    #[test]
    fn what_has_not_changed_is_as_old_as_it_was() {
        let mut workers = Workers::default();
        hear(&mut workers, "task.assigned", json!({"worker_id": "w", "task_id": "t1"}), 2);
        let now = Now { tick: Tick::ZERO.after(Duration::from_secs(60)), ..Now::default() };
        workers.replace(&json!([{"worker_id": "w", "status": "busy", "task_id": "t1"}]), now);
        assert_eq!(workers.iter().next().unwrap().since, Some(Tick::ZERO.after(Duration::from_secs(2))));
        workers.replace(&json!([{"worker_id": "w", "status": "idle"}]), now);
        assert_eq!(workers.iter().next().unwrap().since, None);
    }
}
