//! An upstream: an MCP server that is polled for metrics. The poller decides when and how; here is what it tells, and what
//! is kept of it.

use super::breaker::BreakerState;
use super::id::UpstreamName;
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most tools that one upstream has called.
pub const TOOLS_MAX: usize = 32;
/// Longest name of a tool, in bytes.
pub const TOOL_BYTES_MAX: usize = 128;
/// The tools that are called unless said otherwise, in this order.
pub const DEFAULT_TOOLS: [&str; 4] =
    ["get_activity_summary", "get_workflow_metrics", "get_session_analytics", "get_performance_metrics"];

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
    /// Another one when the token is, most likely; 0 without a token. Of tokens nothing else is stored.
    pub token_mark: u16,
    /// When it was added: since then its totals count.
    pub since: Timestamp,
}

impl UpstreamRow {
    /// One that somebody has added, polled with the documented defaults; since when is for the hub to say.
    pub fn new(name: UpstreamName, endpoint: &str) -> UpstreamRow {
        UpstreamRow {
            name,
            endpoint: endpoint.to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            max_retries: 3,
            retry_delay: Duration::from_secs(5),
            failure_threshold: 5,
            tools: DEFAULT_TOOLS.map(str::to_owned).into(),
            configured: false,
            enabled: true,
            polling: true,
            token_mark: 0,
            since: Timestamp::default(),
        }
    }
}

/// What kind of number a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// An absolute total, never negative; [`CounterFold`] makes one that only grows of it.
    Counter,
    /// The state of something now.
    Gauge,
    /// One observation, to be counted into buckets. What is mapped so is an average of the server's own.
    Histogram,
}

impl SampleKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            SampleKind::Counter => "counter",
            SampleKind::Gauge => "gauge",
            SampleKind::Histogram => "histogram",
        }
    }
}

/// One number of one cycle.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With dots, such as `session_buddy.sessions.active`.
    pub metric: String,
    pub kind: SampleKind,
    /// Finite. Durations that the poller knows are in seconds, sizes in bytes; all else is as the server has it.
    pub value: f64,
}

/// The state of one counter: plain data, so that it can be stored and taken up again after a restart of *this* program.
///
/// A server says how many there were since its own start. What is exported is `offset + last`: a value that is smaller than
/// the one before means that the server began anew, and what it had counted until then is kept in the offset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CounterFold {
    /// What the server said last.
    pub last: f64,
    /// What earlier lives of the server had counted.
    pub offset: f64,
}

impl CounterFold {
    /// The total to be exported.
    pub fn total(&self) -> f64 {
        self.offset + self.last
    }

    /// Takes in an absolute value and returns by how much the total grew: nothing when it is the same as before.
    ///
    /// `None`, and nothing changes, for what cannot be a total: a negative value, one that is not finite, or one that would
    /// make the total infinite.
    pub fn fold(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() || value < 0.0 {
            return None;
        }
        let offset = if value < self.last { self.total() } else { self.offset };
        let next = CounterFold { last: value, offset };
        let before = self.total();
        next.total().is_finite().then(|| {
            *self = next;
            next.total() - before
        })
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

/// What one cycle came to, and how the poller stands after it.
#[derive(Clone, Debug, PartialEq)]
pub struct PollReport {
    /// Counts from 1 since the daemon's start.
    pub cycle: u64,
    pub at: Timestamp,
    pub took: Duration,
    /// The highest number of those orders that came before it began; 0 when there was none yet.
    pub order: u64,
    pub metrics: Vec<String>,
    /// All that did not become a metric, a sentence each.
    pub errors: Vec<String>,
    /// Metrics were collected and no call failed.
    pub is_well: bool,
    /// A call failed, or could not be made.
    pub is_failed: bool,
    /// At least one call was made.
    pub is_called: bool,
    /// What was said of a tool last, if anything.
    pub last_error: Option<String>,
    pub samples: Vec<Sample>,
    /// Metrics of before that are told no more.
    pub forgotten: Vec<String>,
    pub tools: Vec<ToolState>,
    /// `legacy` or `modern`, once that is known.
    pub era: Option<&'static str>,
    pub consecutive_failures: u32,
    /// Failed calls since the daemon's start.
    pub failures: u64,
    /// When the next cycle is due.
    pub next_poll_at: Option<Timestamp>,
}

/// An upstream at work.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub row: UpstreamRow,
    /// Which life of its name this is: 0 for those that the daemon began with. A fact of this process.
    pub life: u64,
    pub breaker: BreakerState,
    /// When its breaker lets a call through again.
    pub retry_at: Option<Timestamp>,
    pub last: Option<PollReport>,
    pub last_error: Option<String>,
    pub last_error_at: Option<Timestamp>,
    /// When it is polled next, as far as that is known.
    pub next_poll_at: Option<Timestamp>,
    pub totals: BTreeMap<String, CounterFold>,
}

impl Upstream {
    pub fn new(row: UpstreamRow) -> Upstream {
        Upstream {
            row,
            life: 0,
            breaker: BreakerState::Closed,
            retry_at: None,
            last: None,
            last_error: None,
            last_error_at: None,
            next_poll_at: None,
            totals: BTreeMap::new(),
        }
    }

    /// Judged by the last cycle; one that was never polled is not healthy.
    pub fn is_healthy(&self) -> bool {
        self.breaker == BreakerState::Closed && self.last.as_ref().is_some_and(|report| report.is_well)
    }
}
