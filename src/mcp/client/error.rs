//! How a call fails, and what follows from it.

use crate::resilience::{Fault, Verdict};
use std::io;
use std::time::Duration;

/// Attempts worth making when the cause may have been chance, but hardly twice.
const ONCE_MORE: u32 = 2;

/// Why a call gave no answer. Its text is one sentence; [`Fault::verdict`] and [`attempts_max`](CallError::attempts_max)
/// say what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there, or the way there is closed.
    #[error("could not connect to {endpoint}: {source}")]
    Connect { endpoint: String, source: io::Error },
    #[error("the host of {endpoint} could not be found: {reason}")]
    Resolve { endpoint: String, reason: String },
    #[error("no answer from {endpoint} within {}", rounded(*after))]
    Timeout { endpoint: String, after: Duration },
    /// The connection ended before the answer had come.
    #[error("{endpoint} closed the connection before it had answered: {reason}")]
    Disconnected { endpoint: String, reason: String },

    /// 408, 425, 500, 502, 503 or 504.
    #[error("{endpoint} is not available (HTTP {status}): {said}")]
    Unavailable { endpoint: String, status: u16, said: String, retry_after: Option<Duration> },
    #[error("{endpoint} asks for fewer calls (HTTP 429): {said}")]
    Throttled { endpoint: String, said: String, retry_after: Option<Duration> },
    /// Another 5xx: asking again will not help.
    #[error("{endpoint} failed (HTTP {status}): {said}")]
    Failed { endpoint: String, status: u16, said: String },

    /// The server met an error of its own while it served the request.
    #[error("{endpoint} reported an internal error ({code}): {said}")]
    Internal { endpoint: String, code: i64, said: String },
    #[error("the answer of {endpoint} could not be read: {reason}")]
    Malformed { endpoint: String, reason: Malformed },
    #[error("the answer of {endpoint} is larger than {bytes_max} bytes")]
    TooLarge { endpoint: String, bytes_max: usize },
    /// A new session was begun and lost at once.
    #[error("{endpoint} does not keep its sessions: {said}")]
    SessionLost { endpoint: String, said: String },

    /// 400, 401, 403, 404, 405 and the like: the settings are wrong, or the server is not what they take it for.
    #[error("{endpoint} refused the request (HTTP {status}): {said}; {}", advice(*status))]
    Refused { endpoint: String, status: u16, said: String },
    #[error("{endpoint} points to {} (HTTP {status}); if that is right, make it the endpoint", shown(location))]
    Redirected { endpoint: String, status: u16, location: Option<String> },
    /// A JSON-RPC error that says the request itself is wrong.
    #[error("{endpoint} rejected the request ({code}): {said}")]
    Rejected { endpoint: String, code: i64, said: String },
    #[error("{endpoint} speaks no version of the protocol that this client speaks: {offered}")]
    NoCommonVersion { endpoint: String, offered: String },
    #[error("{endpoint} cannot be reached safely: {reason}; check its certificate and the scheme of the address")]
    Insecure { endpoint: String, reason: String },
    #[error("the request to {endpoint} could not be sent: {reason}")]
    Unsendable { endpoint: String, reason: String },

    /// The tool ran and says that it failed.
    #[error("the tool {tool} failed: {said}")]
    ToolFailed { tool: String, said: String },
    #[error("{tool} is not a tool of this server: {said}")]
    ToolMissing { tool: String, said: String },
    /// The tool answered something that has neither data nor text.
    #[error("the answer of the tool {tool} has no data: {reason}")]
    ToolUnreadable { tool: String, reason: &'static str },
    /// The protocol forbids calling a tool that is described like this.
    #[error("the tool {tool} must not be called, its description is invalid: {reason}")]
    ToolInvalid { tool: String, reason: String },

    /// [`close`](super::Client::close) was called.
    #[error("the client was closed")]
    Closed,
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("it is empty")]
    Empty,
    #[error("it is a web page ({0}), so this is probably not an MCP endpoint")]
    Html(String),
    #[error("it is not JSON ({error}): {excerpt}")]
    NotJson { error: serde_json::Error, excerpt: String },
    #[error("it is no answer to the request that was sent: {0}")]
    OtherId(String),
    #[error("it breaks HTTP: {0}")]
    Http(String),
    #[error("it is not what {method} answers: {reason}")]
    Shape { method: &'static str, reason: &'static str },
}

