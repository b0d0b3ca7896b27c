//! The numbers of this program, for whoever collects them: a [`Registry`] of atomics that any thread may count in, and
//! [`encode`], the text that Prometheus reads. Nothing here waits, calls back, or knows what it counts.

mod registry;

mod counter;
mod gauge;
mod histogram;
mod instruments;

mod buckets;
mod labels;
mod name;

mod family;
mod text;

mod error;
mod float;
#[cfg(test)]
pub(crate) mod tests;

pub use buckets::{BUCKETS_MAX, Buckets};
pub use counter::Counter;
pub use error::{MetricError, Shape};
pub use family::{Distribution, Family, Kind, Number, Points, Series};
pub use gauge::Gauge;
pub use histogram::Histogram;
pub use labels::Labels;
pub use name::{NAME_BYTES_MAX, Name, Unit};
pub use registry::{FAMILIES_MAX, FAMILIES_OWN, LABELS_BYTES_MAX, Registry, SERIES_DROPPED, SERIES_MAX};
pub use text::{CONTENT_TYPE, encode};
