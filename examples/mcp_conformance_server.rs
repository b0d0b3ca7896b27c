//! What the protocol's conformance suite wants of a server, on the same core that serves the daemon's tools. Prints its
//! address; ends with its standard input.
//!
//! `mcp_conformance_server < a-pipe`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for tests alone")]

use claude_comms::clock::{Clock, SystemClock, Tick};
use claude_comms::feed::Feed;
use claude_comms::mcp::protocol::{RpcError, TASKS_EXTENSION, code};
use claude_comms::mcp::server::{
    Argument, Card, Effect, Offer, Order, Progress, Prompt, Step, Template, Tool, fleeting,
};
use claude_comms::model::command::{Code, Command, Refusal};
use claude_comms::model::pool::PoolView;
use claude_comms::ports::{Answer, Asker, Exposition, ReadError, Reader, Readers};
use claude_comms::telemetry::Registry;
use claude_comms::web::{Means, Settings, Tokens, Web};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// A picture of one pixel, and a sound of none.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const SOUND: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";
const CREATED_AT: &str = "2026-01-01T00:00:00Z";

struct Fixtures {
    tools: Vec<Tool>,
    tasks: Mutex<BTreeMap<String, Task>>,
    clock: SystemClock,
}

struct Task {
    /// What there is to be said of it when it is over.
    end: Value,
    over_at: Tick,
    is_cancelled: bool,
}

fn tool(name: &'static str, properties: Value) -> Tool {
    Tool {
        name,
        title: name,
        description: "A fixture of the conformance suite.",
        input: json!({"type": "object", "properties": properties}),
        output: None,
        effect: Effect::Adds { again: false },
        open_world: false,
        waits: false,
    }
}

fn tools() -> Vec<Tool> {
    let plain = [
        "test_simple_text",
        "test_image_content",
        "test_audio_content",
        "test_embedded_resource",
        "test_multiple_content_types",
        "test_error_handling",
        "test_missing_capability",
        "test_logging_tool",
        "test_streaming_elicitation",
        "failing_job",
        "protocol_error_job",
    ];
    let mut tools: Vec<Tool> = plain.into_iter().map(|name| tool(name, json!({}))).collect();
    tools.push(Tool { waits: true, ..tool("test_tool_with_progress", json!({})) });
    tools.push(tool("greet", json!({"name": {"type": "string"}})));
    let computes = json!({"seconds": {"type": "integer"}, "label": {"type": "string"}});
    tools.push(tool("slow_compute", computes));
    tools.push(tool("test_headers", json!({"region": {"type": "string", "x-mcp-header": "Region"}})));
    tools.push(Tool { input: schema_2020_12(), ..tool("json_schema_2020_12_tool", json!({})) });
    tools
}

/// Every keyword that a server must hand on as it is.
fn schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

fn content(items: Value) -> Step {
    Step::complete(json!({"content": items}))
}

fn text(text: &str) -> Step {
    content(json!([{"type": "text", "text": text}]))
}

fn progress(percent: u64) -> Step {
    let told = Progress { done: percent as f64, total: Some(100), message: Some(format!("{percent} of 100")) };
    Step::tell(told, move || {
        let wait = Duration::from_millis(50);
        Step::pause(wait, move || if percent < 100 { progress(percent + 50) } else { text("done") })
    })
}

