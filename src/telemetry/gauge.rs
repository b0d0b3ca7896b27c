//! A number that goes up and down.

use super::float::AtomicFloat;
use std::sync::Arc;

/// How much there is at the moment, 0 at first. Clones show the same.
///
/// The default one is *detached*: it can be set, and nobody sees it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicFloat>);

impl Gauge {
    /// Shows `value`, in the unit that the name of the metric ends in. A single atomic store.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Shows `amount` more; less, when it is negative. Of several threads that add, none is lost.
    pub fn add(&self, amount: f64) {
        self.0.add(amount);
    }

    /// What is shown.
    pub fn value(&self) -> f64 {
        self.0.get()
    }
}
