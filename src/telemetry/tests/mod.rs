//! Tests of the room as its users see it: what is asked for, counted, and read out of the text again.

mod instruments;
mod names;
mod parser;
pub(crate) mod promtool;
mod registry;
mod text;
mod threads;

use crate::telemetry::{Registry, encode};

/// The text of a registry without what it says of itself.
fn shown(registry: &Registry) -> String {
    let families = registry.snapshot();
    let own = |text: &str| text.contains("claude_comms_telemetry_");
    encode(&families).lines().filter(|line| !own(line)).map(|line| format!("{line}\n")).collect()
}
