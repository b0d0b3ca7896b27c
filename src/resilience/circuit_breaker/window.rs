//! What a closed breaker remembers of the past: a run of failures, the last calls, or the last minutes.

use std::time::Duration;

use super::settings::{SlowCalls, Trip};
use crate::clock::Tick;

/// The sums over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
}

impl Sums {
    fn add(&mut self, call: Call) {
        self.calls += 1;
        self.failures += u64::from(call.failed);
        self.slow += u64::from(call.slow);
    }

    fn subtract(&mut self, other: Sums) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// One counted outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

impl From<Call> for Sums {
    fn from(call: Call) -> Sums {
        let mut sums = Sums::default();
        sums.add(call);
        sums
    }
}

/// The memory that the trip policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    Consecutive(u32),
    Count(CountWindow),
    Time(TimeWindow),
}

impl Tally {
    pub(super) fn new(trip: Trip) -> Tally {
        match trip {
            Trip::Consecutive { .. } => Tally::Consecutive(0),
            Trip::CountWindow { calls, .. } => Tally::Count(CountWindow::new(calls)),
            Trip::TimeWindow { period, buckets, .. } => Tally::Time(TimeWindow::new(period, buckets)),
        }
    }

    /// Takes in one outcome, and says whether it is time to open.
    pub(super) fn record(&mut self, call: Call, now: Tick, trip: Trip, slow_calls: Option<SlowCalls>) -> bool {
        match (self, trip) {
            (Tally::Consecutive(failures), Trip::Consecutive { failure_threshold }) => {
                *failures = if call.failed { failures.saturating_add(1) } else { 0 };
                *failures >= failure_threshold
            }
            (Tally::Count(window), Trip::CountWindow { minimum_calls, failure_rate, .. }) => {
                window.record(call);
                let sums = window.sums;
                sums.calls >= u64::from(minimum_calls)
                    && (failure_rate.reached_by(sums.failures, sums.calls) || too_slow(sums, slow_calls))
            }
            (Tally::Time(window), Trip::TimeWindow { minimum_calls, failure_rate, .. }) => {
                window.record(call, now);
                let sums = window.sums;
                sums.calls >= u64::from(minimum_calls)
                    && (failure_rate.reached_by(sums.failures, sums.calls) || too_slow(sums, slow_calls))
            }
            // A tally is only ever made from the trip policy that it is used with.
            _ => false,
        }
    }

    /// Whether a success could be the outcome that makes it open: only while the share is not looked at yet. Afterwards
    /// a success can but lower it.
    pub(super) fn may_trip_by_success(&self, trip: Trip) -> bool {
        match (self, trip) {
            (Tally::Consecutive(_), _) => false,
            (Tally::Count(window), Trip::CountWindow { minimum_calls, .. }) => {
                window.sums.calls < u64::from(minimum_calls)
            }
            _ => true,
        }
    }

    pub(super) fn failures(&self, now: Tick) -> u32 {
        let failures = match self {
            Tally::Consecutive(failures) => u64::from(*failures),
            Tally::Count(window) => window.sums.failures,
            Tally::Time(window) => window.sums_at(now).failures,
        };
        u32::try_from(failures).unwrap_or(u32::MAX)
    }
}

fn too_slow(sums: Sums, slow_calls: Option<SlowCalls>) -> bool {
    slow_calls.is_some_and(|limit| limit.rate.reached_by(sums.slow, sums.calls))
}

/// The last N outcomes, in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountWindow {
    ring: Vec<Call>,
    calls_max: usize,
    /// Where the next outcome goes; the oldest one once the ring is full.
    next: usize,
    pub(super) sums: Sums,
}

impl CountWindow {
    pub(super) fn new(calls: u32) -> CountWindow {
        let calls_max = usize::try_from(calls).unwrap_or(usize::MAX);
        CountWindow { ring: Vec::with_capacity(calls_max), calls_max, next: 0, sums: Sums::default() }
    }

    pub(super) fn record(&mut self, call: Call) {
        match self.ring.get_mut(self.next) {
            Some(oldest) => {
                self.sums.subtract(Sums::from(*oldest));
                *oldest = call;
            }
            None => self.ring.push(call),
        }
        self.sums.add(call);
        // Not by remainder: a division is the dearest thing on the way of a call.
        self.next = if self.next + 1 == self.calls_max { 0 } else { self.next + 1 };
    }

