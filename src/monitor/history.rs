//! The last that happened, as many entries as are kept.

use super::describe::Level;
use std::collections::VecDeque;

/// Entries that are kept of one panel.
pub(crate) const ENTRIES_MAX: usize = 1_000;

/// All of it safe to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The time of day, in UTC.
    pub(crate) clock: String,
    pub(crate) level: Level,
    pub(crate) event: String,
    pub(crate) text: String,
}

impl Entry {
    /// Whether it has that text anywhere, in small letters or capitals.
    fn has(&self, needle: &str) -> bool {
        needle.is_empty()
            || self.event.to_lowercase().contains(needle)
            || self.text.to_lowercase().contains(needle)
            || self.clock.contains(needle)
    }
}

/// Entries are numbered from the first that there ever was, so that a place in them stays the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    entries: VecDeque<Entry>,
    /// The number of the oldest that is kept.
    first: u64,
}

impl History {
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(entry);
    }

    /// What passes the filter, oldest first, with its number.
    pub(crate) fn matching<'a>(&'a self, filter: &str) -> impl DoubleEndedIterator<Item = (u64, &'a Entry)> {
        let needle = filter.to_lowercase();
        let numbered = self.entries.iter().enumerate().map(|(place, entry)| (self.first + place as u64, entry));
        numbered.filter(move |(_, entry)| entry.has(&needle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: String) -> Entry {
        Entry { clock: "10:20:30".to_owned(), level: Level::Good, event: "task.Done".to_owned(), text }
    }

    #[test]
    fn the_oldest_go_and_numbers_stay() {
        let mut history = History::default();
        (0..ENTRIES_MAX + 5).for_each(|number| history.push(entry(number.to_string())));
        let (first, oldest) = history.matching("").next().unwrap();
        assert_eq!((first, oldest.text.as_str(), history.matching("").count()), (5, "5", ENTRIES_MAX));
    }

    #[test]
    fn a_filter_knows_no_capitals() {
        let mut history = History::default();
        ["Alpha", "beta"].into_iter().for_each(|text| history.push(entry(text.to_owned())));
        let count = |filter: &str| history.matching(filter).count();
        assert_eq!((count("alPHA"), count("done"), count("10:2"), count("none")), (1, 2, 2, 0));
    }
}
