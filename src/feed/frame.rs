//! An event as everybody sees it: one JSON object with nine keys in a fixed order, then its number.

use crate::clock::Timestamp;
use crate::model::alert::Alert;
use crate::model::event::{Body, Event};
use crate::model::message::Status;
use crate::model::task::worker_id;
use crate::model::workflow::{Tally, WorkflowStatus};
use crate::ports::StoredEvent;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;

/// The nine keys, in order, and `seq`.
#[derive(serde::Serialize)]
struct Frame<'a> {
    id: Option<String>,
    correlation_id: Option<&'a str>,
    r#type: &'static str,
    event: &'a str,
    data: Data<'a>,
    timestamp: String,
    room: &'a str,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
    seq: Option<u64>,
    /// Last, so that it is found at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'a str>,
}

/// Encodes an event, once for all who will read it.
pub fn encode(event: &Event) -> StoredEvent {
    encoded(&event.body, event.at, Some(event.seq))
}

/// Encodes what is so at present, in the shape of the event that would have told it: without a number, and marked.
pub fn encode_snapshot(body: &Body, at: Timestamp) -> StoredEvent {
    encoded(body, at, None)
}

fn encoded(body: &Body, at: Timestamp, seq: Option<u64>) -> StoredEvent {
    let channel = body.channel();
    let hook = match body {
        Body::Published(publication) => publication.hook.as_deref(),
        _ => None,
    };
    let frame = Frame {
        id: seq.map(|seq| seq.to_string()),
        correlation_id: None,
        r#type: "event",
        event: body.name(),
        data: Data { body, is_snapshot: seq.is_none() },
        timestamp: at.to_string(),
        room: &channel,
        error_code: None,
        error_message: None,
        seq,
        hook,
    };
    let bytes = serde_json::to_vec(&frame).expect("strings and numbers can always be written as JSON");
    StoredEvent { seq: seq.unwrap_or(0), name: body.name().into(), frame: bytes.into(), channel: channel.into() }
}

/// Told to one subscriber alone: events that it missed and that are kept no longer.
pub fn gap_frame(from: u64, to: u64, at: Timestamp) -> Vec<u8> {
    let data = json!({"from": from, "to": to, "severity": "warning"});
    format!(
        r#"{{"id":null,"correlation_id":null,"type":"event","event":"gap","data":{data},"timestamp":"{at}","room":null,"error_code":null,"error_message":null,"seq":null}}"#
    )
    .into_bytes()
}

