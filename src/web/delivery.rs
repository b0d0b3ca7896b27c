//! Events on their way to many: what several subscribers want from the same number on is put together once, and each
//! is a number in the log. Nothing is kept for one that does not keep up but the rest of the frame it is in.

use super::outbox::put_text;
use crate::feed::{Feed, Filter};
use crate::ports::StoredEvent;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// What is put together at a time.
const BATCH_BYTES_MAX: usize = 64 << 10;

/// What a connection wants, all of its subscriptions together.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Interest {
    pub(super) filters: Vec<Filter>,
}

impl Interest {
    pub(super) fn lets_through(&self, event: &StoredEvent) -> bool {
        self.filters.iter().any(|filter| filter.lets_through(event))
    }
}

/// Frames of events that follow one another.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    /// The number of each event, and where its frame ends.
    ends: Vec<(u64, usize)>,
    /// The last number that was looked at.
    to: u64,
}

impl Batch {
    /// Of those events, which follow `from`, what is let through, as much as fits.
    pub(super) fn pack(from: u64, events: &[StoredEvent], lets_through: impl Fn(&StoredEvent) -> bool) -> Batch {
        let (mut bytes, mut ends, mut to) = (Vec::new(), Vec::new(), from);
        for event in events {
            if bytes.len() >= BATCH_BYTES_MAX {
                break;
            }
            if lets_through(event) {
                put_text(&mut bytes, &event.frame);
                ends.push((event.seq, bytes.len()));
            }
            to = event.seq;
        }
        Batch { bytes: bytes.into(), ends, to }
    }

    pub(super) fn events(&self) -> usize {
        self.ends.len()
    }

    /// Events whose frames end within so many bytes.
    pub(super) fn events_within(&self, bytes: usize) -> usize {
        self.ends.partition_point(|(_, end)| *end <= bytes)
    }

    /// Where the reader stands that has taken so many bytes, and what is left of the frame it is in.
    pub(super) fn taken(&self, bytes: usize) -> (u64, Bytes) {
        let under_way = self.events_within(bytes);
        let Some((seq, end)) = self.ends.get(under_way) else { return (self.to, Bytes::new()) };
        let begin = under_way.checked_sub(1).map_or(0, |before| self.ends[before].1);
        // Between two frames: what comes next was not begun.
        if bytes == begin {
            return (seq - 1, Bytes::new());
        }
        // A copy: a slice would keep the whole batch for as long as this one reader stalls.
        (*seq, Bytes::copy_from_slice(&self.bytes[bytes..*end]))
    }
}

/// What was put together during this turn of the loop, for whoever else wants the same.
#[derive(Debug)]
pub(super) struct Batches {
    feed: Arc<Feed>,
    interests: HashSet<Rc<Interest>>,
    /// Interests that were let go, and that this turn may still need.
    leaving: Vec<Rc<Interest>>,
    pages: HashMap<u64, Option<Rc<[StoredEvent]>>>,
    /// By the interest's address, which is told apart without looking at its filters: equal ones are one.
    batches: HashMap<(*const Interest, u64), Made>,
}

/// A batch, and whom it was made for: kept, so that its address cannot become another's within the turn.
#[derive(Debug)]
struct Made {
    _interest: Rc<Interest>,
    batch: Rc<Batch>,
}

impl Batches {
    pub(super) fn new(feed: Arc<Feed>) -> Batches {
        Batches { feed, interests: HashSet::new(), leaving: Vec::new(), pages: HashMap::new(), batches: HashMap::new() }
    }

    /// The same interest for all who want the same.
    pub(super) fn interest(&mut self, filters: Vec<Filter>) -> Rc<Interest> {
        let interest = Interest { filters };
        if let Some(known) = self.interests.get(&interest) {
            return Rc::clone(known);
        }
        let new = Rc::new(interest);
        self.interests.insert(Rc::clone(&new));
        new
    }

    /// Somebody wants something else from here on.
    pub(super) fn let_go(&mut self, interest: Rc<Interest>) {
        // Another than our own and this one has it: it may be what this turn has put together.
        if Rc::strong_count(&interest) > 2 {
            self.leaving.push(interest);
        } else {
            self.interests.remove(&interest);
        }
    }

    /// What follows `from`; `None` when that has left the memory.
    pub(super) fn page(&mut self, from: u64) -> Option<Rc<[StoredEvent]>> {
        let read = || self.feed.page_after(from).map(Rc::from);
        self.pages.entry(from).or_insert_with(read).clone()
    }

