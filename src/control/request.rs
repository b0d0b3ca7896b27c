//! From a line to a request with its id, or to the refusal that names what is wrong.

use super::wire::{self, Envelope, Named, Request};
use crate::model::command::{Code, Refusal};
use serde_json::value::RawValue;

/// Longest `id` of a request.
const ID_BYTES_MAX: usize = 256;

/// What a client chose to know the answer by.
pub(super) type Id = Option<Box<RawValue>>;

pub(super) fn parse(line: &[u8]) -> Result<(Id, Request), (Id, Refusal)> {
    let text = std::str::from_utf8(line).map_err(|_| (None, Refusal::bad_request("the line is not UTF-8")))?;
    let no_request = |why: &dyn std::fmt::Display| Refusal::bad_request(format!("the line is no request: {why}"));
    if !is_object(text) {
        return Err((None, no_request(&"it must be a JSON object")));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| (id_in(text), no_request(&error)))?;
    if envelope.id.is_some_and(|id| id.get().len() > ID_BYTES_MAX) {
        return Err((None, Refusal::bad_request(format!("an id may have {ID_BYTES_MAX} bytes"))));
    }
    let id = envelope.id.map(ToOwned::to_owned);
    if envelope.v.is_some_and(|version| version != wire::VERSION) {
        let message = format!("this is version {} of the protocol", wire::VERSION);
        return Err((id, Refusal::bad_request(message)));
    }
    let Some(command) = envelope.command else {
        return Err((id, Refusal::bad_request("the request has no \"command\"")));
    };
    let args = envelope.args.map_or("{}", RawValue::get);
    if !is_object(args) {
        return Err((id, Refusal::bad_request(format!("args of {command}: they must be a JSON object"))));
    }
    match Request::parse(&command, args) {
        None => {
            let message = format!("there is no command {:?}", command.chars().take(64).collect::<String>());
            Err((id, Refusal::new(Code::UnknownCommand, message)))
        }
        Some(Err(error)) => Err((id, Refusal::bad_request(format!("args of {command}: {error}")))),
        Some(Ok(request)) => Ok((id, request)),
    }
}

/// JSON has no other value that begins so. What reads the keys would take an array of values as well.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// The id of what cannot be read otherwise, so that the refusal finds whoever sent it.
fn id_in(text: &str) -> Id {
    let named: Named<'_> = serde_json::from_str(text).ok()?;
    named.id.filter(|id| id.get().len() <= ID_BYTES_MAX).map(ToOwned::to_owned)
}
