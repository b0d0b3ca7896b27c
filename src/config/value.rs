//! The kinds of values that a setting may have: how each is read, checked, kept and shown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::settings::Config;

/// Longest list, and largest table, that a setting may have.
const ENTRIES_MAX: usize = 256;
/// How much of a refused text is repeated in the complaint, in characters.
const REPEATED_CHARS_MAX: usize = 60;

/// What a setting may be, its default, and the field that keeps it.
#[derive(Debug)]
pub(super) enum Kind {
    Seconds { default: f64, least: f64, most: f64, field: fn(&mut Config) -> &mut Duration },
    Count { default: u32, least: u32, most: u32, field: fn(&mut Config) -> &mut u32 },
    Address { default: &'static str, field: fn(&mut Config) -> &mut Option<SocketAddr> },
    Choice { default: Option<&'static str>, names: &'static [&'static str], set: fn(&mut Config, &str) },
    Words { default: &'static [&'static str], field: fn(&mut Config) -> &mut Vec<String> },
    Table { field: fn(&mut Config) -> &mut BTreeMap<String, String> },
}

/// A value that passed its check. Displayed as TOML.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Seconds(f64),
    Count(u32),
    Address(Option<SocketAddr>),
    Choice(&'static str),
    Words(Vec<String>),
    Table(BTreeMap<String, String>),
}

/// What somebody wrote, before it is known whether it will do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    Whole(i128),
    Fraction(f64),
    Text(String),
    List(Vec<Given>),
    Table(Vec<(String, Given)>),
    /// Of a type that no setting has; the article and name of that type.
    Other(&'static str),
}

impl Given {
    fn type_name(&self) -> &'static str {
        match self {
            Given::Whole(_) | Given::Fraction(_) => "a number",
            Given::Text(_) => "a text",
            Given::List(_) => "a list",
            Given::Table(_) => "a table",
            Given::Other(name) => name,
        }
    }

    fn from_json(value: serde_json::Value) -> Given {
        match value {
            serde_json::Value::Null => Given::Other("null"),
            serde_json::Value::Bool(_) => Given::Other("a truth value"),
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

impl Kind {
    pub(super) fn default(&self) -> Option<Value> {
        match *self {
            Kind::Seconds { default, .. } => Some(Value::Seconds(default)),
            Kind::Count { default, .. } => Some(Value::Count(default)),
            Kind::Address { default, .. } => Some(Value::Address(default.parse().ok())),
            Kind::Choice { default, .. } => default.map(Value::Choice),
            Kind::Words { default, .. } => Some(Value::Words(default.iter().map(|&word| word.to_owned()).collect())),
            Kind::Table { .. } => Some(Value::Table(BTreeMap::new())),
        }
    }

    pub(super) fn expects(&self) -> String {
        match self {
            Kind::Seconds { least, most, .. } => {
                format!("a number of seconds from {least} to {most}")
            }
            Kind::Count { least, most, .. } => format!("a whole number from {least} to {most}"),
            Kind::Address { .. } => "an address and port like \"127.0.0.1:8690\", or \"none\"".to_owned(),
            Kind::Choice { names, .. } => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                format!("one of {}", names.join(", "))
            }
            Kind::Words { .. } => "a list of texts, the first of them a program".to_owned(),
            Kind::Table { .. } => "a table of variable names and texts".to_owned(),
        }
    }

    /// Reads what stands in an environment variable or after a flag, where everything is text.
    pub(super) fn read_text(&self, text: &str) -> Result<Given, String> {
        let text = text.trim();
        match self {
            Kind::Seconds { .. } | Kind::Count { .. } => match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(whole), _) => Ok(Given::Whole(whole)),
                (_, Ok(fraction)) => Ok(Given::Fraction(fraction)),
                _ => Ok(Given::Text(text.to_owned())),
            },
            Kind::Address { .. } | Kind::Choice { .. } => Ok(Given::Text(text.to_owned())),
            Kind::Words { .. } if !text.starts_with('[') => {
                Ok(Given::List(text.split(',').map(|word| Given::Text(word.trim().to_owned())).collect()))
            }
            Kind::Words { .. } | Kind::Table { .. } => match serde_json::from_str(text) {
                Ok(json) => Ok(Given::from_json(json)),
                Err(error) => Err(format!("must be {}, as JSON: {error}", self.expects())),
            },
        }
    }

    /// Whether it will do; if not, the sentence that follows the name of the setting.
    pub(super) fn check(&self, given: &Given) -> Result<Value, String> {
        let unfit = |what: String| Err(format!("must be {}, not {what}", self.expects()));
        match (self, given) {
            (Kind::Seconds { least, most, .. }, &Given::Whole(_) | &Given::Fraction(_)) => {
                let number = match *given {
                    Given::Whole(whole) => whole as f64,
                    Given::Fraction(fraction) => fraction,
                    _ => f64::NAN,
                };
                // NaN lies in no range.
                if (*least..=*most).contains(&number) { Ok(Value::Seconds(number)) } else { unfit(number.to_string()) }
            }
            (Kind::Count { least, most, .. }, &Given::Whole(whole)) => match u32::try_from(whole) {
                Ok(count) if (*least..=*most).contains(&count) => Ok(Value::Count(count)),
                _ => unfit(whole.to_string()),
            },
            (Kind::Count { .. }, Given::Fraction(fraction)) => unfit(fraction.to_string()),
            (Kind::Address { .. }, Given::Text(text)) if text == "none" => Ok(Value::Address(None)),
            (Kind::Address { .. }, Given::Text(text)) => match text.parse() {
                Ok(address) => Ok(Value::Address(Some(address))),
                Err(_) => unfit(quoted(text)),
            },
            (Kind::Choice { names, .. }, Given::Text(text)) => match names.iter().find(|&&name| name == text) {
                Some(name) => Ok(Value::Choice(name)),
                None => unfit(quoted(text)),
            },
            (Kind::Words { .. }, Given::List(items)) => check_words(items).or_else(unfit),
            (Kind::Table { .. }, Given::Table(entries)) => check_table(entries).or_else(unfit),
            (Kind::Seconds { .. } | Kind::Count { .. }, Given::Text(text)) => unfit(quoted(text)),
            (_, other) => unfit(other.type_name().to_owned()),
        }
    }

    pub(super) fn apply(&self, config: &mut Config, value: &Value) {
        match (self, value) {
            (Kind::Seconds { field, .. }, Value::Seconds(seconds)) => {
                *field(config) = Duration::from_secs_f64(*seconds);
            }
            (Kind::Count { field, .. }, Value::Count(count)) => *field(config) = *count,
            (Kind::Address { field, .. }, Value::Address(address)) => *field(config) = *address,
            (Kind::Choice { set, .. }, Value::Choice(name)) => set(config, name),
            (Kind::Words { field, .. }, Value::Words(words)) => field(config).clone_from(words),
            (Kind::Table { field, .. }, Value::Table(table)) => field(config).clone_from(table),
            (kind, value) => debug_assert!(false, "{value:?} was not made by {kind:?}"),
        }
    }
}

fn check_words(items: &[Given]) -> Result<Value, String> {
    if items.len() > ENTRIES_MAX {
        return Err(format!("{} of them", items.len()));
    }
    let mut words = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Given::Text(word) if word.contains('\0') => {
                return Err(format!("a list with {}", quoted(word)));
            }
            Given::Text(word) => words.push(word.clone()),
            other => return Err(format!("a list with {} in it", other.type_name())),
        }
    }
    match words.first() {
        None => Err("an empty list".to_owned()),
        Some(program) if program.is_empty() => Err("a list that begins with \"\"".to_owned()),
        Some(_) => Ok(Value::Words(words)),
    }
}

