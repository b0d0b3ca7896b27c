//! Finding the answer to a request in what came back.

use super::error::Malformed;
use crate::http::excerpt;
use crate::mcp::protocol::RpcError;
use serde_json::Value;

/// The answer to a request, as JSON-RPC has it.
pub(super) type Answer = Result<Value, RpcError>;

/// The answer with our id in a message, or in an array of them. Requests and notifications of the server, and answers to
/// others, are none: the ids of its requests are not ours, even when they look alike.
pub(super) fn answer_in(message: Value, id: u64) -> Option<Answer> {
    match message {
        Value::Array(messages) => messages.into_iter().find_map(|message| answer_in_one(message, id)),
        message => answer_in_one(message, id),
    }
}

fn answer_in_one(mut message: Value, id: u64) -> Option<Answer> {
    let message = message.as_object_mut()?;
    if message.get("id")?.as_u64()? != id || message.contains_key("method") {
        return None;
    }
    match (message.remove("result"), message.remove("error")) {
        (Some(result), None | Some(Value::Null)) => Some(Ok(result)),
        (_, Some(error)) => serde_json::from_value(error).ok().map(Err),
        (None, None) => None,
    }
}

/// The answer in a body that is not a stream.
pub(super) fn answer_in_body(body: &[u8], content_type: &str, id: u64) -> Result<Answer, Malformed> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(Malformed::Empty);
    }
    answer_in(parsed(body, content_type)?, id)
        .ok_or_else(|| Malformed::OtherId(excerpt(&String::from_utf8_lossy(body))))
}

/// A message, or why it is none.
pub(super) fn parsed(text: &[u8], content_type: &str) -> Result<Value, Malformed> {
    serde_json::from_slice(text).map_err(|error| {
        let excerpt = excerpt(&String::from_utf8_lossy(text));
        if content_type == "text/html" || text.starts_with(b"<") {
            return Malformed::Html(excerpt);
        }
        Malformed::NotJson { error, excerpt }
    })
}

/// The error in the body of a refusal, whatever its id: servers that reject a request early do not know it.
pub(super) fn refusal_in(body: &str) -> Option<RpcError> {
    let mut message: Value = serde_json::from_str(body).ok()?;
    serde_json::from_value(message.get_mut("error")?.take()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_answer_with_our_id_is_ours() {
        let found = |message: Value| answer_in(message, 7);
        assert_eq!(found(json!({"id": 7, "result": 1})), Some(Ok(json!(1))));
        assert_eq!(found(json!([{"method": "x"}, {"id": 6, "result": 0}, {"id": 7, "result": 2}])), Some(Ok(json!(2))));
        assert_eq!(found(json!({"id": 7, "result": 1, "error": null})), Some(Ok(json!(1))));
        let error = found(json!({"id": 7, "error": {"code": -1, "message": "no"}})).unwrap().unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (-1, "no"));
        for other in [
            json!({"id": 8, "result": 1}),
            json!({"id": "7", "result": 1}),
            json!({"id": null, "result": 1}),
            json!({"id": 7, "method": "ping"}),
            json!({"id": 7}),
            json!({"id": 7, "error": "text"}),
            json!([]),
            json!(7),
            json!("text"),
        ] {
            assert_eq!(found(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = "[".repeat(100_000);
        assert!(matches!(answer_in_body(deep.as_bytes(), "", 1), Err(Malformed::NotJson { .. })));
    }
}
