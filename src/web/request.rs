//! What clients say over WebSocket: one JSON object a message, checked and typed here, once.

use super::query::{Query, text};
use crate::feed::Filter;
use crate::model::event::{Publication, Severity};
use crate::model::limits::PUBLISHED_BYTES_MAX;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Of our requests; a client that asks for more flushes than that wants every event at once.
const RATE_HZ_MAX: f64 = 1000.0;
/// How often a subscriber is told in a second, unless it says.
const RATE_HZ: f64 = 20.0;

/// A message, whatever it asks for.
#[derive(Debug)]
pub(super) struct Inbound {
    /// What an answer refers to: the request's correlation id, else its id.
    pub(super) correlation: Value,
    /// The name under which it is answered.
    pub(super) event: String,
    pub(super) request: Result<Request, Fault>,
}

#[derive(Debug)]
pub(super) enum Request {
    Subscribe(Subscribe),
    Unsubscribe(Vec<String>),
    Query(Query),
    Publish(Publication),
    Auth(String),
    Ping,
    /// Needs no answer.
    Ack,
}

#[derive(Clone, Debug)]
pub(super) struct Subscribe {
    pub(super) channels: Vec<String>,
    /// One for each channel, so that each can be given up by itself.
    pub(super) filters: Vec<Filter>,
    /// The log and the number behind which to go on.
    pub(super) since: Option<(String, u64)>,
    /// Microseconds between two deliveries; 0: at once.
    pub(super) period_micros: u64,
    /// Rather be cut off than miss something.
    pub(super) strict: bool,
    /// How things stand, even when nothing was missed.
    pub(super) snapshot: bool,
}

/// What is wrong with a message, as the client is told.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into() }
    }
}

/// Keys that are not known are nobody's mistake: clients of other servers send more.
pub(super) fn parse(text: &[u8]) -> Result<Inbound, Fault> {
    let decode_error = |sentence: String| Fault::new("DECODE_ERROR", sentence);
    let message = match serde_json::from_slice(text) {
        Ok(Value::Object(message)) => message,
        Ok(_) => return Err(decode_error("a message must be a JSON object, with type, event and data".to_owned())),
        Err(error) => return Err(decode_error(format!("a message must be JSON: {error}"))),
    };
    let get = |key: &str| message.get(key).unwrap_or(&Value::Null);
    let correlation = [get("correlation_id"), get("id")].into_iter().find(|value| is_id(value)).unwrap_or(&Value::Null);
    let (kind, named) = (get("type").as_str(), get("event").as_str());
    // The type alone says it where it is more than `request`; an event named `subscribe` is a request that was mislabelled.
    let event = match (kind, named) {
        (Some(word @ ("subscribe" | "unsubscribe" | "ping" | "ack")), _) => word,
        (Some("request" | "event"), Some(event)) => event,
        (other, _) => other.unwrap_or_default(),
    };
    let no_data = Map::new();
    let request = match (kind, get("data")) {
        (None, _) => Err(decode_error("type must be text, like request".to_owned())),
        _ if named.is_none() && !get("event").is_null() => Err(decode_error("event must be text".to_owned())),
        (_, Value::Null) => request(event, &no_data),
        (_, Value::Object(data)) => request(event, data),
        _ => Err(decode_error("data must be an object".to_owned())),
    };
    Ok(Inbound { correlation: correlation.clone(), event: event.to_owned(), request })
}

/// Longest id of a request that is sent back.
const CORRELATION_BYTES_MAX: usize = 256;

fn is_id(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= CORRELATION_BYTES_MAX,
        other => other.is_number(),
    }
}

fn request(event: &str, data: &Map<String, Value>) -> Result<Request, Fault> {
    match event {
        "subscribe" => subscribe(data).map(Request::Subscribe),
        "unsubscribe" => Ok(Request::Unsubscribe(channels(data)?)),
        "publish" => publish(data).map(Request::Publish),
        "auth" => Ok(Request::Auth(text(data, "token")?)),
        "ping" => Ok(Request::Ping),
        "ack" => Ok(Request::Ack),
        other => match Query::parse(other, data) {
            Some(query) => query.map(Request::Query),
            None => {
                let shown: String = other.chars().take(64).collect();
                Err(Fault::new("UNKNOWN_REQUEST", format!("Unknown request event: {shown}")))
            }
        },
    }
}

