//! What somebody wrote, and what it is once it was checked: how values look.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// How much of a refused text is repeated in the complaint, in characters.
const REPEATED_CHARS_MAX: usize = 60;

/// A value that passed its check. Displayed as TOML.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Seconds(f64),
    Count(u32),
    Address(Option<SocketAddr>),
    Choice(&'static str),
    Words(Vec<String>),
    Table(BTreeMap<String, String>),
    Switch(bool),
    Text(String),
    Secret(Secret),
    /// By names that are no secrets.
    Secrets(BTreeMap<String, Secret>),
    Number(f64),
}

/// A text that is used and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What is shown instead.
    pub const SHOWN: &'static str = "(set)";

    pub(super) fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself, for whoever has to prove something with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Secret::SHOWN)
    }
}

/// What somebody wrote, before it is known whether it will do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    Switch(bool),
    Whole(i128),
    Fraction(f64),
    Text(String),
    List(Vec<Given>),
    Table(Vec<(String, Given)>),
    /// Of a type that no setting has; the article and name of that type.
    Other(&'static str),
}

impl Given {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Given::Switch(_) => "a truth value",
            Given::Whole(_) | Given::Fraction(_) => "a number",
            Given::Text(_) => "a text",
            Given::List(_) => "a list",
            Given::Table(_) => "a table",
            Given::Other(name) => name,
        }
    }

    pub(super) fn from_json(value: serde_json::Value) -> Given {
        match value {
            serde_json::Value::Null => Given::Other("null"),
            serde_json::Value::Bool(on) => Given::Switch(on),
            serde_json::Value::Number(number) => match number.as_i128() {
                Some(whole) => Given::Whole(whole),
                None => Given::Fraction(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Given::Text(text),
            serde_json::Value::Array(items) => Given::List(items.into_iter().map(Given::from_json).collect()),
            serde_json::Value::Object(entries) => {
                Given::Table(entries.into_iter().map(|(key, value)| (key, Given::from_json(value))).collect())
            }
        }
    }
}

/// A text to be repeated to its author: escaped, quoted and not too long.
pub(super) fn quoted(text: &str) -> String {
    let start: String = text.chars().take(REPEATED_CHARS_MAX).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("\"{}{rest}\"", start.escape_debug())
}

impl Value {
    /// As [`super::kind::Kind::read_text`] reads it, without TOML's quotes around a single text.
    #[cfg(test)]
    pub(super) fn to_plain_text(&self) -> String {
        match self {
            Value::Choice(name) => (*name).to_owned(),
            Value::Text(text) => text.clone(),
            Value::Address(Some(address)) => address.to_string(),
            Value::Address(None) => "none".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Quotes a text as a basic TOML string.
fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// As an inline table.
fn toml_table<'a>(entries: impl Iterator<Item = (&'a String, &'a str)>) -> String {
    let entries: Vec<String> =
        entries.map(|(name, text)| format!("{} = {}", toml_text(name), toml_text(text))).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Seconds(seconds) => write!(f, "{seconds}"),
            Value::Count(count) => write!(f, "{count}"),
            Value::Address(Some(address)) => write!(f, "\"{address}\""),
            Value::Address(None) => f.write_str("\"none\""),
            Value::Choice(name) => write!(f, "\"{name}\""),
            Value::Switch(on) => write!(f, "{on}"),
            Value::Text(text) => f.write_str(&toml_text(text)),
            // With a point or an exponent, so that it is a float of TOML however long it is.
            Value::Number(number) => write!(f, "{number:?}"),
            Value::Secret(_) => f.write_str(&toml_text(Secret::SHOWN)),
            Value::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| toml_text(word)).collect();
                write!(f, "[{}]", words.join(", "))
            }
            Value::Table(table) => f.write_str(&toml_table(table.iter().map(|(name, text)| (name, text.as_str())))),
            Value::Secrets(table) => f.write_str(&toml_table(table.keys().map(|name| (name, Secret::SHOWN)))),
        }
    }
}
