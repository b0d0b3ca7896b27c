//! Sends metrics to a collector of OpenTelemetry: OTLP as Protocol Buffers over HTTP. It is given families as they are at the
//! moment, from whatever was counted; it counts nothing itself but its own exports.
//!
//! Totals are sent as cumulative ones, each with the same start every time, so an export that fails costs nothing but its
//! moment.
//! Names keep their dots, and units are told where a name ends in one.

mod exporter;

mod message;
mod outcome;
mod resource;
mod state;
#[cfg(test)]
mod tests;
mod wire;

pub use exporter::{Exporter, ExporterSettings, SetupError, Stopper};
pub use outcome::ExportError;
pub use resource::{Attribute, Resource};
