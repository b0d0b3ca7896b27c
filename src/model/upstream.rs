//! An upstream: an MCP server that is polled for metrics. The poller decides when and how; here is what it tells, and what
//! is kept of it.

use super::breaker::BreakerState;
use super::id::UpstreamName;
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What an upstream is made of, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRow {
    pub name: UpstreamName,
    pub endpoint: String,
    pub interval: Duration,
    /// Of one attempt at one tool.
    pub timeout: Duration,
    /// After the first attempt.
    pub max_retries: u32,
    pub retry_delay: Duration,
    /// Failed calls in a row that open its breaker.
    pub failure_threshold: u32,
    pub tools: Vec<String>,
    /// It stands in the configuration, which decides about all the above.
    pub configured: bool,
    /// What the configuration says about polling.
    pub enabled: bool,
    /// Whether it is polled by schedule.
    pub polling: bool,
}

/// One number that a tool has given.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With dots, as OpenTelemetry has it.
    pub metric: String,
    pub kind: SampleKind,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// A total since the server began to count.
    Counter,
    Gauge,
    /// One observation.
    Histogram,
}

/// A total that survives the server's restarts: what it had counted before, and what it says now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    pub offset: f64,
    pub last: f64,
}

impl Total {
    /// Takes in what the server says. A smaller number than before means that it has begun to count anew.
    pub fn observe(&mut self, value: f64) {
        if value < self.last {
            self.offset += self.last;
        }
        self.last = value;
    }

    pub fn value(&self) -> f64 {
        self.offset + self.last
    }
}

/// How one tool fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolState {
    pub tool: String,
    /// ok, failing, missing, unmapped, or untried.
    pub state: &'static str,
    pub error: Option<String>,
    /// When it was last called.
    pub at: Option<Timestamp>,
}

/// What went wrong in a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollError {
    /// `None` when it was the cycle as a whole.
    pub tool: Option<String>,
    /// A short stable word.
    pub kind: &'static str,
    /// A sentence for a person.
    pub message: String,
}

impl PollError {
    pub fn sentence(&self) -> String {
        match &self.tool {
            Some(tool) => format!("{tool}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

/// What one cycle came to, and how the poller stands after it.
#[derive(Clone, Debug, PartialEq)]
pub struct PollReport {
    /// Counts from 1 since the daemon's start.
    pub cycle: u64,
    pub at: Timestamp,
    pub took: Duration,
    /// Somebody asked for it.
    pub manual: bool,
    pub metrics: Vec<String>,
    pub errors: Vec<PollError>,
    pub samples: Vec<Sample>,
    pub tools: Vec<ToolState>,
    /// `legacy` or `modern`, once that is known.
    pub era: Option<&'static str>,
    pub consecutive_failures: u32,
    /// Cycles with at least one error, this one included, since the daemon's start.
    pub failed_cycles: u64,
}

/// An upstream at work.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub row: UpstreamRow,
    pub breaker: BreakerState,
    /// When its breaker lets a call through again.
    pub retry_at: Option<Timestamp>,
    pub last: Option<PollReport>,
    pub last_error: Option<String>,
    /// When it is polled next, as far as that is known.
    pub next_poll_at: Option<Timestamp>,
    pub totals: BTreeMap<String, Total>,
}

impl Upstream {
    pub fn new(row: UpstreamRow) -> Upstream {
        Upstream {
            row,
            breaker: BreakerState::Closed,
            retry_at: None,
            last: None,
            last_error: None,
            next_poll_at: None,
            totals: BTreeMap::new(),
        }
    }

    /// Judged by the last cycle; one that was never polled is not healthy.
    pub fn is_healthy(&self) -> bool {
        self.breaker == BreakerState::Closed && self.last.as_ref().is_some_and(|report| report.errors.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(values: &[f64]) -> f64 {
        let mut total = Total::default();
        values.iter().for_each(|value| total.observe(*value));
        total.value()
    }

    #[test]
    fn a_total_is_never_added_twice_and_outlives_a_restart() {
        assert_eq!(total(&[]), 0.0);
        assert_eq!(total(&[41.0, 41.0]), 41.0);
        assert_eq!(total(&[41.0, 50.0, 3.0, 7.0]), 57.0);
        assert_eq!(total(&[5.0, 0.0, 0.0, 5.0, 1.0]), 11.0);
    }
}
