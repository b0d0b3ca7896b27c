//! The kinds of values that a setting may have: how each is read and checked, and the words for it.

use std::collections::BTreeMap;

use super::value::{Given, Secret, Value, quoted};
use super::{headers, hook};

/// Longest list, and largest table, that a setting may have.
pub(super) const ENTRIES_MAX: usize = 256;
/// Longest name that something is known by.
const ID_BYTES_MAX: usize = 64;
/// Longest name of a tool.
const TOOL_BYTES_MAX: usize = 128;
/// Longest name of a metric.
const METRIC_BYTES_MAX: usize = 200;
pub(super) const SECRET_BYTES_MAX: usize = 4096;
/// Longest text, and longest name of an attribute.
const TEXT_BYTES_MAX: usize = 255;

/// What a setting may be, and its default.
#[derive(Debug)]
pub(super) enum Kind {
    Seconds {
        default: f64,
        least: f64,
        most: f64,
    },
    Count {
        default: u32,
        least: u32,
        most: u32,
    },
    Address {
        default: &'static str,
    },
    Choice {
        default: Option<&'static str>,
        names: &'static [&'static str],
    },
    Words {
        default: &'static [&'static str],
    },
    /// As [`Kind::Words`], but it must be given.
    Command,
    /// Of events; all unless somebody names some.
    Channels,
    /// Names of events; all when there are none.
    Events,
    /// Hosts; none unless somebody names some.
    Hosts,
    /// The same of whole origins.
    Origins,
    Table,
    Switch {
        default: bool,
    },
    /// The name that something is known by.
    Id,
    /// `None`: it must be given.
    Endpoint {
        default: Option<&'static str>,
    },
    /// Where metrics are posted; not set unless somebody sets it.
    Collector,
    Tools {
        default: &'static [&'static str],
    },
    Secret,
    /// Of HTTP; the values are secrets.
    Headers,
    /// Of a resource.
    Attributes,
    Text {
        default: &'static str,
    },
    Metric,
    Labels,
    /// Not set unless somebody sets it.
    Number,
}

impl Kind {
    pub(super) fn default(&self) -> Option<Value> {
        match *self {
            Kind::Seconds { default, .. } => Some(Value::Seconds(default)),
            Kind::Count { default, .. } => Some(Value::Count(default)),
            Kind::Address { default, .. } => Some(Value::Address(default.parse().ok())),
            Kind::Choice { default, .. } => default.map(Value::Choice),
            Kind::Words { default } | Kind::Tools { default } => {
                Some(Value::Words(default.iter().map(|&word| word.to_owned()).collect()))
            }
            Kind::Channels => Some(Value::Words(vec!["*".to_owned()])),
            Kind::Hosts | Kind::Origins | Kind::Events => Some(Value::Words(Vec::new())),
            Kind::Table | Kind::Labels | Kind::Attributes => Some(Value::Table(BTreeMap::new())),
            Kind::Switch { default } => Some(Value::Switch(default)),
            Kind::Headers => Some(Value::Secrets(BTreeMap::new())),
            Kind::Text { default } => Some(Value::Text(default.to_owned())),
            Kind::Endpoint { default } => default.map(|url| Value::Text(url.to_owned())),
            Kind::Collector | Kind::Command | Kind::Id | Kind::Secret | Kind::Metric | Kind::Number => None,
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
            Kind::Words { .. } | Kind::Command => "a list of texts, the first of them a program".to_owned(),
            Kind::Channels => "a list of channels, like \"pool:local\", \"alerts\" or \"*\"".to_owned(),
            Kind::Events => "a list of names of events, like \"task.completed\"".to_owned(),
            Kind::Hosts => "a list of hosts, like \"board.example\"".to_owned(),
            Kind::Origins => "a list of origins, like \"https://board.example\"".to_owned(),
            Kind::Table => "a table of variable names and texts".to_owned(),
            Kind::Switch { .. } => "true or false".to_owned(),
            Kind::Id => {
                "a name of at most 64 ASCII letters, digits, dots, underscores and dashes, a letter or digit first"
                    .to_owned()
            }
            Kind::Endpoint { .. } => "an http or https URL with a host, like \"http://localhost:8678/mcp\"".to_owned(),
            Kind::Collector => "an http or https URL with a host, like \"http://localhost:4318/v1/metrics\"".to_owned(),
            Kind::Tools { .. } => "a list of names of tools, each of them once".to_owned(),
            Kind::Metric => "the name of a metric, like \"session_buddy.sessions.active\"".to_owned(),
            Kind::Labels => "a table of label names and texts".to_owned(),
            Kind::Headers => "a table of header names and texts".to_owned(),
            Kind::Attributes => "a table of attribute names and texts".to_owned(),
            Kind::Text { .. } => "a text of 1 to 255 bytes".to_owned(),
            Kind::Number => "a finite number".to_owned(),
            Kind::Secret => "a text of 1 to 4096 visible ASCII characters".to_owned(),
        }
    }

