//! Tools about messages: sending, answering, reading, and waiting for one.

use super::Served;
use super::awaited::SILENCE_MAX;
use super::desk::{Desk, answered, counted, named, passed_on, refused};
use super::schemas::{self, list, module, text, whole};
use super::strangers;
use crate::clock::Tick;
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Progress, Step, Tool};
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::limits;
use crate::ports::{IdKind, Reader, Resolved};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Messages of a list that names no limit: their contents come along.
const LISTED: usize = 20;
/// The newest messages of a thread among which a reply is looked for.
const LOOKED_THROUGH: usize = 100;

pub(super) fn tools(desk: &Desk) -> Vec<Served> {
    let timeout = desk.translator.defaults().ask_timeout;
    vec![
        Served::new(send_message(), send),
        Served::new(reply_to_message(), reply),
        Served::new(get_message(), get),
        Served::new(list_messages(), all),
        Served::new(wait_for_message(timeout), wait),
    ]
}

fn sent() -> Value {
    schemas::answer(vec![("message_id", text("")), ("thread_id", text("")), ("status", text(""))], &[])
}

fn send_message() -> Tool {
    Tool {
        name: "send_message",
        title: "Send a message to a module",
        description: "\
Leaves a question or a notice for another module, and returns at once. Nobody works on it by itself: the recipient reads it with \
list_messages and answers with reply_to_message. Afterwards: wait_for_message with the message_id of the answer. To have an agent \
answer now: ask_module.",
        input: schemas::arguments(
            vec![
                ("from", module("Who sends it")),
                ("to", module("Whom it is for")),
                ("content", schemas::filled("What it says.")),
                ("thread_id", schemas::id("The thread to go on with, else a new one is opened: its id")),
                ("title", text("Of the new thread.")),
                ("metadata", schemas::anything("Facts for programs, kept with the message.")),
            ],
            &["from", "to", "content"],
        ),
        output: Some(sent()),
        effect: Effect::Adds { again: false },
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Send {
    from: String,
    to: String,
    content: String,
    thread_id: Option<String>,
    title: Option<String>,
    metadata: Option<Value>,
}

fn send(desk: &Desk, args: Send) -> Step {
    let known = args.thread_id.as_ref().map_or_else(|| json!({}), |id| json!({"thread_id": id}));
    let request = Request::MessageSend(wire::MessageSend {
        from: args.from,
        to: args.to,
        content: args.content,
        thread: args.thread_id,
        title: args.title,
        metadata: args.metadata,
    });
    let desk = desk.clone();
    desk.clone().command(request, move |command| match command {
        Ok(command) => {
            let parties = match &command {
                Command::Send(send) => vec![send.from.clone(), send.to.clone()],
                _ => Vec::new(),
            };
            Step::ask(command, move |outcome| match outcome.and_then(|reply| desk.translator.shown(reply)) {
                Ok(sent) => passed_on(&sent),
                Err(refusal) => strangers::refused(refusal, parties, known),
            })
        }
        Err(refusal) => refused(&refusal, known),
    })
}

fn reply_to_message() -> Tool {
    Tool {
        name: "reply_to_message",
        title: "Answer a message",
        description: "\
Answers a message that was sent to you: adds the answer to its thread and completes it, so that whoever waits for it hears. Use it \
for messages of list_messages whose status is pending.",
        input: schemas::arguments(
            vec![("message_id", schemas::message_id()), ("content", schemas::filled("The answer."))],
            &["message_id", "content"],
        ),
        output: Some(sent()),
        effect: Effect::Adds { again: false },
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Answer {
    message_id: String,
    content: String,
}

fn reply(desk: &Desk, args: Answer) -> Step {
    let known = json!({"message_id": args.message_id});
    let request = Request::MessageReply(wire::MessageReply { id: args.message_id, content: args.content });
    desk.request(request, move |outcome| match outcome {
        Ok(sent) => passed_on(&sent),
        Err(refusal) => refused(&refusal, known),
    })
}

fn get_message() -> Tool {
    Tool {
        name: "get_message",
        title: "Read a message",
        description: "One message with its content and its status. Its thread's other messages: list_messages with thread_id.",
        input: schemas::arguments(vec![("message_id", schemas::message_id())], &["message_id"]),
        output: Some(schemas::answer(vec![("message_id", text("")), ("message", schemas::message())], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct Named {
    message_id: String,
}

fn get(desk: &Desk, args: Named) -> Step {
    let known = json!({"message_id": args.message_id});
    desk.request(Request::MessageShow(wire::Id { id: args.message_id }), move |outcome| match outcome {
        Ok(message) => named("message_id", "message", &message),
        Err(refusal) => refused(&refusal, known),
    })
}

fn list_messages() -> Tool {
    Tool {
        name: "list_messages",
        title: "List messages",
        description: "\
The newest messages with their contents, newest first. For what was sent to you and waits for an answer: target_module yourself, and \
status pending; a question of ask_module, which has a task_id in its metadata, is answered by that task. Go on with `before`.",
        input: schemas::arguments(
            vec![
                ("thread_id", schemas::id("Only those of this thread: its id")),
                ("module", module("Only those that it wrote")),
                ("target_module", module("Only those that are for it")),
                ("status", text("Only those that are so: pending, processing, complete, failed, or a word of others.")),
                (
                    "limit",
                    schemas::default(schemas::range("At most so many.", 1, limits::PAGE_ROWS_MAX as u64), LISTED),
                ),
                ("before", schemas::before()),
            ],
            &[],
        ),
        output: Some(schemas::answer(
            vec![
                ("messages_count", whole("in this answer")),
                ("messages", list("", schemas::message())),
                ("next", schemas::next()),
            ],
            &[],
        )),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

#[derive(Deserialize)]
struct List {
    thread_id: Option<String>,
    module: Option<String>,
    target_module: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
    before: Option<i64>,
}

fn all(desk: &Desk, args: List) -> Step {
    let request = Request::MessageList(wire::MessageList {
        thread: args.thread_id,
        module: args.module,
        target_module: args.target_module,
        status: args.status,
        limit: Some(args.limit.unwrap_or(LISTED)),
        before: args.before,
    });
    desk.request(request, |outcome| match outcome {
        Ok(found) => counted("messages_count", "messages", &found),
        Err(refusal) => refused(&refusal, json!({})),
    })
}

fn wait_for_message(timeout: Duration) -> Tool {
    let timeout = schemas::default(
        schemas::seconds("Seconds to wait at most.", 0.0, limits::WAIT_MAX.as_secs_f64()),
        timeout.as_secs_f64(),
    );
    Tool {
        name: "wait_for_message",
        title: "Wait until a message is final",
        description: "\
Waits until a message is complete or has failed, and returns it with the reply to it, if there is one. Returns at once when that is \
so already. When the time is up the code is timed_out and the message goes on: call it again, or go on with something else and \
look with get_message.",
        input: schemas::arguments(vec![("message_id", schemas::message_id()), ("timeout", timeout)], &["message_id"]),
        output: Some(schemas::answer(
            vec![
                ("message_id", text("")),
                ("status", text("complete, failed, expired or removed")),
                ("message", schemas::message_or_null("As it is now; null when it is gone.")),
                ("reply", schemas::message_or_null("The newest reply to it; null when there is none.")),
            ],
            &[],
        )),
        // The daemon watches the message meanwhile, which nobody else gets to feel.
        effect: Effect::Reads,
        open_world: false,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Wait {
    message_id: String,
    timeout: Option<f64>,
}

fn wait(desk: &Desk, args: Wait) -> Step {
    let known = json!({"message_id": args.message_id});
    let patience = args.timeout.unwrap_or(desk.translator.defaults().ask_timeout.as_secs_f64());
    let desk = desk.clone();
    Step::look(move |reader| {
        let name = match resolved(&args.message_id, reader) {
            Ok(name) => name,
            Err(refusal) => return refused(&refusal, known),
        };
        let began = desk.clock.tick();
        // The schema's bounds are those of a duration.
        let until = began.after(Duration::try_from_secs_f64(patience).unwrap_or_default());
        Waiting { desk, name, began, until }.wait()
    })
}

/// What can be waited for on the control socket may be a task too; a task has a tool of its own.
fn resolved(text: &str, reader: &mut dyn Reader) -> Result<String, Refusal> {
    match reader.resolve(IdKind::Message, text)? {
        Resolved::One(id) => Ok(id),
        Resolved::None => {
            Err(Refusal::not_found(format!("there is no message {text}; a task is waited for with wait_for_task")))
        }
        Resolved::Many(some) => {
            Err(Refusal::not_found(format!("{text:?} could be any of {}; give more of it", some.join(", "))))
        }
    }
}

/// For a message to be final.
struct Waiting {
    desk: Desk,
    name: String,
    began: Tick,
    until: Tick,
}

impl Waiting {
    /// A while of it; the message is watched until all of it is over.
    fn wait(self) -> Step {
        let left = self.desk.clock.tick().until(self.until);
        let timeout = Some(left.min(SILENCE_MAX));
        let watched_for = Some(left.saturating_add(SILENCE_MAX));
        let command = Command::WaitWatch { name: self.name.clone(), timeout, watched_for };
        Step::ask(command, move |outcome| match outcome {
            Err(refusal) if refusal.code == Code::TimedOut => self.tell(&refusal),
            outcome => self.ended(outcome),
        })
    }

    fn tell(self, refusal: &Refusal) -> Step {
        let now = self.desk.clock.tick();
        if now >= self.until {
            return refused(refusal, json!({"message_id": self.name}));
        }
        let waited = self.began.until(now);
        let message = format!("message {} is not final yet, {} s", self.name, waited.as_secs());
        let done = waited.as_millis() as f64;
        Step::tell(Progress { done, total: None, message: Some(message) }, move || self.wait())
    }

    fn ended(self, outcome: Result<Reply, Refusal>) -> Step {
        let known = json!({"message_id": self.name});
        match outcome.and_then(|reply| self.desk.value_of(reply)) {
            Ok(waited) => Step::look(move |reader| match with_reply(&self.desk, &waited, reader) {
                Ok(answer) => answered(answer),
                Err(refusal) => refused(&refusal, known),
            }),
            Err(refusal) => refused(&refusal, known),
        }
    }
}

fn with_reply(desk: &Desk, waited: &Value, reader: &mut dyn Reader) -> Result<Value, Refusal> {
    let id = waited["id"].as_str().unwrap_or_default();
    let show = Request::MessageShow(wire::Id { id: id.to_owned() });
    let message = match desk.found(&show, reader) {
        Err(refusal) if refusal.code == Code::NotFound => Value::Null,
        found => found?,
    };
    let thread = message["thread_id"].as_str().map(str::to_owned);
    let reply = match thread {
        Some(thread) => {
            let list =
                wire::MessageList { thread: Some(thread), limit: Some(LOOKED_THROUGH), ..wire::MessageList::default() };
            let mut found = desk.found(&Request::MessageList(list), reader)?;
            let is_reply = |it: &&mut Value| it["metadata"]["in_reply_to"] == message["message_id"];
            let messages = found["messages"].as_array_mut();
            messages.and_then(|all| all.iter_mut().find(is_reply)).map(Value::take).unwrap_or_default()
        }
        None => Value::Null,
    };
    Ok(json!({"message_id": id, "status": waited["status"], "message": message, "reply": reply}))
}
