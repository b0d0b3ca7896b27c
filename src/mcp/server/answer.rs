//! What goes to a client: results, errors and notifications, as bytes.

use super::context::Context;
use super::message::Id;
use crate::mcp::protocol::{Era, RpcError, code, meta};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// A message for the client, and the status that it has where HTTP carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why a message is not served.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    pub(super) id: Option<Id>,
    /// Of HTTP.
    pub(super) status: u16,
    pub(super) error: RpcError,
}

impl Rejected {
    pub(super) fn answer(&self) -> Answer {
        error(self.id.as_ref(), self.status, &self.error)
    }
}

/// What a request has come to.
#[derive(Clone, Debug)]
pub enum Done {
    /// The members of the result.
    Complete(Map<String, Value>),
    /// What a tool answers, a JSON object. It goes out twice: as it is, and as the text of it.
    Answered(Box<RawValue>),
    /// It goes on by itself, as a task of the tasks extension (SEP-2663).
    Task(Map<String, Value>),
}

/// What a request has come to, or the error that answers it.
pub type Outcome = Result<Done, RpcError>;

/// Who answers, as each result of the modern era says.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) version: &'static str,
}

impl Signature {
    pub(super) fn shown(&self) -> Value {
        json!({"name": self.name, "title": self.title, "version": self.version})
    }
}

pub(super) fn outcome(id: &Id, context: &Context, signature: &Signature, outcome: Outcome) -> Answer {
    let (kind, mut result) = match outcome {
        Ok(Done::Complete(result)) => ("complete", result),
        Ok(Done::Answered(structured)) => return answered(id, context, signature, &structured),
        Ok(Done::Task(result)) => ("task", result),
        Err(found) => return error(Some(id), status_of(context.era, &found), &found),
    };
    if context.era == Era::Modern {
        result.insert("resultType".to_owned(), kind.into());
        let meta = result.entry("_meta").or_insert_with(|| json!({}));
        if let Value::Object(meta) = meta {
            meta.insert(meta::SERVER_INFO.to_owned(), signature.shown());
        }
    }
    let result = Value::Object(result);
    Answer { status: 200, body: format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes() }
}

/// What a tool answers, written once: it may be long, and there is nothing to be changed in it.
fn answered(id: &Id, context: &Context, signature: &Signature, structured: &RawValue) -> Answer {
    let structured = structured.get();
    // With room for what is escaped in the text.
    let mut body = Vec::with_capacity(structured.len() * 5 / 2 + 256);
    let begin = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"#);
    body.extend_from_slice(begin.as_bytes());
    // Into memory, and of a text: nothing in it can fail.
    let _ = serde_json::to_writer(&mut body, structured);
    body.extend_from_slice(br#"}],"structuredContent":"#);
    body.extend_from_slice(structured.as_bytes());
    if context.era == Era::Modern {
        let meta = format!(r#","resultType":"complete","_meta":{{"{}":{}}}"#, meta::SERVER_INFO, signature.shown());
        body.extend_from_slice(meta.as_bytes());
    }
    body.extend_from_slice(b"}}");
    Answer { status: 200, body }
}

fn error(id: Option<&Id>, status: u16, error: &RpcError) -> Answer {
    let id = id.map_or_else(|| "null".to_owned(), ToString::to_string);
    let error = json!(error);
    Answer { status, body: format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into_bytes() }
}

/// The modern era gives some errors a status of their own.
fn status_of(era: Era, error: &RpcError) -> u16 {
    match (era, error.code) {
        (Era::Modern, code::METHOD_NOT_FOUND) => 404,
        (Era::Modern, code::HEADER_MISMATCH | code::MISSING_CAPABILITY | code::UNSUPPORTED_VERSION) => 400,
        _ => 200,
    }
}

pub(super) fn notification(method: &str, params: &Value) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","method":{},"params":{params}}}"#, Value::from(method)).into_bytes()
}
