//! One WebSocket connection: what it may, what it follows, where it stands.

mod following;
mod telling;

use super::allowance::Allowance;
use super::delivery::Interest;
use super::outbox::{Outbox, put_text};
use super::reply;
use super::request::{Fault, Request, Subscribe, parse};
use super::shared::Shared;
use super::token::Rights;
use super::wire::Wire;
use super::work::{Done, Job};
use crate::clock::Tick;
use following::Subscription;
use serde_json::{Value, json};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Bytes, Message, Utf8Bytes};

/// Largest message that is taken from a client.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Held for each connection all the time; a larger message gets its room while it comes.
const READ_BYTES: usize = 512;
/// Messages, and bytes, that are taken from a connection before others have their turn.
const MESSAGES_A_TURN_MAX: usize = 64;
const READ_A_TURN_BYTES_MAX: usize = 16 << 10;
/// How long a peer has to take its leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Wrong tokens before a connection is closed.
const WRONG_TOKENS_MAX: u32 = 5;
/// For subscribers that rather end than miss something.
const CODE_FALLEN_BEHIND: u16 = 4008;

/// What becomes of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Gone,
}

/// What the connection has asked the desk for.
#[derive(Debug)]
enum Awaited {
    Answer { event: String, correlation: Value },
    Subscribe { correlation: Value, event: String, subscribe: Box<Subscribe> },
    Events,
    Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// We have said good-bye, or answered it; ends at the latest then.
    Since(Tick),
    /// All is said, the peer is to hang up; what it still sends is not looked at.
    Deaf(Tick),
}

pub(super) struct Session {
    id: usize,
    socket: WebSocket<Wire>,
    outbox: Outbox,
    /// There was no room; it is only told so.
    pub(super) is_turned_away: bool,
    rights: Rights,
    /// Nothing is told before a token was shown.
    greeted: bool,
    subscriptions: Vec<Subscription>,
    interest: Option<Rc<Interest>>,
    seq: u64,
    awaited: Option<Awaited>,
    allowance: Allowance,
    wrong_tokens: u32,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// There is more to be told that could go out at once.
    has_more: bool,
    opened_at: Tick,
    heard_at: Tick,
    pinged_at: Option<Tick>,
    closing: Closing,
}

