//! Messages of MCP, one a line: the other end of `claude-comms mcp`, which the control socket has let in and handed over.

use super::calls::{Call, Told};
use super::changes::Changes;
use super::outbox::Outbox;
use super::session::Fate;
use super::shared::Shared;
use super::wire;
use crate::clock::Tick;
use crate::mcp::server::{Id, May, Taken, Via};
use bytes::Bytes;
use mio::net::UnixStream;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longest line: that of the control socket.
const LINE_BYTES_MAX: usize = 8 << 20;
const READ_BYTES: usize = 16 << 10;
/// Lines that are taken before others have their turn.
const LINES_A_TURN_MAX: usize = 64;
/// Bytes that are read before others have their turn.
const READS_A_TURN_MAX: usize = 64;
/// Connections at a time.
pub(super) const LINES_MAX: usize = 256;
/// Streams of changes.
const FOLLOWING_MAX: usize = 64;
const CHANGES_PERIOD_MICROS: u64 = 50_000;

/// After the end of the input, for calls that may take long: what is answered at once is still answered.
const END_GRACE: Duration = Duration::from_millis(500);

/// A stream on its way into the loop.
pub(super) struct Adopted {
    pub(super) stream: std::os::unix::net::UnixStream,
    /// What was read of it already.
    pub(super) early: Vec<u8>,
    /// What is to be written first.
    pub(super) first: Vec<u8>,
    pub(super) place: Place,
}

/// One of the places that there are; given back when it is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(super) fn take(places: &Arc<AtomicUsize>) -> Option<Place> {
        let more = |taken: usize| (taken < LINES_MAX).then_some(taken + 1);
        let taken = places.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Place(Arc::clone(places)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) struct Lines {
    id: usize,
    pub(super) stream: UnixStream,
    input: Vec<u8>,
    /// How far no end of line was found.
    searched: usize,
    outbox: Outbox,
    calls: HashMap<Id, Open>,
    following: HashMap<Id, Changes>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Lines may be left that have come already.
    has_more: bool,
    /// The peer says nothing more.
    has_ended: bool,
    /// Then whoever says nothing more is given up; far away before that.
    pub(super) due: Tick,
    _place: Place,
}

struct Open {
    call: Call,
    waits: bool,
}