fn channels(data: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let one = ["channel", "room"].iter().find_map(|key| data.get(*key)).and_then(Value::as_str);
    let many = data.get("channels").and_then(Value::as_array);
    let channels: Vec<String> = match (one, many) {
        (Some(one), None) => vec![one.to_owned()],
        (_, Some(many)) => {
            many.iter().filter_map(Value::as_str).map(str::to_owned).chain(one.map(str::to_owned)).collect()
        }
        (None, None) => Vec::new(),
    };
    if channels.is_empty() || many.is_some_and(|many| many.iter().any(|channel| !channel.is_string())) {
        return Err(Fault::new("INVALID_CHANNEL", "data.channel must name a channel, like pool:local, messages or *"));
    }
    Ok(channels)
}

fn subscribe(data: &Map<String, Value>) -> Result<Subscribe, Fault> {
    let channels = channels(data)?;
    let events = match data.get("events") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        }
        Some(_) => return Err(Fault::new("DECODE_ERROR", "data.events must be an array of names")),
    };
    let events: Arc<[String]> = events.into();
    let least = match data.get("min_severity") {
        None | Some(Value::Null) => None,
        Some(word) => Some(
            word.as_str()
                .and_then(Severity::parse)
                .ok_or_else(|| Fault::new("DECODE_ERROR", "data.min_severity must be info, warning or error"))?,
        ),
    };
    let filter = |channel: &String| {
        let filter = Filter::new(vec![channel.clone()], Arc::clone(&events));
        let filter = filter.map_err(|message| Fault::new("INVALID_CHANNEL", message))?;
        Ok(match least {
            Some(least) => filter.at_least(least),
            None => filter,
        })
    };
    Ok(Subscribe {
        filters: channels.iter().map(filter).collect::<Result<_, _>>()?,
        channels,
        since: since(data)?,
        period_micros: period(data)?,
        strict: flag(data, "strict")?,
        snapshot: flag(data, "snapshot")?,
    })
}

fn flag(data: &Map<String, Value>, key: &str) -> Result<bool, Fault> {
    match data.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is)) => Ok(*is),
        Some(_) => Err(Fault::new("DECODE_ERROR", format!("data.{key} must be true or false"))),
    }
}

fn since(data: &Map<String, Value>) -> Result<Option<(String, u64)>, Fault> {
    let Some(since) = data.get("since").filter(|since| !since.is_null()) else { return Ok(None) };
    let epoch = since.get("epoch").and_then(Value::as_str);
    let (Some(epoch), Some(seq)) = (epoch, since.get("seq").and_then(Value::as_u64)) else {
        return Err(Fault::new("DECODE_ERROR", "data.since must be {\"epoch\": TEXT, \"seq\": NUMBER}"));
    };
    Ok(Some((epoch.to_owned(), seq)))
}

fn period(data: &Map<String, Value>) -> Result<u64, Fault> {
    let rate = match data.get("max_rate_hz") {
        None | Some(Value::Null) => RATE_HZ,
        Some(rate) => rate.as_f64().filter(|rate| (0.0..=RATE_HZ_MAX).contains(rate)).ok_or_else(|| {
            Fault::new("DECODE_ERROR", format!("data.max_rate_hz must be a number from 0 to {RATE_HZ_MAX}"))
        })?,
    };
    // Slower than once a minute is as good as never.
    Ok(if rate == 0.0 { 0 } else { (1e6 / rate).min(60e6) as u64 })
}