impl Session {
    pub(super) fn new(id: usize, wire: Wire, early: Vec<u8>, rights: Rights, shared: &Shared) -> Session {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES_MAX * 4)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let settings = &shared.settings;
        let now = shared.now.tick;
        Session {
            id,
            socket: WebSocket::from_partially_read(wire, early, Role::Server, Some(config)),
            outbox: Outbox::default(),
            is_turned_away: false,
            rights,
            greeted: false,
            subscriptions: Vec::new(),
            interest: None,
            seq: shared.last_seq,
            awaited: None,
            allowance: Allowance::new(settings.requests_per_second, settings.requests_burst, now),
            wrong_tokens: 0,
            readable: true,
            writable: true,
            has_more: false,
            opened_at: now,
            heard_at: now,
            pinged_at: None,
            closing: Closing::No,
        }
    }

    /// Puts the answer to the handshake first, and the greeting behind it where it may be had.
    pub(super) fn open(&mut self, handshake: Bytes, shared: &Shared) {
        self.outbox.push(handshake);
        if self.rights > Rights::None && !shared.settings.echo {
            self.greet(shared);
        }
    }

    /// There is no room: it is told when it is likely to be.
    pub(super) fn turn_away(&mut self, handshake: Bytes, shared: &Shared) {
        self.is_turned_away = true;
        self.outbox.push(handshake);
        self.close(CloseCode::Again, "there are as many connections as there may be", shared);
    }

    fn greet(&mut self, shared: &Shared) {
        self.greeted = true;
        let data = json!({
            "connection_id": format!("ws-{}", self.id),
            "server": "claude-comms",
            "message": "Connected to claude-comms",
            "authenticated": self.rights > Rights::Events,
            "secure": false,
            "rate_limit": shared.settings.requests_per_second,
            "epoch": shared.feed.epoch(),
            "seq": shared.last_seq,
        });
        let text = reply::welcome(data, shared.now.wall);
        self.say(text);
    }

    /// Microseconds between two deliveries; `None` while nothing is followed.
    pub(super) fn period_micros(&self) -> Option<u64> {
        self.subscriptions.iter().map(|subscription| subscription.period_micros).min()
    }

    pub(super) fn stream(&mut self) -> &mut mio::net::TcpStream {
        &mut self.socket.get_mut().stream
    }

    /// Whether it has something to do without being told: to read on, or to write on.
    pub(super) fn is_eager(&self) -> bool {
        self.has_more || self.readable && (matches!(self.closing, Closing::Deaf(_)) || !self.is_busy())
    }

    /// Whether there is something to be told that waits for nothing but its time.
    pub(super) fn is_behind(&self, shared: &Shared) -> bool {
        let waits = self.interest.is_some() && self.seq < shared.last_seq;
        waits && self.writable && self.awaited.is_none() && self.closing == Closing::No
    }

    /// While something is being found out for it, or it does not take what it is told, nothing more is taken from it.
    fn is_busy(&self) -> bool {
        self.awaited.is_some() || self.outbox.is_full()
    }

    /// Reads what has come and writes what can go; events only when it is `time` for them.
    pub(super) fn turn(&mut self, time: bool, shared: &mut Shared) -> Fate {
        match self.read(shared).and_then(|()| self.write(time, shared)) {
            Ok(()) => Fate::Stays,
            Err(error) => {
                log::debug!("a WebSocket connection broke: {error}");
                Fate::Gone
            }
        }
    }

    fn read(&mut self, shared: &mut Shared) -> io::Result<()> {
        if let Closing::Deaf(_) = self.closing {
            return self.discard();
        }
        let mut left = MESSAGES_A_TURN_MAX;
        self.socket.get_mut().ration = READ_A_TURN_BYTES_MAX;
        while self.readable && left > 0 && !self.is_busy() {
            left -= 1;
            let message = self.socket.read();
            self.note_signs_of_life(shared);
            match message {
                Ok(message) => self.take(message, shared),
                Err(error) => self.troubled(error, shared)?,
            }
            self.collect();
            if matches!(self.closing, Closing::Deaf(_)) || self.socket.get_ref().ration == 0 {
                break;
            }
        }
        Ok(())
    }

    fn note_signs_of_life(&mut self, shared: &Shared) {
        if std::mem::take(&mut self.socket.get_mut().has_heard) {
            self.heard_at = shared.now.tick;
            self.pinged_at = None;
        }
    }

    /// What the protocol itself has to say goes between two events.
    fn collect(&mut self) {
        let written = std::mem::take(&mut self.socket.get_mut().written);
        self.outbox.push(written.into());
    }

    fn troubled(&mut self, error: Error, shared: &Shared) -> io::Result<()> {
        let code = match error {
            Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Without a ration left it is others' turn, and there may be more.
                self.readable = self.socket.get_ref().ration == 0;
                return Ok(());
            }
            Error::Io(error) => return Err(error),
            Error::ConnectionClosed | Error::AlreadyClosed => {
                self.closing = Closing::Deaf(shared.now.tick.after(LEAVE_TIMEOUT));
                return Ok(());
            }
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            Error::Utf8(_) => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        };
        self.close(code, "", shared);
        self.collect();
        // Where the next frame begins is not known any more.
        self.closing = Closing::Deaf(shared.now.tick.after(LEAVE_TIMEOUT));
        Ok(())
    }

    fn close(&mut self, code: CloseCode, reason: &str, shared: &Shared) {
        if self.closing == Closing::No {
            self.closing = Closing::Since(shared.now.tick.after(LEAVE_TIMEOUT));
            let frame = CloseFrame { code, reason: Utf8Bytes::from(reason) };
            // It is written to memory; that the connection was closing already is no news.
            let _ = self.socket.close(Some(frame));
            self.collect();
        }
    }

    /// The daemon stops: what is left is told, then when to come back.
    pub(super) fn leave(&mut self, retry_after: Duration, shared: &mut Shared) -> Fate {
        let fate = self.turn(true, shared);
        self.close(CloseCode::Away, &format!("retry_after_ms={}", retry_after.as_millis()), shared);
        if fate == Fate::Gone { fate } else { self.turn(true, shared) }
    }

    fn take(&mut self, message: Message, shared: &mut Shared) {
        let text = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => &bytes[..],
            Message::Close(_) => {
                if self.closing == Closing::No {
                    self.closing = Closing::Since(shared.now.tick.after(LEAVE_TIMEOUT));
                }
                return;
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return,
        };
        if self.closing != Closing::No {
            return;
        }
        if shared.settings.echo {
            let _ = self.socket.send(message);
            return;
        }
        if let Err(wait) = self.allowance.take(shared.now.tick) {
            let sentence = format!("Rate limit exceeded. Retry after {:.3} seconds.", wait.as_secs_f64());
            // What it was is known for the answer's sake; it is not done.
            let (event, correlation) =
                parse(text).map_or_else(|_| Default::default(), |inbound| (inbound.event, inbound.correlation));
            return self.say_error(&event, &correlation, &Fault::new("RATE_LIMIT_EXCEEDED", sentence), shared);
        }
        match parse(text) {
            Ok(inbound) => match inbound.request {
                Ok(request) => self.serve(request, inbound.event, inbound.correlation, shared),
                Err(fault) => self.say_error(&inbound.event, &inbound.correlation, &fault, shared),
            },
            Err(fault) => self.say_error("", &Value::Null, &fault, shared),
        }
    }

    fn serve(&mut self, request: Request, event: String, correlation: Value, shared: &mut Shared) {
        if let Request::Auth(token) = request {
            return self.authenticate(&token, &correlation, shared);
        }
        if self.rights == Rights::None {
            return self.close(CloseCode::Policy, "show a token first", shared);
        }
        let job = match request {
            Request::Ack | Request::Auth(_) => return,
            Request::Ping => {
                let text = reply::pong(&correlation, shared.now.wall);
                return self.say(text);
            }
            Request::Unsubscribe(channels) => return self.unsubscribe(&channels, &event, &correlation, shared),
            Request::Subscribe(subscribe) => return self.subscribe(subscribe, event, correlation, shared),
            Request::Query(query) => match query.check(self.rights) {
                Ok(()) => Job::Query(query),
                Err(fault) => return self.say_error(&event, &correlation, &fault, shared),
            },
            Request::Publish(publication) if self.rights == Rights::Full => Job::Publish(publication),
            Request::Publish(_) => {
                let fault = Fault::new("FORBIDDEN", "publishing needs the full token; send it with an auth request");
                return self.say_error(&event, &correlation, &fault, shared);
            }
        };
        self.awaited = Some(Awaited::Answer { event, correlation });
        shared.jobs.push_back((self.id, job));
    }

    fn authenticate(&mut self, token: &str, correlation: &Value, shared: &Shared) {
        if let Some(rights) = shared.settings.tokens.rights(token) {
            self.rights = self.rights.max(rights);
            let data = json!({"status": "authenticated", "read_only": rights < Rights::Full});
            let text = reply::response("auth", correlation, data, shared.now.wall);
            self.say(text);
            if !self.greeted {
                self.greet(shared);
            }
            return;
        }
        shared.meters.refused.increment();
        self.wrong_tokens += 1;
        if self.rights == Rights::None || self.wrong_tokens >= WRONG_TOKENS_MAX {
            return self.close(CloseCode::Policy, "the token is wrong", shared);
        }
        let fault = Fault::new("AUTH_FAILED", "the token is wrong; claude-comms config token prints it");
        self.say_error("auth", correlation, &fault, shared);
    }

    fn say(&mut self, text: String) {
        let mut frame = Vec::with_capacity(text.len() + 4);
        put_text(&mut frame, text.as_bytes());
        self.outbox.push(frame.into());
    }

    fn say_error(&mut self, event: &str, correlation: &Value, fault: &Fault, shared: &Shared) {
        let text = reply::error(event, correlation, fault, shared.now.wall);
        self.say(text);
    }

    /// The desk has done what this connection waited for.
    pub(super) fn served(&mut self, done: Done, shared: &mut Shared) {
        let Some(awaited) = self.awaited.take() else { return };
        if self.closing != Closing::No {
            return;
        }
        match (awaited, done) {
            (Awaited::Answer { event, correlation }, Done::Answer(data)) => {
                let text = reply::response(&event, &correlation, data, shared.now.wall);
                self.say(text);
            }
            (Awaited::Subscribe { correlation, event, subscribe }, Done::Subscribed { from, recovered, snapshot }) => {
                self.begin(&subscribe, from, recovered, &event, &correlation, shared);
                self.outbox.push(snapshot);
            }
            (Awaited::Events, Done::Events { events, gap }) => self.page(&events, gap, shared),
            (Awaited::Snapshot, Done::Snapshot(frames)) => self.outbox.push(frames),
            (
                Awaited::Answer { event, correlation } | Awaited::Subscribe { event, correlation, .. },
                Done::Failed(fault),
            ) => {
                self.say_error(&event, &correlation, &fault, shared);
            }
            (_, Done::Failed(fault)) => {
                log::warn!("a subscriber is cut off, since it cannot be told what it has missed: {}", fault.message);
                self.close(CloseCode::Error, "the events that were missed could not be read", shared);
            }
            _ => self.close(CloseCode::Error, "", shared),
        }
    }

    pub(super) fn due(&self, shared: &Shared) -> Tick {
        let settings = &shared.settings;
        match self.closing {
            Closing::Since(until) | Closing::Deaf(until) => until,
            Closing::No if self.rights == Rights::None => self.opened_at.after(settings.handshake_timeout),
            Closing::No => match self.pinged_at {
                Some(at) => at.after(settings.pong_timeout),
                None => self.heard_at.after(settings.ping_after),
            },
        }
    }

    /// It is time for something.
    pub(super) fn alarm(&mut self, shared: &mut Shared) -> Fate {
        if self.due(shared) > shared.now.tick {
            return Fate::Stays;
        }
        match (self.closing, self.pinged_at) {
            (Closing::No, Some(_)) if !self.writable => {
                // The ping may wait behind other things. That there is room is told late, when a good part of them was taken;
                // but any of it that was taken is a sign of life, and makes room.
                self.writable = true;
                let fate = self.turn(true, shared);
                return if self.pinged_at.is_some() { Fate::Gone } else { fate };
            }
            (Closing::Since(_) | Closing::Deaf(_), _) | (Closing::No, Some(_)) => return Fate::Gone,
            (Closing::No, None) if self.rights == Rights::None => {
                self.close(CloseCode::Policy, "no token was shown in time", shared);
            }
            (Closing::No, None) => {
                // What waits to be taken asks the same.
                if self.outbox.is_empty() {
                    let _ = self.socket.send(Message::Ping(Bytes::new()));
                    self.collect();
                }
                self.pinged_at = Some(shared.now.tick);
            }
        }
        self.turn(false, shared)
    }
}