fn check_table(entries: &[(String, Given)]) -> Result<Value, String> {
    if entries.len() > ENTRIES_MAX {
        return Err(format!("{} of them", entries.len()));
    }
    let mut table = BTreeMap::new();
    for (name, value) in entries {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("a table with the name {}", quoted(name)));
        }
        match value {
            Given::Text(text) if !text.contains('\0') => table.insert(name.clone(), text.clone()),
            Given::Text(_) => {
                return Err(format!("a table whose {} has a NUL in it", quoted(name)));
            }
            other => {
                return Err(format!("a table whose {} is {}", quoted(name), other.type_name()));
            }
        };
    }
    Ok(Value::Table(table))
}

impl Value {
    /// As [`Kind::read_text`] reads it, without TOML's quotes around a single text.
    #[cfg(test)]
    pub(super) fn to_plain_text(&self) -> String {
        match self {
            Value::Choice(name) => (*name).to_owned(),
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

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Seconds(seconds) => write!(f, "{seconds}"),
            Value::Count(count) => write!(f, "{count}"),
            Value::Address(Some(address)) => write!(f, "\"{address}\""),
            Value::Address(None) => f.write_str("\"none\""),
            Value::Choice(name) => write!(f, "\"{name}\""),
            Value::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| toml_text(word)).collect();
                write!(f, "[{}]", words.join(", "))
            }
            Value::Table(table) if table.is_empty() => f.write_str("{}"),
            Value::Table(table) => {
                let entries: Vec<String> =
                    table.iter().map(|(name, text)| format!("{} = {}", toml_text(name), toml_text(text))).collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
