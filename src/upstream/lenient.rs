//! JSON as Python writes it: `NaN` and `Infinity` as if they were numbers.

use serde_json::{Map, Value};

/// What JSON has no number for. Longer ones first, as the others are part of them.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Whether a text stands for such a number.
pub(super) fn is_no_number(text: &str) -> bool {
    NO_NUMBERS.contains(&text)
}

/// The object in a text that is JSON but for such numbers; they become texts. `None` when it is no such thing.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    if !text.trim_start().starts_with('{') || !NO_NUMBERS.iter().any(|word| text.contains(word)) {
        return None;
    }
    serde_json::from_str(&quoted(text)).ok()
}

/// Puts quotes around such numbers wherever they do not stand in quotes already.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_string) = (text, false);
    while let Some(letter) = rest.chars().next() {
        let word = NO_NUMBERS.iter().find(|word| !in_string && rest.starts_with(**word));
        let taken = match (word, letter) {
            (Some(word), _) => {
                quoted.extend(["\"", word, "\""]);
                word.len()
            }
            // What is escaped neither ends the string nor escapes anything further.
            (None, '\\') if in_string => {
                let escaped = rest.chars().take(2).map(char::len_utf8).sum();
                quoted.push_str(&rest[..escaped]);
                escaped
            }
            (None, letter) => {
                in_string ^= letter == '"';
                quoted.push(letter);
                letter.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_that_json_lacks_become_texts() {
        let read = |text: &str| object(text).map(Value::Object);
        assert_eq!(
            read(r#"{"a": NaN, "b": [-Infinity, Infinity], "c": 1}"#),
            Some(json!({"a": "NaN", "b": ["-Infinity", "Infinity"], "c": 1}))
        );
        assert_eq!(read(r#" {"NaN \" NaN": NaN, "x": "\\"}"#), Some(json!({"NaN \" NaN": "NaN", "x": "\\"})));
    }

    #[test]
    fn what_is_no_object_stays_text() {
        for text in ["", "NaN", "[NaN]", "{NaN}", "{\"a\": \"NaN", "all well", "{\"a\": NaN, \"b\": \\"] {
            assert_eq!(object(text), None, "{text}");
        }
    }
}
