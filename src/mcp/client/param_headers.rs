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
