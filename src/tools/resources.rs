//! What can be read by its address: messages, threads and pools, as the control socket shows them.

use super::desk::{Desk, value};
use crate::control::wire::{self, Request};
use crate::mcp::protocol::{RpcError, code};
use crate::mcp::server::{Step, Template, fleeting};
use crate::model::command::{Code, Refusal};
use crate::ports::Reader;
use serde_json::{Value, json};

const JSON: &str = "application/json";
/// The newest threads that are named.
const THREADS_LISTED: usize = 50;
/// The newest messages of a thread that is read.
const MESSAGES_READ: usize = 100;
const ADDRESS_BYTES_MAX: usize = 1024;
/// A whole id as they are given here.
const ID_BYTES: usize = 36;

pub(super) const TEMPLATES: [Template; 3] = [
    Template {
        uri: "comms://messages/{id}",
        name: "message",
        title: "A message",
        description: "A message with its content and status.",
        mime_type: JSON,
    },
    Template {
        uri: "comms://threads/{id}",
        name: "thread",
        title: "A thread",
        description: "A thread of messages: what it is, and its newest messages, newest first.",
        mime_type: JSON,
    },
    Template {
        uri: "comms://pools/{id}",
        name: "pool",
        title: "A pool",
        description: "A pool with its queue, its numbers and its workers.",
        mime_type: JSON,
    },
];

/// What an address names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Message(String),
    Thread(String),
    Pool(String),
}

impl Named {
    fn of(uri: &str) -> Option<Named> {
        if uri.len() > ADDRESS_BYTES_MAX {
            return None;
        }
        let (kind, id) = uri.strip_prefix("comms://")?.split_once('/')?;
        let id = decoded(id).filter(|id| !id.is_empty())?;
        match kind {
            "messages" => Some(Named::Message(id)),
            "threads" => Some(Named::Thread(id)),
            "pools" => Some(Named::Pool(id)),
            _ => None,
        }
    }
}

/// The channel on which there is an event when it has changed. Nothing is ever told of what only looks like a part of an id:
/// it has none, so that nobody waits for it.
pub(super) fn channel(uri: &str) -> Option<String> {
    match Named::of(uri)? {
        Named::Message(id) if is_part_of_id(&id) => None,
        Named::Message(id) => Some(format!("message:{id}")),
        Named::Pool(id) => Some(format!("pool:{id}")),
        Named::Thread(_) => None,
    }
}

/// Whether it is the beginning or the end of an id as they are given here. Other programs may have ids of any kind.
fn is_part_of_id(id: &str) -> bool {
    id.len() < ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// All pools, and the newest threads.
pub(super) fn list(desk: &Desk) -> Step {
    let then = desk.clone();
    desk.request(Request::PoolList(wire::Empty {}), move |pools| {
        let pools = match pools {
            Ok(pools) => pools,
            Err(refusal) => return Step::error(code::INTERNAL_ERROR, &refusal.message),
        };
        Step::look(move |reader| {
            let page = wire::PageArgs { limit: Some(THREADS_LISTED), before: None };
            match then.found(&Request::ThreadList(page), reader) {
                Ok(threads) => Step::complete(fleeting(json!({"resources": named(&value(&pools), &threads)}))),
                Err(refusal) => Step::error(code::INTERNAL_ERROR, &refusal.message),
            }
        })
    })
}

fn named(pools: &Value, threads: &Value) -> Vec<Value> {
    let pools = pools["pools"].as_array().into_iter().flatten().map(|pool| {
        let id = pool["pool_id"].as_str().unwrap_or_default();
        json!({
            "uri": format!("comms://pools/{}", encoded(id)),
            "name": id,
            "title": format!("Pool {id}"),
            "description": format!("{}, {}", pool["status"].as_str().unwrap_or_default(), pool["health"].as_str().unwrap_or_default()),
            "mimeType": JSON,
        })
    });
    let threads = threads["threads"].as_array().into_iter().flatten().map(|thread| {
        let id = thread["thread_id"].as_str().unwrap_or_default();
        json!({
            "uri": format!("comms://threads/{}", encoded(id)),
            "name": id,
            "title": thread["title"].as_str().unwrap_or(id),
            "description": format!("{} messages, since {}", thread["messages"], thread["created_at"].as_str().unwrap_or_default()),
            "mimeType": JSON,
        })
    });
    pools.chain(threads).collect()
}

pub(super) fn read(desk: &Desk, uri: String) -> Step {
    let request = match Named::of(&uri) {
        None => return not_found(&uri),
        Some(Named::Message(id)) => Request::MessageShow(wire::Id { id }),
        Some(Named::Pool(pool_id)) => Request::PoolStatus(wire::PoolId { pool_id }),
        Some(Named::Thread(id)) => {
            let desk = desk.clone();
            return Step::look(move |reader| told(uri, thread(&desk, id, reader)));
        }
    };
    desk.request(request, move |outcome| told(uri, outcome.map(|shown| shown.get().to_owned())))
}

fn thread(desk: &Desk, id: String, reader: &mut dyn Reader) -> Result<String, Refusal> {
    let thread = desk.found(&Request::ThreadShow(wire::Id { id }), reader)?;
    let args = wire::MessageList {
        thread: thread["thread_id"].as_str().map(str::to_owned),
        limit: Some(MESSAGES_READ),
        ..wire::MessageList::default()
    };
    let mut page = desk.found(&Request::MessageList(args), reader)?;
    page["thread"] = thread;
    Ok(page.to_string())
}

fn told(uri: String, outcome: Result<String, Refusal>) -> Step {
    match outcome {
        Ok(shown) => {
            let contents = json!([{"uri": uri, "mimeType": JSON, "text": shown}]);
            Step::complete(fleeting(json!({"contents": contents})))
        }
        Err(refusal) if refusal.code == Code::NotFound => not_found(&uri),
        Err(refusal) => Step::error(code::INTERNAL_ERROR, &refusal.message),
    }
}

fn not_found(uri: &str) -> Step {
    let error = RpcError::new(code::INVALID_PARAMS, "Resource not found").with_data(json!({"uri": uri}));
    Step::Done(Err(error))
}

fn encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// `None` when what stands there is no percent-encoding of a text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit =
            |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|it| u8::try_from(it).ok());
        bytes.push(digit(rest.next())? * 16 + digit(rest.next())?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_thing() {
        assert_eq!(Named::of("comms://pools/local"), Some(Named::Pool("local".into())));
        assert_eq!(Named::of("comms://messages/a%2Fb%20%C3%A4"), Some(Named::Message("a/b ä".into())));
        assert_eq!(Named::of(&format!("comms://threads/{}", encoded("a/ä?"))), Some(Named::Thread("a/ä?".into())));
        for wrong in [
            "comms://pools/",
            "comms://pools",
            "comms://tasks/x",
            "pools/local",
            "comms://pools/%4",
            "comms://pools/%FF",
            "",
        ] {
            assert_eq!(Named::of(wrong), None, "{wrong}");
        }
        assert_eq!(channel("comms://pools/local").as_deref(), Some("pool:local"));
        assert_eq!(channel("comms://messages/m").as_deref(), Some("message:m"));
        assert_eq!(channel("comms://threads/t"), None);
        assert_eq!(channel("comms://messages/0199a2b4"), None);
        let whole = "0199a2b4-7c1d-7e2f-8a3b-4c5d6e7f8091";
        assert_eq!(channel(&format!("comms://messages/{whole}")), Some(format!("message:{whole}")));
    }
}
