//! What `upstream.*` answers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Result of `upstream.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstreams {
    pub upstreams: Vec<Upstream>,
}

/// Result of `upstream.status`, `upstream.start`, `upstream.stop`, `upstream.poll`, `upstream.reset` and `upstream.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    pub name: String,
    pub endpoint: String,
    /// Whether it is polled by schedule.
    pub running: bool,
    /// Whether it stands in the configuration.
    pub configured: bool,
    pub healthy: bool,
    pub interval_seconds: f64,
    pub timeout_seconds: f64,
    pub max_retries: u32,
    pub retry_delay_seconds: f64,
    pub circuit_breaker_threshold: u32,
    pub poll_cycles: u64,
    /// Calls that failed.
    pub errors: u64,
    pub last_poll_time: Option<String>,
    /// Whether a call of the last cycle failed or could not be made.
    pub last_round_failed: bool,
    pub last_error: Option<String>,
    pub last_error_time: Option<String>,
    pub next_poll_at: Option<String>,
    pub circuit_breaker: String,
    pub circuit_breaker_open: bool,
    /// When its breaker lets a call through again.
    pub retry_at: Option<String>,
    pub consecutive_failures: u32,
    /// legacy or modern, once that is known.
    pub era: Option<String>,
    /// Of the last cycle.
    pub metrics_collected: Vec<String>,
    /// Of the last cycle, as sentences.
    pub last_errors: Vec<String>,
    pub tools: BTreeMap<String, UpstreamTool>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamTool {
    /// ok, failing, missing, unmapped or untried.
    pub state: String,
    pub error: Option<String>,
    pub at: Option<String>,
}

/// Result of `upstream.history`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamHistory {
    pub name: String,
    pub samples: Vec<UpstreamSample>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamSample {
    pub metric: String,
    pub at: String,
    pub value: f64,
}
