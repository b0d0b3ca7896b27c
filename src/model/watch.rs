//! A watch: somebody wants to know what becomes of a message or a task.

use super::id::{MessageId, ModuleName, TaskId, ThreadId, WatchId};
use super::message::Status;
use super::task::TaskStatus;
use crate::clock::Timestamp;

/// A watch is named by its message, else by its task; it is active until `ended_at` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    pub id: WatchId,
    /// The message that is followed. `None` while only a task is.
    pub message_id: Option<MessageId>,
    /// The task that is followed, or that the message belongs to. Not necessarily one of ours.
    pub task_id: Option<TaskId>,
    pub thread_id: Option<ThreadId>,
    pub source: Option<ModuleName>,
    pub target: Option<ModuleName>,
    pub status: Status,
    pub added_at: Timestamp,
    pub updated_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Watch {
    pub fn name(&self) -> &str {
        match (&self.message_id, &self.task_id) {
            (Some(message), _) => message.as_str(),
            (None, Some(task)) => task.as_str(),
            (None, None) => "",
        }
    }

    pub fn is_active(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Takes over a status. Returns the one before when that is a change; a watch that has ended never changes.
    pub fn follow(&mut self, status: Status, now: Timestamp) -> Option<Status> {
        if !self.is_active() || self.status == status {
            return None;
        }
        if status.is_final() {
            self.ended_at = Some(now);
        }
        self.updated_at = now;
        Some(std::mem::replace(&mut self.status, status))
    }
}

/// What a watch on one of our tasks shows: the words of messages.
pub fn status_of_task(status: TaskStatus) -> Status {
    match status {
        TaskStatus::Pending => Status::Pending,
        TaskStatus::Running => Status::Processing,
        TaskStatus::Completed => Status::Complete,
        TaskStatus::Failed | TaskStatus::Cancelled => Status::Failed,
    }
}

/// Which watches a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFilter {
    Active,
    Completed,
    Failed,
    Expired,
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(status: &str) -> Watch {
        Watch {
            id: WatchId(1),
            message_id: Some(MessageId::new("m")),
            task_id: None,
            thread_id: None,
            source: None,
            target: None,
            status: Status::parse(status),
            added_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            expires_at: None,
            ended_at: None,
        }
    }

    #[test]
    fn a_foreign_word_is_followed_and_a_final_status_ends_it() {
        let mut watch = watch("unknown");
        for word in ["pending", "in review", "processing"] {
            assert!(watch.follow(Status::parse(word), Timestamp::from_micros(1)).is_some());
            assert!(watch.is_active());
        }
        assert_eq!(watch.follow(Status::Complete, Timestamp::from_micros(9)), Some(Status::Processing));
        assert_eq!(watch.ended_at, Some(Timestamp::from_micros(9)));
    }

    #[test]
    fn a_watch_that_has_ended_stays_ended() {
        let mut watch = watch("processing");
        watch.follow(Status::Failed, Timestamp::from_micros(1));
        assert_eq!(watch.follow(Status::Pending, Timestamp::from_micros(2)), None);
        assert_eq!(watch.status, Status::Failed);
    }
}
