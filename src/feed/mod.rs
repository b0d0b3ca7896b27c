//! The tail of the event log in memory, encoded once for everybody; whoever waits is a number in it.
//! A subscriber that is slow costs nothing; one that falls off the ring reads on from the table.

mod filter;
mod frame;

pub use filter::Filter;
pub use frame::{encode, encode_snapshot, gap_frame};

use crate::ports::{ReadError, Reader, StoredEvent};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What the ring holds at most, whichever is reached first.
const RING_EVENTS_MAX: usize = 16_384;
const RING_BYTES_MAX: usize = 4 << 20;
/// Events that a cursor takes in one go.
const PAGE_EVENTS_MAX: usize = 1_000;

/// The ring, shared by the hub that appends and all who read.
#[derive(Debug)]
pub struct Feed {
    epoch: String,
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<StoredEvent>,
    bytes: usize,
    last_seq: u64,
    wakers: Vec<(u64, Box<dyn Wake>)>,
    next_waker: u64,
}

/// Told whenever there is more to be read; must not block and not read.
pub trait Wake: Send + fmt::Debug {
    fn wake(&self);
}

impl Wake for Sender<()> {
    fn wake(&self) {
        // A full channel holds a wake-up already, which its reader has yet to take.
        let _ = self.try_send(());
    }
}

impl Feed {
    /// `last_seq`: the newest event in the table.
    pub fn new(epoch: String, last_seq: u64) -> Feed {
        let ring = Ring { events: VecDeque::new(), bytes: 0, last_seq, wakers: Vec::new(), next_waker: 0 };
        Feed { epoch, ring: Mutex::new(ring) }
    }

    /// Which log the numbers belong to: 16 hexadecimal digits.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    pub fn last_seq(&self) -> u64 {
        self.ring.lock().last_seq
    }

    /// Appends durable events and wakes every reader.
    pub fn publish(&self, events: Vec<StoredEvent>) {
        if events.is_empty() {
            return;
        }
        let mut ring = self.ring.lock();
        for event in events {
            ring.last_seq = event.seq;
            ring.bytes += event.frame.len();
            ring.events.push_back(event);
        }
        while ring.events.len() > RING_EVENTS_MAX || ring.bytes > RING_BYTES_MAX {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= oldest.frame.len();
        }
        for (_, waker) in &ring.wakers {
            waker.wake();
        }
    }

    /// A cursor behind the event `after`.
    pub fn cursor(self: &Arc<Feed>, after: u64, filter: Filter) -> Cursor {
        let (waker, wake) = bounded(1);
        let waking = self.wake(Box::new(waker));
        Cursor { seq: after, filter, wake, feed: Arc::clone(self), _waking: waking }
    }

    /// Has `waker` woken until what is returned is dropped.
    pub fn wake(self: &Arc<Feed>, waker: Box<dyn Wake>) -> Waking {
        let mut ring = self.ring.lock();
        let id = ring.next_waker;
        ring.next_waker += 1;
        ring.wakers.push((id, waker));
        Waking { id, feed: Arc::clone(self) }
    }

    /// Whether the event after `seq` is in memory, or yet to come.
    pub fn holds_after(&self, seq: u64) -> bool {
        let ring = self.ring.lock();
        seq >= ring.last_seq || ring.events.front().is_some_and(|first| first.seq <= seq + 1)
    }

    /// The events after `seq`, or `None` when the oldest of them has left the ring.
    pub fn page_after(&self, seq: u64) -> Option<Vec<StoredEvent>> {
        let ring = self.ring.lock();
        if seq >= ring.last_seq {
            return Some(Vec::new());
        }
        let first = ring.events.front()?.seq;
        let skip = usize::try_from((seq + 1).checked_sub(first)?).ok()?;
        Some(ring.events.range(skip..).take(PAGE_EVENTS_MAX).cloned().collect())
    }
}

/// A position in the log, and what of it is wanted.
#[derive(Debug)]
pub struct Cursor {
    seq: u64,
    filter: Filter,
    wake: Receiver<()>,
    feed: Arc<Feed>,
    _waking: Waking,
}

/// Somebody is woken as long as this is kept.
#[derive(Debug)]
pub struct Waking {
    id: u64,
    feed: Arc<Feed>,
}