/// To three places: a limit is seldom known better.
fn rounded(limit: Duration) -> String {
    format!("{} s", (limit.as_secs_f64() * 1e3).round() / 1e3)
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => "a bearer token is missing or wrong",
        403 => "the token or the address of this machine is not allowed there",
        404 | 405 => "is the path of the endpoint right?",
        413 => "the arguments are too large for it",
        _ => "is this an MCP endpoint?",
    }
}

fn shown(location: &Option<String>) -> &str {
    location.as_deref().unwrap_or("nowhere")
}

impl CallError {
    /// How often a call may be made in all before this error is final; `None` leaves it to the policy.
    ///
    /// A [`Verdict`] says whether, not how often: an answer that could not be read is worth one more try, not five.
    pub fn attempts_max(&self) -> Option<u32> {
        match self {
            CallError::Internal { .. } | CallError::Malformed { .. } | CallError::TooLarge { .. } => Some(ONCE_MORE),
            _ if !self.verdict().retryable => Some(1),
            _ => None,
        }
    }

    /// The verdict once so many attempts have been made: not retryable any more from [`attempts_max`] on.
    ///
    /// [`attempts_max`]: CallError::attempts_max
    pub fn verdict_after(&self, attempts: u32) -> Verdict {
        let verdict = self.verdict();
        let worthwhile = self.attempts_max().is_none_or(|most| attempts < most);
        Verdict { retryable: verdict.retryable && worthwhile, ..verdict }
    }

    /// The server could not be reached at all, so that another call will hardly fare better.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, CallError::Connect { .. } | CallError::Resolve { .. })
    }

    /// Somebody has to change something here or there before it can work.
    pub fn is_configuration(&self) -> bool {
        self.verdict().kind == CONFIGURATION
    }
}

const CONFIGURATION: &str = "configuration";

/// The decision table of a poller: is it worth another try, and does it speak against the server?
impl Fault for CallError {
    fn verdict(&self) -> Verdict {
        match self {
            CallError::Connect { .. } => Verdict::transient("connect"),
            CallError::Resolve { .. } => Verdict::transient("resolve"),
            CallError::Timeout { .. } => Verdict::transient("timeout"),
            CallError::Disconnected { .. } => Verdict::transient("disconnected"),
            CallError::Unavailable { retry_after, .. } => {
                Verdict { retry_after: *retry_after, ..Verdict::transient("unavailable") }
            }
            CallError::Throttled { retry_after, .. } => Verdict::throttled("throttled", *retry_after),
            CallError::Failed { .. } => Verdict::broken("failed"),
            CallError::Internal { .. } => Verdict::transient("internal"),
            CallError::Malformed { .. } => Verdict::transient("malformed"),
            CallError::TooLarge { .. } => Verdict::transient("too_large"),
            // It has been repeated already.
            CallError::SessionLost { .. } => Verdict::broken("session_lost"),
            CallError::Refused { .. }
            | CallError::Redirected { .. }
            | CallError::Rejected { .. }
            | CallError::NoCommonVersion { .. }
            | CallError::Insecure { .. }
            | CallError::Unsendable { .. } => Verdict::permanent(CONFIGURATION),
            CallError::ToolFailed { .. } => Verdict::permanent("tool_failed"),
            CallError::ToolMissing { .. } => Verdict::permanent("tool_missing"),
            CallError::ToolUnreadable { .. } => Verdict::permanent("tool_unreadable"),
            CallError::ToolInvalid { .. } => Verdict::permanent("tool_invalid"),
            CallError::Closed => Verdict::permanent("closed"),
        }
    }
}
