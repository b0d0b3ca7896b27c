//! What has been agreed on with the server, and how a request looks under it.

use super::param_headers::encoded;
use super::transport::Headers;
use crate::mcp::protocol::{Era, MODERN_VERSION, header, meta};
use serde_json::{Map, Value, json};

/// One agreement. It is forgotten and made anew when the server no longer knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) era: Era,
    /// None before `initialize` has been answered.
    version: Option<String>,
    pub(super) session: Option<String>,
}

impl Link {
    /// Before anything has been agreed on.
    pub(super) const OPENING: Link = Link { era: Era::Legacy, version: None, session: None };

    pub(super) fn legacy(version: &str, session: Option<String>) -> Link {
        Link { era: Era::Legacy, version: Some(version.to_owned()), session }
    }

    pub(super) fn modern() -> Link {
        Link { era: Era::Modern, version: Some(MODERN_VERSION.to_owned()), session: None }
    }

    /// Headers of any request, also of one without a body.
    pub(super) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        if let Some(version) = &self.version {
            headers.push((header::PROTOCOL_VERSION.to_owned(), version.clone()));
        }
        if let Some(session) = &self.session {
            headers.push((header::SESSION_ID.to_owned(), session.clone()));
        }
        headers
    }
}

/// A request, or a notification when it has no id.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: Option<u64>,
    pub(super) method: &'static str,
    pub(super) params: Map<String, Value>,
    /// Of the tool, if it is about one.
    pub(super) name: Option<String>,
    /// Arguments that are sent as headers too.
    pub(super) param_headers: Headers,
}

impl Request {
    pub(super) fn new(id: Option<u64>, method: &'static str, params: Map<String, Value>) -> Request {
        Request { id, method, params, name: None, param_headers: Headers::new() }
    }

    pub(super) fn headers(&self, link: &Link) -> Headers {
        let mut headers = link.headers();
        if link.era == Era::Modern {
            headers.push((header::METHOD.to_owned(), self.method.to_owned()));
            headers.extend(self.name.iter().map(|name| (header::NAME.to_owned(), encoded(name))));
            headers.extend(self.param_headers.iter().cloned());
        }
        headers
    }

    pub(super) fn body(&self, link: &Link) -> Vec<u8> {
        let mut params = self.params.clone();
        if link.era == Era::Modern {
            params.insert("_meta".to_owned(), envelope());
        }
        let mut message = json!({"jsonrpc": "2.0", "method": self.method});
        if let Some(id) = self.id {
            message["id"] = id.into();
        }
        if !params.is_empty() {
            message["params"] = params.into();
        }
        message.to_string().into_bytes()
    }
}

/// What a modern request says of its sender.
fn envelope() -> Value {
    json!({
        meta::PROTOCOL_VERSION: MODERN_VERSION,
        meta::CLIENT_INFO: client_info(),
        meta::CLIENT_CAPABILITIES: {},
    })
}

pub(super) fn client_info() -> Value {
    json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")})
}
