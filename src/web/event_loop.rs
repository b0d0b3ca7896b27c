//! The one readiness loop: every TCP connection is served here, and nothing in it waits for anything but all of them.

use super::connection::Connection;
use super::http::Http;
use super::lines::{Adopted, Lines};
use super::rounds::Rounds;
use super::session::Fate;
use super::shared::Shared;
use super::wake::Alarm;
use super::work::{Done, Job};
use crate::clock::Tick;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(super) const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);
/// Whose work a step of a call is.
const NOBODY: usize = usize::MAX - 2;
const EVENTS_A_TURN_MAX: usize = 1024;
/// Connections that are let in before those inside have their turn.
const ACCEPTS_A_TURN_MAX: usize = 64;
/// Before another is let in when no file descriptor was left.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);
/// HTTP connections beside those that are WebSockets.
const HTTP_MAX: usize = 256;
/// What the kernel holds of what a client has yet to take; it adds as much again for its own books.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// How long clients have to take their leave when the daemon stops.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// They come back spread over this time, not all at once.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(250);
const RETRY_AFTER_SPREAD_MILLIS: u64 = 2_000;

pub(super) struct EventLoop {
    pub(super) poll: Poll,
    pub(super) listener: Option<TcpListener>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) to_desk: Sender<(usize, Job)>,
    pub(super) from_desk: Receiver<(usize, Done)>,
    pub(super) adopted: Receiver<Adopted>,
    pub(super) shared: Shared,
    connections: HashMap<usize, Place>,
    sessions: usize,
    next_id: usize,
    /// To be looked at in the next turn without being told; and whether events may be told as well.
    ready: Vec<(usize, bool)>,
    timers: BTreeSet<(Tick, usize)>,
    rounds: Rounds,
    /// When somebody is let in again.
    accept_at: Option<Tick>,
    has_complained: bool,
}

/// A connection, and what is set for it: kept with it, so that telling thousands finds nothing to change elsewhere.
struct Place {
    connection: Connection,
    /// When its timer goes off.
    timer: Tick,
    /// How often it is told, as the rounds know.
    period_micros: Option<u64>,
}

impl EventLoop {
    pub(super) fn new(
        poll: Poll,
        listener: Option<TcpListener>,
        alarm: Arc<Alarm>,
        to_desk: Sender<(usize, Job)>,
        from_desk: Receiver<(usize, Done)>,
        adopted: Receiver<Adopted>,
        shared: Shared,
    ) -> EventLoop {
        EventLoop {
            poll,
            listener,
            alarm,
            to_desk,
            from_desk,
            adopted,
            shared,
            connections: HashMap::new(),
            sessions: 0,
            next_id: 0,
            ready: Vec::new(),
            timers: BTreeSet::new(),
            rounds: Rounds::default(),
            accept_at: None,
            has_complained: false,
        }
    }

