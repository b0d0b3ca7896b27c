//! `event.publish`: what somebody else has to tell, checked.

use super::intake::bounded;
use super::wire;
use crate::model::command::{Command, Refusal};
use crate::model::event::{Publication, Severity};
use crate::model::limits;
use serde_json::Value;

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
        Some(word) => Severity::parse(word).ok_or_else(|| {
            Refusal::bad_request(format!("severity is {word:?}; it is one of info, warning and error"))
        })?,
    };
    let (channel, name) = (args.channel.clone(), args.event.clone());
    Ok(Command::Publish(Publication { channel, name, severity, data: data.into() }))
}
