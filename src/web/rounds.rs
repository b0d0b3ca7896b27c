//! When subscribers are told: at once, or at the beats of their rate. All of one rate have the same beats, so that what
//! is put together for one of them serves the others.

use crate::clock::Tick;
use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// By microseconds between two beats.
    rounds: BTreeMap<u64, Round>,
    member_of: HashMap<usize, u64>,
}

#[derive(Debug)]
struct Round {
    members: HashSet<usize>,
    /// The next beat at which there is something to tell.
    due: Tick,
}

impl Rounds {
    /// A connection is told so often from here on, or not at all.
    pub(super) fn place(&mut self, id: usize, period_micros: Option<u64>) {
        if self.member_of.get(&id).copied() == period_micros {
            return;
        }
        if let Some(old) = self.member_of.remove(&id)
            && let Some(round) = self.rounds.get_mut(&old)
        {
            round.members.remove(&id);
            if round.members.is_empty() {
                self.rounds.remove(&old);
            }
        }
        if let Some(period) = period_micros {
            let new = || Round { members: HashSet::new(), due: Tick::FAR };
            self.rounds.entry(period).or_insert_with(new).members.insert(id);
            self.member_of.insert(id, period);
        }
    }

    /// There is something to tell to those of that connection's rate.
    pub(super) fn call(&mut self, id: usize, now: Tick) {
        if let Some(period) = self.member_of.get(&id)
            && let Some(round) = self.rounds.get_mut(period)
        {
            round.due = round.due.min(beat(*period, now));
        }
    }

    /// There is something to tell to everybody.
    pub(super) fn call_all(&mut self, now: Tick) {
        for (period, round) in &mut self.rounds {
            round.due = round.due.min(beat(*period, now));
        }
    }

    pub(super) fn next(&self) -> Option<Tick> {
        self.rounds.values().map(|round| round.due).min().filter(|due| *due < Tick::FAR)
    }

    /// Whose beat it is.
    pub(super) fn take_due(&mut self, now: Tick) -> Vec<usize> {
        let mut ids = Vec::new();
        for round in self.rounds.values_mut().filter(|round| round.due <= now) {
            round.due = Tick::FAR;
            ids.extend(&round.members);
        }
        ids
    }
}

/// The next beat; for those who want everything at once, that is now.
fn beat(period_micros: u64, now: Tick) -> Tick {
    match period_micros.saturating_mul(1000) {
        0 => now,
        nanos => Tick::from_nanos((now.as_nanos() / nanos + 1).saturating_mul(nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    #[test]
    fn each_is_told_at_the_beat_of_its_rate_and_not_without_need() {
        let at = |millis: u64| Tick::from_nanos(millis * MILLI);
        let mut rounds = Rounds::default();
        rounds.place(1, Some(50_000));
        rounds.place(2, Some(50_000));
        rounds.place(3, Some(0));
        assert_eq!(rounds.next(), None);
        rounds.call_all(at(103));
        assert_eq!((rounds.next(), rounds.take_due(at(103))), (Some(at(103)), vec![3]));
        assert_eq!((rounds.next(), rounds.take_due(at(149)).len()), (Some(at(150)), 0));
        rounds.call_all(at(149));
        assert_eq!(rounds.take_due(at(150)).len(), 3);
        rounds.place(2, Some(0));
        rounds.place(1, None);
        rounds.call(2, at(151));
        assert_eq!((rounds.take_due(at(151)).len(), rounds.next()), (2, None));
        rounds.place(2, None);
        rounds.place(3, None);
        assert!(rounds.rounds.is_empty() && rounds.member_of.is_empty());
    }
}