fn publish(data: &Map<String, Value>) -> Result<Publication, Fault> {
    let (channel, name) = (text(data, "channel")?, text(data, "event")?);
    Publication::check(&channel, &name).map_err(|message| Fault::new("INVALID_CHANNEL", message))?;
    let empty = Value::Object(Map::new());
    let told = data.get("data").unwrap_or(&empty);
    let severity = match told.get("severity").and_then(Value::as_str) {
        None => Severity::Info,
        Some(word) => Severity::parse(word)
            .ok_or_else(|| Fault::new("DECODE_ERROR", "data.data.severity must be info, warning or error"))?,
    };
    let told = told.as_object().map(|_| told.to_string());
    let told = told.filter(|told| told.len() <= PUBLISHED_BYTES_MAX).ok_or_else(|| {
        Fault::new("DECODE_ERROR", format!("data.data must be an object of at most {PUBLISHED_BYTES_MAX} bytes"))
    })?;
    Ok(Publication { channel, name, severity, data: told.into(), hook: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(text: &str) -> &'static str {
        match parse(text.as_bytes()) {
            Ok(inbound) => inbound.request.map(|request| format!("{request:?}")).unwrap_err().code,
            Err(fault) => fault.code,
        }
    }

    #[test]
    fn what_real_clients_send_is_understood() {
        let subscribes = [
            r#"{"type":"request","event":"subscribe","data":{"channel":"pool:pool_local"},"id":"sub_pool_local"}"#,
            r#"{"type":"event","event":"subscribe","data":{"room":"pool:pool_local"},"id":"sub_pool_local"}"#,
            r#"{"type":"subscribe","data":{"channels":["pool:pool_local"]},"correlation_id":"sub_pool_local","id":7,"x":[]}"#,
        ];
        for text in subscribes {
            let inbound = parse(text.as_bytes()).unwrap();
            assert_eq!((inbound.correlation, &*inbound.event), (json!("sub_pool_local"), "subscribe"));
            let Ok(Request::Subscribe(subscribe)) = inbound.request else { panic!("{text}") };
            assert_eq!(subscribe.channels, ["pool:pool_local"]);
            assert_eq!((subscribe.period_micros, subscribe.since, subscribe.strict), (50_000, None, false));
        }
        assert!(matches!(parse(br#"{"type":"ack"}"#).unwrap().request, Ok(Request::Ack)));
        assert_eq!(parse(br#"{"type":"ping","id":3}"#).unwrap().correlation, json!(3));
    }

    #[test]
    fn a_subscription_says_where_how_often_and_how_loud() {
        let text = r#"{"type":"subscribe","data":{"channel":"*","since":{"epoch":"e","seq":4},"max_rate_hz":0,"strict":true}}"#;
        let Ok(Request::Subscribe(subscribe)) = parse(text.as_bytes()).unwrap().request else { panic!() };
        assert_eq!(subscribe.since, Some(("e".to_owned(), 4)));
        assert_eq!((subscribe.period_micros, subscribe.strict), (0, true));
    }

    #[test]
    fn a_mistake_is_told_to_whoever_made_it_in_words_of_the_protocol() {
        let inbound = parse(br#"{"type":"request","event":"get_pool_status","data":7,"id":"q"}"#).unwrap();
        assert_eq!((inbound.correlation, &*inbound.event), (json!("q"), "get_pool_status"));
        let fault = parse(b"[]").unwrap_err();
        assert_eq!(fault.message, "a message must be a JSON object, with type, event and data");
    }

    #[test]
    fn every_mistake_has_a_code() {
        for (text, code) in [
            ("", "DECODE_ERROR"),
            ("[]", "DECODE_ERROR"),
            ("{}", "DECODE_ERROR"),
            (r#"{"type":"request","data":7}"#, "DECODE_ERROR"),
            (r#"{"type":"request","event":"dance"}"#, "UNKNOWN_REQUEST"),
            (r#"{"type":"hello"}"#, "UNKNOWN_REQUEST"),
            (r#"{"type":"subscribe"}"#, "INVALID_CHANNEL"),
            (r#"{"type":"subscribe","data":{"channels":[7]}}"#, "INVALID_CHANNEL"),
            (r#"{"type":"subscribe","data":{"channel":"nonsense"}}"#, "INVALID_CHANNEL"),
            (r#"{"type":"subscribe","data":{"channel":"*","since":4}}"#, "DECODE_ERROR"),
            (r#"{"type":"subscribe","data":{"channel":"*","max_rate_hz":-1}}"#, "DECODE_ERROR"),
            (r#"{"type":"subscribe","data":{"channel":"*","min_severity":"loud"}}"#, "DECODE_ERROR"),
            (r#"{"type":"subscribe","data":{"channel":"*","min_severity":5}}"#, "DECODE_ERROR"),
            (r#"{"type":"subscribe","data":{"channel":"*","events":[1,2]}}"#, "DECODE_ERROR"),
            (r#"{"type":"subscribe","data":{"channel":"*","strict":"yes"}}"#, "DECODE_ERROR"),
            (r#"{"type":"subscribe","data":{"channel":"*","snapshot":1}}"#, "DECODE_ERROR"),
            (r#"["subscribe","subscribe",{"channel":"*"},"1",null]"#, "DECODE_ERROR"),
            (r#"{"type":7}"#, "DECODE_ERROR"),
            (r#"{"type":"request","event":7}"#, "DECODE_ERROR"),
            (r#"{"type":"request","event":"get_pool_status","data":{}}"#, "DECODE_ERROR"),
            (r#"{"type":"request","event":"publish","data":{"channel":"pool:p","event":"x"}}"#, "INVALID_CHANNEL"),
            (r#"{"type":"request","event":"publish","data":{"channel":"a:b","event":"x","data":[]}}"#, "DECODE_ERROR"),
        ] {
            assert_eq!(fault(text), code, "{text}");
        }
        assert_eq!(
            parse(format!("{}1{}", "[".repeat(9999), "]".repeat(9999)).as_bytes()).unwrap_err().code,
            "DECODE_ERROR"
        );
    }
}
