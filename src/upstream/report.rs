//! What a poller says of itself and of its cycles.

use super::mapping::Sample;
use crate::clock::Timestamp;
use crate::mcp::protocol::Era;
use std::time::Duration;

/// How a tool fared when it was called last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ToolState {
    /// It has not been called yet.
    #[default]
    Untried,
    /// It answered, and its answer was mapped.
    Ok,
    /// The call failed, or the tool says that it did.
    Failing,
    /// The server has no such tool.
    Missing,
    /// It answered with text only, or with nothing that is known or can be used.
    Unmapped,
}

impl ToolState {
    pub const fn as_str(self) -> &'static str {
        match self {
            ToolState::Untried => "untried",
            ToolState::Ok => "ok",
            ToolState::Failing => "failing",
            ToolState::Missing => "missing",
            ToolState::Unmapped => "unmapped",
        }
    }
}

/// One tool, as a poller knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolStatus {
    pub tool: String,
    pub state: ToolState,
    /// When it was called last.
    pub last_tried: Option<Timestamp>,
    /// What is wrong with it, or with some of its answer, since it was called last; `None` when nothing is.
    pub error: Option<String>,
    /// What went wrong last, kept when it works again.
    pub last_error: Option<String>,
    pub last_error_time: Option<Timestamp>,
}

/// How a cycle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CycleOutcome {
    /// Metrics were collected and no call failed. Tools that are missing or unmapped do not spoil it: a server has them or not.
    Ok,
    /// Metrics were collected, and a call failed or could not be made.
    Partial,
    /// No metrics were collected.
    Failed,
    /// Nothing was called: the breaker is open, the server asked for patience, or the poller is ending.
    Skipped,
}

impl CycleOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            CycleOutcome::Ok => "ok",
            CycleOutcome::Partial => "partial",
            CycleOutcome::Failed => "failed",
            CycleOutcome::Skipped => "skipped",
        }
    }
}

/// One cycle.
#[derive(Clone, Debug, PartialEq)]
pub struct CycleReport {
    /// Counts from 1, cycles of the schedule and manual ones alike.
    pub poll_cycle: u64,
    /// When it began.
    pub timestamp: Timestamp,
    pub took: Duration,
    /// The tools whose answers were mapped, in the order of the calls.
    pub metrics_collected: Vec<String>,
    /// All that did not become a metric, a sentence each: failed calls, missing and unmapped tools, values left out.
    pub errors: Vec<String>,
    /// The calls that failed, each of them once however often it was tried; they add up in [`PollerStatus::errors`].
    pub failures: u32,
    /// Something kept calls from being made: an open breaker, a server that asked for patience, the end of the cycle.
    pub is_cut_short: bool,
    /// What was said of a tool last in this cycle, if anything: the last of the errors that is not about calls that were not
    /// made.
    pub last_error: Option<String>,
    pub samples: Vec<Sample>,
    /// Metrics that are told no more and have made room for others: see [`OTHER_METRICS_MAX`](super::OTHER_METRICS_MAX).
    pub forgotten: Vec<String>,
    /// All tools, in the order of the settings, as they stand after this cycle.
    pub tools: Vec<ToolStatus>,
    /// The era of the protocol that the server speaks, once it is known.
    pub era: Option<Era>,
    pub outcome: CycleOutcome,
    /// When the next cycle is due; `None` while the schedule is off.
    pub next_poll_at: Option<Timestamp>,
    /// Failed tool calls in a row, after this cycle.
    pub consecutive_failures: u32,
    /// Somebody asked for it.
    pub is_asked: bool,
    /// The highest number of [`order`](super::Poller::order) before it began; 0 when there was none.
    pub order: u64,
}

/// A poller as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollerStatus {
    /// Whether the schedule is on.
    pub running: bool,
    /// Cycles since the poller was made.
    pub poll_cycles: u64,
    /// Failures since the poller was made: see [`CycleReport::failures`].
    pub errors: u64,
    /// When the last cycle began.
    pub last_poll_time: Option<Timestamp>,
    /// What went wrong last, kept when all is well again. That calls were not made shows here only while nothing else does.
    pub last_error: Option<String>,
    /// How the last cycle ended; health is judged by it.
    pub last_outcome: Option<CycleOutcome>,
    pub circuit_breaker_open: bool,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    pub circuit_breaker: &'static str,
    /// Failed tool calls in a row.
    pub consecutive_failures: u32,
    /// When the next cycle is due; `None` while the schedule is off.
    pub next_poll_at: Option<Timestamp>,
    pub era: Option<Era>,
    /// In the order of the settings.
    pub tools: Vec<ToolStatus>,
}
