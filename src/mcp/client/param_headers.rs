//! Arguments that a tool wants as headers too, so that a proxy can route by them without reading bodies.

use super::transport::Headers;
use crate::mcp::protocol::{X_MCP_HEADER, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Schemas inside of a schema, by the shape of the keyword's value. What stands under other keywords is data.
const ONE_SCHEMA: [&str; 11] = [
    "items",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];
const SCHEMA_LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const SCHEMA_MAPS: [&str; 4] = ["patternProperties", "dependentSchemas", "$defs", "definitions"];

/// One argument that is sent as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// Where in the arguments it stands.
    path: Vec<String>,
    header: String,
}

/// What a tool's schema asks for.
///
/// # Errors
/// An annotation breaks the protocol's rules, and with them the tool must not be called.
pub(super) fn mirrors(schema: &Value) -> Result<Vec<Mirror>, String> {
    let mut mirrors: Vec<Mirror> = Vec::new();
    // No recursion, as the depth is the server's to choose. A path is kept while only `properties` have led here.
    let mut ahead: Vec<(Option<Vec<String>>, &Value)> = vec![(Some(Vec::new()), schema)];
    while let Some((path, schema)) = ahead.pop() {
        let Some(schema) = schema.as_object() else { continue };
        if let Some(token) = schema.get(X_MCP_HEADER) {
            let mirror = checked(path.as_deref(), token, schema.get("type"))?;
            if let Some(other) = mirrors.iter().find(|other| other.header.eq_ignore_ascii_case(&mirror.header)) {
                return Err(format!("{} and {} want the same header", other.path.join("."), mirror.path.join(".")));
            }
            mirrors.push(mirror);
        }
        for (keyword, value) in schema {
            inner_schemas(keyword, value, path.as_deref(), &mut ahead);
        }
    }
    Ok(mirrors)
}

fn inner_schemas<'a>(
    keyword: &str,
    value: &'a Value,
    path: Option<&[String]>,
    ahead: &mut Vec<(Option<Vec<String>>, &'a Value)>,
) {
    match value {
        Value::Object(properties) if keyword == "properties" => {
            let under = |name: &String| path.map(|path| path.iter().chain([name]).cloned().collect());
            ahead.extend(properties.iter().map(|(name, schema)| (under(name), schema)));
        }
        Value::Object(schemas) if SCHEMA_MAPS.contains(&keyword) => {
            ahead.extend(schemas.values().map(|schema| (None, schema)));
        }
        Value::Array(schemas) if SCHEMA_LISTS.contains(&keyword) => {
            ahead.extend(schemas.iter().map(|schema| (None, schema)));
        }
        schema if ONE_SCHEMA.contains(&keyword) => ahead.push((None, schema)),
        _ => {}
    }
}

fn checked(path: Option<&[String]>, token: &Value, kind: Option<&Value>) -> Result<Mirror, String> {
    let path = path.filter(|path| !path.is_empty()).ok_or("a header is asked for where no argument stands")?;
    let shown = path.join(".");
    let token = token.as_str().filter(|token| is_token(token));
    let token = token.ok_or_else(|| format!("the header of {shown} has no valid name"))?;
    if !matches!(kind.and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
        return Err(format!("{shown} is neither a string nor an integer nor a boolean"));
    }
    Ok(Mirror { path: path.to_vec(), header: format!("{}{token}", header::PARAM_PREFIX) })
}

/// A token as RFC 9110 has it.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The headers of a call with these arguments; one that is missing or null has none.
pub(super) fn headers(mirrors: &[Mirror], arguments: &Map<String, Value>) -> Headers {
    mirrors.iter().filter_map(|mirror| Some((mirror.header.clone(), rendered(arguments, &mirror.path)?))).collect()
}

fn rendered(arguments: &Map<String, Value>, path: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let value = rest.iter().try_fold(arguments.get(first)?, |value, key| value.get(key))?;
    match value {
        Value::String(text) => Some(encoded(text)),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A text as a header can carry it: as it is, or in base64 between marks.
pub(super) fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(properties: Value) -> Result<Vec<String>, String> {
        let mirrors = mirrors(&json!({"type": "object", "properties": properties}))?;
        Ok(mirrors.into_iter().map(|mirror| format!("{} {}", mirror.path.join("."), mirror.header)).collect())
    }

    #[test]
    fn an_annotation_is_found_where_an_argument_stands() {
        let region = json!({"type": "string", X_MCP_HEADER: "Region"});
        assert_eq!(asked(json!({"a": region, "b": {"type": "number"}})), Ok(vec!["a mcp-param-Region".to_owned()]));
        assert_eq!(asked(json!({"a": {"properties": {"b": region}}})), Ok(vec!["a.b mcp-param-Region".to_owned()]));
        // Data is no schema, and a property may have any name.
        let data = json!({"type": "string", "default": {X_MCP_HEADER: ""}, "enum": [{X_MCP_HEADER: 1}]});
        assert_eq!(asked(json!({"a": data, "items": region})), Ok(vec!["items mcp-param-Region".to_owned()]));
        assert_eq!(mirrors(&json!(null)), Ok(vec![]));
    }

    #[test]
    fn an_invalid_annotation_is_refused() {
        let invalid = [
            json!({"type": "number", X_MCP_HEADER: "A"}),
            json!({"type": ["string"], X_MCP_HEADER: "A"}),
            json!({X_MCP_HEADER: "A"}),
            json!({"type": "string", X_MCP_HEADER: ""}),
            json!({"type": "string", X_MCP_HEADER: "A B"}),
            json!({"type": "string", X_MCP_HEADER: 7}),
            json!({"type": "array", "items": {"type": "string", X_MCP_HEADER: "A"}}),
            json!({"anyOf": [{"type": "string", X_MCP_HEADER: "A"}]}),
        ];
        for schema in invalid {
            assert!(asked(json!({"a": schema})).is_err(), "{schema}");
        }
        let twice = |other: &str| {
            let of = |header: &str| json!({"type": "string", X_MCP_HEADER: header});
            asked(json!({"a": of("Region"), "b": of(other)}))
        };
        assert!(twice("region").is_err() && twice("Other").is_ok());
    }

    #[test]
    fn arguments_are_rendered_and_encoded() {
        let mirror = |path: &[&str]| {
            vec![Mirror { path: path.iter().map(|&key| key.to_owned()).collect(), header: "mcp-param-x".to_owned() }]
        };
        let arguments = json!({"text": " a", "number": 42, "yes": true, "none": null, "list": [], "deep": {"er": "b"}});
        let rendered =
            |path: &[&str]| headers(&mirror(path), arguments.as_object().unwrap()).pop().map(|(_, value)| value);
        assert_eq!(rendered(&["text"]).as_deref(), Some("=?base64?IGE=?="));
        assert_eq!(rendered(&["number"]).as_deref(), Some("42"));
        assert_eq!(rendered(&["yes"]).as_deref(), Some("true"));
        assert_eq!(rendered(&["deep", "er"]).as_deref(), Some("b"));
        assert_eq!(
            (rendered(&["none"]), rendered(&["list"]), rendered(&["gone"]), rendered(&["text", "x"])),
            (None, None, None, None)
        );
        assert_eq!(encoded("us west 1"), "us west 1");
        assert_eq!(encoded("=?base64?IGE=?="), "=?base64?PT9iYXNlNjQ/SUdFPT89?=");
        assert_eq!(encoded("a\r\nb"), "=?base64?YQ0KYg==?=");
    }
}
