//! One HTTP connection: requests one after the other, until one of them asks for a WebSocket.

use super::calls::{Call, Told};
use super::exchange::{Exchange, Say};
use super::head::{HEAD_BYTES_MAX, Head, Parsed, parse};
use super::outbox::Outbox;
use super::response::Response;
use super::routes::{self, Route};
use super::session::Fate;
use super::shared::Shared;
use super::wire;
use super::work::Done;
use crate::clock::Tick;
use bytes::Bytes;
use mio::net::TcpStream;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

/// Between two requests of a connection that is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer that was answered for the last time has to hang up.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 4 << 10;
/// Of a peer that was answered for the last time, thrown away before others have their turn.
const DISCARDS_A_TURN_MAX: usize = 4;
/// Requests that are answered before others have their turn.
const REQUESTS_A_TURN_MAX: usize = 16;

/// What a turn came to.
pub(super) enum Next {
    Fate(Fate),
    /// It is a WebSocket from here on; the bytes are what came behind the head.
    Upgrade {
        handshake: Bytes,
        early: Vec<u8>,
        head: Box<Head>,
    },
}

#[derive(Debug)]
enum Stage {
    Reading,
    /// A message of MCP, from its body to the end of its answer.
    Exchanging(Box<Exchange>),
    /// The desk finds the answer.
    Waiting {
        keep_alive: bool,
        head_only: bool,
    },
    /// The last answer was given: the peer is to hang up.
    Ending,
}

pub(super) struct Http {
    id: usize,
    pub(super) stream: Option<TcpStream>,
    pub(super) peer: IpAddr,
    input: Vec<u8>,
    outbox: Outbox,
    stage: Stage,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer's end is among what there is to be read.
    pub(super) ends: bool,
    /// Whole requests may be left that have come already.
    has_more: bool,
    /// The peer says nothing more; what it has asked for is still answered.
    has_ended: bool,
    due: Tick,
}

impl Http {
    pub(super) fn new(id: usize, stream: TcpStream, peer: IpAddr, shared: &Shared) -> Http {
        Http {
            id,
            stream: Some(stream),
            peer,
            input: Vec::new(),
            outbox: Outbox::default(),
            stage: Stage::Reading,
            readable: true,
            writable: true,
            ends: false,
            has_more: false,
            has_ended: false,
            due: shared.now.tick.after(shared.settings.handshake_timeout),
        }
    }

    pub(super) fn due(&self) -> Tick {
        match &self.stage {
            Stage::Exchanging(exchange) => exchange.due,
            _ => self.due,
        }
    }

    pub(super) fn is_eager(&self) -> bool {
        if self.outbox.is_full() {
            return false;
        }
        match &self.stage {
            Stage::Waiting { .. } => false,
            // What comes behind it waits until it is over.
            Stage::Exchanging(exchange) if !exchange.is_reading() => self.readable && self.input.len() < HEAD_BYTES_MAX,
            _ => self.readable || self.has_more,
        }
    }

    /// Microseconds between two looks at what has changed; `None` for whoever follows nothing.
    pub(super) fn period_micros(&self) -> Option<u64> {
        match &self.stage {
            Stage::Exchanging(exchange) => exchange.period_micros(),
            _ => None,
        }
    }

    pub(super) fn is_behind(&self, shared: &Shared) -> bool {
        matches!(&self.stage, Stage::Exchanging(exchange) if exchange.is_behind(shared))
    }

    /// A head that does not end, or a peer that does not go.
    pub(super) fn alarm(&mut self, shared: &mut Shared) -> Fate {
        if self.due() > shared.now.tick {
            return Fate::Stays;
        }
        let is_late = match &mut self.stage {
            Stage::Exchanging(exchange) => match exchange.alarm(shared) {
                Some(comment) => {
                    self.outbox.push(comment);
                    return if self.flush().is_ok() { Fate::Stays } else { Fate::Gone };
                }
                None => true,
            },
            Stage::Reading => !self.input.is_empty(),
            Stage::Waiting { .. } | Stage::Ending => false,
        };
        if is_late {
            self.answer(&Response::sentence(408, "the request did not come in time"), false, false, shared);
            let _ = self.flush();
        }
        Fate::Gone
    }

