//! When a run says how much it has written: at most five times a second, and the last amount always. A run that is over
//! sooner says nothing: its end says it all.

use std::time::Duration;

use crate::clock::Tick;

/// Between two announcements, and before the first.
const INTERVAL: Duration = Duration::from_millis(200);

/// Lengths of the two logs, in bytes.
type Lengths = (u64, u64);

#[derive(Debug)]
pub(super) struct Announcement {
    told: Lengths,
    from: Tick,
}

impl Announcement {
    pub(super) fn new(began: Tick) -> Announcement {
        Announcement { told: (0, 0), from: began.after(INTERVAL) }
    }

    /// When the next one is to be made; never, without news.
    pub(super) fn due(&self, lengths: Lengths) -> Tick {
        if lengths == self.told { Tick::FAR } else { self.from }
    }

    pub(super) fn take(&mut self, now: Tick, lengths: Lengths) -> Option<Lengths> {
        if now < self.due(lengths) {
            return None;
        }
        self.told = lengths;
        self.from = now.after(INTERVAL);
        Some(lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(millis))
    }

    #[test]
    fn news_is_told_now_and_then_and_the_last_of_it_always() {
        let mut announcement = Announcement::new(at(0));
        assert_eq!(announcement.due((0, 0)), Tick::FAR);
        assert_eq!((announcement.due((5, 0)), announcement.take(at(199), (5, 0))), (at(200), None));
        assert_eq!(announcement.take(at(200), (6, 0)), Some((6, 0)));
        assert_eq!((announcement.due((6, 0)), announcement.take(at(900), (6, 0))), (Tick::FAR, None));
        assert_eq!(announcement.take(at(900), (6, 1)), Some((6, 1)));
        assert_eq!((announcement.due((7, 1)), announcement.take(at(1000), (7, 1))), (at(1100), None));
    }
}
