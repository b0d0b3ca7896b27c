//! HTTP: one agent for each client, every request with a limit.
//!
//! While a name is looked up, a short-lived thread of ureq's does it: no system call that does so can be given up.

use super::deadline::Deadline;
use super::endpoint::Endpoint;
use super::error::{CallError, Malformed};
use super::reply::{BODY_BYTES_MAX, Reply};
use super::settings::{ClientSettings, SetupError};
use crate::clock::{Clock, SystemClock};
use std::io;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, RequestBuilder, Timeout};

/// Longest that looking up the name may take, and again connecting, the handshake of TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Servers close a connection that has been idle for five seconds; one younger than this is not about to be closed.
const IDLE_AGE_MAX: Duration = Duration::from_secs(4);
/// Connections kept for the next call.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
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

fn agent_for(endpoint: &Endpoint, roots: &RootCerts) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect is shown to whoever configured the endpoint; following it would carry the token elsewhere.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .max_idle_age(IDLE_AGE_MAX)
        .max_idle_connections(IDLE_CONNECTIONS_MAX)
        .max_response_header_size(HEAD_BYTES_MAX)
        .user_agent(concat!("claude-comms/", env!("CARGO_PKG_VERSION")));
    let config = if endpoint.is_loopback() { config.proxy(None) } else { config };
    config.build().new_agent()
}

/// What an error of the HTTP client means for the call.
pub(super) fn failure(endpoint: &str, error: ureq::Error, deadline: Deadline) -> CallError {
    use ureq::Error as Http;
    let endpoint = endpoint.to_owned();
    match error {
        Http::Timeout(Timeout::Connect) => CallError::Connect { endpoint, source: io::ErrorKind::TimedOut.into() },
        Http::Timeout(Timeout::Resolve) | Http::HostNotFound => {
            CallError::Resolve { endpoint, reason: error.to_string() }
        }
        Http::Timeout(_) => CallError::Timeout { endpoint, after: deadline.timeout() },
        Http::Io(error) => io_failure(endpoint, error, deadline),
        Http::ConnectionFailed => CallError::Connect { endpoint, source: io::ErrorKind::ConnectionRefused.into() },
        Http::LargeResponseHeader(..) => CallError::TooLarge { endpoint, bytes_max: HEAD_BYTES_MAX },
        Http::BodyExceedsLimit(_) => CallError::TooLarge { endpoint, bytes_max: BODY_BYTES_MAX },
        Http::Protocol(_) | Http::BodyStalled => {
            CallError::Malformed { endpoint, reason: Malformed::Http(error.to_string()) }
        }
        Http::Tls(_) | Http::Rustls(_) | Http::Pem(_) | Http::TlsRequired => {
            CallError::Insecure { endpoint, reason: error.to_string() }
        }
        _ => CallError::Unsendable { endpoint, reason: error.to_string() },
    }
}

fn io_failure(endpoint: String, error: io::Error, deadline: Deadline) -> CallError {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => CallError::Timeout { endpoint, after: deadline.timeout() },
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => CallError::Connect { endpoint, source: error },
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => CallError::Disconnected { endpoint, reason: error.to_string() },
        // TLS reports what it cannot accept this way.
        ErrorKind::InvalidData => CallError::Insecure { endpoint, reason: error.to_string() },
        // The resolver of the C library has numbers of its own.
        _ if error.raw_os_error().is_none() => CallError::Resolve { endpoint, reason: error.to_string() },
        _ => CallError::Disconnected { endpoint, reason: error.to_string() },
    }
}
