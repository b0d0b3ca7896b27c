//! The picture of a workflow: its stages, how far it has come, and who works on it.

use super::describe::Level;
use super::frame::Frame;
use super::text::{count, name, span, word};
use super::workers::{Workers, earlier};
use crate::clock::{Now, Timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Stages that are kept.
const STAGES_MAX: usize = 256;
/// Tasks whose ids are kept, to know in pools which are meant.
const TASKS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct WorkflowPicture {
    pub(crate) status: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) done: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) workers: Workers,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    error: Option<String>,
    current: Option<String>,
    tasks: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

impl Stage {
    pub(crate) fn is_open(&self) -> bool {
        !is_final(&self.status)
    }
}

impl WorkflowPicture {
    /// An answer to how it is.
    pub(crate) fn take(&mut self, data: &Map<String, Value>, now: Now) {
        self.figures(data);
        let metadata = data.get("metadata").and_then(Value::as_object);
        self.name = name(data, "name").or_else(|| name(metadata?, "name")).or(self.name.take());
        self.current = name(data, "current_stage");
        self.error = name(data, "error");
        self.started = time(data, &["started_at", "created_at"]).or(self.started);
        self.ended = time(data, &["ended_at", "completed_at"]).or(self.ended.filter(|_| self.is_over()));
        if let Some(stages) = data.get("stages").and_then(Value::as_array) {
            self.stages = stages.iter().filter_map(stage_of).take(STAGES_MAX).collect();
        }
        if let Some(workers) = data.get("workers") {
            self.workers.replace(workers, now);
        }
        self.take_tasks(data, now);
    }

    fn take_tasks(&mut self, data: &Map<String, Value>, now: Now) {
        let listed = data.get("tasks").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
        for task in listed.take(TASKS_MAX) {
            let Some(id) = word(task, "task_id") else { continue };
            if self.tasks.len() < TASKS_MAX {
                self.tasks.insert(id.to_owned());
            }
            if let (Some(worker), Some("running")) = (word(task, "worker_id"), word(task, "status")) {
                let since = time(task, &["started_at"]).map(|at| earlier(now, at));
                self.workers.is_busy(worker, id, since);
            }
        }
    }

    /// Whether an event is about this workflow: pools have others too.
    pub(crate) fn concerns(&self, frame: &Frame) -> bool {
        let of_pool = frame.room.as_deref().is_some_and(|room| room.starts_with("pool:"));
        !of_pool
            || word(&frame.data, "task_id").is_some_and(|task| self.tasks.contains(task))
            || (frame.event == "worker.status_changed" && self.workers.knows(&frame.data))
    }

    pub(crate) fn hear(&mut self, frame: &Frame, at: Timestamp, now: Now) {
        let data = &frame.data;
        self.workers.hear(frame, earlier(now, at));
        match frame.event.as_str() {
            "workflow.started" => self.begin(data, at),
            "workflow.stage_completed" => {
                self.figures(data);
                self.current = None;
                if let Some(stage) = name(data, "stage_name") {
                    self.complete(stage, at);
                }
            }
            "workflow.completed" => self.end("completed", data, at),
            "workflow.failed" => self.end("failed", data, at),
            "workflow.cancelled" => self.end("cancelled", data, at),
            _ => {}
        }
    }

    fn begin(&mut self, data: &Map<String, Value>, at: Timestamp) {
        let before = std::mem::take(self);
        // Who is followed is followed on.
        *self = WorkflowPicture { tasks: before.tasks, workers: before.workers, ..WorkflowPicture::default() };
        self.status = Some("running".to_owned());
        self.started = Some(at);
        self.figures(data);
        let Some(metadata) = data.get("metadata").and_then(Value::as_object) else { return };
        self.name = name(metadata, "name");
        let stages = metadata.get("stages").and_then(Value::as_array).into_iter().flatten();
        self.stages = stages.filter_map(stage_of).take(STAGES_MAX).collect();
        self.total = self.total.or(Some(self.stages.len() as u64).filter(|count| *count > 0));
    }

    fn complete(&mut self, stage: String, at: Timestamp) {
        let status = "completed".to_owned();
        let has_room = self.stages.len() < STAGES_MAX;
        match self.stages.iter_mut().find(|known| known.name == stage) {
            Some(known) => (known.status, known.ended) = (status, Some(at)),
            None if has_room => {
                self.stages.push(Stage { name: stage, status, started: None, ended: Some(at) });
            }
            None => {}
        }
        // A server that does not count has its completed stages counted.
        let counted = self.stages.iter().filter(|stage| stage.status == "completed").count() as u64;
        self.done = Some(self.done.unwrap_or(0).max(counted));
    }

    fn end(&mut self, status: &str, data: &Map<String, Value>, at: Timestamp) {
        self.figures(data);
        self.status = Some(status.to_owned());
        self.error = name(data, "error");
        self.ended = Some(at);
        self.current = None;
    }

    /// What is not said stays as it was.
    fn figures(&mut self, data: &Map<String, Value>) {
        self.status = name(data, "status").or(self.status.take());
        self.done = count(data, "stages_completed").or(self.done);
        self.total = count(data, "total_stages").or(self.total);
    }

    fn is_over(&self) -> bool {
        self.status.as_deref().is_some_and(is_final)
    }

    /// The stage that it is at: as the server says, or the first that is not over.
    pub(crate) fn current(&self) -> Option<&str> {
        if self.is_over() {
            return None;
        }
        let first = || self.stages.iter().find(|stage| stage.is_open()).map(|stage| stage.name.as_str());
        self.current.as_deref().or_else(first)
    }

