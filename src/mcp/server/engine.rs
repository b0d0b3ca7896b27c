//! What becomes of a message: an answer at once, or an order for whoever serves connections.

use super::answer::{self, Answer, Done, Outcome, Rejected, Signature};
use super::context::{Context, May, Unfit, Via};
use super::message::{Id, Message, parse};
use super::offer::{Effect, Offer, Prompt, Tool};
use super::step::{Order, Progress};
use crate::mcp::protocol::{Era, LEGACY_VERSIONS, MODERN_VERSION, RpcError, TASKS_EXTENSION, code, meta, method};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How long a client may keep what it was told of tools, prompts and resources: they change with the program only.
const LISTS_TTL_MILLIS: u64 = 300_000;
/// And of what a resource holds, or which there are.
const CONTENTS_TTL_MILLIS: u64 = 0;
/// Most resources that one stream follows.
pub const FOLLOWED_MAX: usize = 64;
/// The version that a client is told which wants one that is not spoken here.
const FALLBACK_VERSION: &str = "2025-06-18";

/// Takes messages for an offer. Shared by all connections; it keeps nothing of any.
#[derive(Clone)]
pub struct Engine {
    offer: Arc<dyn Offer>,
}

/// What is to be done about a message.
#[derive(Debug)]
pub enum Taken {
    /// Nothing more.
    Nothing,
    Answer(Answer),
    /// The client does not wait for that request any more.
    Cancel(Id),
    /// Something is to be done, and how its answer is told.
    Order(Box<Request>, Order),
    /// The client wants to be told of changes from here on.
    Listen(Box<Listening>),
}

/// A request that is under way, and how it is answered.
#[derive(Debug)]
pub struct Request {
    pub id: Id,
    pub context: Context,
    /// Whether its answer may be long in coming.
    pub waits: bool,
    told: Option<f64>,
}

/// A stream of changes.
#[derive(Debug)]
pub struct Listening {
    pub id: Id,
    context: Context,
    /// What the client is told first.
    pub opening: Vec<u8>,
    /// The resources that it follows, each with its channel of events.
    pub followed: Vec<(String, String)>,
}

impl Engine {
    pub fn new(offer: Arc<dyn Offer>) -> Engine {
        Engine { offer }
    }

    pub fn offer(&self) -> &dyn Offer {
        &*self.offer
    }

    /// Takes one message.
    pub fn take(&self, body: &[u8], via: Via<'_>, may: May) -> Taken {
        match parse(body) {
            Err(rejected) => Taken::Answer(rejected.answer()),
            Ok(Message::Response) => Taken::Nothing,
            Ok(Message::Notification { method, params }) => match Id::named(&params, "requestId") {
                Some(id) if method == method::CANCELLED => Taken::Cancel(id),
                _ => Taken::Nothing,
            },
            Ok(Message::Request { id, method, params }) => self.request(id, &method, params, via, may),
        }
    }

    fn request(&self, id: Id, name: &str, params: Map<String, Value>, via: Via<'_>, may: May) -> Taken {
        let context = match Context::of(name, &params, via, may, &*self.offer) {
            Ok(context) => context,
            Err(Unfit { status, error }) => {
                return Taken::Answer(Rejected { id: Some(id), status, error }.answer());
            }
        };
        let common = name == method::TOOLS_LIST || name == method::TOOLS_CALL;
        let routed = match context.era {
            _ if common => self.common(name, params, &context),
            Era::Legacy if name == method::INITIALIZE => Routed::Now(self.initialize(&params, context.may)),
            Era::Legacy if name == method::PING => Routed::Now(complete(json!({}))),
            Era::Modern if name == method::DISCOVER => Routed::Now(self.discover(context.may)),
            Era::Modern if name == method::LISTEN => return self.listen(id, context, &params),
            Era::Modern if name.starts_with("tasks/") => task(name, &params, &context),
            _ => self.common(name, params, &context),
        };
        match routed {
            Routed::Now(outcome) => Taken::Answer(self.answer(&id, &context, outcome)),
            Routed::Order { order, waits } => Taken::Order(Box::new(Request { id, context, waits, told: None }), order),
        }
    }

    /// What both eras have.
    fn common(&self, name: &str, params: Map<String, Value>, context: &Context) -> Routed {
        let list = |key: &str, items: Vec<Value>| Routed::Now(listed(key, items, &params));
        match name {
            method::TOOLS_LIST => {
                let tools = self.offer.tools().iter().filter(|tool| allows(context.may, tool));
                list("tools", tools.map(Tool::shown).collect())
            }
            method::PROMPTS_LIST => {
                let prompts = self.offer.prompts().iter().filter(|it| self.can_be_followed(context.may, it));
                list("prompts", prompts.map(Prompt::shown).collect())
            }
            method::RESOURCE_TEMPLATES_LIST => {
                list("resourceTemplates", self.offer.templates().iter().map(|it| it.shown()).collect())
            }
            method::RESOURCES_LIST => match only_page(&params) {
                Ok(()) => Routed::Order { order: Order::Resources, waits: false },
                Err(error) => Routed::Now(Err(error)),
            },
            method::RESOURCES_READ => match params.get("uri").and_then(Value::as_str) {
                Some(uri) => Routed::Order { order: Order::Read { uri: uri.to_owned() }, waits: false },
                None => Routed::invalid("uri must be a text"),
            },
            method::TOOLS_CALL => self.call(params, context),
            method::PROMPTS_GET => self.prompt(params, context.may),
            _ => Routed::Now(Err(RpcError::new(code::METHOD_NOT_FOUND, format!("there is no method {name}")))),
        }
    }