impl Fixtures {
    fn call(&self, tool: &str, arguments: &Map<String, Value>, as_task: bool) -> Step {
        let embedded = json!({"type": "resource", "resource": {"uri": "test://embedded-resource",
            "mimeType": "text/plain", "text": "This is an embedded resource content."}});
        let picture = json!({"type": "image", "data": PICTURE, "mimeType": "image/png"});
        match tool {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => content(json!([picture])),
            "test_audio_content" => content(json!([{"type": "audio", "data": SOUND, "mimeType": "audio/wav"}])),
            "test_embedded_resource" => content(json!([embedded])),
            "test_multiple_content_types" => {
                content(json!([{"type": "text", "text": "Multiple content types test:"}, picture, embedded]))
            }
            "test_error_handling" => Step::complete(json!({"isError": true,
                "content": [{"type": "text", "text": "This tool intentionally returns an error for testing"}]})),
            "test_tool_with_progress" => progress(0),
            "greet" => text(&format!("Hello, {}!", arguments.get("name").and_then(Value::as_str).unwrap_or("you"))),
            "slow_compute" | "failing_job" | "protocol_error_job" if as_task => self.begin_task(tool, arguments),
            "failing_job" => {
                let required = json!({"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}});
                let error = RpcError::new(code::MISSING_CAPABILITY, "this goes on as a task, or not at all");
                Step::Done(Err(error.with_data(required)))
            }
            "slow_compute" => {
                let seconds = arguments.get("seconds").and_then(Value::as_u64).unwrap_or(0);
                Step::pause(Duration::from_secs(seconds), || text("computed"))
            }
            _ => text("This is what there is."),
        }
    }

    /// What becomes of it is known from the beginning; when it is asked for, its time has passed or not.
    fn begin_task(&self, tool: &str, arguments: &Map<String, Value>) -> Step {
        let seconds = arguments.get("seconds").and_then(Value::as_u64).unwrap_or(1);
        let content = json!([{"type": "text", "text": "computed"}]);
        let end = match tool {
            "failing_job" => json!({"status": "completed", "result": {"content": content, "isError": true}}),
            "protocol_error_job" => {
                json!({"status": "failed", "error": {"code": code::INTERNAL_ERROR, "message": "no"}})
            }
            _ => json!({"status": "completed", "result": {"content": content}}),
        };
        let mut tasks = self.tasks.lock();
        let id = format!("task-{}", tasks.len());
        let over_at = self.clock.tick().after(Duration::from_secs(seconds));
        tasks.insert(id.clone(), Task { end, over_at, is_cancelled: false });
        Step::task(shown(&id, "working"))
    }

    fn task(&self, id: &str) -> Step {
        let tasks = self.tasks.lock();
        let Some(task) = tasks.get(id) else {
            return Step::error(code::INVALID_PARAMS, &format!("there is no task {id}"));
        };
        let mut found = shown(id, "working");
        if task.is_cancelled {
            found["status"] = "cancelled".into();
        } else if task.over_at <= self.clock.tick() {
            task.end.as_object().unwrap().iter().for_each(|(key, value)| found[key] = value.clone());
        }
        Step::complete(found)
    }

    fn cancel(&self, id: &str) -> Step {
        match self.tasks.lock().get_mut(id) {
            Some(task) => {
                task.is_cancelled |= task.over_at > self.clock.tick();
                Step::complete(json!({}))
            }
            None => Step::error(code::INVALID_PARAMS, &format!("there is no task {id}")),
        }
    }

    fn read(&self, uri: &str) -> Step {
        let contents = match uri {
            "test://static-text" => {
                json!({"uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource."})
            }
            "test://static-binary" => json!({"uri": uri, "mimeType": "image/png", "blob": PICTURE}),
            _ => match uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data")) {
                Some(id) => {
                    let text = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                    json!({"uri": uri, "mimeType": "application/json", "text": text.to_string()})
                }
                None => {
                    let error = RpcError::new(code::INVALID_PARAMS, "Resource not found");
                    return Step::Done(Err(error.with_data(json!({"uri": uri}))));
                }
            },
        };
        Step::complete(fleeting(json!({"contents": [contents]})))
    }

    fn prompt(&self, name: &str, arguments: &Map<String, Value>) -> Step {
        let argument = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
        let said = |content: Value| json!({"role": "user", "content": content});
        let text = |text: String| said(json!({"type": "text", "text": text}));
        let messages = match name {
            "test_prompt_with_arguments" => {
                let (first, second) = (argument("arg1"), argument("arg2"));
                json!([text(format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))])
            }
            "test_prompt_with_embedded_resource" => {
                let resource = json!({"uri": argument("resourceUri"), "mimeType": "text/plain",
                    "text": "Embedded resource content for testing."});
                json!([
                    said(json!({"type": "resource", "resource": resource})),
                    text("Please process the embedded resource above.".to_owned())
                ])
            }
            "test_prompt_with_image" => json!([
                said(json!({"type": "image", "data": PICTURE, "mimeType": "image/png"})),
                text("Please analyze the image above.".to_owned()),
            ]),
            _ => json!([text("This is a simple prompt for testing.".to_owned())]),
        };
        Step::complete(json!({"messages": messages}))
    }
}

