//! One message of MCP over HTTP, from its body to the end of its answer.

use super::body::{Body, Unreadable};
use super::calls::{Call, Told};
use super::changes::Changes;
use super::head::Head;
use super::response::Response;
use super::shared::Shared;
use super::stream;
use crate::clock::Tick;
use crate::mcp::server::{Answer, May, Taken, Via};
use bytes::Bytes;
use std::time::Duration;
use tungstenite::http::header;

/// A body must be there after this.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at what has changed.
const CHANGES_PERIOD_MICROS: u64 = 50_000;

#[derive(Debug)]
pub(super) struct Exchange {
    head: Box<Head>,
    may: May,
    state: State,
    /// When something is to be said, or the peer's time is over.
    pub(super) due: Tick,
}

#[derive(Debug)]
enum State {
    Reading(Body),
    Calling { call: Call, streams: bool, waits: bool },
    Following(Box<Changes>),
}

/// What is to go to the peer.
pub(super) enum Say {
    Nothing,
    /// The whole answer.
    Answer(Response),
    /// A part of it.
    Part(Bytes),
    /// The last part.
    End(Bytes),
}

impl Exchange {
    pub(super) fn new(head: Box<Head>, may: May, shared: &Shared) -> Result<Exchange, Unreadable> {
        let state = State::Reading(Body::of(&head)?);
        Ok(Exchange { head, may, state, due: shared.now.tick.after(BODY_TIMEOUT) })
    }

    pub(super) fn keep_alive(&self) -> bool {
        self.head.keep_alive
    }

    /// What the peer is told that waits before it sends the body.
    pub(super) fn invitation(&self) -> Option<Bytes> {
        let expects = self.head.text(header::EXPECT).is_some_and(|text| text.eq_ignore_ascii_case("100-continue"));
        expects.then(|| Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"))
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Reading(_))
    }

    /// Whether a peer that says nothing more is given up: its answer may be long in coming.
    pub(super) fn ends_with_peer(&self) -> bool {
        matches!(self.state, State::Calling { waits: true, .. } | State::Following(_))
    }

    pub(super) fn period_micros(&self) -> Option<u64> {
        matches!(self.state, State::Following(_)).then_some(CHANGES_PERIOD_MICROS)
    }

    pub(super) fn is_behind(&self, shared: &Shared) -> bool {
        matches!(&self.state, State::Following(changes) if changes.is_behind(shared))
    }

    /// Takes what has come of the body.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(&mut self, id: usize, input: &mut Vec<u8>, shared: &mut Shared) -> Result<Say, Unreadable> {
        let State::Reading(body) = &mut self.state else { return Ok(Say::Nothing) };
        Ok(match body.take(input)? {
            Some(message) => self.take(id, &message, shared),
            None => Say::Nothing,
        })
    }

    fn take(&mut self, id: usize, message: &[u8], shared: &mut Shared) -> Say {
        let head = &self.head;
        let text = |name: &str| head.headers.get(name)?.to_str().ok().map(str::to_owned);
        let now = shared.now;
        match shared.calls.engine().take(message, Via::Http(&text), self.may) {
            // A request is given up by closing its stream: an id says nothing where everybody comes through one door.
            Taken::Nothing | Taken::Cancel(_) => Say::Answer(Response::empty(202)),
            Taken::Answer(answer) => Say::Answer(response(answer)),
            Taken::Order(request, order) => {
                let waits = request.waits;
                let streams = waits && self.may_stream();
                match shared.calls.start(id, request, order, now.tick) {
                    Err(answer) => Say::Answer(response(answer)),
                    Ok(call) => {
                        self.state = State::Calling { call, streams, waits };
                        self.due = if streams { now.tick.after(stream::KEEP_ALIVE) } else { Tick::FAR };
                        if streams { Say::Part(stream::head(now.wall, self.head.keep_alive)) } else { Say::Nothing }
                    }
                }
            }
            Taken::Listen(_) if !self.may_stream() => {
                Say::Answer(Response::sentence(406, "this is answered with text/event-stream, over HTTP/1.1"))
            }
            Taken::Listen(listening) => {
                let begin = [stream::head(now.wall, self.head.keep_alive), stream::event(&listening.opening)].concat();
                self.state = State::Following(Box::new(Changes::new(listening, shared)));
                self.due = now.tick.after(stream::KEEP_ALIVE);
                Say::Part(begin.into())
            }
        }
    }

    fn may_stream(&self) -> bool {
        let takes = |text: &str| text.contains("text/event-stream") || text.contains("*/*");
        self.head.is_new && self.head.text(header::ACCEPT).is_none_or(takes)
    }

    /// What has come of the call.
    pub(super) fn told(&mut self, call: Call, told: Told, shared: &Shared) -> Say {
        let State::Calling { call: mine, streams, .. } = self.state else { return Say::Nothing };
        if mine != call {
            return Say::Nothing;
        }
        self.due = if streams { shared.now.tick.after(stream::KEEP_ALIVE) } else { Tick::FAR };
        match told {
            Told::Progress(message) if streams => Say::Part(stream::event(&message)),
            Told::Progress(_) => Say::Nothing,
            Told::Answer(answer) if streams => Say::End([stream::event(&answer.body), stream::end()].concat().into()),
            Told::Answer(answer) => Say::Answer(response(answer)),
        }
    }

    /// What has changed of the resources that are followed.
    pub(super) fn changes(&mut self, shared: &mut Shared) -> Option<Bytes> {
        let State::Following(changes) = &mut self.state else { return None };
        let parts: Vec<Bytes> = changes.take(shared).iter().map(|message| stream::event(message)).collect();
        self.due = shared.now.tick.after(stream::KEEP_ALIVE);
        (!parts.is_empty()).then(|| parts.concat().into())
    }

    /// Time has passed: the comment that says that the stream lives. `None` when the peer's time is over.
    pub(super) fn alarm(&mut self, shared: &Shared) -> Option<Bytes> {
        match self.state {
            State::Reading(_) => None,
            State::Calling { .. } | State::Following(_) => {
                self.due = shared.now.tick.after(stream::KEEP_ALIVE);
                Some(stream::comment())
            }
        }
    }

    /// What is said at last when it is this side that ends.
    pub(super) fn farewell(&self, shared: &Shared) -> Say {
        let last = |body: &[u8]| Say::End([stream::event(body), stream::end()].concat().into());
        match &self.state {
            State::Reading(_) => Say::Nothing,
            State::Following(changes) => last(&shared.calls.engine().farewell(&changes.listening)),
            State::Calling { call, streams, .. } => match shared.calls.farewell(*call) {
                Some(answer) if *streams => last(&answer.body),
                Some(answer) => Say::Answer(response(answer)),
                None => Say::Nothing,
            },
        }
    }
}

const JSON: &str = "application/json";

fn response(answer: Answer) -> Response {
    Response::new(answer.status, JSON, answer.body)
}
