//! What one client alone is told: answers and errors, in the same nine keys as events.

use super::request::Fault;
use crate::clock::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Frame<'a> {
    id: Option<&'a str>,
    correlation_id: &'a Value,
    r#type: &'static str,
    event: &'a str,
    data: Value,
    timestamp: String,
    room: Option<&'a str>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
    /// Where clients of the original look for the outcome of a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    /// Where they look for a greeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Frame<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

const PLAIN: Frame<'_> = Frame {
    id: None,
    correlation_id: &Value::Null,
    r#type: "response",
    event: "",
    data: Value::Null,
    timestamp: String::new(),
    room: None,
    error_code: None,
    error_message: None,
    status: None,
    message: None,
};

/// The answer to a request of that name.
pub(super) fn response(event: &str, correlation: &Value, data: Value, at: Timestamp) -> String {
    let outcome = data.get("status").and_then(Value::as_str).map(str::to_owned);
    let status = outcome.as_deref().filter(|_| matches!(event, "subscribe" | "unsubscribe"));
    Frame { correlation_id: correlation, event, status, timestamp: at.to_string(), data, ..PLAIN }.text()
}

pub(super) fn pong(correlation: &Value, at: Timestamp) -> String {
    Frame {
        correlation_id: correlation,
        r#type: "pong",
        event: "pong",
        data: json!({}),
        timestamp: at.to_string(),
        ..PLAIN
    }
    .text()
}

pub(super) fn error(event: &str, correlation: &Value, fault: &Fault, at: Timestamp) -> String {
    Frame {
        correlation_id: correlation,
        r#type: "error",
        event,
        data: json!({}),
        timestamp: at.to_string(),
        error_code: Some(fault.code),
        error_message: Some(&fault.message),
        ..PLAIN
    }
    .text()
}

/// The first thing that a client is told.
pub(super) fn welcome(data: Value, at: Timestamp) -> String {
    let message = data.get("message").and_then(Value::as_str).map(str::to_owned);
    Frame {
        r#type: "event",
        event: "session.created",
        message: message.as_deref(),
        data,
        timestamp: at.to_string(),
        ..PLAIN
    }
    .text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_nine_keys_and_what_clients_look_for() {
        let at = Timestamp::from_micros(1);
        assert_eq!(
            response("subscribe", &json!("s"), json!({"status": "subscribed", "channel": "*"}), at),
            r#"{"id":null,"correlation_id":"s","type":"response","event":"subscribe","data":{"channel":"*","status":"subscribed"},"timestamp":"1970-01-01T00:00:00.000001+00:00","room":null,"error_code":null,"error_message":null,"status":"subscribed"}"#
        );
        assert!(
            !response("get_pool_status", &json!(1), json!({"status": "running"}), at)
                .ends_with(r#""status":"running"}"#)
        );
        assert!(welcome(json!({"message": "hello"}), at).ends_with(r#""error_message":null,"message":"hello"}"#));
        let fault = Fault::new("FORBIDDEN", "no");
        assert!(
            error("publish", &Value::Null, &fault, at).ends_with(r#""error_code":"FORBIDDEN","error_message":"no"}"#)
        );
    }
}
