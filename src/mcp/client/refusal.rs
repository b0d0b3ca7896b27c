//! What it means when there is no answer: an error for the caller, or that the agreement with the server is over.

use super::error::CallError;
use super::link::Link;
use super::message::refusal_in;
use super::reply::Reply;
use crate::http::excerpt;
use crate::mcp::protocol::{Era, LEGACY_VERSIONS, MODERN_VERSION, RpcError, code, method};
use std::time::Duration;

/// How a request was turned away.
#[derive(Debug)]
pub(super) enum Refusal {
    /// For the caller.
    Error(CallError),
    /// The server does not know of the agreement (any more): worth another one, begun in this era. The error is for the
    /// caller when that does not help.
    Lost { begin: Era, error: CallError },
}

impl Refusal {
    pub(super) fn into_error(self) -> CallError {
        match self {
            Refusal::Error(error) | Refusal::Lost { error, .. } => error,
        }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Refusal {
        Refusal::Error(error)
    }
}

/// What is judged beside the refusal itself.
pub(super) struct Asked<'a> {
    pub(super) endpoint: String,
    pub(super) method: &'static str,
    pub(super) link: &'a Link,
}

impl Asked<'_> {
    /// Judges a status other than 200.
    pub(super) fn refused(&self, reply: Reply) -> Refusal {
        let Reply { status, location, retry_after, body, .. } = reply;
        let text = body.some_text();
        let rpc = refusal_in(&text);
        let said = excerpt(rpc.as_ref().map_or(&text, |error| &error.message));
        if let Some(error) = self.by_status_alone(status, &said, retry_after) {
            return Refusal::Error(error);
        }
        if (300..400).contains(&status) {
            return Refusal::Error(CallError::Redirected { endpoint: self.endpoint.clone(), status, location });
        }
        let error = CallError::Refused { endpoint: self.endpoint.clone(), status, said };
        if let Some(rpc) = &rpc
            && let Some(begin) = self.other_era(rpc, status)
        {
            return Refusal::Lost { begin, error };
        }
        let names_session = text.to_ascii_lowercase().contains("session");
        if (status == 404 && self.link.session.is_some()) || (status == 400 && names_session) {
            return Refusal::Lost { begin: Era::Legacy, error };
        }
        Refusal::Error(match rpc {
            // What the request was judged by says more than the status that goes with it.
            Some(rpc) if status == 400 => self.rejected(&rpc),
            _ => error,
        })
    }

    /// Statuses that mean the same whatever the body says.
    fn by_status_alone(&self, status: u16, said: &str, retry_after: Option<Duration>) -> Option<CallError> {
        let (endpoint, said) = (self.endpoint.clone(), said.to_owned());
        match status {
            408 | 425 | 500 | 502 | 503 | 504 => Some(CallError::Unavailable { endpoint, status, said, retry_after }),
            429 => Some(CallError::Throttled { endpoint, said, retry_after }),
            500..=599 => Some(CallError::Failed { endpoint, status, said }),
            _ => None,
        }
    }

    /// Judges a JSON-RPC error that came with status 200.
    pub(super) fn answered_with(&self, rpc: &RpcError) -> Refusal {
        let (endpoint, code, said) = (self.endpoint.clone(), rpc.code, excerpt(&rpc.message));
        if let Some(begin) = self.other_era(rpc, 200) {
            return Refusal::Lost { begin, error: self.rejected(rpc) };
        }
        // There is no code for it: some servers say it with the text and no status of its own.
        if rpc.message.to_ascii_lowercase().contains("session not found") {
            return Refusal::Lost { begin: Era::Legacy, error: CallError::SessionLost { endpoint, said } };
        }
        if rpc.code == code::INTERNAL_ERROR || code::SERVER_ERRORS.contains(&rpc.code) {
            return Refusal::Error(CallError::Internal { endpoint, code, said });
        }
        Refusal::Error(self.rejected(rpc))
    }

    fn rejected(&self, rpc: &RpcError) -> CallError {
        let endpoint = self.endpoint.clone();
        match offered(rpc) {
            Some(offered) if rpc.code == code::UNSUPPORTED_VERSION => CallError::NoCommonVersion { endpoint, offered },
            _ => CallError::Rejected { endpoint, code: rpc.code, said: excerpt(&rpc.message) },
        }
    }

    /// The era that the server would rather speak, if the error says so.
    fn other_era(&self, rpc: &RpcError, status: u16) -> Option<Era> {
        let names = |version: &str| rpc.message.contains(version) || rpc.data.to_string().contains(version);
        match self.link.era {
            Era::Legacy => {
                let says_so = matches!(rpc.code, code::HEADER_MISMATCH | code::UNSUPPORTED_VERSION)
                    || (rpc.code == code::METHOD_NOT_FOUND && (status == 404 || self.method == method::INITIALIZE))
                    || names(MODERN_VERSION);
                says_so.then_some(Era::Modern)
            }
            Era::Modern if rpc.code != code::UNSUPPORTED_VERSION => None,
            // It names ours as one that it supports: another try is what it asks for.
            Era::Modern if offered(rpc).is_some_and(|offered| offered.contains(MODERN_VERSION)) => Some(Era::Modern),
            Era::Modern => LEGACY_VERSIONS.into_iter().any(names).then_some(Era::Legacy),
        }
    }
}

/// The versions that an error names as supported.
fn offered(rpc: &RpcError) -> Option<String> {
    rpc.data.get("supported").map(|supported| excerpt(&supported.to_string()))
}
