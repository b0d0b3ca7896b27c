//! A message between modules, its statuses, and which of them may follow which.

use super::id::{MessageId, ModuleName, ThreadId};
use crate::clock::Timestamp;
use std::fmt;
use std::sync::Arc;

/// Where a message, or a watch on one, stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known (yet): the row is missing, or its status is NULL.
    Unknown,
    Pending,
    Processing,
    Complete,
    Failed,
    /// Of a watch only: its time ran out.
    Expired,
    /// A word of a foreign program's own: shown as it is, never final.
    Foreign(Arc<str>),
}

impl Status {
    /// Reads a stored status. `completed` is read as `complete`; unknown words are kept.
    pub fn parse(text: &str) -> Status {
        match text {
            "unknown" => Status::Unknown,
            "pending" => Status::Pending,
            "processing" => Status::Processing,
            "complete" | "completed" => Status::Complete,
            "failed" => Status::Failed,
            "expired" => Status::Expired,
            other => Status::Foreign(Arc::from(other)),
        }
    }

    /// Reads the status of a message, which any program may have written: what only a watch can be is a foreign word.
    pub fn parse_foreign(text: &str) -> Status {
        match text {
            "unknown" | "expired" => Status::Foreign(Arc::from(text)),
            word => Status::parse(word),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Status::Unknown => "unknown",
            Status::Pending => "pending",
            Status::Processing => "processing",
            Status::Complete => "complete",
            Status::Failed => "failed",
            Status::Expired => "expired",
            Status::Foreign(word) => word,
        }
    }

    /// Whether nothing can follow.
    pub fn is_final(&self) -> bool {
        matches!(self, Status::Complete | Status::Failed | Status::Expired)
    }

    /// What our own verbs may do with a message: `Ok(true)` changes it, `Ok(false)` leaves it as it is.
    /// Foreign writers are not asked.
    pub fn advance(&self, to: &Status) -> Result<bool, IllegalStep> {
        use Status::{Complete, Failed, Pending, Processing};
        match (self, to) {
            (from, to) if from == to => Ok(false),
            (Pending, Processing | Complete | Failed) | (Processing, Complete | Failed) => Ok(true),
            _ => Err(IllegalStep { from: self.clone(), to: to.clone() }),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step that the state machine of messages does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that is {from} cannot become {to}")]
pub struct IllegalStep {
    pub from: Status,
    pub to: Status,
}

/// What deciding needs to know of a stored message; its content stays in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    pub id: MessageId,
    pub thread_id: ThreadId,
    pub module: ModuleName,
    /// `metadata.target_module`, else the other module of the thread.
    pub target: Option<ModuleName>,
    pub status: Status,
    /// `metadata.task_id`: a task of ours, or of whoever wrote it.
    pub task_id: Option<String>,
    /// In characters, as SQLite's `length()` counts.
    pub content_length: u64,
}

/// A message as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub thread_id: ThreadId,
    /// `None` for an orphan, whose thread row is missing.
    pub thread_title: Option<String>,
    pub module: ModuleName,
    pub target: Option<ModuleName>,
    pub content: String,
    /// Whether that is not all of it.
    pub truncated: bool,
    /// `question`, `response`, or what a foreign program calls it.
    pub kind: String,
    pub at: Timestamp,
    pub status: Status,
    /// JSON text as stored; not necessarily valid when a foreign program wrote it.
    pub metadata: Option<String>,
    /// `metadata.error`, where there is one.
    pub error: Option<String>,
}

/// A message to be inserted by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub id: MessageId,
    pub thread_id: ThreadId,
    pub module: ModuleName,
    pub target: Option<ModuleName>,
    pub content: Arc<str>,
    pub kind: &'static str,
    pub status: Status,
    pub in_reply_to: Option<MessageId>,
    pub task_id: Option<super::id::TaskId>,
    /// A JSON object that the user gave; our own keys are put over it.
    pub metadata: Option<String>,
    pub at: Timestamp,
}

/// A thread to be inserted by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewThread {
    pub id: ThreadId,
    pub title: String,
    pub modules: Vec<ModuleName>,
    pub at: Timestamp,
}

/// A thread as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub id: ThreadId,
    pub title: Option<String>,
    pub modules: Vec<ModuleName>,
    pub metadata: Option<String>,
    pub created_at: Timestamp,
    pub messages: u64,
}

/// The title of a thread that was opened without one.
pub fn thread_title(from: &ModuleName, to: &ModuleName) -> String {
    format!("{from}-{to} Communication")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_steps() {
        let all = ["unknown", "pending", "processing", "complete", "failed", "expired", "in review"];
        let allowed = [
            ("pending", "processing"),
            ("pending", "complete"),
            ("pending", "failed"),
            ("processing", "complete"),
            ("processing", "failed"),
        ];
        for from in all {
            for to in all {
                let step = Status::parse(from).advance(&Status::parse(to));
                if from == to {
                    assert_eq!(step, Ok(false), "{from} -> {to}");
                } else {
                    assert_eq!(step.is_ok(), allowed.contains(&(from, to)), "{from} -> {to}");
                }
            }
        }
    }

    #[test]
    fn completed_is_complete_and_foreign_words_are_kept() {
        assert_eq!(Status::parse("completed"), Status::Complete);
        assert_eq!(Status::parse("in review").as_str(), "in review");
        assert!(!Status::parse("in review").is_final());
        assert!(!Status::parse_foreign("expired").is_final());
    }
}
