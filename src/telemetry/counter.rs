//! A number that only grows.

use super::family::Number;
use super::float::AtomicFloat;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Above this not every whole number is a float of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Counts up from 0, since the start of the program or since its series was removed. Clones count together.
///
/// The default one is *detached*: it counts, and nobody sees it.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Parts>);

/// Whole numbers and the rest are kept apart, so that counting things is one atomic addition and stays exact.
#[derive(Debug, Default)]
struct Parts {
    whole: AtomicU64,
    rest: AtomicFloat,
}

impl Counter {
    /// Counts one. A single atomic addition.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `amount`. A single atomic addition.
    pub fn add(&self, amount: u64) {
        self.0.whole.fetch_add(amount, Ordering::Relaxed);
    }

    /// Counts what need not be whole, such as seconds, in the unit that the name of the metric ends in. An amount that
    /// is negative or not finite is no amount: it is left out.
    pub fn add_float(&self, amount: f64) {
        if !amount.is_finite() || amount <= 0.0 {
            return;
        }
        if amount.fract() == 0.0 && amount < EXACT_MAX {
            self.add(amount as u64);
        } else {
            self.0.rest.add(amount);
        }
    }

    /// What has been counted; a whole number unless something else was added.
    pub fn value(&self) -> Number {
        let rest = self.0.rest.get();
        let whole = self.0.whole.load(Ordering::Relaxed);
        if rest == 0.0 { Number::Whole(whole) } else { Number::Float(whole as f64 + rest) }
    }
}
