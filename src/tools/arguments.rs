//! The arguments of a call against the schema of its tool: the schema that clients read is the one that is checked.
//!
//! Of JSON Schema this knows what the schemas of [`super::schemas`] say of arguments. Words that an argument may be are left
//! to whoever knows them, who names them all.

use serde_json::{Map, Number, Value};

/// More of a wrong value is not repeated.
const SHOWN_CHARS_MAX: usize = 60;

/// The arguments without those that are null, which counts as left out.
///
/// # Errors
/// One sentence with everything that is wrong.
pub(super) fn checked(schema: &Value, arguments: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut arguments: Map<String, Value> = arguments.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let Some(properties) = schema["properties"].as_object() else { return Ok(arguments) };
    let mut wrong = Vec::new();
    for (name, value) in &mut arguments {
        match properties.get(name) {
            Some(property) => check(name, property, value, &mut wrong),
            None => wrong.push(unknown(name, properties)),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !arguments.contains_key(name) {
            let about = properties.get(name).and_then(|property| property["description"].as_str()).unwrap_or_default();
            wrong.push(format!("{name} is missing: {about}"));
        }
    }
    if wrong.is_empty() { Ok(arguments) } else { Err(wrong.join("; ")) }
}

fn unknown(name: &str, properties: &Map<String, Value>) -> String {
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    match known.is_empty() {
        true => format!("there is no argument {name:?}; this tool has none"),
        false => format!("there is no argument {name:?}; there are {}", known.join(", ")),
    }
}

fn check(name: &str, property: &Value, value: &mut Value, wrong: &mut Vec<String>) {
    let kind = property["type"].as_str().unwrap_or_default();
    if kind == "integer" {
        make_whole(value);
    }
    let (fits, word) = match kind {
        "string" => (value.is_string(), "a text"),
        "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
        "number" => (value.is_number(), "a number"),
        "boolean" => (value.is_boolean(), "true or false"),
        "array" => (value.is_array(), "a list"),
        _ => (value.is_object(), "an object"),
    };
    if !fits {
        return wrong.push(format!("{name} is {}; it must be {word}", shown(value)));
    }
    if value == "" && property["minLength"] == 1 {
        wrong.push(format!("{name} is empty; give a text"));
    }
    if let Some(number) = value.as_f64() {
        wrong.extend(outside(name, property, number, ("minimum", "maximum"), "is"));
    }
    if let Value::Array(items) = value {
        wrong.extend(outside(name, property, items.len() as f64, ("minItems", "maxItems"), "has a length of"));
        for (at, item) in items.iter_mut().enumerate() {
            check(&format!("{name}[{at}]"), &property["items"], item, wrong);
        }
    }
}

/// JSON has one kind of number, and some programs write 10 as 10.0.
fn make_whole(value: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(number) = value.as_f64()
        && value.is_f64()
        && number.fract() == 0.0
        && number.abs() < EXACT
    {
        *value = Value::Number(Number::from(number as i64));
    }
}

fn outside(name: &str, property: &Value, number: f64, keys: (&str, &str), verb: &str) -> Option<String> {
    let (least, most) = (property[keys.0].as_f64(), property[keys.1].as_f64());
    if least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
        return None;
    }
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("it goes from {least} to {most}"),
        (Some(least), None) => format!("it is at least {least}"),
        (None, most) => format!("it is at most {}", most.unwrap_or_default()),
    };
    Some(format!("{name} {verb} {number}; {range}"))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked_of(arguments: Value) -> Result<Value, String> {
        let schema = json!({
            "properties": {
                "id": {"type": "string", "description": "which one"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 10},
                "timeout": {"type": "number", "minimum": 0.1},
                "quick": {"type": "boolean"},
                "words": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
                "context": {"type": "object"},
                "prompt": {"type": "string", "minLength": 1},
            },
            "required": ["id"],
        });
        let Value::Object(arguments) = arguments else { panic!("no object") };
        super::checked(&schema, arguments).map(Value::Object)
    }

    #[test]
    fn what_fits_is_taken() {
        let arguments = json!({"id": "a", "limit": 10.0, "timeout": 1, "quick": true, "words": ["x"], "context": {}});
        let mut expected = arguments.clone();
        expected["limit"] = 10.into();
        assert_eq!(checked_of(arguments), Ok(expected));
        assert_eq!(checked_of(json!({"id": "a", "limit": null})), Ok(json!({"id": "a"})));
    }

    #[test]
    fn what_does_not_is_named_with_what_it_may_be() {
        for (arguments, sentence) in [
            (json!({}), "id is missing: which one"),
            (json!({"id": null}), "id is missing: which one"),
            (json!({"id": 7}), "id is 7; it must be a text"),
            (json!({"id": "a", "limit": "7"}), "limit is \"7\"; it must be a whole number"),
            (json!({"id": "a", "limit": 1.5}), "limit is 1.5; it must be a whole number"),
            (json!({"id": "a", "limit": 1e300}), "limit is 1e+300; it must be a whole number"),
            (json!({"id": "a", "limit": 11}), "limit is 11; it goes from 1 to 10"),
            (json!({"id": "a", "timeout": 0}), "timeout is 0; it is at least 0.1"),
            (json!({"id": "a", "quick": 1}), "quick is 1; it must be true or false"),
            (json!({"id": "a", "words": "x"}), "words is \"x\"; it must be a list"),
            (json!({"id": "a", "words": ["x", 7]}), "words[1] is 7; it must be a text"),
            (json!({"id": "a", "words": []}), "words has a length of 0; it goes from 1 to 2"),
            (json!({"id": "a", "context": []}), "context is []; it must be an object"),
            (json!({"id": "a", "prompt": ""}), "prompt is empty; give a text"),
        ] {
            assert_eq!(checked_of(arguments.clone()), Err(sentence.to_owned()), "{arguments}");
        }
        let both = checked_of(json!({"pool": "a", "id": 7})).unwrap_err();
        assert!(both.contains("there is no argument \"pool\"; there are context, id, limit"), "{both}");
        assert!(both.contains("id is 7"), "{both}");
        let long = checked_of(json!({"id": ["ä".repeat(1000)]})).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }
}
