//! A file as a tree of values with their places, whichever language it is written in.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Values within values that a workflow file may have; the shape needs five, a context the rest.
const DEPTH_MAX: usize = 32;

/// A value and the bytes of the source that it takes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Fraction(f64),
    Truth(bool),
    Nothing,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: usize,
    pub(super) node: Node,
}

/// No tree at all.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) at: usize,
    pub(super) sentence: String,
}

impl Value {
    /// What it is, for a complaint.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) | Value::Fraction(_) => "a number",
            Value::Truth(_) => "a truth value",
            Value::Nothing => "null",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Node {
    pub(super) fn at(&self) -> usize {
        self.span.start
    }

    /// As JSON, for a context.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Fraction(number) => (*number).into(),
            Value::Truth(truth) => (*truth).into(),
            Value::Nothing => serde_json::Value::Null,
            Value::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Value::Table(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
            ),
        }
    }
}

pub(super) fn from_toml(source: &str) -> Result<Node, Unreadable> {
    let table = DeTable::parse(source).map_err(|error| Unreadable {
        at: error.span().map_or(0, |span| span.start),
        sentence: error.message().replace('\n', ", "),
    })?;
    Ok(Node { span: 0..source.len(), value: toml_table(table.get_ref()) })
}

fn toml_table(table: &DeTable<'_>) -> Value {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_at: key.span().start,
            node: Node { span: value.span(), value: toml_value(value.get_ref()) },
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_at);
    Value::Table(entries)
}

fn toml_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(whole) => Value::Integer(whole),
            Err(_) => Value::Fraction(integer.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(float) => Value::Fraction(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Truth(*truth),
        DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
        DeValue::Array(items) => Value::List(
            items.iter().map(|item| Node { span: item.span(), value: toml_value(item.get_ref()) }).collect(),
        ),
        DeValue::Table(table) => toml_table(table),
    }
}

pub(super) fn from_json(source: &str) -> Result<Node, Unreadable> {
    let raw: &RawValue = serde_json::from_str(source).map_err(|error| misread(source, &error))?;
    json_node(source, raw.get(), 0)
}

/// Where serde_json says that it is, as a byte of the source.
fn misread(source: &str, error: &serde_json::Error) -> Unreadable {
    let line_start: usize = source.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let text = error.to_string();
    let sentence = text.split(" at line ").next().unwrap_or_default().to_owned();
    Unreadable { at: line_start + error.column().saturating_sub(1), sentence: format!("it is no JSON: {sentence}") }
}

/// `text` is a part of `source`: how far into it says where it stands.
fn json_node(source: &str, text: &str, depth: usize) -> Result<Node, Unreadable> {
    let at = place_in(source, text);
    let within = |error: serde_json::Error| Unreadable { at, sentence: format!("it is no JSON: {error}") };
    if depth > DEPTH_MAX {
        return Err(Unreadable { at, sentence: format!("values are nested more than {DEPTH_MAX} deep") });
    }
    let value = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(within)?;
            let mut entries: Vec<Entry> = Vec::with_capacity(members.len());
            let mut seen = HashSet::new();
            for (key, raw) in members {
                let node = json_node(source, raw.get(), depth + 1)?;
                let key_at = match &key {
                    // Behind its quotation mark.
                    Cow::Borrowed(key) => place_in(source, key).saturating_sub(1),
                    Cow::Owned(_) => node.at(),
                };
                if !seen.insert(key.clone()) {
                    return Err(Unreadable { at: key_at, sentence: format!("duplicate key {key:?}") });
                }
                entries.push(Entry { key: key.into_owned(), key_at, node });
            }
            Value::Table(entries)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(within)?;
            Value::List(items.iter().map(|raw| json_node(source, raw.get(), depth + 1)).collect::<Result<_, _>>()?)
        }
        _ => match serde_json::from_str(text).map_err(within)? {
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Bool(truth) => Value::Truth(truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Value::Integer(whole),
                None => Value::Fraction(number.as_f64().unwrap_or(f64::NAN)),
            },
            _ => Value::Nothing,
        },
    };
    Ok(Node { span: at..at + text.len(), value })
}

fn place_in(source: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(source.as_ptr() as usize).min(source.len())
}

/// The members of an object as they stand, also those with the same key.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// A key that is borrowed where it can be, which a plain `Cow` is not.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
