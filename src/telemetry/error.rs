//! What can be wrong with asking for a metric.

use super::buckets::{BUCKETS_MAX, Buckets};
use super::family::Kind;
use super::name::Name;
use std::fmt;

/// Why a metric was refused. Each is a mistake of the program that asks, not of its data: the same call fails always.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricError {
    #[error("{name:?} cannot name a metric: {fault}")]
    Name { name: String, fault: &'static str },
    #[error("{name:?} cannot name a label: {fault}")]
    Label { name: String, fault: &'static str },
    #[error("{bounds:?} cannot bound buckets: between 1 and {BUCKETS_MAX} finite numbers must ascend")]
    Buckets { bounds: Vec<f64> },
    #[error("{counts} counts do not fit {bounds} bounds: there must be one more")]
    Counts { counts: usize, bounds: usize },
    #[error("there is a {registered} already, so there cannot be a {asked}")]
    Conflict { registered: Box<Shape>, asked: Box<Shape> },
}

/// What all series of a metric have in common. Two metrics of one name in Prometheus must agree in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub kind: Kind,
    pub name: Name,
    /// Ascending.
    pub label_names: Vec<String>,
    /// Of a histogram.
    pub buckets: Option<Buckets>,
}

/// For example `histogram task_run_seconds{pool} of buckets [0.1, 1.0]`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{{{}}}", self.kind.as_str(), self.name.as_str(), self.label_names.join(","))?;
        match &self.buckets {
            Some(buckets) => write!(f, " of buckets {:?}", buckets.bounds()),
            None => Ok(()),
        }
    }
}
