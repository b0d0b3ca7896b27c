//! As much of JSON Schema (2020-12) as the tools' own schemas use. A word that is not known here is a mistake.

use serde_json::Value;

const WORDS: [&str; 17] = [
    "$schema",
    "type",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "minimum",
    "maximum",
    "const",
    "enum",
    "anyOf",
    "default",
    "title",
];

/// Everything in which a value is not as the schema says. An object has no members beside those that the schema names.
pub(super) fn complaints(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

/// The words of a schema that are not known, wherever they stand.
pub(super) fn unknown_words(schema: &Value) -> Vec<String> {
    let Some(object) = schema.as_object() else { return Vec::new() };
    let own = object.keys().filter(|key| !WORDS.contains(&key.as_str())).cloned();
    let mut unknown: Vec<String> = own.collect();
    let properties = schema["properties"].as_object().into_iter().flat_map(|it| it.values());
    let any_of = schema["anyOf"].as_array().into_iter().flatten();
    for inner in properties.chain(any_of).chain([&schema["items"], &schema["additionalProperties"]]) {
        unknown.extend(unknown_words(inner));
    }
    unknown
}

fn check(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = |schema: &&Value| complaints(schema, value).is_empty();
        if !any.iter().any(|schema| fits(&schema)) {
            let all: Vec<_> = any.iter().map(|schema| complaints(schema, value)).collect();
            found.push(format!("{place} fits none: {all:?}"));
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind, value)) {
        found.push(format!("{place} is {value:.80}, not {kinds:?}"));
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        found.push(format!("{place} is {value:.80}, not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{place} is {value:.80}, none of {}", schema["enum"]));
    }
    if schema["minLength"] == 1 && value == "" {
        found.push(format!("{place} is empty"));
    }
    let bound = |key: &str| schema[key].as_f64();
    let size = value.as_array().map_or(value.as_f64(), |items| Some(items.len() as f64));
    for (least, most) in [("minimum", "maximum"), ("minItems", "maxItems")] {
        if size.is_some_and(|size| bound(least).is_some_and(|it| size < it) || bound(most).is_some_and(|it| size > it))
        {
            found.push(format!("{place} is {value:.80}, out of bounds"));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&schema["items"], item, &format!("{place}[{at}]"), found);
    }
    if value.is_object() {
        check_members(schema, value, place, found);
    }
}

fn check_members(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{place}.{name} is missing"));
        }
    }
    let Some(properties) = schema["properties"].as_object() else {
        if schema["additionalProperties"].is_object() {
            for (name, member) in value.as_object().into_iter().flatten() {
                check(&schema["additionalProperties"], member, &format!("{place}.{name}"), found);
            }
        }
        return;
    };
    for (name, member) in value.as_object().into_iter().flatten() {
        match properties.get(name) {
            Some(property) => check(property, member, &format!("{place}.{name}"), found),
            None => found.push(format!("{place}.{name} is not in the schema")),
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("there is no type {other}"),
    }
}
