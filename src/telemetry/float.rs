//! A floating point number that many threads may add to.

use std::sync::atomic::{AtomicU64, Ordering};

/// An `f64` in the bits of an integer, 0 at first.
///
/// Relaxed throughout: each number stands for itself, and nothing else is read on the strength of it.
#[derive(Debug, Default)]
pub(super) struct AtomicFloat(AtomicU64);

impl AtomicFloat {
    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn add(&self, amount: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        // Always succeeds in the end, as `sum` never declines; a lost race means that somebody else got through.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }
}
