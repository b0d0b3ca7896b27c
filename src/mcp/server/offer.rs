//! What a server offers: who it is, its tools, prompts and resources, and how each is served.

use super::step::{Order, Step};
use crate::mcp::protocol::code;
use serde_json::{Map, Value, json};

/// What the engine serves. One is shared by all connections.
pub trait Offer: Send + Sync {
    fn card(&self) -> &Card;
    fn tools(&self) -> &[Tool];
    fn prompts(&self) -> &[Prompt];
    fn templates(&self) -> &[Template];
    /// The first step of an order: quick, for whoever serves connections takes it.
    fn begin(&self, order: Order) -> Step;
    /// What a tool can only be called with: a capability of the client, such as `sampling`.
    fn requires(&self, tool: &str) -> Option<&'static str> {
        let _ = tool;
        None
    }
    /// The channel of events that a resource follows; `None` when nobody can subscribe to it.
    fn channel(&self, uri: &str) -> Option<String>;
}

/// Who the server is.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    pub name: &'static str,
    pub title: &'static str,
    pub version: &'static str,
    /// For the model: what the server is good for, and where to begin.
    pub instructions: &'static str,
    /// The same for one that may only read.
    pub instructions_reading: &'static str,
}

/// What a tool does to the world, as a hint for those who ask before they let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Reads,
    /// It adds something. Whether a second call with the same arguments adds nothing more.
    Adds { again: bool },
    /// It ends or removes something, and a second call changes nothing more.
    Ends,
}

#[derive(Clone, Debug)]
pub struct Tool {
    pub name: &'static str,
    pub title: &'static str,
    /// For the model that chooses it.
    pub description: &'static str,
    /// JSON schema of the arguments.
    pub input: Value,
    /// JSON schema of what it answers when it has succeeded.
    pub output: Option<Value>,
    pub effect: Effect,
    /// Whether it reaches beyond this program: what runs on a pool may do anything.
    pub open_world: bool,
    /// Whether its answer may be long in coming; it is streamed then, with progress.
    pub waits: bool,
}

impl Tool {
    pub(super) fn shown(&self) -> Value {
        let (reads, ends, again) = match self.effect {
            Effect::Reads => (true, false, true),
            Effect::Adds { again } => (false, false, again),
            Effect::Ends => (false, true, true),
        };
        let mut shown = json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input,
            "annotations": {
                "title": self.title,
                "readOnlyHint": reads,
                "destructiveHint": ends,
                "idempotentHint": again,
                "openWorldHint": self.open_world,
            },
        });
        if let Some(output) = &self.output {
            shown["outputSchema"] = output.clone();
        }
        shown
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Argument {
    pub name: &'static str,
    pub description: &'static str,
    pub required: bool,
}

/// A text that a person may have the model begin with.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// The tool that it has the model call, where it is nothing without.
    pub tool: Option<&'static str>,
    pub arguments: &'static [Argument],
}

impl Prompt {
    pub(super) fn shown(&self) -> Value {
        let argument = |it: &Argument| json!({"name": it.name, "description": it.description, "required": it.required});
        let arguments: Vec<Value> = self.arguments.iter().map(argument).collect();
        json!({"name": self.name, "title": self.title, "description": self.description, "arguments": arguments})
    }

    /// The first argument that must be there and is not.
    pub(super) fn missing(&self, arguments: &Map<String, Value>) -> Option<&'static str> {
        let is_missing = |it: &&Argument| it.required && !arguments.get(it.name).is_some_and(Value::is_string);
        self.arguments.iter().find(is_missing).map(|it| it.name)
    }
}

/// Resources whose addresses are made of a name and an id.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    pub uri: &'static str,
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub mime_type: &'static str,
}

impl Template {
    pub(super) fn shown(&self) -> Value {
        json!({
            "uriTemplate": self.uri,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mimeType": self.mime_type,
        })
    }
}

/// Nothing.
impl Offer for () {
    fn card(&self) -> &Card {
        const CARD: Card =
            Card { name: "nothing", title: "Nothing", version: "0", instructions: "", instructions_reading: "" };
        &CARD
    }

    fn tools(&self) -> &[Tool] {
        &[]
    }

    fn prompts(&self) -> &[Prompt] {
        &[]
    }

    fn templates(&self) -> &[Template] {
        &[]
    }

    fn begin(&self, _: Order) -> Step {
        Step::error(code::METHOD_NOT_FOUND, "nothing is offered here")
    }

    fn channel(&self, _: &str) -> Option<String> {
        None
    }
}