/// What a cursor found.
#[derive(Debug, Default)]
pub struct CursorPage {
    pub events: Vec<StoredEvent>,
    /// Events that are no longer kept anywhere: the first and the last number that were missed.
    pub gap: Option<(u64, u64)>,
    /// Whether there is more to be read at once.
    pub more: bool,
}

impl Cursor {
    /// Receives something whenever there may be more to read. Read until a page says that there is no more, then wait.
    pub fn wake(&self) -> &Receiver<()> {
        &self.wake
    }

    /// The last event that was read or skipped.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The next events that the filter lets through; never waits.
    ///
    /// # Errors
    /// The table has to be read, and cannot.
    pub fn next_page(
        &mut self,
        open: &mut dyn FnMut() -> Result<Box<dyn Reader>, ReadError>,
    ) -> Result<CursorPage, ReadError> {
        let mut page = CursorPage::default();
        let events = match self.feed.page_after(self.seq) {
            Some(events) => events,
            None => {
                let mut reader = open()?;
                let events = reader.events_after(self.seq, PAGE_EVENTS_MAX)?;
                // Told by what was read, not by asking before: in between the oldest may be forgotten.
                page.gap =
                    events.first().filter(|first| first.seq > self.seq + 1).map(|first| (self.seq + 1, first.seq - 1));
                events
            }
        };
        if let Some(last) = events.last() {
            self.seq = last.seq;
            page.more = self.seq < self.feed.last_seq();
        }
        page.events = events.into_iter().filter(|event| self.filter.lets_through(event)).collect();
        Ok(page)
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.feed.ring.lock().wakers.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, bytes: usize) -> StoredEvent {
        let channel = if seq.is_multiple_of(2) { "message:even" } else { "message:odd" };
        StoredEvent {
            seq,
            channel: channel.into(),
            name: "message.status_changed".into(),
            frame: vec![b'x'; bytes].into(),
        }
    }

    fn no_table() -> Result<Box<dyn Reader>, ReadError> {
        Err(ReadError("the ring should have had it".to_owned()))
    }

    fn read(cursor: &mut Cursor) -> Vec<u64> {
        let mut seqs = Vec::new();
        loop {
            let page = cursor.next_page(&mut no_table).unwrap();
            seqs.extend(page.events.iter().map(|event| event.seq));
            if !page.more {
                return seqs;
            }
        }
    }

    #[test]
    fn a_cursor_reads_everything_once_and_is_woken_for_it() {
        let feed = Arc::new(Feed::new("e".into(), 0));
        let mut cursor = feed.cursor(0, Filter::default());
        assert!(cursor.wake().try_recv().is_err());
        feed.publish((1..=2500).map(|seq| event(seq, 10)).collect());
        assert!(cursor.wake().try_recv().is_ok());
        assert_eq!(read(&mut cursor), (1..=2500).collect::<Vec<_>>());
        assert_eq!(read(&mut cursor), [0u64; 0]);
    }

    #[test]
    fn a_filter_hides_but_does_not_hold_up() {
        let feed = Arc::new(Feed::new("e".into(), 0));
        let mut cursor = feed.cursor(0, Filter::new(vec!["message:even".into()], vec![]).unwrap());
        feed.publish((1..=5).map(|seq| event(seq, 10)).collect());
        assert_eq!(read(&mut cursor), [2, 4]);
        assert_eq!(cursor.seq(), 5);
    }

    #[test]
    fn the_ring_is_bounded_by_bytes_and_a_cursor_that_fell_off_asks_the_table() {
        let feed = Arc::new(Feed::new("e".into(), 0));
        let mut slow = feed.cursor(0, Filter::default());
        feed.publish((1..=100).map(|seq| event(seq, 100 << 10)).collect());
        assert!(feed.ring.lock().bytes <= RING_BYTES_MAX);
        assert!(slow.next_page(&mut no_table).is_err());
        let mut quick = feed.cursor(90, Filter::default());
        assert_eq!(read(&mut quick), (91..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_cursor_that_is_dropped_is_no_longer_woken() {
        let feed = Arc::new(Feed::new("e".into(), 0));
        drop(feed.cursor(0, Filter::default()));
        assert!(feed.ring.lock().wakers.is_empty());
    }
}
