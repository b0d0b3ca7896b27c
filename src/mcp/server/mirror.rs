//! Arguments that a tool wants as headers too, checked against each other.

use crate::mcp::protocol::{X_MCP_HEADER, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Whether the headers say what the arguments say. Only the first level of a schema has such arguments here.
///
/// # Errors
/// A sentence that says where they differ.
pub(super) fn check(
    schema: &Value,
    arguments: Option<&Value>,
    text: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (name, property) in properties {
        let Some(token) = property.get(X_MCP_HEADER).and_then(Value::as_str) else { continue };
        let in_body = arguments.and_then(|arguments| arguments.get(name)).and_then(rendered);
        let header = format!("{}{token}", header::PARAM_PREFIX);
        let in_header = match text(&header) {
            Some(given) => Some(decoded(&given).ok_or_else(|| format!("the header {header} is no valid base64"))?),
            None => None,
        };
        if in_header != in_body {
            return Err(format!("the header {header} and the argument {name} differ"));
        }
    }
    Ok(())
}

fn rendered(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The text of a header's value, which may be base64 between marks. `None` when what stands between them is none.
pub(super) fn decoded(given: &str) -> Option<String> {
    let given = given.trim();
    let Some(inner) = given.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(given.to_owned());
    };
    String::from_utf8(STANDARD.decode(inner).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_header_says_what_its_argument_says() {
        let schema = json!({"properties": {"region": {"type": "string", X_MCP_HEADER: "Region"}, "other": {}}});
        let says = |header: Option<&str>, arguments: Value| {
            let text = |name: &str| header.filter(|_| name == "mcp-param-Region").map(str::to_owned);
            check(&schema, Some(&arguments), &text).is_ok()
        };
        assert!(says(Some("eu"), json!({"region": "eu"})));
        assert!(says(Some("=?base64?ZXU=?="), json!({"region": "eu"})));
        assert!(says(Some("ZXU="), json!({"region": "ZXU="})));
        assert!(says(None, json!({"other": "eu"})));
        for (header, arguments) in [
            (Some("us"), json!({"region": "eu"})),
            (None, json!({"region": "eu"})),
            (Some("eu"), json!({})),
            (Some("=?base64?ZXU?="), json!({"region": "eu"})),
            (Some("=?base64?Z!U=?="), json!({"region": "eu"})),
        ] {
            assert!(!says(header, arguments.clone()), "{header:?} {arguments}");
        }
    }
}
