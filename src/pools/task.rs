//! A task as its owner sees it: what is to be done, and what came of it.

use super::error::PoolError;
use crate::model::limits::{
    CONTENT_BYTES_MAX, JSON_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN, TASK_TIMEOUT_MAX, TASK_TIMEOUT_MIN,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// What is to be done. A plain text is a task as well, wherever one is taken. Cheap to clone.
///
/// ```
/// use claude_comms::pools::Task;
/// use std::time::Duration;
///
/// let task = Task::new("Write Python code").context("repo", "/path/to/repo").timeout(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub(super) prompt: Arc<str>,
    pub(super) context: Arc<Map<String, Value>>,
    pub(super) timeout: Option<Duration>,
    pub(super) priority: i32,
}

impl Task {
    /// `prompt`: at most 1 MiB, or the task is refused with [`PoolError::PromptTooLong`].
    pub fn new(prompt: impl Into<Arc<str>>) -> Task {
        Task { prompt: prompt.into(), context: Arc::default(), timeout: None, priority: 0 }
    }

    /// Adds to what the executor is told beside the prompt. All of it as JSON: at most 256 KiB, or the task is refused
    /// with [`PoolError::ContextTooLong`].
    #[must_use]
    pub fn context(mut self, key: &str, value: impl Into<Value>) -> Task {
        Arc::make_mut(&mut self.context).insert(key.to_owned(), value.into());
        self
    }

    /// When its owner is answered at the latest, counted from when it is submitted: the time in the queue is part of
    /// it. 0.1 s to 7 days, or the task is refused with [`PoolError::BadTimeout`]; else the pool's own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Task {
        self.timeout = Some(timeout);
        self
    }

    /// Greater goes first; -100 to 100, or the task is refused with [`PoolError::BadPriority`]. A waiting task gains
    /// one every 30 s, so that none waits for ever. Else 0, and first in, first out.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Task {
        self.priority = priority;
        self
    }

    /// Whether it may be taken at all.
    pub(super) fn check(&self) -> Result<(), PoolError> {
        if self.prompt.len() > CONTENT_BYTES_MAX {
            return Err(PoolError::PromptTooLong { bytes: self.prompt.len() });
        }
        if !self.context.is_empty() {
            // A map of text keys can always be written.
            let bytes = serde_json::to_vec(&*self.context).map_or(0, |json| json.len());
            if bytes > JSON_BYTES_MAX {
                return Err(PoolError::ContextTooLong { bytes });
            }
        }
        if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&self.priority) {
            return Err(PoolError::BadPriority(self.priority));
        }
        self.timeout.map_or(Ok(()), check_timeout)
    }
}

pub(super) fn check_timeout(timeout: Duration) -> Result<(), PoolError> {
    let range = TASK_TIMEOUT_MIN..=TASK_TIMEOUT_MAX;
    if range.contains(&timeout) { Ok(()) } else { Err(PoolError::BadTimeout(timeout)) }
}

impl From<&str> for Task {
    fn from(prompt: &str) -> Task {
        Task::new(prompt)
    }
}

impl From<String> for Task {
    fn from(prompt: String) -> Task {
        Task::new(prompt)
    }
}

/// What came of a task that went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    pub pool_id: String,
    /// `{pool}-worker-{0..2}`
    pub worker_id: String,
    pub task_id: String,
    /// What the executor returned, whole.
    pub result: String,
}
