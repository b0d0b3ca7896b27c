//! One request and its answer, under one agreement.

use super::deadline::Deadline;
use super::error::{CallError, Malformed};
use super::link::{Link, Request};
use super::message::answer_in_body;
use super::refusal::{Asked, Refusal};
use super::reply::Reply;
use super::stream::Reading;
use super::transport::Transport;
use crate::clock::{Clock, SystemClock};
use crate::resilience::{CancelToken, Waited};
use serde_json::Value;
use std::time::Duration;

/// What the answer to a request needs.
pub(super) struct Exchange<'a> {
    pub(super) transport: &'a Transport,
    pub(super) link: &'a Link,
    pub(super) deadline: Deadline,
    pub(super) closed: &'a CancelToken,
    pub(super) clock: SystemClock,
    pub(super) method: &'static str,
}

/// A result, and the session that it came with.
pub(super) struct Answered {
    pub(super) result: Value,
    pub(super) session: Option<String>,
}

impl Exchange<'_> {
    /// Sends a request and reads its answer.
    pub(super) fn ask(&self, request: &Request) -> Result<Answered, Refusal> {
        let id = request.id.unwrap_or_default();
        let mut reply = self.send(request)?;
        if reply.status != 200 {
            return Err(self.not_ok(reply));
        }
        let session = reply.session_id.take();
        let answer = if reply.is_stream() {
            Reading::new(self, id).answer(reply.body)?
        } else {
            let body = reply.body.whole()?;
            answer_in_body(&body, &reply.content_type, id).map_err(|reason| self.malformed(reason))?
        };
        let result = answer.map_err(|error| self.asked().answered_with(&error))?;
        Ok(Answered { result, session })
    }

    /// Sends a notification, which has no answer.
    pub(super) fn tell(&self, notification: &Request) -> Result<(), Refusal> {
        let reply = self.send(notification)?;
        match reply.status {
            200 | 202 | 204 => Ok(()),
            _ => Err(self.not_ok(reply)),
        }
    }

    fn send(&self, request: &Request) -> Result<Reply, CallError> {
        self.transport.post(&request.body(self.link), &request.headers(self.link), self.deadline)
    }

    /// Ids and bodies count only with status 200.
    fn not_ok(&self, reply: Reply) -> Refusal {
        if (200..300).contains(&reply.status) {
            return self.malformed(Malformed::Empty).into();
        }
        self.asked().refused(reply)
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { endpoint: self.transport.endpoint().to_string(), method: self.method, link: self.link }
    }

    /// Waits, unless the client is closed in the meantime.
    pub(super) fn wait(&self, wait: Duration) -> Result<(), CallError> {
        let until = self.clock.tick().after(wait);
        match self.closed.wait_until(&self.clock, until) {
            Waited::Elapsed => Ok(()),
            Waited::Cancelled => Err(CallError::Closed),
        }
    }

    pub(super) fn malformed(&self, reason: Malformed) -> CallError {
        CallError::Malformed { endpoint: self.transport.endpoint().to_string(), reason }
    }

    pub(super) fn disconnected(&self, reason: &str) -> CallError {
        CallError::Disconnected { endpoint: self.transport.endpoint().to_string(), reason: reason.to_owned() }
    }
}
