//! Polls one MCP server for metrics: a [`Poller`] calls its tools at fixed times, under retry and a circuit breaker, and
//! makes [`Sample`]s of what they answer. It needs nothing else of this program.
//!
//! - *A cycle* begins each [`interval`](PollerSettings::interval), without drift and never while another is under way; what
//!   was missed is not made up for. It ends after nine tenths of the interval, whatever the server does, and one that had no
//!   time for all tools is followed by one that begins with the tool after the last one called.
//! - *A tool call* is tried again as [`CallError`](crate::mcp::client::CallError) says it is worth it, after delays that
//!   double, half of each left to chance, and that are shortened where a retry would not fit otherwise. A server that cannot
//!   be reached ends the cycle; a tool that fails or hangs does not.
//! - *The breaker* counts failed tool calls in a row, however often each was tried. Open, it has cycles skipped; after five
//!   intervals the tool that worked last is called, once, and if it answers the cycle goes on.
//! - *A server that asks for patience* (`Retry-After`) is not called before, by later cycles and by hand neither; it may ask
//!   for five intervals at most.
//! - *A tool* is ok, failing, missing or unmapped ([`ToolState`]); the last two are facts about a server, not failures.
//!
//! What becomes of the samples is for a [`Listener`] to say. A counter among them is an absolute total: [`CounterFold`].
//!
//! ```no_run
//! use claude_comms::resilience::Effects;
//! use claude_comms::upstream::{CycleReport, Listener, Poller, PollerSettings};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! struct Printing;
//!
//! impl Listener for Printing {
//!     fn polled(&self, report: &CycleReport) {
//!         for sample in &report.samples {
//!             println!("{} {}", sample.metric, sample.value);
//!         }
//!     }
//! }
//!
//! let settings = PollerSettings {
//!     interval: Duration::from_secs(10),
//!     ..PollerSettings::new("session-buddy", "http://localhost:8678/mcp")
//! };
//! let poller = Poller::new(settings, &Effects::system(), Arc::new(Printing))?;
//! let report = poller.poll_once();
//! println!("{} {:?}", report.outcome.as_str(), report.errors);
//! poller.start();
//! # Ok::<(), claude_comms::upstream::PollerError>(())
//! ```

mod poller;

mod error;
mod report;
mod settings;

mod run;
mod schedule;
mod shared;

mod call;
mod cycle;
mod rotation;
mod tools;

mod keys;
mod lenient;
mod mapping;

mod listener;
#[cfg(test)]
mod tests;

pub use crate::model::upstream::CounterFold;
pub use error::PollerError;
pub use keys::OTHER_METRICS_MAX;
pub use listener::Listener;
pub use mapping::{METRIC_BYTES_MAX, Mapped, OTHER_KEYS_MAX, Sample, SampleKind, map};
pub use poller::Poller;
pub use report::{CycleOutcome, CycleReport, PollerStatus, ToolState, ToolStatus};
pub use settings::{DEFAULT_TOOLS, NAME_BYTES_MAX, PollerSettings, TOOL_BYTES_MAX, TOOLS_MAX};