fn shown(id: &str, status: &str) -> Value {
    json!({"taskId": id, "status": status, "createdAt": CREATED_AT, "lastUpdatedAt": CREATED_AT,
        "ttlMs": 60_000, "pollIntervalMs": 200})
}

impl Offer for Fixtures {
    fn card(&self) -> &Card {
        const CARD: Card = Card {
            name: "fixtures",
            title: "Fixtures",
            version: "1.0.0",
            instructions: "For tests.",
            instructions_reading: "For tests.",
        };
        &CARD
    }

    fn tools(&self) -> &[Tool] {
        &self.tools
    }

    fn prompts(&self) -> &[Prompt] {
        const fn argument(name: &'static str) -> Argument {
            Argument { name, description: "Whatever it is.", required: true }
        }
        const fn prompt(name: &'static str, arguments: &'static [Argument]) -> Prompt {
            Prompt { name, title: name, description: "A fixture of the conformance suite.", tool: None, arguments }
        }
        const PROMPTS: &[Prompt] = &[
            prompt("test_simple_prompt", &[]),
            prompt("test_prompt_with_arguments", &[argument("arg1"), argument("arg2")]),
            prompt("test_prompt_with_embedded_resource", &[argument("resourceUri")]),
            prompt("test_prompt_with_image", &[]),
        ];
        PROMPTS
    }

    fn templates(&self) -> &[Template] {
        const TEMPLATES: &[Template] = &[Template {
            uri: "test://template/{id}/data",
            name: "template",
            title: "Template",
            description: "A fixture of the conformance suite.",
            mime_type: "application/json",
        }];
        TEMPLATES
    }

    fn begin(&self, order: Order) -> Step {
        match order {
            Order::Call { tool, arguments, as_task } => self.call(tool, &arguments, as_task),
            Order::Resources => Step::complete(fleeting(json!({"resources": [
                {"uri": "test://static-text", "name": "static-text", "mimeType": "text/plain"},
                {"uri": "test://static-binary", "name": "static-binary", "mimeType": "image/png"},
            ]}))),
            Order::Read { uri } => self.read(&uri),
            Order::Prompt { name, arguments } => self.prompt(name, &arguments),
            Order::Task { id } => self.task(&id),
            Order::CancelTask { id } => self.cancel(&id),
        }
    }

    fn requires(&self, tool: &str) -> Option<&'static str> {
        (tool == "test_missing_capability").then_some("sampling")
    }

    fn channel(&self, _uri: &str) -> Option<String> {
        None
    }
}

struct Nobody;

impl Asker for Nobody {
    fn ask(&self, _client: u64, _command: Command, _answer: Box<dyn Answer>) -> Result<(), Refusal> {
        Err(Refusal::new(Code::NotRunning, "there is no hub"))
    }

    fn forget(&self, _client: u64) {}
}

impl Readers for Nobody {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        Err(ReadError("there is no store".to_owned()))
    }
}

impl Exposition for Nobody {
    fn text(&self, _pools: &[PoolView]) -> String {
        String::new()
    }
}

fn main() {
    let means = Means {
        offer: Arc::new(Fixtures { tools: tools(), tasks: Mutex::default(), clock: SystemClock::new() }),
        asker: Arc::new(Nobody),
        readers: Arc::new(Nobody),
        exposition: Arc::new(Nobody),
        feed: Arc::new(Feed::new("0123456789abcdef".to_owned(), 0)),
        clock: Arc::new(SystemClock::new()),
        registry: Registry::new(),
    };
    let tokens = Tokens { full: String::new(), read_only: String::new() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = Settings { open_to_agents: true, ..Settings::new(tokens) };
    let web = Web::start(Some(listener), settings, means, [(), ()]).unwrap();
    println!("http://{}/mcp", web.address().unwrap());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
