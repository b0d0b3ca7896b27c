//! The tasks of a pool that could run now, in the order in which they will.

use super::id::TaskSeq;
use super::limits::AGING_STEP;
use std::collections::BTreeSet;

/// Greater priority first; a waiting task gains a step every [`AGING_STEP`]; equals go first-in, first-out.
///
/// Two waiting tasks age at the same speed, so their order never changes while they wait: it is decided once, as
/// `submitted − priority × AGING_STEP`, and a plain sorted set is all that is needed.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeSet<(i64, TaskSeq)>,
}

/// A place in the queue: the lesser is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(i64);

impl Place {
    /// `submitted_ms`: on any clock that does not go back, the same for all tasks.
    pub fn new(submitted_ms: i64, priority: i32) -> Place {
        let ahead = i64::from(priority).saturating_mul(AGING_STEP.as_millis() as i64);
        Place(submitted_ms.saturating_sub(ahead))
    }
}

impl Queue {
    pub fn push(&mut self, place: Place, seq: TaskSeq) {
        self.waiting.insert((place.0, seq));
    }

    pub fn pop(&mut self) -> Option<TaskSeq> {
        self.waiting.pop_first().map(|(_, seq)| seq)
    }

    pub fn remove(&mut self, place: Place, seq: TaskSeq) {
        self.waiting.remove(&(place.0, seq));
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    #[cfg(test)]
    pub(crate) fn tasks(&self) -> Vec<TaskSeq> {
        self.waiting.iter().map(|(_, seq)| *seq).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(tasks: &[(i64, i32)]) -> Vec<usize> {
        let mut queue = Queue::default();
        for (seq, (submitted_s, priority)) in tasks.iter().enumerate() {
            queue.push(Place::new(submitted_s * 1000, *priority), TaskSeq(seq as i64));
        }
        std::iter::from_fn(|| queue.pop()).map(|seq| seq.0 as usize).collect()
    }

    #[test]
    fn equal_priority_is_first_in_first_out() {
        assert_eq!(served(&[(0, 0), (0, 0), (1, 0), (1, 0)]), [0, 1, 2, 3]);
    }

    #[test]
    fn greater_priority_goes_first_until_the_other_has_waited() {
        assert_eq!(served(&[(0, 0), (1, 5)]), [1, 0]);
        // 150 s are five steps: the older one has caught up, a moment later it is ahead.
        assert_eq!(served(&[(0, 0), (149, 5)]), [1, 0]);
        assert_eq!(served(&[(0, 0), (151, 5)]), [0, 1]);
    }
}