    /// Serves until it is told to leave.
    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS_A_TURN_MAX);
        while !self.alarm.must_leave() {
            if self.alarm.must_close() {
                self.listener = None;
            }
            self.turn(&mut events);
        }
        self.leave(&mut events);
    }

    fn turn(&mut self, events: &mut Events) {
        let timeout = self.timeout();
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::error!("connections cannot be waited for: {error}");
        }
        self.shared.now = self.shared.clock.now();
        for event in events.iter() {
            match event.token() {
                LISTENER => self.accept_at = Some(self.shared.now.tick),
                WAKER => self.alarm.answer_pulse(),
                Token(id) => {
                    let ends = event.is_read_closed() || event.is_error();
                    let readable = event.is_readable() || ends;
                    let writable = event.is_writable() || event.is_write_closed();
                    if let Some(place) = self.connections.get_mut(&id) {
                        let was_blocked = place.connection.ready(readable, writable, ends);
                        self.ready.push((id, was_blocked));
                    }
                }
            }
        }
        self.let_in();
        self.adopt();
        self.hear_desk();
        self.hear_hub();
        self.hear_feed();
        self.sound_alarms();
        for id in self.rounds.take_due(self.shared.now.tick) {
            self.ready.push((id, true));
        }
        for (id, time) in std::mem::take(&mut self.ready) {
            self.visit(id, time);
        }
        self.tell_calls();
        self.give_work();
        self.shared.batches.forget();
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.shared.calls.has_told() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.first().map(|(due, _)| *due);
        let due = [timer, self.rounds.next(), self.accept_at, self.shared.calls.due()].into_iter().flatten().min()?;
        Some(self.shared.clock.tick().until(due))
    }

    /// One connection's turn.
    fn visit(&mut self, id: usize, time: bool) {
        let Some(Place { connection, .. }) = self.connections.get_mut(&id) else { return };
        let had_a_place = connection.takes_a_place();
        let fate = connection.turn(time, &mut self.shared, self.sessions, id);
        if !had_a_place && connection.takes_a_place() {
            self.sessions += 1;
            self.shared.meters.connections.set(self.sessions as f64);
        }
        self.settle(id, fate);
    }

    /// What follows from a connection's turn.
    fn settle(&mut self, id: usize, fate: Fate) {
        if fate == Fate::Gone {
            return self.drop_connection(id);
        }
        let Some(place) = self.connections.get_mut(&id) else { return };
        let connection = &place.connection;
        let is_behind = connection.is_behind(&self.shared);
        if connection.is_eager() {
            // Somebody who has more to be told than fits into a turn is behind anyway.
            self.ready.push((id, is_behind));
        }
        // A timer that goes off too early is set again then; only an earlier one has to be set at once.
        let due = connection.due(&self.shared);
        if due < place.timer {
            self.timers.remove(&(place.timer, id));
            self.timers.insert((due, id));
            place.timer = due;
        }
        let period_micros = connection.period_micros();
        if period_micros != place.period_micros {
            self.rounds.place(id, period_micros);
            place.period_micros = period_micros;
        }
        if is_behind {
            self.rounds.call(id, self.shared.now.tick);
        }
    }

    fn sound_alarms(&mut self) {
        let now = self.shared.now.tick;
        while let Some((due, id)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, id));
            if let Some(place) = self.connections.get_mut(&id) {
                place.timer = Tick::FAR;
                let fate = place.connection.alarm(&mut self.shared);
                self.settle(id, fate);
            }
        }
    }

    fn drop_connection(&mut self, id: usize) {
        let Some(Place { mut connection, timer, .. }) = self.connections.remove(&id) else { return };
        if let Some(source) = connection.source() {
            let _ = self.poll.registry().deregister(source);
        }
        connection.shut_down();
        self.shared.calls.gone(id);
        if connection.takes_a_place() {
            self.sessions -= 1;
            self.shared.meters.connections.set(self.sessions as f64);
        }
        self.timers.remove(&(timer, id));
        self.rounds.place(id, None);
        drop(connection);
        self.shared.batches.tidy();
    }

    fn let_in(&mut self) {
        if self.accept_at.is_none_or(|at| at > self.shared.now.tick) {
            return;
        }
        self.accept_at = None;
        for _ in 0..ACCEPTS_A_TURN_MAX {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, peer)) => self.add(stream, peer.ip()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // All are in who wanted to be: the next complaint is another one.
                    self.has_complained = false;
                    return;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.has_complained, true) {
                        log::warn!("no connection can be let in for now: {error}");
                    }
                    self.accept_at = Some(self.shared.now.tick.after(NO_ROOM_PAUSE));
                    return;
                }
            }
        }
        self.accept_at = Some(self.shared.now.tick);
    }

    fn add(&mut self, mut stream: mio::net::TcpStream, peer: std::net::IpAddr) {
        let id = self.next_id;
        let is_full = self.connections.len() >= self.shared.settings.connections_max + HTTP_MAX;
        let both = Interest::READABLE | Interest::WRITABLE;
        if is_full || self.poll.registry().register(&mut stream, Token(id), both).is_err() {
            self.shared.meters.refused.increment();
            return;
        }
        self.next_id += 1;
        // Small frames are not held back for others to join them.
        let _ = stream.set_nodelay(true);
        // Left to itself, the kernel would hold megabytes for one who does not read, and its pings behind them.
        let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
        let connection = Connection::Http(Box::new(Http::new(id, stream, peer, &self.shared)));
        self.place(id, connection);
        self.ready.push((id, false));
    }

    fn place(&mut self, id: usize, connection: Connection) {
        self.connections.insert(id, Place { connection, timer: Tick::FAR, period_micros: None });
    }

    fn hear_desk(&mut self) {
        while let Ok((id, done)) = self.from_desk.try_recv() {
            let done = match done {
                Done::Looked(call, step) => {
                    self.shared.calls.looked(call, step, self.shared.now.tick);
                    continue;
                }
                done => done,
            };
            // Who has gone meanwhile needs no answer.
            if let Some(place) = self.connections.get_mut(&id) {
                place.connection.served(done, &mut self.shared);
                self.ready.push((id, true));
            }
        }
    }

    fn hear_hub(&mut self) {
        let now = self.shared.now.tick;
        if self.alarm.take_answers() {
            self.shared.calls.hear(now);
        }
        self.shared.calls.resume(now);
    }

    /// What has come of calls goes out at once; what comes of that, with the next turn.
    fn tell_calls(&mut self) {
        let mut told_ids = Vec::new();
        for (id, call, told) in self.shared.calls.take_told() {
            if let Some(place) = self.connections.get_mut(&id) {
                place.connection.told(call, told, &self.shared);
                told_ids.push(id);
            }
        }
        told_ids.sort_unstable();
        told_ids.dedup();
        for id in told_ids {
            self.visit(id, true);
        }
    }

    /// Those whom the control socket has let in.
    fn adopt(&mut self) {
        while let Ok(adopted) = self.adopted.try_recv() {
            let id = self.next_id;
            let mut lines = match Lines::new(id, adopted) {
                Ok(lines) => lines,
                Err(error) => {
                    log::warn!("a connection could not be taken over: {error}");
                    continue;
                }
            };
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut lines.stream, Token(id), both).is_err() {
                continue;
            }
            self.next_id += 1;
            self.place(id, Connection::Lines(Box::new(lines)));
            self.ready.push((id, false));
        }
    }

    fn hear_feed(&mut self) {
        if let Some(at) = self.alarm.take_events() {
            let last_seq = self.shared.feed.last_seq();
            if last_seq > self.shared.last_seq {
                (self.shared.last_seq, self.shared.last_at) = (last_seq, at);
                self.rounds.call_all(self.shared.now.tick);
            }
        }
    }

    /// The desk takes so much at a time; the rest waits here, at most one job for each connection.
    fn give_work(&mut self) {
        while let Some((call, look)) = self.shared.calls.next_look() {
            match self.to_desk.try_send((NOBODY, Job::Look(call, look))) {
                Ok(()) => {}
                Err(TrySendError::Full((_, Job::Look(call, look)))) => {
                    self.shared.calls.put_back(call, look);
                    return;
                }
                Err(_) => return,
            }
        }
        while let Some((id, job)) = self.shared.jobs.pop_front() {
            if !self.connections.contains_key(&id) {
                continue;
            }
            match self.to_desk.try_send((id, job)) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => {
                    self.shared.jobs.push_front(job);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// Tells everybody what is left, and when to come back; waits a moment for them to hear it.
    fn leave(&mut self, events: &mut Events) {
        self.listener = None;
        self.shared.now = self.shared.clock.now();
        self.hear_feed();
        let ids: Vec<usize> = self.connections.keys().copied().collect();
        for id in ids {
            let spread = mix(id as u64 ^ self.shared.now.tick.as_nanos()) % RETRY_AFTER_SPREAD_MILLIS;
            let retry_after = RETRY_AFTER_MIN + Duration::from_millis(spread);
            if let Some(place) = self.connections.get_mut(&id) {
                let fate = place.connection.leave(retry_after, &mut self.shared);
                self.settle(id, fate);
            }
        }
        let until = self.shared.now.tick.after(LEAVE_TIMEOUT);
        self.timers.insert((until, usize::MAX));
        while !self.connections.is_empty() && self.shared.now.tick < until {
            self.turn(events);
        }
    }
}

/// Scatters numbers that are close to each other.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number ^ (number >> 29)
}

/// The peer has gone before it was let in: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
