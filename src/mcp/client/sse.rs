//! Server-sent events, by the rules of the WHATWG: bytes in, events out, however they are cut.

use std::time::Duration;

/// One event that was dispatched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty for the usual kind, `message`.
    pub(super) name: String,
    pub(super) data: String,
}

/// What has been read of a stream so far. Its memory is what the longest event needs; the caller limits the bytes.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// A line feed that follows belongs to the carriage return before it.
    after_return: bool,
    /// The first line is over, so that no byte order mark can come any more.
    begun: bool,
    event: Event,
    /// An event has data when a field of that name was seen, even an empty one.
    has_data: bool,
    /// Counts when the event is dispatched.
    next_id: String,
    last_id: String,
    retry: Option<Duration>,
}

impl Parser {
    /// What to ask for when the stream is taken up again; empty when the server gave no event an id.
    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// How long the server wants us to wait before that.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Begins with another stream, which goes on where this one stopped. An event that was not complete is dropped.
    pub(super) fn resume(&mut self) {
        let (last_id, retry) = (std::mem::take(&mut self.last_id), self.retry);
        *self = Parser { next_id: last_id.clone(), last_id, retry, ..Parser::default() };
    }

    /// Takes the next bytes. Returns the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let continues = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                b'\n' if continues => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take_line(&line));
                }
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Event> {
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.next_id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = Some(Duration::from_millis(value.parse().unwrap_or(u64::MAX)));
            }
            // A comment, or a field that nobody knows.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.last_id.clone_from(&self.next_id);
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &[u8]) -> (Vec<(String, String)>, Parser) {
        let mut parser = Parser::default();
        let events = parser.push(text).into_iter().map(|event| (event.name, event.data)).collect();
        (events, parser)
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        assert_eq!(parsed(text.as_bytes()).0, expected, "{text:?}");
    }

    #[test]
    fn lines_end_in_three_ways() {
        check("data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\r\n\n", &[("", "a"), ("", "b"), ("", "c"), ("", "d")]);
    }

    #[test]
    fn fields_are_read_as_the_rules_say() {
        check("\u{feff}data:a\n\n", &[("", "a")]);
        check(": comment\ndata: a\ndata\ndata:  b\n\n", &[("", "a\n\n b")]);
        check("event: message\ndata: a\n\nevent: other\n\ndata: b\n\n", &[("message", "a"), ("", "b")]);
        check("data:\n\n", &[("", "")]);
        check("colour: red\nDATA: x\n\n", &[]);
        check("data: never dispatched\n", &[]);
        check("data: a:b: c\n\n", &[("", "a:b: c")]);
    }

    #[test]
    fn an_id_counts_once_its_event_is_complete() {
        assert_eq!(parsed(b"id: 1\ndata:\n\nid: 2\ndata: x\n").1.last_id(), "1");
        assert_eq!(parsed(b"id: 1\n\nid: a\0b\n\n").1.last_id(), "1");
        assert_eq!(parsed(b"id: 1\n\nid\n\n").1.last_id(), "");
        let (_, mut parser) = parsed(b"retry: 500\nretry: 5x\nretry:\nid: 7\n\ndata: half");
        parser.resume();
        assert_eq!((parser.last_id(), parser.retry()), ("7", Some(Duration::from_millis(500))));
        assert_eq!(parser.push(b"\n\n"), []);
    }

    /// Pieces that are likely to meet at a bad place.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            "data: a",
            "data:{\"id\":1}",
            "data",
            "event: x",
            "id: 3",
            "id",
            "retry: 20",
            ":c",
            "\n",
            "\n\n",
            "\r",
            "\r\n",
            "\r\n\r\n",
            "\u{feff}",
            "é",
            "\0",
            ":",
        ]);
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(stream in stream(), cuts in prop::collection::vec(0usize..400, 0..12)) {
            let (whole, at_once) = parsed(&stream);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for pair in cuts.windows(2) {
                events.extend(parser.push(&stream[pair[0]..pair[1]]).into_iter().map(|event| (event.name, event.data)));
            }
            prop_assert_eq!(events, whole);
            prop_assert_eq!((parser.last_id(), parser.retry()), (at_once.last_id(), at_once.retry()));
        }
    }
}