struct Data<'a> {
    body: &'a Body,
    is_snapshot: bool,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.body {
            Body::MessageStatus { message_id, thread_id, previous, current, content_length } => {
                map.serialize_entry("message_id", message_id.as_str())?;
                map.serialize_entry("thread_id", &thread_id.as_ref().map(|thread| thread.as_str()))?;
                map.serialize_entry("previous_status", &previous.as_ref().map(Status::as_str))?;
                map.serialize_entry("current_status", current.as_ref().map_or("deleted", Status::as_str))?;
                map.serialize_entry("content_length", content_length)?;
                // The words alone do not say it: another program may have written `expired` or `deleted`.
                map.serialize_entry("final", &current.as_ref().is_none_or(Status::is_final))?;
            }
            Body::MessageContent { message_id, thread_id, status, content_length } => {
                map.serialize_entry("message_id", message_id.as_str())?;
                map.serialize_entry("thread_id", &thread_id.as_ref().map(|thread| thread.as_str()))?;
                map.serialize_entry("previous_status", status.as_str())?;
                map.serialize_entry("current_status", status.as_str())?;
                map.serialize_entry("content_length", content_length)?;
                map.serialize_entry("final", &status.is_final())?;
            }
            Body::PoolSpawned { pool, executor, queue_max, timeout }
            | Body::PoolClosed { pool, executor, queue_max, timeout } => {
                map.serialize_entry("pool_id", pool.as_str())?;
                let config =
                    json!({"executor": executor, "queue_max": queue_max, "timeout_seconds": timeout.as_secs_f64()});
                map.serialize_entry("config", &config)?;
            }
            Body::PoolStatus { pool, status, queue_size, active_workers, idle_workers, completed, failed } => {
                map.serialize_entry("pool_id", pool.as_str())?;
                map.serialize_entry("worker_count", &(active_workers + idle_workers))?;
                map.serialize_entry("queue_size", queue_size)?;
                map.serialize_entry("status", status.as_str())?;
                map.serialize_entry("active_workers", active_workers)?;
                map.serialize_entry("idle_workers", idle_workers)?;
                map.serialize_entry("tasks_completed", completed)?;
                map.serialize_entry("tasks_failed", failed)?;
            }
            Body::PoolScaling { pool, is_up, worker_count, reason } => {
                map.serialize_entry("pool_id", pool.as_str())?;
                map.serialize_entry("event_type", if *is_up { "scale_up" } else { "scale_down" })?;
                map.serialize_entry("worker_count", worker_count)?;
                map.serialize_entry("reason", reason)?;
            }
            Body::PoolBreakerChanged { pool, from, to, wait } => {
                map.serialize_entry("pool_id", pool.as_str())?;
                map.serialize_entry("from", from.as_str())?;
                map.serialize_entry("to", to.as_str())?;
                map.serialize_entry("retry_after_seconds", &wait.map(|wait| wait.as_secs_f64()))?;
            }
            Body::UpstreamPolled { upstream, cycle, metrics, errors, .. } => {
                map.serialize_entry("upstream", upstream.as_str())?;
                map.serialize_entry("poll_cycle", cycle)?;
                map.serialize_entry("metrics_collected", metrics)?;
                map.serialize_entry("errors", errors)?;
            }
            Body::UpstreamBreakerChanged { upstream, from, to } => {
                map.serialize_entry("upstream", upstream.as_str())?;
                map.serialize_entry("from", from.as_str())?;
                map.serialize_entry("to", to.as_str())?;
            }
            Body::WorkerStatus { pool, slot, status } => {
                map.serialize_entry("worker_id", &worker_id(pool, *slot))?;
                map.serialize_entry("status", status)?;
                map.serialize_entry("pool_id", pool.as_str())?;
            }
            Body::AlertRaised(alert) => alert_entries(alert, Some(alert.value), &mut map)?,
            Body::AlertCleared { alert, value } => alert_entries(alert, *value, &mut map)?,
            Body::WorkflowStarted { .. } | Body::WorkflowStageCompleted { .. } | Body::WorkflowEnded { .. } => {
                workflow_entries(self.body, &mut map)?;
            }
            Body::Published(publication) => {
                // It was an object when it was taken.
                let entries: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(&publication.data).unwrap_or_default();
                for (key, value) in entries.iter().filter(|(key, _)| *key != "severity") {
                    map.serialize_entry(key, value)?;
                }
            }
            body => task_entries(body, &mut map)?,
        }
        if self.is_snapshot {
            map.serialize_entry("snapshot", &true)?;
        }
        map.serialize_entry("severity", self.body.severity().as_str())?;
        map.end()
    }
}

fn task_entries<M: SerializeMap>(body: &Body, map: &mut M) -> Result<(), M::Error> {
    let (pool, slot, task) = match body {
        Body::TaskAssigned { pool, slot, task, .. } | Body::TaskCompleted { pool, slot, task, .. } => {
            (pool, Some(*slot), task)
        }
        Body::TaskFailed { pool, slot, task, .. }
        | Body::TaskRetrying { pool, slot, task, .. }
        | Body::TaskCancelled { pool, slot, task } => (pool, *slot, task),
        _ => return Ok(()),
    };
    map.serialize_entry("pool_id", pool.as_str())?;
    map.serialize_entry("worker_id", &slot.map(|slot| worker_id(pool, slot)))?;
    map.serialize_entry("task_id", task.as_str())?;
    match body {
        Body::TaskAssigned { priority, attempt, .. } => {
            let task = TaskPart { task_id: task.as_str(), priority: *priority, attempt: *attempt };
            map.serialize_entry("task", &task)?;
        }
        Body::TaskCompleted { exit_code, duration, length, .. } => {
            let result = ResultPart {
                success: true,
                exit_code: *exit_code,
                duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                length: *length,
            };
            map.serialize_entry("result", &result)?;
            map.serialize_entry("success", &true)?;
        }
        Body::TaskFailed { error, exit_code, .. } => {
            map.serialize_entry("error", error)?;
            map.serialize_entry("exit_code", exit_code)?;
        }
        Body::TaskRetrying { attempt, error, delay, .. } => {
            map.serialize_entry("attempt", attempt)?;
            map.serialize_entry("error", error)?;
            map.serialize_entry("delay_seconds", &delay.as_secs_f64())?;
        }
        _ => {}
    }
    Ok(())
}

