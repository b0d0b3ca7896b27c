//! HTTP: one agent for each client, every request with a limit.

use super::deadline::Deadline;
use super::error::{CallError, Malformed};
use super::reply::{BODY_BYTES_MAX, Reply};
use super::settings::{ClientSettings, SetupError};
use crate::clock::{Clock, SystemClock};
use crate::http::{Broken, Endpoint, HEAD_BYTES_MAX, agent_for};
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::RootCerts;
use ureq::{Agent, RequestBuilder};

const ACCEPT: &str = "application/json, text/event-stream";

/// Headers of one request beyond those of the client.
pub(super) type Headers = Vec<(String, String)>;

#[derive(Debug)]
pub(super) struct Transport {
    endpoint: Endpoint,
    agent: Agent,
    headers: Vec<(HeaderName, HeaderValue)>,
    roots: RootCerts,
    clock: SystemClock,
}

impl Transport {
    pub(super) fn new(
        endpoint: Endpoint,
        settings: &ClientSettings,
        clock: SystemClock,
    ) -> Result<Transport, SetupError> {
        let (headers, roots) = (settings.checked_headers()?, settings.checked_roots()?);
        let agent = agent_for(&endpoint, &roots);
        Ok(Transport { endpoint, agent, headers, roots, clock })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What is left of the time.
    ///
    /// # Errors
    /// Nothing is.
    pub(super) fn remaining(&self, deadline: Deadline) -> Result<Duration, CallError> {
        deadline.remaining(&self.clock).ok_or_else(|| self.timed_out(deadline))
    }

    pub(super) fn post(&self, body: &[u8], headers: &Headers, deadline: Deadline) -> Result<Reply, CallError> {
        let limit = self.remaining(deadline)?;
        let request = self.agent.post(self.endpoint.uri()).header("content-type", "application/json");
        let request = self.with_headers(request, headers).config().timeout_global(Some(limit)).build();
        self.reply(request.send(body), deadline)
    }

    pub(super) fn get(&self, headers: &Headers, deadline: Deadline) -> Result<Reply, CallError> {
        let limit = self.remaining(deadline)?;
        let request = self.with_headers(self.agent.get(self.endpoint.uri()), headers);
        self.reply(request.config().timeout_global(Some(limit)).build().call(), deadline)
    }

    /// Works after [`shutdown`](Transport::shutdown), too: it is how a client takes its leave.
    pub(super) fn delete(&self, headers: &Headers, deadline: Deadline) -> Result<Reply, CallError> {
        let limit = self.remaining(deadline)?;
        let request = self.with_headers(agent_for(&self.endpoint, &self.roots).delete(self.endpoint.uri()), headers);
        self.reply(request.config().timeout_global(Some(limit)).build().call(), deadline)
    }

    /// Ends every request that is under way, at once, and lets none begin.
    pub(super) fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    fn with_headers<B>(&self, mut request: RequestBuilder<B>, headers: &Headers) -> RequestBuilder<B> {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.header("accept", ACCEPT)
    }

    fn reply(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        deadline: Deadline,
    ) -> Result<Reply, CallError> {
        let response = answer.map_err(|error| failure(&self.endpoint.to_string(), error, deadline))?;
        Ok(Reply::new(response, &self.endpoint, deadline, self.clock.wall()))
    }

    pub(super) fn timed_out(&self, deadline: Deadline) -> CallError {
        CallError::Timeout { endpoint: self.endpoint.to_string(), after: deadline.timeout() }
    }
}

/// What it means for the call that a request was not answered.
pub(super) fn failure(endpoint: &str, error: impl Into<Broken>, deadline: Deadline) -> CallError {
    let endpoint = endpoint.to_owned();
    match error.into() {
        Broken::Connect(source) => CallError::Connect { endpoint, source },
        Broken::Resolve(reason) => CallError::Resolve { endpoint, reason },
        Broken::Timeout => CallError::Timeout { endpoint, after: deadline.timeout() },
        Broken::Disconnected(reason) => CallError::Disconnected { endpoint, reason },
        Broken::HeadTooLarge => CallError::TooLarge { endpoint, bytes_max: HEAD_BYTES_MAX },
        Broken::BodyTooLarge => CallError::TooLarge { endpoint, bytes_max: BODY_BYTES_MAX },
        Broken::Protocol(reason) => CallError::Malformed { endpoint, reason: Malformed::Http(reason) },
        Broken::Insecure(reason) => CallError::Insecure { endpoint, reason },
        Broken::Unsendable(reason) => CallError::Unsendable { endpoint, reason },
    }
}
