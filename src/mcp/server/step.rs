//! What is to be done for a request, and what it takes: questions to the hub and to the store, one after the other.
//! Nothing in here waits; whoever serves connections takes the steps.

use super::answer::{Done, Outcome};
use crate::mcp::protocol::{RpcError, code};
use crate::model::command::{Command, Refusal, Reply};
use crate::ports::Reader;
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What a client has asked for, checked as far as the protocol goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// `as_task`: the client is content with a task that it can follow.
    Call {
        tool: &'static str,
        arguments: Map<String, Value>,
        as_task: bool,
    },
    /// The resources that there are to be named.
    Resources,
    Read {
        uri: String,
    },
    Prompt {
        name: &'static str,
        arguments: Map<String, Value>,
    },
    Task {
        id: String,
    },
    CancelTask {
        id: String,
    },
}

/// What follows something.
pub type After<T> = Box<dyn FnOnce(T) -> Step + Send>;
/// A look into the store, and what follows it.
pub type Look = Box<dyn FnOnce(&mut dyn Reader) -> Step + Send>;

/// What comes next.
pub enum Step {
    Done(Outcome),
    Ask(Box<Question>),
    /// Something to be looked up in the store.
    Look(Look),
    /// Something to be told on the way.
    Tell {
        progress: Progress,
        then: After<()>,
    },
    /// Nothing for a while.
    Pause {
        wait: Duration,
        then: After<()>,
    },
}

/// A question to the hub.
///
/// A client may give up between two questions as well: whoever takes the steps goes on as far as the next question, and
/// asks what would abort it instead.
pub struct Question {
    pub command: Command,
    /// What undoes what has been begun, when the client gives up meanwhile. The hub takes it after the command.
    pub abort: Vec<Command>,
    pub then: After<Result<Reply, Refusal>>,
}

/// How far something has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Grows with each, if only by a little.
    pub done: f64,
    pub total: Option<u64>,
    pub message: Option<String>,
}

impl Progress {
    pub(super) fn params(&self, token: &Value) -> Value {
        let whole = (self.done.fract() == 0.0).then_some(self.done as u64);
        let done = whole.map_or_else(|| Value::from(self.done), Value::from);
        let mut params = json!({"progressToken": token, "progress": done});
        if let Some(total) = self.total {
            params["total"] = total.into();
        }
        if let Some(message) = &self.message {
            params["message"] = message.as_str().into();
        }
        params
    }
}

impl Step {
    pub fn ask(command: Command, then: impl FnOnce(Result<Reply, Refusal>) -> Step + Send + 'static) -> Step {
        Step::Ask(Box::new(Question { command, abort: Vec::new(), then: Box::new(then) }))
    }

    /// As [`ask`](Step::ask), for a question that waits for something which `abort` ends.
    pub fn ask_or_abort(
        command: Command,
        abort: Vec<Command>,
        then: impl FnOnce(Result<Reply, Refusal>) -> Step + Send + 'static,
    ) -> Step {
        Step::Ask(Box::new(Question { command, abort, then: Box::new(then) }))
    }

    pub fn look(look: impl FnOnce(&mut dyn Reader) -> Step + Send + 'static) -> Step {
        Step::Look(Box::new(look))
    }

    pub fn tell(progress: Progress, then: impl FnOnce() -> Step + Send + 'static) -> Step {
        Step::Tell { progress, then: Box::new(move |()| then()) }
    }

    pub fn pause(wait: Duration, then: impl FnOnce() -> Step + Send + 'static) -> Step {
        Step::Pause { wait, then: Box::new(move |()| then()) }
    }

    /// What a tool answers: an object, told as JSON and as the text of it.
    pub fn answered(structured: &impl Serialize) -> Step {
        match to_raw_value(structured) {
            Ok(structured) if structured.get().starts_with('{') => Step::Done(Ok(Done::Answered(structured))),
            Ok(_) => Step::error(code::INTERNAL_ERROR, "what the tool answers is no object"),
            Err(error) => Step::error(code::INTERNAL_ERROR, &format!("what the tool answers is no JSON: {error}")),
        }
    }

    /// What a tool says that could not do what it was asked to; the model reads it and may do better. Everything useful is in
    /// the text.
    pub fn failed(details: &Value) -> Step {
        Step::complete(tool_failure(details))
    }

    /// The members of a result, which must be an object.
    pub fn complete(result: Value) -> Step {
        match result {
            Value::Object(result) => Step::Done(Ok(Done::Complete(result))),
            _ => Step::error(code::INTERNAL_ERROR, "a result is no object"),
        }
    }

    /// A task that the client is to follow.
    pub fn task(task: Value) -> Step {
        match task {
            Value::Object(task) => Step::Done(Ok(Done::Task(task))),
            _ => Step::error(code::INTERNAL_ERROR, "a task is no object"),
        }
    }

    /// An error of the protocol, which the model does not get to see.
    pub fn error(code: i64, message: &str) -> Step {
        Step::Done(Err(RpcError::new(code, message)))
    }
}

/// The result of a call whose tool has answered.
pub fn tool_result(structured: Value) -> Value {
    let content = json!([{"type": "text", "text": structured.to_string()}]);
    json!({"content": content, "structuredContent": structured})
}

/// The result of a call whose tool could not do what it was asked to.
pub fn tool_failure(details: &Value) -> Value {
    let content = json!([{"type": "text", "text": details.to_string()}]);
    json!({"content": content, "isError": true})
}
