//! What a tool answered.

use super::error::CallError;
use crate::http::excerpt;
use crate::mcp::protocol::code;
use serde_json::{Map, Value};

/// The data of a tool's answer, wherever in the result it stood.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolAnswer {
    Object(Map<String, Value>),
    /// Structured, but no object: a list, a number.
    Value(Value),
    /// Text that is no JSON object.
    TextOnly(String),
}

impl ToolAnswer {
    /// Reads the result of `tools/call`: structured content if there is any, else the first text that is a JSON object,
    /// else the first text.
    pub(super) fn read(tool: &str, result: &Value) -> Result<ToolAnswer, CallError> {
        if result["isError"] == Value::Bool(true) {
            let said = texts(result).collect::<Vec<_>>().join(" ");
            return Err(tool_error(tool, &said));
        }
        if result["resultType"] == "input_required" {
            let reason = "it asks for input, which this client does not give";
            return Err(CallError::ToolUnreadable { tool: tool.to_owned(), reason });
        }
        let answer = structured(&result["structuredContent"]).or_else(|| in_texts(result));
        match answer {
            Some(ToolAnswer::Object(object)) if object.get("success") == Some(&Value::Bool(false)) => {
                Err(CallError::ToolFailed { tool: tool.to_owned(), said: reported(&object) })
            }
            Some(answer) => Ok(answer),
            None => Err(CallError::ToolUnreadable { tool: tool.to_owned(), reason: "it has no text either" }),
        }
    }
}

/// A wrapper around what is no object is taken off: servers put it there because structured content must be one.
fn structured(content: &Value) -> Option<ToolAnswer> {
    let object = content.as_object()?;
    let inner = if object.len() == 1 { object.get("result").unwrap_or(content) } else { content };
    Some(match inner {
        Value::Object(object) => ToolAnswer::Object(object.clone()),
        Value::String(text) => of_text(text),
        other => ToolAnswer::Value(other.clone()),
    })
}

fn in_texts(result: &Value) -> Option<ToolAnswer> {
    let mut answers = texts(result).map(of_text);
    let first = answers.next()?;
    if matches!(first, ToolAnswer::Object(_)) {
        return Some(first);
    }
    Some(answers.find(|answer| matches!(answer, ToolAnswer::Object(_))).unwrap_or(first))
}

fn of_text(text: &str) -> ToolAnswer {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => ToolAnswer::Object(object),
        _ => ToolAnswer::TextOnly(text.to_owned()),
    }
}

fn texts(result: &Value) -> impl Iterator<Item = &str> {
    let blocks = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    blocks.iter().filter(|block| block["type"] == "text").filter_map(|block| block["text"].as_str())
}

/// What a tool says of its failure.
fn reported(object: &Map<String, Value>) -> String {
    let said =
        ["error", "message", "detail"].into_iter().find_map(|key| object.get(key).filter(|said| !said.is_null()));
    match said {
        Some(Value::String(said)) => excerpt(said),
        Some(said) => excerpt(&said.to_string()),
        None => "it did not say why".to_owned(),
    }
}

/// An unknown tool is an error of a tool to some servers and of the parameters to others, and has a code with none: the
/// text is all there is to tell it by.
fn tool_error(tool: &str, said: &str) -> CallError {
    let (tool, said) = (tool.to_owned(), excerpt(said));
    if says_unknown(&said) { CallError::ToolMissing { tool, said } } else { CallError::ToolFailed { tool, said } }
}

fn says_unknown(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    said.starts_with("unknown tool") || (said.starts_with("tool ") && said.ends_with(" not found"))
}

/// Whether an error of the request is about the tool after all.
pub(super) fn about_tool(tool: &str, error: CallError) -> CallError {
    match error {
        CallError::Rejected { code: code::INVALID_PARAMS, said, .. } if says_unknown(&said) => {
            CallError::ToolMissing { tool: tool.to_owned(), said }
        }
        error => error,
    }
}
