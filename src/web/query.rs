//! Requests that are answered once: what may be asked, and who may ask it. Adding one is a row here and an arm in
//! `answers`.

use super::request::Fault;
use super::token::Rights;
use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    PoolStatus,
    WorkflowStatus,
    Pools,
    Tasks,
    Messages,
    Workflows,
    Upstreams,
    Alerts,
    Message,
    Task,
    PausePool,
    ResumePool,
    CancelTask,
    RetryTask,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    /// What of the data names the thing that is meant.
    key: Option<&'static str>,
    rights: Rights,
    topic: Topic,
}

const fn row(name: &'static str, key: Option<&'static str>, rights: Rights, topic: Topic) -> Row {
    Row { name, key, rights, topic }
}

/// Lists and states carry no contents, so whoever may follow events may have them.
const ROWS: [Row; 14] = [
    row("get_pool_status", Some("pool_id"), Rights::Events, Topic::PoolStatus),
    row("get_workflow_status", Some("workflow_id"), Rights::Events, Topic::WorkflowStatus),
    row("list_pools", None, Rights::Events, Topic::Pools),
    row("list_tasks", None, Rights::Events, Topic::Tasks),
    row("list_messages", None, Rights::Events, Topic::Messages),
    row("list_workflows", None, Rights::Events, Topic::Workflows),
    row("list_upstreams", None, Rights::Events, Topic::Upstreams),
    row("list_alerts", None, Rights::Events, Topic::Alerts),
    row("get_message", Some("message_id"), Rights::Read, Topic::Message),
    row("get_task", Some("task_id"), Rights::Read, Topic::Task),
    row("pause_pool", Some("pool_id"), Rights::Full, Topic::PausePool),
    row("resume_pool", Some("pool_id"), Rights::Full, Topic::ResumePool),
    row("cancel_task", Some("task_id"), Rights::Full, Topic::CancelTask),
    row("retry_task", Some("task_id"), Rights::Full, Topic::RetryTask),
];

#[derive(Debug)]
pub(super) struct Query {
    pub(super) topic: Topic,
    /// The thing that is meant; empty for lists.
    pub(super) id: String,
    rights: Rights,
}

impl Query {
    /// `None` when no request has that name.
    pub(super) fn parse(name: &str, data: &Map<String, Value>) -> Option<Result<Query, Fault>> {
        let row = ROWS.iter().find(|row| row.name == name)?;
        let id = row.key.map_or(Ok(String::new()), |key| text(data, key));
        Some(id.map(|id| Query { topic: row.topic, id, rights: row.rights }))
    }

    /// Says no to whoever may not ask it.
    pub(super) fn check(&self, rights: Rights) -> Result<(), Fault> {
        if rights >= self.rights {
            return Ok(());
        }
        let token = if self.rights == Rights::Full { "the full token" } else { "a token" };
        Err(Fault::new("FORBIDDEN", format!("this needs {token}; send it with an auth request")))
    }
}

/// A text that must be there.
pub(super) fn text(data: &Map<String, Value>, key: &str) -> Result<String, Fault> {
    let given = data.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    given.map(str::to_owned).ok_or_else(|| Fault::new("DECODE_ERROR", format!("data.{key} must be a text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_contents_or_acts_needs_more_than_looking_on() {
        for row in &ROWS {
            let least = match row.name.split('_').next() {
                Some("list") => Rights::Events,
                Some("get") if row.name.ends_with("_status") => Rights::Events,
                Some("get") => Rights::Read,
                _ => Rights::Full,
            };
            assert_eq!(row.rights, least, "{}", row.name);
            let data = row.key.map(|key| (key.to_owned(), Value::from("x"))).into_iter().collect();
            let query = Query::parse(row.name, &data).unwrap().unwrap();
            for rights in [Rights::None, Rights::Events, Rights::Read, Rights::Full] {
                assert_eq!(query.check(rights).is_ok(), rights >= least, "{} {rights:?}", row.name);
            }
            assert_eq!(Query::parse(row.name, &Map::new()).unwrap().is_err(), row.key.is_some());
        }
    }
}
