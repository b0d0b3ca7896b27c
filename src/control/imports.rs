//! Lines of an export that are brought back: each is checked as if somebody had written it by hand.

use super::intake::{any_id, bounded, content};
use super::wire;
use crate::clock::Timestamp;
use crate::model::command::{Command, Refusal};
use crate::model::id::{MessageId, ModuleName, ThreadId};
use crate::model::limits;
use crate::model::message::{Message, Status, Thread};
use serde_json::Value;

/// Modules that a thread is between, at most.
const MODULES_MAX: usize = 1000;

pub(super) fn command(args: &wire::ThreadImport) -> Result<Command, Refusal> {
    match (&args.thread, &args.message) {
        (Some(given), None) => Ok(Command::ImportThread(Box::new(thread(given)?))),
        (None, Some(given)) => Ok(Command::ImportMessage(Box::new(message(given)?))),
        _ => Err(Refusal::bad_request("give either thread or message")),
    }
}

fn thread(given: &wire::Thread) -> Result<Thread, Refusal> {
    if given.modules.len() > MODULES_MAX {
        return Err(Refusal::bad_request(format!("modules are {}; at most {MODULES_MAX} are", given.modules.len())));
    }
    let modules = given.modules.iter().map(|module| any_id("each of modules", module).map(ModuleName::from));
    Ok(Thread {
        id: ThreadId::from(any_id("thread_id", &given.thread_id)?),
        title: bounded("title", given.title.clone(), limits::JSON_BYTES_MAX)?,
        modules: modules.collect::<Result<_, _>>()?,
        metadata: metadata(given.metadata.as_ref())?,
        created_at: time("created_at", &given.created_at)?,
        messages: 0,
    })
}

fn message(given: &wire::Message) -> Result<Message, Refusal> {
    if given.content_truncated {
        let id = &given.message_id;
        return Err(Refusal::bad_request(format!("the content of {id} was cut when it was exported; it is not whole")));
    }
    let metadata = metadata(given.metadata.as_ref())?;
    Ok(Message {
        id: MessageId::from(any_id("message_id", &given.message_id)?),
        thread_id: ThreadId::from(any_id("thread_id", &given.thread_id)?),
        thread_title: None,
        module: ModuleName::from(any_id("module", &given.module)?),
        target: given.target_module.as_deref().map(ModuleName::new),
        content: content("content", &given.content)?.to_string(),
        truncated: false,
        kind: any_id("type", &given.r#type)?,
        at: time("timestamp", &given.timestamp)?,
        status: Status::parse_foreign(&any_id("status", &given.status)?),
        metadata,
        error: None,
    })
}

/// As it was stored: what is no JSON was exported as a string.
fn metadata(given: Option<&Value>) -> Result<Option<String>, Refusal> {
    let text = match given {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(value) => Some(value.to_string()),
    };
    bounded("metadata", text, limits::JSON_BYTES_MAX)
}

fn time(what: &str, text: &str) -> Result<Timestamp, Refusal> {
    let parsed = Timestamp::parse(text);
    parsed.ok_or_else(|| Refusal::bad_request(format!("{what} is {text:?}; it must be like 2026-11-29T08:30:00Z")))
}
