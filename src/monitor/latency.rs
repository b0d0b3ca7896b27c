//! How long events take from their server to us, and how many come.

use crate::clock::Tick;
use std::collections::VecDeque;
use std::time::Duration;

/// Latencies that are looked at: the newest.
const SAMPLES_MAX: usize = 512;
/// A longer one speaks of two clocks that disagree.
const LATENCY_MAX: Duration = Duration::from_secs(3600);
/// What the rate is taken over, in seconds.
const WINDOW_SECONDS: u64 = 10;

/// From the time that events carry to when they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency {
    samples: VecDeque<Duration>,
}

impl Latency {
    pub(crate) fn add(&mut self, latency: Duration) {
        if latency > LATENCY_MAX {
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(latency);
    }

    /// What so many of a hundred stay within.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * of_hundred).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

/// Events a second, over the last few whole seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    /// A second, and what came in it.
    seconds: VecDeque<(u64, u64)>,
}

impl Rate {
    pub(crate) fn add(&mut self, now: Tick) {
        let second = now.as_nanos() / 1_000_000_000;
        match self.seconds.back_mut() {
            Some((last, count)) if *last >= second => *count += 1,
            _ => {
                if self.seconds.len() as u64 > WINDOW_SECONDS {
                    self.seconds.pop_front();
                }
                self.seconds.push_back((second, 1));
            }
        }
    }

    pub(crate) fn per_second(&self, now: Tick) -> f64 {
        let second = now.as_nanos() / 1_000_000_000;
        let recent = self.seconds.iter().filter(|(at, _)| *at < second && at + WINDOW_SECONDS >= second);
        recent.map(|(_, count)| count).sum::<u64>() as f64 / WINDOW_SECONDS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_newest_and_believable_samples() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50), None);
        latency.add(LATENCY_MAX * 2);
        assert_eq!(latency.percentile(99), None);
        (1..=100).for_each(|millis| latency.add(Duration::from_millis(millis)));
        assert_eq!(latency.percentile(50), Some(Duration::from_millis(50)));
        assert_eq!(latency.percentile(99), Some(Duration::from_millis(99)));
        (0..SAMPLES_MAX).for_each(|_| latency.add(Duration::from_millis(7)));
        assert_eq!((latency.percentile(1), latency.percentile(100)), (latency.percentile(50), latency.percentile(50)));
    }

    #[test]
    fn a_rate_is_of_the_last_ten_seconds() {
        let at = |seconds: u64| Tick::ZERO.after(Duration::from_secs(seconds));
        let mut rate = Rate::default();
        (0..100).for_each(|number| rate.add(at(number / 10)));
        assert_eq!(rate.per_second(at(10)), 10.0);
        assert_eq!(rate.per_second(at(15)), 5.0);
        assert_eq!(rate.per_second(at(1000)), 0.0);
        rate.add(at(1001));
        // The second that is not over yet does not count.
        assert_eq!((rate.per_second(at(1001)), rate.per_second(at(1002))), (0.0, 0.1));
    }
}
