//! The way out of a session: what is its own first, then what it has missed, then what happens.

use super::{Awaited, CODE_FALLEN_BEHIND, Closing, Session};
use crate::feed::gap_frame;
use crate::ports::StoredEvent;
use crate::web::delivery::Batch;
use crate::web::outbox::put_text;
use crate::web::shared::Shared;
use crate::web::work::Job;
use std::io::{self, Read};
use std::net::Shutdown;
use tungstenite::protocol::frame::coding::CloseCode;

/// Of a peer that does not listen, thrown away at a time.
const DISCARD_BYTES: usize = 4 << 10;
const DISCARDS_A_TURN_MAX: usize = 64;
/// Batches that are told to one before others have their turn.
const BATCHES_A_TURN_MAX: usize = 16;

impl Session {
    pub(super) fn write(&mut self, time: bool, shared: &mut Shared) -> io::Result<()> {
        self.has_more = false;
        let mut batches = 0;
        while self.writable {
            let wire = self.socket.get_mut();
            if !self.outbox.flush(|bytes| wire.send(bytes))? {
                self.writable = false;
                break;
            }
            match self.closing {
                Closing::No => {}
                Closing::Since(_) => break,
                Closing::Deaf(_) => {
                    let _ = self.socket.get_ref().stream.shutdown(Shutdown::Write);
                    break;
                }
            }
            if self.awaited.is_some() || !self.tell(time, shared)? {
                break;
            }
            batches += 1;
            if batches == BATCHES_A_TURN_MAX {
                self.has_more = true;
                break;
            }
        }
        self.note_signs_of_life(shared);
        Ok(())
    }

    /// Events, as many as are put together at a time. Returns whether there may be more.
    fn tell(&mut self, time: bool, shared: &mut Shared) -> io::Result<bool> {
        if let Some(seq) = self.furthest_behind() {
            return match shared.batches.page(seq) {
                None => Ok(self.fetch(seq, shared)),
                Some(events) => self.give_missed(seq, &events, shared),
            };
        }
        let Some(interest) = self.interest.clone() else {
            self.seq = shared.last_seq;
            return Ok(false);
        };
        if !time || self.seq >= shared.last_seq {
            return Ok(false);
        }
        match shared.batches.batch(&interest, self.seq) {
            None => {
                shared.meters.slow.increment();
                Ok(self.fetch(self.seq, shared))
            }
            Some(batch) => {
                self.seq = self.give(&batch, shared)?;
                Ok(true)
            }
        }
    }

    /// Asks for what is in memory no more; it comes with a later turn.
    fn fetch(&mut self, after: u64, shared: &mut Shared) -> bool {
        self.awaited = Some(Awaited::Events);
        shared.jobs.push_back((self.id, Job::Events { after }));
        false
    }

    /// Gives as much as is taken; returns the number up to which that is.
    fn give(&mut self, batch: &Batch, shared: &Shared) -> io::Result<u64> {
        if batch.events() == 0 {
            return Ok(batch.taken(0).0);
        }
        let taken = match self.socket.get_mut().send(&batch.bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                0
            }
            Err(error) => return Err(error),
        };
        let (seq, rest) = batch.taken(taken);
        self.outbox.push(rest);
        shared.meters.bytes.add(taken as u64);
        if taken == batch.bytes.len() {
            shared.meters.frames.add(batch.events() as u64);
            shared.meters.delivery.observe_duration(shared.clock.tick().since(shared.last_at));
        } else {
            shared.meters.frames.add(batch.events_within(taken) as u64);
        }
        Ok(seq)
    }

    /// What late subscriptions have missed, all of them together, without what others have told of it.
    fn give_missed(&mut self, after: u64, events: &[StoredEvent], shared: &Shared) -> io::Result<bool> {
        let until = events.partition_point(|event| event.seq <= self.seq);
        let batch = Batch::pack(after, &events[..until], |event| self.is_missed(event));
        let seq = self.give(&batch, shared)?;
        self.caught_up(seq);
        Ok(true)
    }

    /// A page from the table has come. What of it is not taken is asked for again.
    pub(super) fn page(&mut self, events: &[StoredEvent], gap: Option<(u64, u64)>, shared: &mut Shared) {
        // That there is nothing, where there was to be something, is a gap as well.
        let behind = self.furthest_behind();
        let wanted = behind.map_or((self.seq, shared.last_seq), |behind| (behind, self.seq));
        let gap = gap.or_else(|| events.is_empty().then_some((wanted.0 + 1, wanted.1)));
        if let Some((from, to)) = gap {
            if self.subscriptions.iter().any(|subscription| subscription.strict) {
                return self.close(CloseCode::from(CODE_FALLEN_BEHIND), "fallen behind what is kept", shared);
            }
            self.tell_gap(from, to, shared);
            return;
        }
        let given = match behind {
            Some(behind) => self.give_missed(behind, events, shared).map(drop),
            None => {
                let Some(interest) = self.interest.clone() else { return };
                let batch = Batch::pack(self.seq, events, |event| interest.lets_through(event));
                self.give(&batch, shared).map(|seq| self.seq = seq)
            }
        };
        if given.is_err() {
            // The next write finds the same, and ends the connection.
            self.writable = true;
        }
    }

    /// Says what is lost, and then how things stand.
    fn tell_gap(&mut self, from: u64, to: u64, shared: &mut Shared) {
        let mut frame = Vec::new();
        put_text(&mut frame, &gap_frame(from, to, shared.now.wall));
        self.outbox.push(frame.into());
        let (channels, filters) = self.behind(to);
        match self.furthest_behind() {
            Some(_) => self.caught_up(to),
            None => self.seq = to,
        }
        self.awaited = Some(Awaited::Snapshot);
        shared.jobs.push_back((self.id, Job::Snapshot { channels, filters }));
    }

    /// The peer need not be heard any more, but its last words would break off ours if they stayed unread.
    pub(super) fn discard(&mut self) -> io::Result<()> {
        let mut bytes = [0; DISCARD_BYTES];
        for _ in 0..DISCARDS_A_TURN_MAX {
            if !self.readable {
                return Ok(());
            }
            match self.socket.get_mut().stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
