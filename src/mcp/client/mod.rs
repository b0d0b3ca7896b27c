//! Calls the tools of MCP servers over HTTP. Blocking; a [`Client`] is shared between threads by reference.
//!
//! It speaks both eras of the protocol and finds out by itself which one a server speaks, keeps one session, and begins
//! another when the server has lost it. It makes each call once: whether to try again is for a policy to say, to which a
//! [`CallError`] gives its [verdict](crate::resilience::Fault::verdict).
//!
//! ```no_run
//! use claude_comms::mcp::client::{Client, ClientSettings, ToolAnswer};
//! use claude_comms::resilience::{Effects, RetryPolicy, RetrySettings};
//! use serde_json::Map;
//! use std::time::Duration;
//!
//! let client = Client::new("http://localhost:8678/mcp", &ClientSettings::default())?;
//! let retry = RetryPolicy::new(RetrySettings::DEFAULT, &Effects::system())?;
//! let answer = retry.call("get_workflow_metrics", |attempt| {
//!     let timeout = attempt.remaining.unwrap_or(Duration::from_secs(10));
//!     client.call_tool("get_workflow_metrics", &Map::new(), timeout)
//! })?;
//! if let ToolAnswer::Object(metrics) = answer {
//!     println!("{}", metrics["total_sessions"]);
//! }
//! client.close(Duration::from_secs(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalogue;
mod deadline;
mod error;
mod exchange;
mod handshake;
mod link;
mod message;
mod param_headers;
mod refusal;
mod reply;
mod session;
mod settings;
mod sse;
mod stream;
mod tool_answer;
mod transport;

#[cfg(test)]
mod tests;

pub use error::{CallError, Malformed};
pub use settings::{ClientSettings, SetupError};
pub use tool_answer::ToolAnswer;

use super::protocol::{Era, Tool, code, method};
use crate::clock::SystemClock;
use crate::http::{Endpoint, EndpointError, excerpt};
use crate::resilience::CancelToken;
use catalogue::Catalogue;
use deadline::Deadline;
use exchange::Exchange;
use link::{Link, Request};
use refusal::Refusal;
use serde_json::{Map, Value};
use session::Session;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use transport::Transport;

/// Longest that a farewell waits for the network, however long its caller would.
const FAREWELL_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// A way to the tools of one server. Nothing is sent before the first call.
///
/// Dropping it leaves the session to the server's own housekeeping; [`close`](Client::close) takes leave.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    session: Session,
    catalogue: Catalogue,
    /// Of the last request.
    last_id: AtomicU64,
    closed: CancelToken,
    clock: SystemClock,
}

impl Client {
    /// A client of the server at an address such as `http://localhost:8678/mcp`.
    ///
    /// # Errors
    /// The address, a header or a certificate can never work.
    pub fn new(endpoint: &str, settings: &ClientSettings) -> Result<Client, SetupError> {
        let clock = SystemClock::new();
        let transport = Transport::new(parsed(endpoint)?, settings, clock)?;
        Ok(Client {
            transport,
            session: Session::new(settings.era()),
            catalogue: Catalogue::default(),
            last_id: AtomicU64::new(0),
            closed: CancelToken::new(),
            clock,
        })
    }