fn alert_entries<M: SerializeMap>(alert: &Alert, value: Option<f64>, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("rule", &*alert.rule)?;
    map.serialize_entry("metric", &*alert.metric)?;
    map.serialize_entry("labels", &*alert.labels)?;
    map.serialize_entry("value", &value)?;
    map.serialize_entry("bound", alert.bound.as_str())?;
    map.serialize_entry("threshold", &alert.bound.threshold())?;
    map.serialize_entry("since", &alert.since.to_string())
}

fn workflow_entries<M: SerializeMap>(body: &Body, map: &mut M) -> Result<(), M::Error> {
    let counted = |tally: &Tally| {
        json!({
            "status": tally.outcome(),
            "tasks_completed": tally.completed,
            "tasks_failed": tally.failed,
            "tasks_cancelled": tally.cancelled,
        })
    };
    match body {
        Body::WorkflowStarted { workflow, name, stages } => {
            map.serialize_entry("workflow_id", workflow.as_str())?;
            map.serialize_entry("status", WorkflowStatus::Running.shown())?;
            let stage_names: Vec<&str> = stages.iter().map(|stage| &**stage).collect();
            map.serialize_entry("metadata", &json!({"name": name, "stages": stage_names}))?;
            map.serialize_entry("stages_completed", &0)?;
            map.serialize_entry("total_stages", &stages.len())?;
        }
        Body::WorkflowStageCompleted { workflow, stage, tally, stages_completed, total_stages } => {
            map.serialize_entry("workflow_id", workflow.as_str())?;
            map.serialize_entry("status", WorkflowStatus::Running.shown())?;
            map.serialize_entry("stage_name", &**stage)?;
            map.serialize_entry("result", &counted(tally))?;
            map.serialize_entry("stages_completed", stages_completed)?;
            map.serialize_entry("total_stages", total_stages)?;
        }
        Body::WorkflowEnded { workflow, status, tally, stages_completed, total_stages, error } => {
            map.serialize_entry("workflow_id", workflow.as_str())?;
            map.serialize_entry("status", status.as_str())?;
            map.serialize_entry("result", &counted(tally))?;
            map.serialize_entry("stages_completed", stages_completed)?;
            map.serialize_entry("total_stages", total_stages)?;
            map.serialize_entry("error", error)?;
        }
        _ => {}
    }
    Ok(())
}

#[derive(serde::Serialize)]
struct TaskPart<'a> {
    task_id: &'a str,
    priority: i32,
    attempt: u32,
}