    /// Whether somebody has to give one, because there is no default and it cannot be left out.
    pub(super) fn is_required(&self) -> bool {
        matches!(self, Kind::Id | Kind::Command | Kind::Metric | Kind::Endpoint { default: None })
    }

    /// Reads what stands in an environment variable or after a flag, where everything is text.
    pub(super) fn read_text(&self, text: &str) -> Result<Given, String> {
        let text = text.trim();
        match self {
            Kind::Seconds { .. } | Kind::Count { .. } | Kind::Number => {
                match (text.parse::<i128>(), text.parse::<f64>()) {
                    (Ok(whole), _) => Ok(Given::Whole(whole)),
                    (_, Ok(fraction)) => Ok(Given::Fraction(fraction)),
                    _ => Ok(Given::Text(text.to_owned())),
                }
            }
            Kind::Address { .. }
            | Kind::Choice { .. }
            | Kind::Endpoint { .. }
            | Kind::Collector
            | Kind::Text { .. }
            | Kind::Id
            | Kind::Metric
            | Kind::Secret => Ok(Given::Text(text.to_owned())),
            Kind::Switch { .. } => Ok(read_switch(text)),
            Kind::Hosts | Kind::Origins if text.is_empty() => Ok(Given::List(Vec::new())),
            Kind::Words { .. }
            | Kind::Command
            | Kind::Channels
            | Kind::Events
            | Kind::Tools { .. }
            | Kind::Hosts
            | Kind::Origins
                if !text.starts_with('[') =>
            {
                Ok(Given::List(text.split(',').map(|word| Given::Text(word.trim().to_owned())).collect()))
            }
            Kind::Words { .. }
            | Kind::Command
            | Kind::Channels
            | Kind::Events
            | Kind::Tools { .. }
            | Kind::Hosts
            | Kind::Origins
            | Kind::Table
            | Kind::Labels
            | Kind::Headers
            | Kind::Attributes => match serde_json::from_str(text) {
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
            (Kind::Words { .. } | Kind::Command, Given::List(items)) => check_words(items).or_else(unfit),
            (Kind::Channels | Kind::Events, Given::List(items)) if items.len() > ENTRIES_MAX => {
                unfit(format!("{} of them", items.len()))
            }
            (Kind::Channels, Given::List(items)) => hook::check_channels(items).or_else(unfit),
            (Kind::Events, Given::List(items)) => hook::check_events(items).or_else(unfit),
            (Kind::Table, Given::Table(entries)) => check_table(entries, is_variable).or_else(unfit),
            (Kind::Labels, Given::Table(entries)) => check_table(entries, is_label).or_else(unfit),
            (Kind::Attributes, Given::Table(entries)) => check_table(entries, is_attribute).or_else(unfit),
            (Kind::Headers, Given::Table(entries)) => headers::check(entries).or_else(unfit),
            (Kind::Text { .. }, Given::Text(text)) if is_line(text) => Ok(Value::Text(text.clone())),
            (Kind::Text { .. }, Given::Text(text)) => unfit(quoted(text)),
            (Kind::Metric, Given::Text(text)) if is_metric(text) => Ok(Value::Text(text.clone())),
            (Kind::Metric, Given::Text(text)) => unfit(quoted(text)),
            (Kind::Number, Given::Whole(whole)) => Ok(Value::Number(*whole as f64)),
            (Kind::Number, Given::Fraction(number)) if number.is_finite() => Ok(Value::Number(*number)),
            (Kind::Number, Given::Fraction(number)) => unfit(number.to_string()),
            (Kind::Switch { .. }, Given::Switch(on)) => Ok(Value::Switch(*on)),
            (Kind::Switch { .. }, Given::Text(text)) => unfit(quoted(text)),
            (Kind::Id, Given::Text(text)) if is_id(text) => Ok(Value::Text(text.clone())),
            (Kind::Id, Given::Text(text)) => unfit(quoted(text)),
            (Kind::Endpoint { .. } | Kind::Collector, Given::Text(text)) => check_endpoint(text).or_else(unfit),
            (Kind::Tools { .. }, Given::List(items)) => check_tools(items).or_else(unfit),
            (Kind::Hosts | Kind::Origins, Given::List(items)) => check_hosts(items).or_else(unfit),
            (Kind::Secret, Given::Text(text)) => check_secret(text).or_else(unfit),
            (Kind::Seconds { .. } | Kind::Count { .. } | Kind::Number, Given::Text(text)) => unfit(quoted(text)),
            (_, other) => unfit(other.type_name().to_owned()),
        }
    }
}

/// The words of the original's environment for true and false, in any case; anything else stays what it is.
fn read_switch(text: &str) -> Given {
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(&["true", "1", "yes", "on", "t", "y"]) {
        Given::Switch(true)
    } else if is_one_of(&["false", "0", "no", "off", "f", "n"]) {
        Given::Switch(false)
    } else {
        Given::Text(text.to_owned())
    }
}

fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= ID_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn check_endpoint(text: &str) -> Result<Value, String> {
    match crate::endpoint::fault(text) {
        None => Ok(Value::Text(text.to_owned())),
        // There may be a password in it, which is not for the log.
        Some(fault) if text.contains('@') => Err(format!("one {fault}")),
        Some(fault) => Err(format!("one {fault}: {}", quoted(text))),
    }
}

fn check_hosts(items: &[Given]) -> Result<Value, String> {
    if items.len() > ENTRIES_MAX {
        return Err(format!("one of {} entries", items.len()));
    }
    let host = |item: &Given| match item {
        Given::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.clone()),
        Given::Text(text) => Err(format!("one with {}", quoted(text))),
        other => Err(format!("one with {}", other.type_name())),
    };
    items.iter().map(host).collect::<Result<_, _>>().map(Value::Words)
}

