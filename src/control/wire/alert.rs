//! Alerts, as `alert.list` and `poll.status` show them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Result of `alert.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alerts {
    pub alerts: Vec<Alert>,
}

/// One that is raised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alert {
    pub rule: String,
    pub metric: String,
    pub labels: BTreeMap<String, String>,
    /// As it was read last.
    pub value: f64,
    /// above or below.
    pub bound: String,
    pub threshold: f64,
    /// When the threshold was crossed.
    pub since: String,
    pub raised_at: String,
}
