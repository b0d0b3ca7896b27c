//! A frame from a server, read leniently: what is missing or of another kind than expected is taken as not there.

use crate::clock::Timestamp;
use serde_json::{Map, Value};

/// Longest message that is taken from a server, in bytes; a longer one ends the connection.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest message whose data are kept, in bytes: many may wait to be shown.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Longest word that is kept, in characters: names, ids, times.
const WORD_CHARS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Response,
    Error,
    Other,
}

/// What is made of the nine keys, and `seq`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) event: String,
    pub(crate) data: Map<String, Value>,
    pub(crate) timestamp: Option<String>,
    pub(crate) room: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) seq: Option<u64>,
    /// Whether its data were too long to be kept.
    pub(crate) is_cut: bool,
}

impl Frame {
    /// `None`: it is no JSON object, or has no type and no event.
    pub(crate) fn parse(message: &[u8]) -> Option<Frame> {
        let Ok(Value::Object(mut keys)) = serde_json::from_slice(message) else { return None };
        let word = |name: &str| keys.get(name).and_then(Value::as_str).map(short);
        let (kind, event) = (word("type"), word("event"));
        if kind.is_none() && event.is_none() {
            return None;
        }
        let kind = match kind.as_deref() {
            Some("event") | None => Kind::Event,
            Some("response") => Kind::Response,
            Some("error") => Kind::Error,
            Some(_) => Kind::Other,
        };
        let (timestamp, room) = (word("timestamp"), word("room"));
        let (correlation_id, error_code) = (word("correlation_id"), word("error_code"));
        let error_message = word("error_message");
        let seq = keys.get("seq").and_then(Value::as_u64);
        let is_cut = message.len() > KEPT_BYTES_MAX;
        let data = match keys.remove("data") {
            Some(Value::Object(data)) if !is_cut => data,
            _ => Map::new(),
        };
        let event = event.unwrap_or_default();
        Some(Frame { kind, event, data, timestamp, room, correlation_id, error_code, error_message, seq, is_cut })
    }

    /// When it was sent, as it says itself. Without a zone it is taken as UTC.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        let text = self.timestamp.as_deref()?;
        Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z")))
    }

    /// Whether it tells how something is, rather than what has happened.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.data.get("snapshot").and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn severity(&self) -> Option<&str> {
        self.data.get("severity").and_then(Value::as_str)
    }
}

fn short(text: &str) -> String {
    text.chars().take(WORD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nine_keys_are_read() {
        let text = br#"{"id":"7","correlation_id":"c","type":"response","event":"subscribe","data":{"seq":3},
            "timestamp":"2026-02-10T23:59:59.999Z","room":"pool:local","error_code":null,"error_message":null,"seq":7}"#;
        let frame = Frame::parse(text).unwrap();
        assert_eq!((frame.kind, frame.event.as_str(), frame.seq), (Kind::Response, "subscribe", Some(7)));
        assert_eq!((frame.room.as_deref(), frame.correlation_id.as_deref()), (Some("pool:local"), Some("c")));
        assert_eq!(frame.data["seq"], 3);
        assert_eq!(frame.at(), Timestamp::parse("2026-02-10T23:59:59.999Z"));
    }

    #[test]
    fn what_is_of_another_kind_is_not_there() {
        let frame =
            Frame::parse(br#"{"event":"e","data":[1],"timestamp":5,"room":{},"seq":-1,"error_code":1}"#).unwrap();
        assert_eq!((frame.kind, frame.data.len(), frame.seq, frame.at()), (Kind::Event, 0, None, None));
        assert_eq!((frame.room, frame.error_code), (None, None));
        let without_zone = Frame::parse(br#"{"event":"e","timestamp":"2026-02-10T23:59:59"}"#).unwrap();
        assert_eq!(without_zone.at(), Timestamp::parse("2026-02-10T23:59:59Z"));
    }

    #[test]
    fn junk_is_told_from_frames() {
        for junk in [&b""[..], b"null", b"[]", b"{}", b"{\"data\":{}}", b"\xff\xfe", b"{\"type\":1}", b"nonsense"] {
            assert_eq!(Frame::parse(junk), None, "{junk:?}");
        }
        // Deeper than anybody needs.
        assert_eq!(Frame::parse(&b"{\"type\":".repeat(10_000)), None);
    }

    #[test]
    fn long_words_are_cut_and_long_data_not_kept() {
        let long = "x".repeat(KEPT_BYTES_MAX);
        let frame = Frame::parse(format!(r#"{{"event":"{long}","data":{{"a":1}}}}"#).as_bytes()).unwrap();
        assert_eq!((frame.event.len(), frame.is_cut, frame.data.len()), (WORD_CHARS_MAX, true, 0));
    }
}
