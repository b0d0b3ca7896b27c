//! Randomness for jitter: seedable, so that the same seed gives the same trace of delays.

use std::hash::{BuildHasher, RandomState};

use super::sync::{AtomicU64, Ordering};

/// A source of evenly spread 64-bit numbers. Must not call back into this room: breakers draw while holding their lock.
pub trait Rng: Send + Sync {
    fn next_u64(&self) -> u64;
}

/// SplitMix64: one addition and a mix per number, shareable without a lock. Not for secrets.
#[derive(Debug)]
pub struct SplitMix64 {
    state: AtomicU64,
}

impl SplitMix64 {
    /// The step of the published algorithm: 2^64 divided by the golden ratio.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    pub fn seeded(seed: u64) -> SplitMix64 {
        SplitMix64 { state: AtomicU64::new(seed) }
    }

    /// Seeded by the operating system, by way of the standard library's hasher.
    pub fn from_entropy() -> SplitMix64 {
        SplitMix64::seeded(RandomState::new().hash_one(0_u8))
    }
}

impl Rng for SplitMix64 {
    fn next_u64(&self) -> u64 {
        let before = self.state.fetch_add(SplitMix64::STEP, Ordering::Relaxed);
        let mut mixed = before.wrapping_add(SplitMix64::STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A number from `low` to `high`, both included; `low` when they are the wrong way round.
pub(super) fn between(rng: &dyn Rng, low: u64, high: u64) -> u64 {
    let choices = u128::from(high.saturating_sub(low)) + 1;
    // Multiply and shift: the high half of the product is below `choices`, at most 2^64.
    let pick = (u128::from(rng.next_u64()) * choices) >> 64;
    low.saturating_add(u64::try_from(pick).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_algorithm() {
        let rng = SplitMix64::seeded(1234567);
        let drawn: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(drawn, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn a_range_is_met_at_both_ends_and_never_left() {
        let rng = SplitMix64::seeded(7);
        let drawn: Vec<u64> = (0..200).map(|_| between(&rng, 3, 5)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&5)));
        assert_eq!(between(&rng, 9, 9), 9);
        assert!(between(&rng, u64::MAX - 1, u64::MAX) >= u64::MAX - 1);
    }

    #[test]
    fn two_machines_do_not_share_a_seed() {
        assert_ne!(SplitMix64::from_entropy().next_u64(), SplitMix64::from_entropy().next_u64());
    }
}