    pub(super) fn turn(&mut self, time: bool, shared: &mut Shared) -> Next {
        match self.try_turn(time, shared) {
            Ok(next) => next,
            Err(_) => Next::Fate(Fate::Gone),
        }
    }

    fn try_turn(&mut self, time: bool, shared: &mut Shared) -> io::Result<Next> {
        self.has_more = false;
        for _ in 0..REQUESTS_A_TURN_MAX {
            self.flush()?;
            if self.outbox.is_full() {
                return Ok(Next::Fate(Fate::Stays));
            }
            match &self.stage {
                Stage::Waiting { .. } => return Ok(Next::Fate(Fate::Stays)),
                Stage::Ending => {
                    self.hear_out()?;
                    return Ok(Next::Fate(Fate::Stays));
                }
                Stage::Exchanging(_) => {
                    if self.exchange(time, shared)? {
                        continue;
                    }
                    return Ok(Next::Fate(Fate::Stays));
                }
                Stage::Reading => {}
            }
            let was_empty = self.input.is_empty();
            self.read()?;
            match parse(&self.input) {
                Parsed::Partial if self.has_ended => {
                    self.stage = Stage::Ending;
                    self.due = shared.now.tick.after(LEAVE_TIMEOUT);
                }
                Parsed::Partial => {
                    if was_empty && !self.input.is_empty() {
                        self.due = shared.now.tick.after(shared.settings.handshake_timeout);
                    }
                    return Ok(Next::Fate(Fate::Stays));
                }
                Parsed::Bad(status, why) => self.answer(&Response::sentence(status, why), false, false, shared),
                Parsed::Whole { head, bytes } => {
                    self.input.drain(..bytes);
                    if let Some(next) = self.serve(head, shared) {
                        return Ok(next);
                    }
                }
            }
        }
        self.has_more = true;
        Ok(Next::Fate(Fate::Stays))
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.readable && self.input.len() < HEAD_BYTES_MAX {
            let old = self.input.len();
            self.input.resize(old + READ_BYTES, 0);
            let read = stream.read(&mut self.input[old..]);
            self.input.truncate(old + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => (self.has_ended, self.readable) = (true, false),
                // Less than there was room for is all that has come; the loop says when there is more (epoll(7)).
                Ok(read) => self.readable = read == READ_BYTES || self.ends,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// After the last answer: what still comes is thrown away, so that the answer is not broken off.
    fn hear_out(&mut self) -> io::Result<()> {
        self.input.clear();
        if self.outbox.is_empty()
            && let Some(stream) = &self.stream
        {
            let _ = stream.shutdown(Shutdown::Write);
        }
        for _ in 0..DISCARDS_A_TURN_MAX {
            self.read()?;
            self.input.clear();
            if !self.readable {
                self.input = Vec::new();
                break;
            }
        }
        if self.has_ended && self.outbox.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(stream) = self.stream.as_mut().filter(|_| self.writable) {
            self.writable = self.outbox.flush(|bytes| wire::send(stream, bytes))?;
        }
        Ok(())
    }

    fn serve(&mut self, head: Box<Head>, shared: &mut Shared) -> Option<Next> {
        // But for messages of MCP no body is asked for, and where one ends is not worth finding out.
        let keep_alive = head.keep_alive && !head.has_body;
        let head_only = head.method == "HEAD";
        match routes::route(&head, self.peer, &shared.settings) {
            Route::Answer(response) => {
                if matches!(response.status, 401 | 403) {
                    shared.meters.refused.increment();
                }
                self.answer(&response, keep_alive, head_only, shared);
            }
            Route::Work(job) => {
                self.stage = Stage::Waiting { keep_alive, head_only };
                self.due = Tick::FAR;
                shared.jobs.push_back((self.id, job));
            }
            Route::Message(may) => match Exchange::new(head, may, shared) {
                Ok(exchange) => {
                    self.outbox.push(exchange.invitation().unwrap_or_default());
                    self.stage = Stage::Exchanging(Box::new(exchange));
                }
                Err((status, why)) => self.answer(&Response::sentence(status, why), false, false, shared),
            },
            Route::Upgrade(handshake) => {
                let mut early = std::mem::take(&mut self.input);
                // The protocol goes on with this memory, for as long as the connection lasts.
                early.shrink_to_fit();
                return Some(Next::Upgrade { handshake, early, head });
            }
        }
        None
    }

    fn answer(&mut self, response: &Response, keep_alive: bool, head_only: bool, shared: &Shared) {
        self.outbox.push(response.encode(shared.now.wall, keep_alive, head_only));
        self.go_on(keep_alive, shared);
    }

    /// After an answer.
    fn go_on(&mut self, keep_alive: bool, shared: &Shared) {
        let wait = if keep_alive { IDLE_TIMEOUT } else { LEAVE_TIMEOUT };
        self.stage = if keep_alive { Stage::Reading } else { Stage::Ending };
        self.due = shared.now.tick.after(wait);
    }

    /// One look at a message of MCP. Returns whether there is more to be done at once.
    fn exchange(&mut self, time: bool, shared: &mut Shared) -> io::Result<bool> {
        let before = self.input.len();
        self.read()?;
        let Stage::Exchanging(exchange) = &mut self.stage else { return Ok(true) };
        if !exchange.is_reading() {
            if self.has_ended && exchange.ends_with_peer() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let changes = if time { exchange.changes(shared) } else { None };
            self.outbox.push(changes.unwrap_or_default());
            self.flush()?;
            return Ok(false);
        }
        let has_come = self.input.len() > before || before > 0;
        match exchange.read(self.id, &mut self.input, shared) {
            Ok(Say::Nothing) if exchange.is_reading() && self.has_ended => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Say::Nothing) if exchange.is_reading() => Ok(has_come && self.readable),
            Ok(say) => {
                let is_over = self.say(say, shared);
                self.flush()?;
                Ok(is_over)
            }
            Err((status, why)) => {
                self.answer(&Response::sentence(status, why), false, false, shared);
                Ok(true)
            }
        }
    }

    /// Says it. Returns whether the exchange is over.
    fn say(&mut self, say: Say, shared: &Shared) -> bool {
        let Stage::Exchanging(exchange) = &self.stage else { return true };
        let keep_alive = exchange.keep_alive();
        match say {
            Say::Nothing => false,
            Say::Part(bytes) => {
                self.outbox.push(bytes);
                false
            }
            Say::End(bytes) => {
                self.outbox.push(bytes);
                self.go_on(keep_alive, shared);
                true
            }
            Say::Answer(response) => {
                self.answer(&response, keep_alive, false, shared);
                true
            }
        }
    }

    /// Something has come of a call.
    pub(super) fn told(&mut self, call: Call, told: Told, shared: &Shared) {
        let Stage::Exchanging(exchange) = &mut self.stage else { return };
        // Progress that is not taken is not kept: what comes next says as much.
        if matches!(told, Told::Progress(_)) && self.outbox.is_full() {
            return;
        }
        let say = exchange.told(call, told, shared);
        self.say(say, shared);
    }

    /// The daemon stops.
    pub(super) fn leave(&mut self, shared: &Shared) -> Fate {
        let Stage::Exchanging(exchange) = &self.stage else { return Fate::Gone };
        let farewell = exchange.farewell(shared);
        self.say(farewell, shared);
        let _ = self.flush();
        Fate::Gone
    }

    /// The desk has done what this request needs.
    pub(super) fn served(&mut self, done: Done, shared: &mut Shared) {
        let Stage::Waiting { keep_alive, head_only } = self.stage else { return };
        let response = match done {
            Done::Text(text) => Response::new(200, routes::PROMETHEUS, text),
            Done::Answer(value) => {
                let status = if value["status"] == "ok" { 200 } else { 503 };
                Response::new(status, "application/json", format!("{value}\n"))
            }
            Done::Failed(fault) => Response::sentence(503, &fault.message),
            Done::Subscribed { .. } | Done::Events { .. } | Done::Snapshot(_) | Done::Looked(..) => {
                Response::sentence(503, "no answer")
            }
        };
        self.answer(&response, keep_alive, head_only, shared);
    }
}