    /// Calls a tool, once. The limit holds for everything that this takes: connecting, agreeing on a session, waiting.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call_tool(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
        timeout: Duration,
    ) -> Result<ToolAnswer, CallError> {
        let deadline = Deadline::after(timeout, &self.clock);
        let call = || self.asked(method::TOOLS_CALL, deadline, |link| self.tool_call(link, tool, arguments));
        let answered = match call() {
            // Its description says which arguments it wants as headers, and has yet to be read, or read again.
            Err(CallError::Rejected { code: code::HEADER_MISMATCH, .. }) => self.listed(deadline).and_then(|_| call()),
            answered => answered,
        };
        let (result, _) = answered.map_err(|error| tool_answer::about_tool(tool, error))?;
        ToolAnswer::read(tool, &result)
    }

    /// The tools that the server has. In the modern era those are left out whose description is invalid.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn list_tools(&self, timeout: Duration) -> Result<Vec<Tool>, CallError> {
        self.listed(Deadline::after(timeout, &self.clock))
    }

    /// The era that the server speaks; `None` before the first call and after a loss.
    pub fn era(&self) -> Option<Era> {
        self.session.now().map(|link| link.era)
    }

    /// Ends calls that are under way with [`CallError::Closed`], and the session. For ever; waits for no longer than said.
    pub fn close(&self, timeout: Duration) {
        let deadline = Deadline::after(timeout.min(FAREWELL_TIMEOUT_MAX), &self.clock);
        self.interrupt();
        if let Some(link) = self.session.take(deadline.timeout()) {
            self.end_session(&link, deadline);
        }
    }

    /// Ends calls that are under way with [`CallError::Closed`], and lets none begin any more. Waits for nothing; the session
    /// is left to [`close`](Client::close), which works all the same.
    pub fn interrupt(&self) {
        self.closed.cancel();
        self.transport.shutdown();
    }

    fn end_session(&self, link: &Link, deadline: Deadline) {
        if link.session.is_none() {
            return;
        }
        match self.transport.delete(&link.headers(), deadline) {
            // A server need not offer this (405).
            Ok(reply) => log::debug!("session ended endpoint={} status={}", self.transport.endpoint(), reply.status),
            Err(error) => log::debug!("session not ended error={error}"),
        }
    }

    /// Sends a request and returns the result, and the era it was asked in. If the server does not know of the agreement
    /// (any more), another is made and the request repeated, once.
    fn asked(
        &self,
        method: &'static str,
        deadline: Deadline,
        request: impl Fn(&Link) -> Result<Request, CallError>,
    ) -> Result<(Value, Era), CallError> {
        let result = match self.asked_once(method, deadline, &request) {
            Err(Refusal::Lost { error, .. }) => {
                log::info!("agreement lost endpoint={} error={error}", self.transport.endpoint());
                self.asked_once(method, deadline, &request).map_err(|refusal| self.refused_again(refusal))
            }
            result => result.map_err(Refusal::into_error),
        };
        result.map_err(|error| if self.closed.is_cancelled() { CallError::Closed } else { error })
    }

    /// An agreement that was lost is forgotten.
    fn asked_once(
        &self,
        method: &'static str,
        deadline: Deadline,
        request: impl Fn(&Link) -> Result<Request, CallError>,
    ) -> Result<(Value, Era), Refusal> {
        let (link, number) = self.link(deadline)?;
        let answered = self.exchange(&link, method, deadline).ask(&request(&link)?);
        if let Err(Refusal::Lost { begin, .. }) = &answered {
            self.session.forget(number, *begin, deadline.timeout());
        }
        answered.map(|answered| (answered.result, link.era))
    }

    fn refused_again(&self, refusal: Refusal) -> CallError {
        match refusal {
            Refusal::Error(error) => error,
            Refusal::Lost { error, .. } => CallError::SessionLost {
                endpoint: self.transport.endpoint().to_string(),
                said: excerpt(&error.to_string()),
            },
        }
    }

    fn link(&self, deadline: Deadline) -> Result<(Link, u64), CallError> {
        if self.closed.is_cancelled() {
            return Err(CallError::Closed);
        }
        let limit = self.transport.remaining(deadline)?;
        let link = self.session.link(limit, |begin| self.agree(begin, deadline));
        link.unwrap_or_else(|| Err(self.transport.timed_out(deadline)))
    }

    fn exchange<'a>(&'a self, link: &'a Link, method: &'static str, deadline: Deadline) -> Exchange<'a> {
        let (transport, closed, clock) = (&self.transport, &self.closed, self.clock);
        Exchange { transport, link, deadline, closed, clock, method }
    }

    fn request(&self, method: &'static str, params: Map<String, Value>) -> Request {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        Request::new(Some(id), method, params)
    }

    fn tool_call(&self, link: &Link, tool: &str, arguments: &Map<String, Value>) -> Result<Request, CallError> {
        let mut params = Map::new();
        params.insert("name".to_owned(), tool.into());
        params.insert("arguments".to_owned(), arguments.clone().into());
        let mut request = self.request(method::TOOLS_CALL, params);
        request.name = Some(tool.to_owned());
        if link.era == Era::Modern {
            request.param_headers = self.catalogue.headers(tool, arguments)?;
        }
        Ok(request)
    }
}

fn parsed(endpoint: &str) -> Result<Endpoint, SetupError> {
    Endpoint::parse(endpoint).map_err(|error| match error {
        EndpointError::Wrong { reason } => SetupError::Endpoint { endpoint: crate::endpoint::shown(endpoint), reason },
        EndpointError::Credentials => SetupError::Credentials,
    })
}
