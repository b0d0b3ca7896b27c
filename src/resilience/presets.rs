//! Settings for the four kinds of calls that most programs make.

use std::time::Duration;

use super::backoff::Backoff;
use super::circuit_breaker::BreakerSettings;
use super::resilient::{Order, ResilientSettings};
use super::retry::RetrySettings;

/// Language models: slow, and of varying slowness.
pub const LLM_API: ResilientSettings = ResilientSettings {
    breaker: BreakerSettings::consecutive(5, Duration::from_secs(60)),
    retry: RetrySettings::attempts(3, Backoff::EXPONENTIAL),
    order: Order::BreakerOutside,
};

/// Databases: quick, so one more try and no breaker.
pub const DATABASE: RetrySettings = RetrySettings::attempts(2, Backoff::LINEAR);

/// MCP servers: fail fast when one is down, and look again soon.
pub const MCP_SERVER: BreakerSettings = BreakerSettings::consecutive(3, Duration::from_secs(30));

/// Somebody else's service, a payment gateway for example: patient, then gone for five minutes.
pub const EXTERNAL_SERVICE: ResilientSettings = ResilientSettings {
    breaker: BreakerSettings::consecutive(10, Duration::from_secs(300)),
    retry: RetrySettings::attempts(5, Backoff::EXPONENTIAL),
    order: Order::BreakerOutside,
};