    fn call(&self, mut params: Map<String, Value>, context: &Context) -> Routed {
        let Some(Value::String(name)) = params.get("name") else {
            return Routed::invalid("name must be the name of a tool");
        };
        let Some(tool) = self.offer.tools().iter().find(|tool| tool.name == name) else {
            return Routed::invalid(&format!("Unknown tool: {name}"));
        };
        if !allows(context.may, tool) {
            return Routed::invalid(&format!("{name} does more than the token for reading allows; use the full one"));
        }
        if let Some(required) = self.offer.requires(tool.name)
            && !context.capabilities.contains_key(required)
        {
            return Routed::lacking(&format!("{name} needs a client with {required}"), json!({required: {}}));
        }
        let arguments = match params.remove("arguments") {
            Some(Value::Object(arguments)) => arguments,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Routed::invalid("arguments must be an object"),
        };
        let order = Order::Call { tool: tool.name, arguments, as_task: context.knows_tasks };
        Routed::Order { order, waits: tool.waits }
    }

    /// Whether the tool that a prompt speaks of is there for whoever has come.
    fn can_be_followed(&self, may: May, prompt: &Prompt) -> bool {
        let tool = self.offer.tools().iter().find(|tool| Some(tool.name) == prompt.tool);
        tool.is_none_or(|tool| allows(may, tool))
    }

    fn prompt(&self, mut params: Map<String, Value>, may: May) -> Routed {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(prompt) = self.offer.prompts().iter().find(|prompt| prompt.name == name) else {
            return Routed::invalid(&format!("Unknown prompt: {name}"));
        };
        if !self.can_be_followed(may, prompt) {
            let why = "is about a tool that the token for reading does not allow; use the full one";
            return Routed::invalid(&format!("{} {why}", prompt.name));
        }
        let arguments = match params.remove("arguments") {
            Some(Value::Object(arguments)) => arguments,
            _ => Map::new(),
        };
        if let Some(missing) = prompt.missing(&arguments) {
            return Routed::invalid(&format!("the argument {missing} must be a text"));
        }
        Routed::Order { order: Order::Prompt { name: prompt.name, arguments }, waits: false }
    }

    fn initialize(&self, params: &Map<String, Value>, may: May) -> Outcome {
        let wanted = params.get("protocolVersion").and_then(Value::as_str);
        let Some(wanted) = wanted else {
            return Err(RpcError::new(code::INVALID_PARAMS, "protocolVersion must be a text"));
        };
        // What is older than this was spoken before answers had a structure; most of its clients take the newer one.
        let spoken = LEGACY_VERSIONS.iter().find(|version| **version == wanted && **version >= FALLBACK_VERSION);
        complete(json!({
            "protocolVersion": spoken.unwrap_or(&FALLBACK_VERSION),
            "capabilities": {"tools": {}, "resources": {}, "prompts": {}},
            "serverInfo": self.signature().shown(),
            "instructions": self.instructions(may),
        }))
    }

    fn instructions(&self, may: May) -> &'static str {
        let card = self.offer.card();
        if may == May::Act { card.instructions } else { card.instructions_reading }
    }

    fn discover(&self, may: May) -> Outcome {
        complete(json!({
            "supportedVersions": [MODERN_VERSION],
            "capabilities": {
                "tools": {},
                "resources": {"subscribe": true},
                "prompts": {},
                "extensions": {TASKS_EXTENSION: {}},
            },
            "instructions": self.instructions(may),
            "ttlMs": LISTS_TTL_MILLIS,
            "cacheScope": "private",
        }))
    }

    fn listen(&self, id: Id, context: Context, params: &Map<String, Value>) -> Taken {
        let refused = |why: &str| {
            let error = RpcError::new(code::INVALID_PARAMS, why);
            Taken::Answer(Rejected { id: Some(id.clone()), status: 400, error }.answer())
        };
        let Some(wanted) = params.get("notifications").and_then(Value::as_object) else {
            return refused("notifications must be an object");
        };
        let uris = match wanted.get("resourceSubscriptions") {
            None => Vec::new(),
            Some(Value::Array(uris)) if uris.iter().all(Value::is_string) => {
                uris.iter().filter_map(Value::as_str).collect()
            }
            Some(_) => return refused("resourceSubscriptions must be a list of texts"),
        };
        if uris.len() > FOLLOWED_MAX {
            return refused(&format!("one stream follows {FOLLOWED_MAX} resources at most; open another"));
        }
        let followed: Vec<(String, String)> =
            uris.into_iter().filter_map(|uri| Some((uri.to_owned(), self.offer.channel(uri)?))).collect();
        let mut notifications = json!({});
        if !followed.is_empty() {
            notifications["resourceSubscriptions"] = followed.iter().map(|(uri, _)| uri.as_str()).collect();
        }
        let params = json!({"_meta": {meta::SUBSCRIPTION_ID: value_of(&id)}, "notifications": notifications});
        let opening = answer::notification(method::ACKNOWLEDGED, &params);
        Taken::Listen(Box::new(Listening { id, context, opening, followed }))
    }

    /// The answer to what cannot be read because there is too much of it.
    pub fn too_large(&self, why: &str) -> Vec<u8> {
        Rejected { id: None, status: 413, error: RpcError::new(code::INVALID_REQUEST, why) }.answer().body
    }

    /// The answer to a request whose id is that of another one that is under way.
    pub fn twice(&self, request: &Request) -> Answer {
        let error = RpcError::new(code::INVALID_REQUEST, "a request with this id is under way");
        self.answer(&request.id, &request.context, Err(error))
    }

    /// The answer to a request that is over.
    pub fn answer(&self, id: &Id, context: &Context, outcome: Outcome) -> Answer {
        answer::outcome(id, context, &self.signature(), outcome)
    }

    /// What a stream of changes ends with when it is this side that ends it.
    pub fn farewell(&self, listening: &Listening) -> Vec<u8> {
        let result = json!({"_meta": {meta::SUBSCRIPTION_ID: value_of(&listening.id)}});
        self.answer(&listening.id, &listening.context, complete(result)).body
    }

    fn signature(&self) -> Signature {
        let card = self.offer.card();
        Signature { name: card.name, title: card.title, version: card.version }
    }
}