#[derive(serde::Serialize)]
struct ResultPart {
    success: bool,
    exit_code: Option<i32>,
    duration_ms: u64,
    length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Publication, Severity};
    use crate::model::id::{MessageId, PoolId, TaskId};
    use std::time::Duration;

    fn text(body: Body) -> String {
        let event = Event { seq: 7, at: Timestamp::from_micros(1), body };
        String::from_utf8(encode(&event).frame.to_vec()).unwrap()
    }

    #[test]
    fn the_nine_keys_stand_in_their_order() {
        let frame = text(Body::MessageStatus {
            message_id: MessageId::new("m\"1"),
            thread_id: None,
            previous: Some(Status::Pending),
            current: Some(Status::Complete),
            content_length: Some(3),
        });
        assert_eq!(
            frame,
            r#"{"id":"7","correlation_id":null,"type":"event","event":"message.status_changed","data":{"message_id":"m\"1","thread_id":null,"previous_status":"pending","current_status":"complete","content_length":3,"final":true,"severity":"info"},"timestamp":"1970-01-01T00:00:00.000001+00:00","room":"message:m\"1","error_code":null,"error_message":null,"seq":7}"#
        );
    }

    #[test]
    fn what_is_published_is_told_as_it_came_with_its_severity_last() {
        let frame = text(Body::Published(Publication {
            channel: "notes:mine".into(),
            name: "note.taken".into(),
            severity: Severity::Warning,
            data: r#"{"a":{"severity":"error"},"severity":"info"}"#.into(),
            hook: None,
        }));
        assert!(frame.contains(r#""data":{"a":{"severity":"error"},"severity":"warning"},"#), "{frame}");
    }

    #[test]
    fn what_a_hook_publishes_says_so_at_its_end() {
        let published = |data: &str, hook: Option<&str>| {
            let publication = Publication {
                channel: "notes:mine".into(),
                name: "note.taken".into(),
                severity: Severity::Info,
                data: data.into(),
                hook: hook.map(Into::into),
            };
            encode(&Event { seq: 7, at: Timestamp::from_micros(1), body: Body::Published(publication) })
        };
        let told = published("{}", Some("check"));
        assert!(told.frame.ends_with(br#","error_message":null,"seq":7,"hook":"check"}"#));
        assert_eq!((told.hook(), told.severity()), (Some("check"), Severity::Info));
        // What somebody says within the data is their own affair.
        assert_eq!(published(r#"{"a":1,"hook":"check"}"#, None).hook(), None);
        assert_eq!(published(r#"{"a":1,"hook":"check"}"#, Some("other")).hook(), Some("other"));
    }

    #[test]
    fn a_snapshot_has_no_number_and_says_what_it_is() {
        let pool = PoolId::new("p");
        let event = encode_snapshot(&Body::WorkerStatus { pool, slot: 0, status: "idle" }, Timestamp::from_micros(1));
        let frame = String::from_utf8(event.frame.to_vec()).unwrap();
        assert!(frame.starts_with(r#"{"id":null,"#) && frame.ends_with(r#""seq":null}"#), "{frame}");
        assert!(frame.contains(r#""pool_id":"p","snapshot":true,"severity":"info"}"#), "{frame}");
    }

    #[test]
    fn a_step_of_a_group_tells_its_reason() {
        let pool = PoolId::new("web-2");
        let frame = text(Body::PoolScaling { pool, is_up: true, worker_count: 6, reason: "asked for 2 pools".into() });
        let data = r#""event":"pool.scaling","data":{"pool_id":"web-2","event_type":"scale_up","worker_count":6,"reason":"asked for 2 pools","severity":"info"}"#;
        assert!(frame.contains(data) && frame.contains(r#""room":"pool:web-2""#), "{frame}");
    }

    #[test]
    fn an_alert_tells_its_rule_its_series_and_its_number() {
        let alert = Alert {
            rule: "busy".into(),
            metric: "cpu".into(),
            labels: std::sync::Arc::new([("upstream".to_owned(), "u".to_owned())].into()),
            bound: crate::model::alert::Bound::Above(90.0),
            value: 91.5,
            since: Timestamp::from_micros(1),
            raised_at: Timestamp::from_micros(2),
        };
        let data = |value: &str, severity: &str| {
            format!(
                r#""data":{{"rule":"busy","metric":"cpu","labels":{{"upstream":"u"}},"value":{value},"bound":"above","threshold":90.0,"since":"1970-01-01T00:00:00.000001+00:00","severity":"{severity}"}}"#
            )
        };
        let raised = text(Body::AlertRaised(Box::new(alert.clone())));
        assert!(raised.contains(&data("91.5", "error")) && raised.contains(r#""room":"alerts""#), "{raised}");
        let cleared = text(Body::AlertCleared { alert: Box::new(alert), value: None });
        assert!(cleared.contains(&data("null", "info")), "{cleared}");
    }

    #[test]
    fn a_completed_task_tells_its_figures_and_not_its_result() {
        let frame = text(Body::TaskCompleted {
            pool: PoolId::new("local"),
            slot: 2,
            task: TaskId::new("t"),
            exit_code: Some(0),
            duration: Duration::from_millis(1500),
            length: 9,
        });
        let data = r#""data":{"pool_id":"local","worker_id":"local-worker-2","task_id":"t","result":{"success":true,"exit_code":0,"duration_ms":1500,"length":9},"success":true,"severity":"info"}"#;
        assert!(frame.contains(data), "{frame}");
    }
}
