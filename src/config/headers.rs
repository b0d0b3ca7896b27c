//! A table of headers of HTTP. Their values may be secrets, so none is repeated.

use std::collections::BTreeMap;

use super::kind::{ENTRIES_MAX, SECRET_BYTES_MAX};
use super::value::{Given, Secret, Value, quoted};

/// Those that a request has anyway.
const OWN: [&str; 6] = ["host", "content-length", "content-type", "accept", "transfer-encoding", "connection"];
/// What stands in names besides letters and digits.
const MARKS_OF_NAMES: &str = "!#$%&'*+-.^_`|~";

/// Names become small letters, as their case has no meaning.
pub(super) fn check(entries: &[(String, Given)]) -> Result<Value, String> {
    if entries.len() > ENTRIES_MAX {
        return Err(format!("{} of them", entries.len()));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in entries {
        if !is_name(name) {
            return Err(format!("a table with the name {}", quoted(name)));
        }
        let lower = name.to_ascii_lowercase();
        if OWN.contains(&&*lower) {
            return Err(format!("a table with {}, which every request has", quoted(name)));
        }
        let Given::Text(text) = value else {
            return Err(format!("a table whose {} is {}", quoted(name), value.type_name()));
        };
        if let Some(fault) = fault(text) {
            return Err(format!("a table whose {} {fault}", quoted(name)));
        }
        if headers.insert(lower, Secret::new(text)).is_some() {
            return Err(format!("a table with {} twice", quoted(name)));
        }
    }
    Ok(Value::Secrets(headers))
}

fn is_name(name: &str) -> bool {
    let is_mark = |char: char| char.is_ascii_alphanumeric() || MARKS_OF_NAMES.contains(char);
    !name.is_empty() && name.len() <= SECRET_BYTES_MAX && name.chars().all(is_mark)
}

fn fault(value: &str) -> Option<&'static str> {
    if value == Secret::SHOWN {
        Some("is what stands for it in `config show`")
    } else if value.trim().is_empty() {
        Some("is empty")
    } else if value.len() > SECRET_BYTES_MAX {
        Some("is longer than 4096 bytes")
    } else if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        Some("has a character in it that no header can hold")
    } else {
        None
    }
}