    /// What of it is wanted.
    pub(super) fn batch(&mut self, interest: &Rc<Interest>, from: u64) -> Option<Rc<Batch>> {
        let key = (Rc::as_ptr(interest), from);
        if let Some(made) = self.batches.get(&key) {
            return Some(Rc::clone(&made.batch));
        }
        let page = self.page(from)?;
        let batch = Rc::new(Batch::pack(from, &page, |event| interest.lets_through(event)));
        self.batches.insert(key, Made { _interest: Rc::clone(interest), batch: Rc::clone(&batch) });
        Some(batch)
    }

    /// The turn is over: there may be more by the next one.
    pub(super) fn forget(&mut self) {
        self.pages.clear();
        self.batches.clear();
        for interest in std::mem::take(&mut self.leaving) {
            if Rc::strong_count(&interest) <= 2 {
                self.interests.remove(&interest);
            }
        }
    }

    /// Interests that nobody has any more are let go.
    pub(super) fn tidy(&mut self) {
        self.interests.retain(|interest| Rc::strong_count(interest) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, channel: &str) -> StoredEvent {
        StoredEvent { seq, channel: channel.into(), name: "x".into(), frame: format!("<{seq}>").into_bytes().into() }
    }

    #[test]
    fn whatever_is_taken_the_rest_of_the_frame_and_the_next_number_follow() {
        let events: Vec<StoredEvent> =
            (11..=16).map(|seq| event(seq, if seq % 2 == 0 { "a:b" } else { "c:d" })).collect();
        let batch = Batch::pack(10, &events, |event| &*event.channel == "a:b");
        assert_eq!((batch.events(), batch.to), (3, 16));
        for bytes in 0..=batch.bytes.len() {
            let (seq, rest) = batch.taken(bytes);
            let again =
                Batch::pack(seq, &events[usize::try_from(seq - 10).unwrap()..], |event| &*event.channel == "a:b");
            let whole = [&batch.bytes[..bytes], &rest, &again.bytes].concat();
            assert_eq!(whole, batch.bytes, "{bytes}");
        }
    }

    #[test]
    fn those_who_want_the_same_share_it() {
        let feed = Arc::new(Feed::new("e".into(), 0));
        feed.publish(vec![event(1, "a:b")]);
        let mut batches = Batches::new(feed);
        let filters = || vec![Filter::new(vec!["a:*".into()], Vec::new()).unwrap()];
        let (one, other) = (batches.interest(filters()), batches.interest(filters()));
        assert!(Rc::ptr_eq(&one, &other));
        let (first, second) = (batches.batch(&one, 0).unwrap(), batches.batch(&other, 0).unwrap());
        assert!(Rc::ptr_eq(&first, &second) && first.events() == 1);
        batches.forget();
        drop((one, other));
        batches.tidy();
        assert!(batches.interests.is_empty());
    }

    #[test]
    fn an_interest_that_nobody_has_any_more_is_let_go_though_all_connections_stay() {
        let feed = Arc::new(Feed::new("e".into(), 0));
        feed.publish(vec![event(1, "a:b")]);
        let mut batches = Batches::new(feed);
        let filters = |name: &str| vec![Filter::new(vec![name.into()], Vec::new()).unwrap()];
        let other = batches.interest(filters("a:*"));
        let mut mine = batches.interest(filters("b:0"));
        for number in 1..100 {
            // That it was told from in this turn keeps it until the turn is over.
            batches.batch(&mine, 0);
            let new = batches.interest(filters(&format!("b:{}", number % 50)));
            batches.let_go(std::mem::replace(&mut mine, new));
            batches.forget();
            assert_eq!(batches.interests.len(), 2);
        }
        let shared = batches.interest(filters("a:*"));
        batches.let_go(shared);
        batches.forget();
        assert!(Rc::ptr_eq(&other, &batches.interest(filters("a:*"))));
    }

    #[test]
    fn a_batch_has_an_end() {
        let large: Vec<StoredEvent> =
            (1..=100).map(|seq| StoredEvent { frame: vec![b'x'; 10_000].into(), ..event(seq, "a:b") }).collect();
        let batch = Batch::pack(0, &large, |_| true);
        assert!(batch.bytes.len() < BATCH_BYTES_MAX + 10_010 && batch.to == 7, "{}", batch.to);
    }
}
