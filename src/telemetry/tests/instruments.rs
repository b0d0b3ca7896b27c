//! Counters, gauges and histograms by themselves.

use crate::telemetry::{BUCKETS_MAX, Buckets, Counter, Distribution, Gauge, Histogram, MetricError, Number};
use std::time::Duration;

#[test]
fn a_counter_of_things_stays_exact() {
    let counter = Counter::default();
    counter.add((1 << 53) + 1);
    counter.increment();
    counter.add_float(3.0);
    assert_eq!(counter.value(), Number::Whole((1 << 53) + 5));
}

#[test]
fn a_counter_takes_parts_but_nothing_that_is_no_amount() {
    let counter = Counter::default();
    for amount in [0.25, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 2.0] {
        counter.add_float(amount);
    }
    assert_eq!(counter.value(), Number::Float(2.25));
}

#[test]
fn a_gauge_is_set_and_moved() {
    let gauge = Gauge::default();
    gauge.set(3.5);
    gauge.add(1.0);
    gauge.clone().add(-2.0);
    assert_eq!(gauge.value(), 2.5);
}

fn observed(bounds: &[f64], values: &[f64]) -> Distribution {
    let histogram = Histogram::new(Buckets::new(bounds).unwrap());
    values.iter().for_each(|value| histogram.observe(*value));
    histogram.value()
}

#[test]
fn a_bound_belongs_to_its_bucket() {
    let value = observed(&[0.1, 1.0], &[-1.0, 0.1, 0.100_001, 1.0, 1.1, 1e300]);
    assert_eq!((value.counts(), value.count()), (&[2, 2, 2][..], 6));
}

#[test]
fn what_is_not_finite_was_not_measured() {
    let value = observed(&[1.0], &[f64::NAN, f64::INFINITY, 0.5, f64::NEG_INFINITY]);
    assert_eq!((value.counts(), value.sum()), (&[1, 0][..], 0.5));
}

#[test]
fn durations_are_seconds() {
    let histogram = Histogram::new(Buckets::new(&[1.0]).unwrap());
    histogram.observe_duration(Duration::from_millis(1500));
    assert_eq!((histogram.value().counts(), histogram.value().sum()), (&[0, 1][..], 1.5));
}

#[test]
fn bounds_are_finite_and_ascend() {
    let many = |count: usize| (0..count).map(|bound| bound as f64).collect::<Vec<_>>();
    assert!(Buckets::new(&many(BUCKETS_MAX)).is_ok());
    let bad: [&[f64]; 6] = [&[], &[1.0, 1.0], &[2.0, 1.0], &[1.0, f64::INFINITY], &[f64::NAN], &many(BUCKETS_MAX + 1)];
    for bounds in bad {
        assert!(matches!(Buckets::new(bounds), Err(MetricError::Buckets { .. })), "{bounds:?}");
    }
}

#[test]
fn a_distribution_made_by_hand_must_fit_its_bounds() {
    let buckets = Buckets::new(&[1.0, 2.0]).unwrap();
    let error = Distribution::new(buckets, vec![1, 2], 3.0).unwrap_err();
    assert_eq!(error.to_string(), "2 counts do not fit 2 bounds: there must be one more");
}
