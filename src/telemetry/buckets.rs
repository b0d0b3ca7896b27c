//! Where the ranges of a histogram end.

use super::error::MetricError;
use std::sync::Arc;

/// Most bounds that one histogram has.
pub const BUCKETS_MAX: usize = 64;

/// Upper bounds, each belonging to its bucket, ascending. What is beyond the last one has a bucket of its own, which is
/// not named here. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(Arc<[f64]>);

impl Buckets {
    /// In the unit that the name of the metric ends in.
    ///
    /// # Errors
    /// [`MetricError::Buckets`] when there are none or more than [`BUCKETS_MAX`], when one is not finite, or when they
    /// do not ascend.
    pub fn new(bounds: &[f64]) -> Result<Buckets, MetricError> {
        let ascend = bounds.is_sorted_by(|one, next| one < next);
        let finite = bounds.iter().all(|bound| bound.is_finite());
        if bounds.is_empty() || bounds.len() > BUCKETS_MAX || !ascend || !finite {
            return Err(MetricError::Buckets { bounds: bounds.to_vec() });
        }
        Ok(Buckets(bounds.into()))
    }

    /// The upper bounds, without the infinite one.
    pub fn bounds(&self) -> &[f64] {
        &self.0
    }

    /// The number of the bucket that `value` falls into, at most as many as there are bounds.
    pub(super) fn place(&self, value: f64) -> usize {
        self.0.partition_point(|bound| *bound < value)
    }
}
