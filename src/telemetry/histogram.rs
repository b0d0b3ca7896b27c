//! How often something measured fell into which range.

use super::buckets::Buckets;
use super::family::Distribution;
use super::float::AtomicFloat;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts measurements by the bucket that they fall into. Clones count together.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    buckets: Buckets,
    /// One for each bound, and the last one for what is beyond. There is no total: it is their sum, so whoever reads
    /// while others count gets a total that fits the counts.
    counts: Box<[AtomicU64]>,
    sum: AtomicFloat,
}

impl Histogram {
    /// A *detached* one: it counts, and nobody sees it. For one that is seen ask the [`Registry`](super::Registry).
    pub fn new(buckets: Buckets) -> Histogram {
        let counts = (0..=buckets.bounds().len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Parts { buckets, counts, sum: AtomicFloat::default() }))
    }

    /// Counts a measurement, in the unit of the buckets. One that is not finite is no measurement: it is left out, as
    /// it would make the sum useless for good.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if let Some(count) = self.0.counts.get(self.0.buckets.place(value)) {
            count.fetch_add(1, Ordering::Relaxed);
            self.0.sum.add(value);
        }
    }

    /// Counts a duration, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// What has been counted. All that ended before this was called is in it; of what happens meanwhile, the counts may
    /// hold a measurement that the sum does not hold yet.
    pub fn value(&self) -> Distribution {
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Distribution::counted(self.0.buckets.clone(), counts, self.0.sum.get())
    }
}
