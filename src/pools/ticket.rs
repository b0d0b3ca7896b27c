//! A ticket: what whoever submits a task keeps, to wait for it or to cancel it.

use super::desk::Desk;
use super::entry::{Outcome, Taken};
use super::error::TaskError;
use super::task::Output;
use crate::clock::Tick;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A task that was taken. Whoever drops it does not want to know; the task is done all the same.
#[must_use = "it is the only way to the result; dropping it is fine where there is no use for that"]
pub struct Ticket {
    desk: Arc<Desk>,
    taken: Taken,
}

impl Ticket {
    pub(super) fn new(desk: Arc<Desk>, taken: Taken) -> Ticket {
        Ticket { desk, taken }
    }

    /// A UUID that sorts by time.
    pub fn task_id(&self) -> &str {
        &self.taken.task_id
    }

    pub fn pool_id(&self) -> &str {
        &self.desk.pool_id
    }

    /// Waits for the result, at the longest until the task's own deadline.
    ///
    /// # Errors
    /// Any [`TaskError`] but [`TaskError::Refused`].
    pub fn wait(self) -> Result<Output, TaskError> {
        self.answered_by(Tick::FAR).unwrap_or(Err(TaskError::Cancelled))
    }

    /// Waits no longer than `timeout`; gives the ticket back when there is no answer by then. The task goes on.
    ///
    /// # Errors
    /// The ticket.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<Output, TaskError>, Ticket> {
        let until = self.desk.tick().after(timeout);
        self.answered_by(until).ok_or(self)
    }

    /// Cancels the task: whoever waits is answered with [`TaskError::Cancelled`] at once, and it does not start if it
    /// has not. A function that is at it is told by its [`Job`](super::Job), and keeps its worker until it returns.
    /// Says whether there was something to cancel: nothing is changed about what has ended.
    pub fn cancel(&self) -> bool {
        self.desk.cancel(self.taken.seq)
    }

    fn answered_by(&self, until: Tick) -> Option<Outcome> {
        loop {
            let now = self.desk.tick();
            if now >= self.taken.deadline {
                self.desk.expire(self.taken.seq);
                // It is decided, now or before, and whoever decided it is about to send it.
                return Some(self.taken.answer.recv().unwrap_or(Err(TaskError::Cancelled)));
            }
            match self.taken.answer.recv_timeout(now.until(until.min(self.taken.deadline))) {
                Ok(outcome) => return Some(outcome),
                // Not lost: sending it was given up together with the thread that did.
                Err(error) if error.is_disconnected() => return Some(Err(TaskError::Cancelled)),
                Err(_) if self.desk.tick() >= until => return None,
                Err(_) => {}
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("task_id", &self.task_id()).field("pool_id", &self.pool_id()).finish()
    }
}
