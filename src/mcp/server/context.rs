//! What holds for one request: its era and version, and what its client can do. Over HTTP, headers must say the same as the
//! body (SEP-2243, SEP-2575).

use super::mirror;
use super::offer::Offer;
use crate::mcp::protocol::{
    Era, LEGACY_VERSIONS, MODERN_VERSION, RpcError, TASKS_EXTENSION, code, header, meta, method,
};
use serde_json::{Map, Value, json};

/// How a message has come.
#[derive(Clone, Copy)]
pub enum Via<'a> {
    /// With headers, of which it gives the text.
    Http(&'a dyn Fn(&str) -> Option<String>),
    /// As a line of a stream that belongs to one client.
    Lines,
}

/// What whoever has come may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum May {
    Read,
    Act,
}

/// Of one request.
#[derive(Clone, Debug)]
pub struct Context {
    pub era: Era,
    pub may: May,
    /// With which progress is told, where the client wants to hear of it.
    pub progress_token: Option<Value>,
    /// Whether the client knows how to follow a task.
    pub knows_tasks: bool,
    /// What the client can be asked to do.
    pub capabilities: Map<String, Value>,
}

/// Why there is none.
pub(super) struct Unfit {
    pub(super) status: u16,
    pub(super) error: RpcError,
}

impl Context {
    pub(super) fn of(
        name: &str,
        params: &Map<String, Value>,
        via: Via<'_>,
        may: May,
        offer: &dyn Offer,
    ) -> Result<Context, Unfit> {
        let meta = params.get("_meta").and_then(Value::as_object);
        let in_body = match meta.and_then(|meta| meta.get(meta::PROTOCOL_VERSION)) {
            Some(Value::String(version)) => Some(version.as_str()),
            Some(_) => return Err(invalid(&format!("{} in _meta must be a text", meta::PROTOCOL_VERSION))),
            None => None,
        };
        let in_header = match via {
            Via::Http(text) => text(header::PROTOCOL_VERSION),
            Via::Lines => None,
        };
        let progress_token = meta.and_then(|meta| meta.get("progressToken")).filter(|token| is_token(token)).cloned();
        if in_body.is_none() && in_header.as_deref() != Some(MODERN_VERSION) {
            legacy(in_header.as_deref())?;
            let capabilities = Map::new();
            return Ok(Context { era: Era::Legacy, may, progress_token, knows_tasks: false, capabilities });
        }
        let Some(version) = in_body else {
            return Err(invalid(&format!("_meta must have an {}", meta::PROTOCOL_VERSION)));
        };
        let capabilities = meta.and_then(|meta| meta.get(meta::CLIENT_CAPABILITIES)).and_then(Value::as_object);
        let Some(capabilities) = capabilities.cloned() else {
            return Err(invalid(&format!("_meta must have an {}, which is an object", meta::CLIENT_CAPABILITIES)));
        };
        if let Via::Http(text) = via {
            check("the header mcp-protocol-version", in_header.as_deref(), version)?;
            if version == MODERN_VERSION {
                check_headers(name, params, text, offer)?;
            }
        }
        if version != MODERN_VERSION {
            let message = format!("version {version} is not spoken here");
            let data = json!({"supported": [MODERN_VERSION], "requested": version});
            return Err(Unfit {
                status: 400,
                error: RpcError::new(code::UNSUPPORTED_VERSION, message).with_data(data),
            });
        }
        let extensions = capabilities.get("extensions");
        let knows_tasks = extensions.is_some_and(|extensions| extensions.get(TASKS_EXTENSION).is_some());
        Ok(Context { era: Era::Modern, may, progress_token, knows_tasks, capabilities })
    }
}

fn is_token(token: &Value) -> bool {
    token.is_string() || token.is_i64() || token.is_u64()
}

/// A header that names a version names one that is spoken; without one, the oldest that there is holds.
fn legacy(version: Option<&str>) -> Result<(), Unfit> {
    match version {
        Some(version) if !LEGACY_VERSIONS.contains(&version) => {
            let message = format!("version {version} is not spoken here");
            let supported: Vec<&str> = [MODERN_VERSION].into_iter().chain(LEGACY_VERSIONS).collect();
            let data = json!({"supported": supported, "requested": version});
            Err(Unfit { status: 400, error: RpcError::new(code::UNSUPPORTED_VERSION, message).with_data(data) })
        }
        _ => Ok(()),
    }
}

/// Proxies route by headers: what they say must be what is done.
fn check_headers(
    name: &str,
    params: &Map<String, Value>,
    text: &dyn Fn(&str) -> Option<String>,
    offer: &dyn Offer,
) -> Result<(), Unfit> {
    check("the header mcp-method", text(header::METHOD).as_deref(), name)?;
    let key = match name {
        method::TOOLS_CALL | method::PROMPTS_GET => "name",
        method::RESOURCES_READ => "uri",
        method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => "taskId",
        _ => return Ok(()),
    };
    let Some(in_body) = params.get(key).and_then(Value::as_str) else { return Ok(()) };
    let in_header = text(header::NAME).map(|given| mirror::decoded(&given).ok_or(given));
    match in_header {
        None if is_task_method(name) => {}
        None => check("the header mcp-name", None, in_body)?,
        Some(Ok(given)) => check("the header mcp-name", Some(&given), in_body)?,
        Some(Err(given)) => return Err(mismatch(format!("the header mcp-name, {given:?}, is no valid base64"))),
    }
    let tool = (name == method::TOOLS_CALL).then(|| offer.tools().iter().find(|tool| tool.name == in_body)).flatten();
    let arguments = params.get("arguments");
    tool.map_or(Ok(()), |tool| mirror::check(&tool.input, arguments, text).map_err(mismatch))
}

/// The extension says that they should have the header, and not that they must.
fn is_task_method(name: &str) -> bool {
    matches!(name, method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL)
}

fn check(what: &str, given: Option<&str>, in_body: &str) -> Result<(), Unfit> {
    match given {
        Some(given) if given.trim() == in_body => Ok(()),
        Some(given) => Err(mismatch(format!("{what} says {given:?}, and the body {in_body:?}"))),
        None => Err(mismatch(format!("{what} is missing; the body says {in_body:?}"))),
    }
}

fn mismatch(message: String) -> Unfit {
    Unfit { status: 400, error: RpcError::new(code::HEADER_MISMATCH, message) }
}

fn invalid(message: &str) -> Unfit {
    Unfit { status: 400, error: RpcError::new(code::INVALID_PARAMS, message) }
}
