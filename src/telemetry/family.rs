//! Metrics as of one moment, as plain values: what the registry hands out, and what can be made by hand of numbers that
//! were counted elsewhere.

use super::buckets::Buckets;
use super::error::MetricError;
use super::labels::Labels;
use super::name::{Name, Unit};
use std::borrow::Cow;
use std::sync::Arc;

/// All series of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub name: Name,
    /// One sentence for people.
    pub help: Arc<str>,
    pub points: Points,
}

impl Family {
    /// How its numbers are to be read.
    pub fn kind(&self) -> Kind {
        match self.points {
            Points::Counters(_) => Kind::Counter,
            Points::Gauges(_) => Kind::Gauge,
            Points::Histograms(_) => Kind::Histogram,
        }
    }

    /// What it is called in the text for Prometheus; the lines of a histogram have endings of their own besides.
    pub fn exposed_name(&self) -> Cow<'_, str> {
        self.name.exposed(self.kind())
    }

    /// What its numbers are measured in; of a histogram its bounds and its sum.
    pub fn unit(&self) -> Unit {
        self.name.unit()
    }

    /// Whether it has no series.
    pub fn is_empty(&self) -> bool {
        match &self.points {
            Points::Counters(series) => series.is_empty(),
            Points::Gauges(series) => series.is_empty(),
            Points::Histograms(series) => series.is_empty(),
        }
    }
}

/// How numbers are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows, until the program starts anew.
    Counter,
    /// As of now.
    Gauge,
    /// Counts by range.
    Histogram,
}

impl Kind {
    /// As the text format has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The series of a family, all of its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Points {
    Counters(Vec<Series<Number>>),
    Gauges(Vec<Series<f64>>),
    Histograms(Vec<Series<Distribution>>),
}

impl Points {
    /// Those that are counters: all or none. So with the others.
    pub(super) fn counters(&self) -> &[Series<Number>] {
        if let Points::Counters(series) = self { series } else { &[] }
    }

    pub(super) fn gauges(&self) -> &[Series<f64>] {
        if let Points::Gauges(series) = self { series } else { &[] }
    }

    pub(super) fn histograms(&self) -> &[Series<Distribution>] {
        if let Points::Histograms(series) = self { series } else { &[] }
    }
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<T> {
    pub labels: Labels,
    pub value: T,
}

/// What a counter shows. Whole numbers stay exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Whole(u64),
    Float(f64),
}

impl Number {
    /// The nearest float.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

/// What a histogram shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    buckets: Buckets,
    counts: Vec<u64>,
    sum: f64,
}

impl Distribution {
    /// `counts` are by bucket, not cumulative; the last one is for what is beyond the last bound. `sum` is of all
    /// measurements, in the unit of the bounds.
    ///
    /// # Errors
    /// [`MetricError::Counts`] unless there is one count more than there are bounds.
    pub fn new(buckets: Buckets, counts: Vec<u64>, sum: f64) -> Result<Distribution, MetricError> {
        if counts.len() != buckets.bounds().len() + 1 {
            return Err(MetricError::Counts { counts: counts.len(), bounds: buckets.bounds().len() });
        }
        Ok(Distribution { buckets, counts, sum })
    }

    /// As [`Distribution::new`], for a caller that has a count for every bucket by construction.
    pub(super) fn counted(buckets: Buckets, counts: Vec<u64>, sum: f64) -> Distribution {
        Distribution { buckets, counts, sum }
    }

    /// Where its buckets end.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// By bucket, not cumulative; one more than there are bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many measurements there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All measurements added up, in the unit of the bounds.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}