fn check_tools(items: &[Given]) -> Result<Value, String> {
    if items.len() > ENTRIES_MAX {
        return Err(format!("{} of them", items.len()));
    }
    let mut tools: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Given::Text(tool) if tools.contains(tool) => return Err(format!("a list with {} twice", quoted(tool))),
            Given::Text(tool) if is_tool(tool) => tools.push(tool.clone()),
            Given::Text(other) => return Err(format!("a list with {} in it", quoted(other))),
            other => return Err(format!("a list with {} in it", other.type_name())),
        }
    }
    if tools.is_empty() { Err("an empty list".to_owned()) } else { Ok(Value::Words(tools)) }
}

/// The protocol leaves much open; what no server can mean is refused.
fn is_tool(name: &str) -> bool {
    let odd = |char: char| char.is_whitespace() || char.is_control();
    !name.is_empty() && name.len() <= TOOL_BYTES_MAX && !name.contains(odd)
}

/// Never repeats what was written.
fn check_secret(text: &str) -> Result<Value, String> {
    if text == Secret::SHOWN {
        Err("what stands for it in `config show`".to_owned())
    } else if text.is_empty() {
        Err("an empty one".to_owned())
    } else if text.len() > SECRET_BYTES_MAX {
        Err("a longer one".to_owned())
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("one with another character in it".to_owned())
    } else {
        Ok(Value::Secret(Secret::new(text)))
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

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// What the name of the service is has a setting of its own.
fn is_attribute(name: &str) -> bool {
    is_line(name) && name != "service.name"
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
}

/// What Prometheus allows, but for names that it keeps for itself.
fn is_label(name: &str) -> bool {
    is_word(name, |byte| byte == b'_') && !name.starts_with("__")
}

/// What Prometheus allows, and dots.
fn is_metric(name: &str) -> bool {
    name.len() <= METRIC_BYTES_MAX && !name.starts_with('.') && is_word(name, |byte| matches!(byte, b'_' | b':' | b'.'))
}

fn is_word(name: &str, also: fn(u8) -> bool) -> bool {
    let digit_first = name.starts_with(|first: char| first.is_ascii_digit());
    !name.is_empty() && !digit_first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || also(byte))
}

fn check_table(entries: &[(String, Given)], is_name: fn(&str) -> bool) -> Result<Value, String> {
    if entries.len() > ENTRIES_MAX {
        return Err(format!("{} of them", entries.len()));
    }
    let mut table = BTreeMap::new();
    for (name, value) in entries {
        if !is_name(name) {
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

#[cfg(test)]
mod tests;
