//! What comes from a client, one JSON-RPC message at a time.

use super::answer::Rejected;
use crate::mcp::protocol::{RpcError, code};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// The id of a request: a text or a whole number, kept as the JSON that it came as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Arc<str>);

impl Id {
    fn of(value: &Value) -> Option<Id> {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        fits.then(|| Id(value.to_string().into()))
    }

    /// Reads the id that a notification names.
    pub(super) fn named(params: &Map<String, Value>, key: &str) -> Option<Id> {
        params.get(key).and_then(Id::of)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug)]
pub(super) enum Message {
    Request {
        id: Id,
        method: String,
        params: Map<String, Value>,
    },
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer to something this server never asks.
    Response,
}

/// # Errors
/// It is no message of JSON-RPC 2.0 as MCP has it.
pub(super) fn parse(body: &[u8]) -> Result<Message, Rejected> {
    let value = serde_json::from_slice(body).map_err(|error| {
        let message = match is_too_deep(body) {
            true => format!("nested too deeply: {DEPTH_MAX} brackets within each other are taken"),
            false => format!("this is no JSON: {error}"),
        };
        Rejected { id: None, status: 400, error: RpcError::new(code::PARSE_ERROR, message) }
    })?;
    let mut object = match value {
        Value::Object(object) => object,
        Value::Array(_) => {
            return Err(invalid(None, "batches are not part of this protocol; send one message at a time"));
        }
        _ => return Err(invalid(None, "a message is a JSON object")),
    };
    let given = object.get("id");
    let id = given.and_then(Id::of);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid(id, "jsonrpc must be \"2.0\""));
    }
    let is_wrong = given.is_some() && id.is_none();
    let method = match object.get_mut("method").map(Value::take) {
        Some(Value::String(method)) => method,
        Some(_) => return Err(invalid(id, "method must be a text")),
        None if object.contains_key("result") || object.contains_key("error") => return Ok(Message::Response),
        None => return Err(invalid(id, "there is no method")),
    };
    if is_wrong {
        return Err(invalid(None, "id must be a text or a whole number"));
    }
    let params = match object.get_mut("params").map(Value::take) {
        Some(Value::Object(params)) => params,
        None => Map::new(),
        Some(_) => return Err(invalid(id, "params must be an object")),
    };
    Ok(match id {
        Some(id) => Message::Request { id, method, params },
        None => Message::Notification { method, params },
    })
}

/// Of brackets within each other; what reads JSON takes no more.
const DEPTH_MAX: usize = 127;

/// Whether there are more brackets open at once than are read.
fn is_too_deep(body: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

fn invalid(id: Option<Id>, why: &str) -> Rejected {
    Rejected { id, status: 400, error: RpcError::new(code::INVALID_REQUEST, why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let request = parse(br#"{"jsonrpc":"2.0","id":"a\"b","method":"m","params":{"x":1}}"#).unwrap();
        let Message::Request { id, method, params } = request else { panic!("{request:?}") };
        assert_eq!((id.to_string().as_str(), method.as_str(), &params["x"]), (r#""a\"b""#, "m", &Value::from(1)));
        assert!(matches!(parse(br#"{"jsonrpc":"2.0","method":"m"}"#), Ok(Message::Notification { .. })));
        assert!(matches!(parse(br#"{"jsonrpc":"2.0","id":7,"result":{}}"#), Ok(Message::Response)));
        assert!(matches!(parse(br#"{"jsonrpc":"2.0","id":7,"error":{}}"#), Ok(Message::Response)));
    }

    #[test]
    fn what_is_none_is_refused_with_the_id_if_there_is_one() {
        let deep = "[".repeat(100_000);
        for (text, code, id) in [
            ("", code::PARSE_ERROR, None),
            ("{", code::PARSE_ERROR, None),
            (deep.as_str(), code::PARSE_ERROR, None),
            ("[]", code::INVALID_REQUEST, None),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, code::INVALID_REQUEST, None),
            ("7", code::INVALID_REQUEST, None),
            (r#"{"id":1,"method":"ping"}"#, code::INVALID_REQUEST, Some("1")),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, code::INVALID_REQUEST, Some("1")),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, code::INVALID_REQUEST, None),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, code::INVALID_REQUEST, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, code::INVALID_REQUEST, None),
            (r#"{"jsonrpc":"2.0","id":"x"}"#, code::INVALID_REQUEST, Some(r#""x""#)),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, code::INVALID_REQUEST, Some("1")),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, code::INVALID_REQUEST, Some("1")),
        ] {
            let rejected = parse(text.as_bytes()).unwrap_err();
            assert_eq!((rejected.error.code, rejected.status), (code, 400), "{text:.80}");
            assert_eq!(rejected.id.as_ref().map(ToString::to_string).as_deref(), id, "{text:.80}");
        }
        assert!(parse(b"\xff\xfe").is_err());
        let said = |text: &str| parse(text.as_bytes()).unwrap_err().error.message;
        for text in [deep.as_str(), &"{\"a\":".repeat(200), &format!("{}{}", "[".repeat(128), "]".repeat(128))] {
            assert!(said(text).starts_with("nested too deeply"), "{text:.80}");
        }
        for text in ["{", &format!("\"{}", "[".repeat(200)), &"[]".repeat(200)] {
            assert!(said(text).starts_with("this is no JSON"), "{text:.80}");
        }
        let nested = format!("{}{}", "[".repeat(127), "]".repeat(127));
        assert!(said(&nested).starts_with("batches"), "what is taken is taken");
    }
}
