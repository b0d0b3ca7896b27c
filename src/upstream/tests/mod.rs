//! Cycles in virtual time against scripted tools, and against real sockets where the client is part of it.

mod breaker;
mod counters;
mod end_to_end;
mod faults;
mod keys;
mod mapping;
mod schedule;
mod scripted;
mod settings;
mod threads;
mod time;

use super::{CycleReport, Listener, PollerSettings, ToolState};
use crate::resilience::CircuitState;
use parking_lot::Mutex;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn settings(tools: &[&str]) -> PollerSettings {
    let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    PollerSettings { tools, ..PollerSettings::new("test", "http://127.0.0.1:9/mcp") }
}

fn states(report: &CycleReport) -> Vec<ToolState> {
    report.tools.iter().map(|tool| tool.state).collect()
}

/// From, to, wait, snapshot.
type Change = (CircuitState, CircuitState, Option<Duration>, String);

/// Keeps what it is told.
#[derive(Default)]
struct Heard {
    reports: Mutex<Vec<CycleReport>>,
    changes: Mutex<Vec<Change>>,
}

impl Listener for Heard {
    fn polled(&self, report: &CycleReport) {
        self.reports.lock().push(report.clone());
    }

    fn breaker_changed(&self, from: CircuitState, to: CircuitState, wait: Option<Duration>, snapshot: String) {
        self.changes.lock().push((from, to, wait, snapshot));
    }
}