    /// Oldest first.
    pub(super) fn calls(&self) -> impl Iterator<Item = Call> + '_ {
        let oldest = if self.ring.len() < self.calls_max { 0 } else { self.next };
        self.ring[oldest..].iter().chain(&self.ring[..oldest]).copied()
    }
}

/// The outcomes of the last period, in buckets of equal width; a bucket leaves as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeWindow {
    ring: Vec<Sums>,
    width_nanos: u64,
    /// The number of the newest bucket; bucket `n` starts at `n · width`. Below zero only after a restart, for
    /// what was before the clock began.
    newest: i64,
    sums: Sums,
}

impl TimeWindow {
    pub(super) fn new(period: Duration, buckets: u32) -> TimeWindow {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let ring = vec![Sums::default(); usize::try_from(buckets).unwrap_or(1).max(1)];
        TimeWindow { width_nanos: nanos.div_ceil(ring.len() as u64).max(1), ring, newest: 0, sums: Sums::default() }
    }

    fn bucket_of(&self, now: Tick) -> i64 {
        i64::try_from(now.as_nanos() / self.width_nanos).unwrap_or(i64::MAX)
    }

    fn place(&self, bucket: i64) -> usize {
        usize::try_from(bucket.rem_euclid(self.ring.len() as i64)).unwrap_or(0)
    }

    /// Whether nothing of what is here belongs to the window that ends with `bucket`: after an idle gap, or when the
    /// clock was set far back.
    fn is_foreign_to(&self, bucket: i64) -> bool {
        let width = self.ring.len() as i64;
        bucket >= self.newest.saturating_add(width) || bucket <= self.newest.saturating_sub(width)
    }

    /// Moves the newest bucket to the one of `now`, emptying those that leave.
    fn turn(&mut self, now: Tick) {
        let bucket = self.bucket_of(now);
        if self.is_foreign_to(bucket) {
            self.ring.fill(Sums::default());
            self.sums = Sums::default();
            self.newest = bucket;
        }
        while self.newest < bucket {
            self.newest += 1;
            let place = self.place(self.newest);
            self.sums.subtract(std::mem::take(&mut self.ring[place]));
        }
    }

    pub(super) fn record(&mut self, call: Call, now: Tick) {
        self.turn(now);
        let place = self.place(self.newest);
        self.ring[place].add(call);
        self.sums.add(call);
    }

    /// What the sums would be if the window were turned to `now`.
    fn sums_at(&self, now: Tick) -> Sums {
        let bucket = self.bucket_of(now);
        if self.is_foreign_to(bucket) {
            return Sums::default();
        }
        let mut sums = self.sums;
        (self.newest + 1..=bucket).for_each(|left| sums.subtract(self.ring[self.place(left)]));
        sums
    }

    /// The buckets of the window that ends now and that hold anything, oldest first, each with how long ago it began.
    pub(super) fn aged(&self, now: Tick) -> impl Iterator<Item = (u128, Sums)> + '_ {
        let bucket = self.bucket_of(now);
        let width = i128::from(self.width_nanos);
        let now = i128::from(now.as_nanos());
        let first = bucket.max(self.newest).saturating_sub(self.ring.len() as i64 - 1);
        let last = if self.is_foreign_to(bucket) { first - 1 } else { self.newest };
        (first..=last).filter_map(move |bucket| {
            let sums = self.ring[self.place(bucket)];
            let age = u128::try_from(now - i128::from(bucket) * width).unwrap_or(0);
            (sums.calls > 0).then_some((age, sums))
        })
    }

    /// Puts back a bucket that began that long before `now`; too old a one is left out.
    pub(super) fn put_back(&mut self, age_nanos: u128, sums: Sums, now: Tick) {
        self.turn(now);
        let began = i128::from(now.as_nanos()) - i128::try_from(age_nanos).unwrap_or(i128::MAX / 2);
        let bucket = began.div_euclid(i128::from(self.width_nanos));
        let oldest = i128::from(self.newest) - self.ring.len() as i128 + 1;
        if !(oldest..=i128::from(self.newest)).contains(&bucket) {
            return;
        }
        let place = self.place(i64::try_from(bucket).unwrap_or(self.newest));
        for total in [&mut self.ring[place], &mut self.sums] {
            total.calls = total.calls.saturating_add(sums.calls);
            total.failures = total.failures.saturating_add(sums.failures);
            total.slow = total.slow.saturating_add(sums.slow);
        }
    }
}
