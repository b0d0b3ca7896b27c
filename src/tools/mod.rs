//! What agents can do here by MCP: tools that are requests of the control socket in other clothes, resources, prompts.
//! It decides nothing and keeps nothing: each order becomes questions to the hub and to the store, one after the other.

mod arguments;
mod asking;
mod awaited;
mod batch;
mod desk;
mod followed;
mod messages;
mod modules;
mod pools;
mod prompts;
mod resources;
mod run;
mod schemas;
mod standing;
mod strangers;
mod tasks;
#[cfg(test)]
mod tests;
mod upstreams;
mod workflows;

use crate::clock::Clock;
use crate::control::Defaults;
use crate::mcp::protocol::code;
use crate::mcp::server::{Card, Offer, Order, Prompt, Step, Template, Tool};
use crate::model::command::Refusal;
use desk::{Desk, refused};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const CARD: Card = Card {
    name: "claude-comms",
    title: "Claude Comms",
    version: env!("CARGO_PKG_VERSION"),
    instructions: "\
Dependable messages and tasks between AI coding agents on this machine. Nothing that was accepted is lost when a process dies.

To ask another module (an agent at work in another repository) a question and get its answer: list_modules, then ask_module.
`from` is yourself: the absolute path of the directory that you work in, unless it has a name in list_modules.
To leave a message without waiting: send_message; its recipient reads list_messages with target_module and answers with
reply_to_message; wait_for_message waits for that.
To have work done by a worker: execute_on_pool for one prompt, execute_batch_on_pool for several that do not depend on each
other, submit_task to go on meanwhile and wait_for_task to wait after all. Each pool has exactly three workers; list_pools shows
them.

A call that fails says why in `error`, and what it is about in task_id, pool_id or message_id; with retry_after_ms it is worth
trying again.",
    instructions_reading: "\
What AI coding agents on this machine ask of each other and have done, to be looked at: list_messages and list_modules,
list_pools and check_pool_health, list_tasks, get_task and get_task_log. wait_for_message and wait_for_task wait for what is under
way. Nothing can be sent or begun from here.

A call that fails says why in `error`; with retry_after_ms it is worth trying again.",
};

/// Everything that is offered.
pub struct Toolbox {
    desk: Desk,
    tools: Vec<Tool>,
    /// How each tool is served, in the order of the tools.
    served: Vec<Serve>,
}

/// A call of a tool, its arguments checked against its schema.
struct Call {
    arguments: Map<String, Value>,
    /// The client is content with a task that it can follow.
    as_task: bool,
}

type Serve = Box<dyn Fn(&Desk, Call) -> Step + Send + Sync>;

/// A tool, and how it is served.
struct Served {
    tool: Tool,
    serve: Serve,
}

impl Served {
    fn new<T: DeserializeOwned + 'static>(tool: Tool, serve: fn(&Desk, T) -> Step) -> Served {
        Served::as_task(tool, move |desk, arguments, _| serve(desk, arguments))
    }

    /// One that may go on as a task of the client's.
    fn as_task<T: DeserializeOwned + 'static>(
        tool: Tool,
        serve: impl Fn(&Desk, T, bool) -> Step + Send + Sync + 'static,
    ) -> Served {
        let serve = move |desk: &Desk, call: Call| match serde_json::from_value(Value::Object(call.arguments)) {
            Ok(arguments) => serve(desk, arguments, call.as_task),
            Err(error) => wrong(error.to_string()),
        };
        Served { tool, serve: Box::new(serve) }
    }
}

fn wrong(sentence: String) -> Step {
    refused(&Refusal::bad_request(sentence), json!({}))
}

impl Toolbox {
    /// `defaults` are those of the control socket.
    pub fn new(defaults: Defaults, clock: Arc<dyn Clock>) -> Toolbox {
        let desk = Desk::new(defaults, clock);
        let all = [
            pools::tools(),
            run::tools(&desk),
            tasks::tools(&desk),
            messages::tools(&desk),
            asking::tools(&desk),
            modules::tools(),
            workflows::tools(),
            upstreams::tools(),
        ];
        let (tools, served) = all.into_iter().flatten().map(|it| (it.tool, it.serve)).unzip();
        Toolbox { desk, tools, served }
    }

    fn call(&self, name: &str, arguments: Map<String, Value>, as_task: bool) -> Step {
        let found = self.tools.iter().zip(&self.served).find(|(tool, _)| tool.name == name);
        let Some((tool, serve)) = found else {
            return Step::error(code::INVALID_PARAMS, &format!("Unknown tool: {name}"));
        };
        match arguments::checked(&tool.input, arguments) {
            Ok(arguments) => serve(&self.desk, Call { arguments, as_task }),
            Err(sentence) => wrong(sentence),
        }
    }
}

impl Offer for Toolbox {
    fn card(&self) -> &Card {
        &CARD
    }

    fn tools(&self) -> &[Tool] {
        &self.tools
    }

    fn prompts(&self) -> &[Prompt] {
        &prompts::PROMPTS
    }

    fn templates(&self) -> &[Template] {
        &resources::TEMPLATES
    }

    fn begin(&self, order: Order) -> Step {
        match order {
            Order::Call { tool, arguments, as_task } => self.call(tool, arguments, as_task),
            Order::Resources => resources::list(&self.desk),
            Order::Read { uri } => resources::read(&self.desk, uri),
            Order::Prompt { name, arguments } => prompts::get(name, &arguments),
            Order::Task { id } => followed::get(&self.desk, id),
            Order::CancelTask { id } => followed::cancel(id),
        }
    }

    fn channel(&self, uri: &str) -> Option<String> {
        resources::channel(uri)
    }
}
