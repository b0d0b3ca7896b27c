//! `event.publish` and `event.list`: what somebody else has to tell, checked; and what has happened, a page at a time.

use super::intake::bounded;
use super::reads::rows;
use super::{replies, wire};
use crate::feed::{Feed, Filter};
use crate::model::command::{Code, Command, Refusal};
use crate::model::event::{Publication, Severity};
use crate::model::id::is_name;
use crate::model::limits;
use crate::ports::Reader;
use serde_json::Value;
use serde_json::value::RawValue;

/// Events of a page, all together; a page ends behind the one that reaches it.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// What has happened behind a number: of the events that are looked at those that were asked for.
pub(super) fn list(args: &wire::EventList, feed: &Feed, reader: &mut dyn Reader) -> Result<Box<RawValue>, Refusal> {
    let filter = Filter::new(args.channels.clone(), args.events.clone()).map_err(Refusal::bad_request)?;
    let filter = match args.severity.as_deref() {
        None => filter,
        Some(word) => filter.at_least(severity(word)?),
    };
    let since = args.since.unwrap_or(0);
    let (oldest, newest) = reader.events_kept()?;
    let found = reader.events_after(since, rows(args.limit)?)?;
    let (mut events, mut bytes, mut last) = (Vec::new(), 0, since);
    for event in &found {
        last = event.seq;
        if filter.lets_through(event) {
            bytes += event.frame.len();
            let text = String::from_utf8_lossy(&event.frame).into_owned();
            let raw = RawValue::from_string(text);
            events
                .push(raw.map_err(|error| Refusal::new(Code::Internal, format!("event {last} is no JSON: {error}")))?);
        }
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    let next = (last < newest).then_some(last).filter(|_| !found.is_empty());
    replies::encoded(&wire::Events { epoch: feed.epoch().to_owned(), seq: newest, oldest, events, next })
}

fn severity(word: &str) -> Result<Severity, Refusal> {
    Severity::parse(word)
        .ok_or_else(|| Refusal::bad_request(format!("severity is {word:?}; it is one of info, warning and error")))
}

pub(super) fn publish(args: &wire::EventPublish) -> Result<Command, Refusal> {
    Publication::check(&args.channel, &args.event).map_err(Refusal::bad_request)?;
    let data = match &args.data {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(object @ Value::Object(_)) => object.to_string(),
        Some(_) => return Err(Refusal::bad_request("data must be a JSON object")),
    };
    let data = bounded("data", Some(data), limits::PUBLISHED_BYTES_MAX)?.unwrap_or_default();
    let within = args.data.as_ref().and_then(|data| data.get("severity")).and_then(Value::as_str);
    let severity = match args.severity.as_deref().or(within) {
        None => Severity::Info,
        Some(word) => self::severity(word)?,
    };
    let hook = match args.hook.as_deref() {
        Some(hook) if !is_name(hook) => return Err(Refusal::bad_request(format!("{hook:?} is no name of a hook"))),
        hook => hook.map(Into::into),
    };
    let (channel, name) = (args.channel.clone(), args.event.clone());
    Ok(Command::Publish(Publication { channel, name, severity, data: data.into(), hook }))
}