impl Request {
    /// What tells the client how far its request has come; `None` when it did not ask, or has heard of as much.
    pub fn progress(&mut self, progress: &Progress) -> Option<Vec<u8>> {
        let token = self.context.progress_token.as_ref()?;
        if self.told.is_some_and(|told| progress.done <= told) {
            return None;
        }
        self.told = Some(progress.done);
        Some(answer::notification(method::PROGRESS, &progress.params(token)))
    }
}

impl Listening {
    /// What tells the client that a resource has changed.
    pub fn changed(&self, uri: &str) -> Vec<u8> {
        let params = json!({"_meta": {meta::SUBSCRIPTION_ID: value_of(&self.id)}, "uri": uri});
        answer::notification(method::RESOURCE_UPDATED, &params)
    }
}

/// What becomes of a request.
enum Routed {
    Now(Outcome),
    Order { order: Order, waits: bool },
}

impl Routed {
    fn lacking(why: &str, required: Value) -> Routed {
        let error = RpcError::new(code::MISSING_CAPABILITY, why);
        Routed::Now(Err(error.with_data(json!({"requiredCapabilities": required}))))
    }

    fn invalid(why: &str) -> Routed {
        Routed::Now(Err(RpcError::new(code::INVALID_PARAMS, why)))
    }
}

/// The methods of the tasks extension, for clients that know it.
fn task(name: &str, params: &Map<String, Value>, context: &Context) -> Routed {
    let is_known = matches!(name, method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL);
    if is_known && !context.knows_tasks {
        let why = format!("{name} is for clients that declare the extension {TASKS_EXTENSION}");
        return Routed::lacking(&why, json!({"extensions": {TASKS_EXTENSION: {}}}));
    }
    let id = params.get("taskId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let order = match name {
        _ if is_known && id.is_empty() => return Routed::invalid("taskId must be a text"),
        method::TASKS_GET => Order::Task { id },
        method::TASKS_CANCEL if context.may < May::Act => {
            return Routed::invalid("the token for reading ends nothing; use the full one");
        }
        method::TASKS_CANCEL => Order::CancelTask { id },
        method::TASKS_UPDATE => return Routed::invalid("no task waits for an input"),
        _ => return Routed::Now(Err(RpcError::new(code::METHOD_NOT_FOUND, format!("there is no method {name}")))),
    };
    Routed::Order { order, waits: false }
}

fn allows(may: May, tool: &Tool) -> bool {
    may == May::Act || tool.effect == Effect::Reads
}

/// Everything is on one page.
fn only_page(params: &Map<String, Value>) -> Result<(), RpcError> {
    match params.get("cursor") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(RpcError::new(code::INVALID_PARAMS, "there is no page behind the first one")),
    }
}

fn listed(key: &str, items: Vec<Value>, params: &Map<String, Value>) -> Outcome {
    only_page(params)?;
    complete(json!({key: items, "ttlMs": LISTS_TTL_MILLIS, "cacheScope": "private"}))
}

/// A result with how long it holds, for what can be different at the next look.
pub fn fleeting(mut result: Value) -> Value {
    result["ttlMs"] = CONTENTS_TTL_MILLIS.into();
    result["cacheScope"] = "private".into();
    result
}

fn complete(result: Value) -> Outcome {
    match result {
        Value::Object(result) => Ok(Done::Complete(result)),
        _ => Err(RpcError::new(code::INTERNAL_ERROR, "a result is no object")),
    }
}

fn value_of(id: &Id) -> Value {
    serde_json::from_str(&id.to_string()).unwrap_or_default()
}
