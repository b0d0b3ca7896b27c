//! One TCP connection, in whichever of its two lives it is.

use super::calls::{Call, Told};
use super::http::{Http, Next};
use super::lines::Lines;
use super::routes;
use super::session::{Fate, Session};
use super::shared::Shared;
use super::wire::Wire;
use super::work::Done;
use crate::clock::Tick;
use mio::event::Source;
use std::net::Shutdown;
use std::time::Duration;

pub(super) enum Connection {
    Http(Box<Http>),
    Session(Box<Session>),
    /// Messages of MCP, one a line, of somebody whom the control socket has let in.
    Lines(Box<Lines>),
}

impl Connection {
    /// `ends`: the peer's end, or an error, is among what there is to be read. Returns whether it could not write before.
    pub(super) fn ready(&mut self, readable: bool, writable: bool, ends: bool) -> bool {
        if let Connection::Http(http) = self {
            http.ends |= ends;
        }
        let (can_read, can_write) = match self {
            Connection::Http(http) => (&mut http.readable, &mut http.writable),
            Connection::Session(session) => (&mut session.readable, &mut session.writable),
            Connection::Lines(lines) => (&mut lines.readable, &mut lines.writable),
        };
        let was_blocked = writable && !*can_write;
        *can_read |= readable;
        *can_write |= writable;
        was_blocked
    }

    pub(super) fn turn(&mut self, time: bool, shared: &mut Shared, sessions: usize, id: usize) -> Fate {
        let http = match self {
            Connection::Session(session) => return session.turn(time, shared),
            Connection::Lines(lines) => return lines.turn(time, shared),
            Connection::Http(http) => http,
        };
        let (handshake, early, head) = match http.turn(time, shared) {
            Next::Fate(fate) => return fate,
            Next::Upgrade { handshake, early, head } => (handshake, early, head),
        };
        let rights = routes::rights(&head, http.peer, &shared.settings);
        let Some(stream) = http.stream.take() else { return Fate::Gone };
        let mut session = Box::new(Session::new(id, Wire::new(stream), early, rights, shared));
        if sessions >= shared.settings.connections_max {
            shared.meters.refused.increment();
            session.turn_away(handshake, shared);
        } else {
            session.open(handshake, shared);
        }
        let fate = session.turn(time, shared);
        *self = Connection::Session(session);
        fate
    }

    pub(super) fn served(&mut self, done: Done, shared: &mut Shared) {
        match self {
            Connection::Http(http) => http.served(done, shared),
            Connection::Session(session) => session.served(done, shared),
            Connection::Lines(_) => {}
        }
    }

    pub(super) fn told(&mut self, call: Call, told: Told, shared: &Shared) {
        match self {
            Connection::Http(http) => http.told(call, told, shared),
            Connection::Lines(lines) => lines.told(call, told),
            Connection::Session(_) => {}
        }
    }

    pub(super) fn due(&self, shared: &Shared) -> Tick {
        match self {
            Connection::Http(http) => http.due(),
            Connection::Session(session) => session.due(shared),
            Connection::Lines(lines) => lines.due,
        }
    }

    pub(super) fn alarm(&mut self, shared: &mut Shared) -> Fate {
        match self {
            Connection::Http(http) => http.alarm(shared),
            Connection::Session(session) => session.alarm(shared),
            Connection::Lines(lines) => lines.alarm(shared),
        }
    }

    pub(super) fn leave(&mut self, retry_after: Duration, shared: &mut Shared) -> Fate {
        match self {
            Connection::Http(http) => http.leave(shared),
            Connection::Session(session) => session.leave(retry_after, shared),
            Connection::Lines(lines) => lines.leave(shared),
        }
    }

    pub(super) fn is_eager(&self) -> bool {
        match self {
            Connection::Http(http) => http.is_eager(),
            Connection::Session(session) => session.is_eager(),
            Connection::Lines(lines) => lines.is_eager(),
        }
    }

    /// Whether it takes one of the places that there are for WebSockets.
    pub(super) fn takes_a_place(&self) -> bool {
        matches!(self, Connection::Session(session) if !session.is_turned_away)
    }

    /// Microseconds between two deliveries; `None` for whoever follows nothing.
    pub(super) fn period_micros(&self) -> Option<u64> {
        match self {
            Connection::Http(http) => http.period_micros(),
            Connection::Session(session) => session.period_micros(),
            Connection::Lines(lines) => lines.period_micros(),
        }
    }

    pub(super) fn is_behind(&self, shared: &Shared) -> bool {
        match self {
            Connection::Http(http) => http.is_behind(shared),
            Connection::Session(session) => session.is_behind(shared),
            Connection::Lines(lines) => lines.is_behind(shared),
        }
    }

    /// What the loop waits for; `None` when another connection has it now.
    pub(super) fn source(&mut self) -> Option<&mut dyn Source> {
        match self {
            Connection::Http(http) => http.stream.as_mut().map(|stream| stream as &mut dyn Source),
            Connection::Session(session) => Some(session.stream()),
            Connection::Lines(lines) => Some(&mut lines.stream),
        }
    }

    pub(super) fn shut_down(&mut self) {
        // One that is broken needs no shutting.
        let _ = match self {
            Connection::Http(http) => http.stream.as_ref().map_or(Ok(()), |stream| stream.shutdown(Shutdown::Both)),
            Connection::Session(session) => session.stream().shutdown(Shutdown::Both),
            Connection::Lines(lines) => lines.stream.shutdown(Shutdown::Both),
        };
    }
}