impl Lines {
    pub(super) fn new(id: usize, adopted: Adopted) -> io::Result<Lines> {
        adopted.stream.set_nonblocking(true)?;
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from(adopted.first));
        Ok(Lines {
            id,
            stream: UnixStream::from_std(adopted.stream),
            input: adopted.early,
            searched: 0,
            outbox,
            calls: HashMap::new(),
            following: HashMap::new(),
            readable: true,
            writable: true,
            has_more: true,
            has_ended: false,
            due: Tick::FAR,
            _place: adopted.place,
        })
    }

    pub(super) fn is_eager(&self) -> bool {
        (self.readable || self.has_more) && !self.outbox.is_full()
    }

    pub(super) fn period_micros(&self) -> Option<u64> {
        (!self.following.is_empty()).then_some(CHANGES_PERIOD_MICROS)
    }

    pub(super) fn is_behind(&self, shared: &Shared) -> bool {
        self.following.values().any(|changes| changes.is_behind(shared))
    }

    pub(super) fn turn(&mut self, time: bool, shared: &mut Shared) -> Fate {
        match self.try_turn(time, shared) {
            Ok(fate) => fate,
            Err(_) => Fate::Gone,
        }
    }

    /// The grace after the end of the input is over, unless the peer has not taken yet what there is for it.
    pub(super) fn alarm(&mut self, shared: &mut Shared) -> Fate {
        if shared.now.tick < self.due {
            return Fate::Stays;
        }
        let fate = self.turn(false, shared);
        self.due = Tick::FAR;
        fate
    }

    fn try_turn(&mut self, time: bool, shared: &mut Shared) -> io::Result<Fate> {
        self.flush()?;
        if !self.outbox.is_full() {
            self.read()?;
            self.take_lines(shared);
        }
        if time && !self.outbox.is_full() {
            for changes in self.following.values_mut() {
                changes.take(shared).into_iter().for_each(|message| say(&mut self.outbox, message));
            }
        }
        self.flush()?;
        if !self.has_ended || self.has_more || !self.outbox.is_empty() {
            return Ok(Fate::Stays);
        }
        if self.due == Tick::FAR {
            self.due = shared.now.tick.after(END_GRACE);
        }
        // Whoever says nothing more is answered what can be answered at once.
        let is_patient = shared.now.tick < self.due;
        let is_busy = self.calls.values().any(|open| is_patient || !open.waits);
        Ok(if is_busy { Fate::Stays } else { Fate::Gone })
    }

    fn read(&mut self) -> io::Result<()> {
        for _ in 0..READS_A_TURN_MAX {
            if !self.readable || self.input.len() > LINE_BYTES_MAX {
                break;
            }
            let old = self.input.len();
            self.input.resize(old + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[old..]);
            self.input.truncate(old + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => (self.has_ended, self.readable) = (true, false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_lines(&mut self, shared: &mut Shared) {
        let mut start = 0;
        self.has_more = false;
        for taken in 0.. {
            if taken == LINES_A_TURN_MAX || self.outbox.is_full() {
                self.has_more = true;
                break;
            }
            let from = start.max(self.searched);
            let end = self.input[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at);
            let rest = (self.has_ended && start < self.input.len()).then_some(self.input.len());
            let Some(end) = end.or(rest) else { break };
            let line = self.input[start..end].trim_ascii().to_vec();
            start = (end + 1).min(self.input.len());
            if !line.is_empty() {
                self.take(&line, shared);
            }
        }
        self.input.drain(..start);
        self.searched = if self.has_more { 0 } else { self.input.len() };
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        if self.searched > LINE_BYTES_MAX {
            let text = format!("a line may have {LINE_BYTES_MAX} bytes");
            say(&mut self.outbox, shared.calls.engine().too_large(&text));
            (self.input, self.searched, self.has_ended, self.readable) = (Vec::new(), 0, true, false);
        }
    }

    fn take(&mut self, line: &[u8], shared: &mut Shared) {
        match shared.calls.engine().take(line, Via::Lines, May::Act) {
            Taken::Nothing => {}
            Taken::Answer(answer) => say(&mut self.outbox, answer.body),
            Taken::Cancel(id) => {
                if let Some(open) = self.calls.remove(&id) {
                    shared.calls.cancel(open.call);
                }
                self.following.remove(&id);
            }
            Taken::Order(request, order) => {
                let (id, waits) = (request.id.clone(), request.waits);
                if self.calls.contains_key(&id) || self.following.contains_key(&id) {
                    return say(&mut self.outbox, shared.calls.engine().twice(&request).body);
                }
                match shared.calls.start(self.id, request, order, shared.now.tick) {
                    Ok(call) => drop(self.calls.insert(id, Open { call, waits })),
                    Err(answer) => say(&mut self.outbox, answer.body),
                }
            }
            Taken::Listen(listening) => {
                let id = listening.id.clone();
                if self.following.len() >= FOLLOWING_MAX {
                    return say(&mut self.outbox, shared.calls.engine().farewell(&listening));
                }
                say(&mut self.outbox, listening.opening.clone());
                self.following.insert(id, Changes::new(listening, shared));
            }
        }
    }

    /// Something has come of a call.
    pub(super) fn told(&mut self, call: Call, told: Told) {
        match told {
            // Progress that is not taken is not kept: what comes next says as much.
            Told::Progress(_) if self.outbox.is_full() => {}
            Told::Progress(message) => say(&mut self.outbox, message),
            Told::Answer(answer) => {
                self.calls.retain(|_, open| open.call != call);
                say(&mut self.outbox, answer.body);
            }
        }
    }

    /// The daemon stops: what is under way ends in order.
    pub(super) fn leave(&mut self, shared: &Shared) -> Fate {
        for open in self.calls.values() {
            if let Some(answer) = shared.calls.farewell(open.call) {
                say(&mut self.outbox, answer.body);
            }
        }
        for changes in self.following.values() {
            say(&mut self.outbox, shared.calls.engine().farewell(&changes.listening));
        }
        let _ = self.flush();
        Fate::Gone
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.writable {
            self.writable = self.outbox.flush(|bytes| wire::send(&mut self.stream, bytes))?;
        }
        Ok(())
    }
}

fn say(outbox: &mut Outbox, mut message: Vec<u8>) {
    message.push(b'\n');
    outbox.push(message.into());
}