    /// What there is to say once it is over.
    pub(crate) fn closing(&self) -> Option<String> {
        let status = self.status.as_deref().filter(|status| is_final(status))?;
        let took = self.started.zip(self.ended).map(|(from, to)| format!(" after {}", span(from.until(to))));
        let stages = self.done.zip(self.total).map(|(done, all)| format!(", {done} of {all} stages"));
        let error = self.error.as_deref().map(|error| format!(": {error}"));
        let rest: String = [took, stages, error].into_iter().flatten().collect();
        Some(format!("the workflow has {}{rest}", if status == "cancelled" { "been cancelled" } else { status }))
    }

    pub(crate) fn level(&self) -> Level {
        self.status.as_deref().map_or(Level::Good, level_of)
    }
}

fn is_final(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled" | "skipped")
}

pub(crate) fn level_of(status: &str) -> Level {
    match status {
        "failed" | "failing" | "error" => Level::Error,
        "cancelled" | "cancelling" | "skipped" | "paused" => Level::Warning,
        _ => Level::Good,
    }
}

fn time(data: &Map<String, Value>, keys: &[&str]) -> Option<Timestamp> {
    keys.iter().find_map(|key| Timestamp::parse(word(data, key)?))
}

/// As an object, or as its name alone.
fn stage_of(stage: &Value) -> Option<Stage> {
    let nothing = Map::new();
    let data = stage.as_object().unwrap_or(&nothing);
    let named = stage.as_str().map(|text| super::text::safe(text, super::text::NAME_CHARS_MAX));
    Some(Stage {
        name: named.or_else(|| name(data, "name"))?,
        status: name(data, "status").unwrap_or_else(|| "pending".to_owned()),
        started: time(data, &["started_at"]),
        ended: time(data, &["completed_at", "ended_at"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hear(workflow: &mut WorkflowPicture, event: &str, data: Value, at: &str) {
        let text = json!({"event": event, "data": data, "room": "workflow:w"}).to_string();
        let at = Timestamp::parse(&format!("2026-11-03T{at}Z")).unwrap();
        workflow.hear(&Frame::parse(text.as_bytes()).unwrap(), at, Now::default());
    }

    fn stages(workflow: &WorkflowPicture) -> Vec<String> {
        workflow.stages.iter().map(|stage| format!("{} {}", stage.name, stage.status)).collect()
    }

    #[test]
    fn a_workflow_is_followed_from_its_beginning_to_its_end() {
        let mut workflow = WorkflowPicture::default();
        let metadata = json!({"name": "release", "stages": ["build", {"name": "test"}, 5]});
        hear(&mut workflow, "workflow.started", json!({ "metadata": metadata }), "10:00:00");
        assert_eq!((workflow.current(), workflow.total), (Some("build"), Some(2)));
        hear(&mut workflow, "workflow.stage_completed", json!({"stage_name": "build"}), "10:00:05");
        assert_eq!(
            (stages(&workflow), workflow.done),
            (vec!["build completed".into(), "test pending".into()], Some(1))
        );
        assert_eq!((workflow.current(), workflow.closing()), (Some("test"), None));
        let end = json!({"stages_completed": 2, "total_stages": 2});
        hear(&mut workflow, "workflow.completed", end, "10:01:05");
        assert_eq!(workflow.closing().unwrap(), "the workflow has completed after 1 min 05 s, 2 of 2 stages");
        assert_eq!(workflow.current(), None);
        hear(&mut workflow, "workflow.failed", json!({"error": "test: exit 1"}), "10:01:05");
        let failed = "the workflow has failed after 1 min 05 s, 2 of 2 stages: test: exit 1";
        assert_eq!((workflow.closing().as_deref(), workflow.level()), (Some(failed), Level::Error));
        // Begun anew under the same name.
        hear(&mut workflow, "workflow.started", json!({}), "10:02:00");
        assert_eq!((workflow.closing(), workflow.stages.len(), workflow.level()), (None, 0, Level::Good));
    }

    #[test]
    fn an_answer_is_laid_over_what_was_heard() {
        let mut workflow = WorkflowPicture::default();
        let answer = json!({"status": "running", "current_stage": "test", "stages_completed": 1, "total_stages": 2,
            "stages": [{"name": "build", "status": "completed", "started_at": "2026-11-03T10:00:00Z",
                "completed_at": "2026-11-03T10:00:05Z"}, {"name": "test", "status": "running"}, {"status": "odd"}],
            "tasks": [{"task_id": "t1", "status": "running", "worker_id": "w-0"}, {"task_id": "t2"}, 7]});
        workflow.take(answer.as_object().unwrap(), Now::default());
        assert_eq!((stages(&workflow).len(), workflow.current(), workflow.workers.len()), (2, Some("test"), 1));
        let event = |room: &str, event: &str, data: Value| {
            Frame::parse(json!({"event": event, "room": room, "data": data}).to_string().as_bytes()).unwrap()
        };
        assert!(workflow.concerns(&event("pool:local", "task.assigned", json!({"task_id": "t2", "worker_id": "w-1"}))));
        assert!(!workflow.concerns(&event("pool:local", "task.assigned", json!({"task_id": "other"}))));
        assert!(workflow.concerns(&event("pool:local", "worker.status_changed", json!({"worker_id": "w-0"}))));
        assert!(!workflow.concerns(&event("pool:local", "worker.status_changed", json!({"worker_id": "w-9"}))));
        assert!(!workflow.concerns(&event("pool:local", "pool.status_changed", json!({}))));
        assert!(workflow.concerns(&event("workflow:w", "anything", json!({}))));
    }
}
