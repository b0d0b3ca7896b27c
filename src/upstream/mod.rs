//! What the tools of an MCP server answer, as metrics: [`map`] makes [`Sample`]s of an answer, and [`CounterFold`] totals that
//! only grow of those that are absolute.

mod counters;
mod lenient;
mod mapping;
#[cfg(test)]
mod tests;

pub use counters::CounterFold;
pub use mapping::{METRIC_BYTES_MAX, Mapped, OTHER_KEYS_MAX, Sample, SampleKind, map};
