//! How often, how long apart, and until when.

use std::time::Duration;

use crate::resilience::backoff::Backoff;
use crate::resilience::settings::{Checks, SettingsError};

/// The settings of a retry policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Calls in all, the first one included.
    pub max_attempts: u32,
    pub backoff: Backoff,
    /// For the whole operation: attempts, waits and all. No attempt starts at or after it.
    pub deadline: Option<Duration>,
    /// The longest wait that a service may ask for; when it asks for more the operation is given up.
    pub retry_after_max: Duration,
}

impl RetrySettings {
    /// Three attempts, 1 s and 2 s apart.
    pub const DEFAULT: RetrySettings = RetrySettings::attempts(3, Backoff::EXPONENTIAL);

    pub const fn attempts(max_attempts: u32, backoff: Backoff) -> RetrySettings {
        RetrySettings { max_attempts, backoff, deadline: None, retry_after_max: Duration::from_secs(60) }
    }

    /// For settings that count retries rather than attempts: `n` retries are `n + 1` attempts.
    #[must_use]
    pub fn max_retries(self, retries: u32) -> RetrySettings {
        RetrySettings { max_attempts: retries.saturating_add(1), ..self }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names every field in the wrong, and its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let mut checks = Checks::default();
        checks.require(self.max_attempts >= 1, "max_attempts", self.max_attempts, "at least 1");
        let deadline_allowed = self.deadline.is_none_or(|deadline| !deadline.is_zero());
        checks.require(deadline_allowed, "deadline", self.deadline, "more than zero");
        self.backoff.check(&mut checks);
        checks.done()
    }
}

impl Default for RetrySettings {
    fn default() -> RetrySettings {
        RetrySettings::DEFAULT
    }
}
