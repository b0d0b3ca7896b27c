//! What a poller is made with, and what follows from it.

use crate::model::id::UpstreamName;
use crate::model::upstream::UpstreamRow;
pub use crate::model::upstream::{DEFAULT_TOOLS, TOOL_BYTES_MAX, TOOLS_MAX};
use crate::resilience::settings::Problem;
use crate::resilience::{Backoff, BreakerSettings, Curve, Jitter, RetrySettings, SettingsError};
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest name of a poller, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// No delay between two attempts is longer.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// Settings of a poller. `PollerSettings { interval, ..PollerSettings::new("name", "http://…") }` changes one of them.
#[derive(Clone, PartialEq, Eq)]
pub struct PollerSettings {
    /// Names the thread, the breaker and lines in the log. ASCII letters, digits, `.`, `_` and `-`, at most
    /// [`NAME_BYTES_MAX`] of them, a letter or digit first.
    pub name: String,
    /// Address of the server, such as `http://localhost:8678/mcp`.
    pub endpoint: String,
    /// From the beginning of one cycle to that of the next: 5 to 600 s, by default 30 s.
    pub interval: Duration,
    /// Longest that one attempt may take: 1 to 60 s, by default 10 s. See [`attempt_timeout`](Self::attempt_timeout).
    pub timeout: Duration,
    /// Retries after the first attempt at calling a tool: 1 to 10, by default 3.
    pub max_retries: u32,
    /// Before the first retry, and twice as long before each further one: 1 to 60 s, by default 5 s.
    pub retry_delay: Duration,
    /// So many failed tool calls in a row open the breaker: 1 to 20, by default 5.
    pub failure_threshold: u32,
    /// Called in this order: 1 to [`TOOLS_MAX`], none twice; by default [`DEFAULT_TOOLS`].
    pub tools: Vec<String>,
    /// Sent as `Authorization: Bearer TOKEN`.
    pub token: Option<String>,
}

impl PollerSettings {
    /// The documented defaults.
    pub fn new(name: &str, endpoint: &str) -> PollerSettings {
        let row = UpstreamRow::new(UpstreamName::new(name), endpoint);
        PollerSettings {
            name: name.to_owned(),
            endpoint: row.endpoint,
            interval: row.interval,
            timeout: row.timeout,
            max_retries: row.max_retries,
            retry_delay: row.retry_delay,
            failure_threshold: row.failure_threshold,
            tools: row.tools,
            token: None,
        }
    }

    /// Refuses what cannot be. The address and the token are checked where the client is made.
    ///
    /// # Errors
    /// Names every field in the wrong, and its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let mut checks = Checks::default();
        let named = "1 to 64 ASCII letters, digits, '.', '_' or '-', a letter or digit first";
        checks.require(is_name(&self.name), "name", &self.name, named);
        checks.seconds("interval", self.interval, 5..=600);
        checks.seconds("timeout", self.timeout, 1..=60);
        checks.seconds("retry_delay", self.retry_delay, 1..=60);
        checks.require((1..=10).contains(&self.max_retries), "max_retries", self.max_retries, "from 1 to 10");
        let threshold = self.failure_threshold;
        checks.require((1..=20).contains(&threshold), "failure_threshold", threshold, "from 1 to 20");
        checks.require(are_tools(&self.tools), "tools", &self.tools, "1 to 32 names of 1 to 128 bytes, none twice");
        let token_allowed = self.token.as_ref().is_none_or(|token| !token.is_empty());
        checks.require(token_allowed, "token", "", "left out or not empty");
        checks.done()
    }

    /// Longest that a cycle may take, retries and waits included: nine tenths of the interval.
    pub fn cycle_limit(&self) -> Duration {
        self.interval * 9 / 10
    }

    /// How long an open breaker turns calls away: five intervals. Also the longest wait that a server may ask for.
    pub fn cooldown(&self) -> Duration {
        self.interval * 5
    }

    /// Limit of the first attempt at a tool when so much of the cycle is `left`: the timeout, but no more than two thirds of
    /// it, so that a retry fits.
    pub fn attempt_timeout(&self, left: Duration) -> Duration {
        self.timeout.min(left * 2 / 3)
    }

    /// Longest wait before the first retry when so much of the cycle is `left` before the first attempt: the retry delay, but
    /// no more than half of what an attempt that ran into its limit leaves.
    pub fn first_delay(&self, left: Duration) -> Duration {
        self.retry_delay.min(left.saturating_sub(self.attempt_timeout(left)) / 2)
    }

    /// Longest that calling one tool could take if no cycle ever ended: every attempt into its limit, every wait in full.
    pub fn call_limit(&self) -> Duration {
        let backoff = self.backoff(self.retry_delay);
        let waits: Duration = (1..=self.max_retries).map(|retry| backoff.exact_delay(retry)).sum();
        self.timeout * (self.max_retries + 1) + waits
    }

    /// Why some retries can never be made, with the arithmetic, for whoever checks a configuration; `None` when a single
    /// tool that hangs can have all of its attempts within one cycle. Such settings work: a cycle ends in time all the same.
    pub fn tight(&self) -> Option<String> {
        let (needed, limit) = (self.call_limit(), self.cycle_limit());
        (needed > limit).then(|| {
            format!(
                "a tool that hangs would take {} attempts of {:?} and the waits between them, {needed:?} in all, but a \
                 cycle ends after {limit:?} (0.9 × {:?}): later retries are left out",
                self.max_retries + 1,
                self.timeout,
                self.interval,
            )
        })
    }

    pub(super) fn breaker(&self) -> BreakerSettings {
        BreakerSettings {
            // A probe loses its place only when it must have ended long ago.
            half_open_max_wait: self.interval.max(self.timeout) * 2,
            ..BreakerSettings::consecutive(self.failure_threshold, self.cooldown())
        }
    }

    pub(super) fn retry(&self, attempts_max: u32, first_delay: Duration) -> RetrySettings {
        RetrySettings {
            retry_after_max: self.cooldown(),
            ..RetrySettings::attempts(attempts_max, self.backoff(first_delay))
        }
    }

    fn backoff(&self, first_delay: Duration) -> Backoff {
        let curve = Curve::Exponential { base: first_delay, factor: crate::resilience::Ratio::times(2) };
        Backoff::of(curve).max_delay(DELAY_MAX).jitter(Jitter::Equal)
    }
}

/// Without the token.
impl fmt::Debug for PollerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PollerSettings { name, endpoint, interval, timeout, max_retries, retry_delay, .. } = self;
        f.debug_struct("PollerSettings")
            .field("name", name)
            .field("endpoint", endpoint)
            .field("interval", interval)
            .field("timeout", timeout)
            .field("max_retries", max_retries)
            .field("retry_delay", retry_delay)
            .field("failure_threshold", &self.failure_threshold)
            .field("tools", &self.tools)
            .field("has_token", &self.token.is_some())
            .finish()
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn are_tools(tools: &[String]) -> bool {
    let named = tools.iter().all(|tool| (1..=TOOL_BYTES_MAX).contains(&tool.len()));
    let once = tools.iter().enumerate().all(|(place, tool)| !tools[..place].contains(tool));
    (1..=TOOLS_MAX).contains(&tools.len()) && named && once
}

#[derive(Default)]
struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    fn require(
        &mut self,
        holds: bool,
        field: &'static str,
        value: impl fmt::Debug,
        range: impl Into<Cow<'static, str>>,
    ) {
        if !holds {
            self.problems.push(Problem { field, value: format!("{value:?}"), range: range.into() });
        }
    }

    fn seconds(&mut self, field: &'static str, value: Duration, range: RangeInclusive<u64>) {
        let (least, most) = (*range.start(), *range.end());
        let holds = (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&value);
        self.require(holds, field, value, format!("from {least} to {most} s"));
    }

    fn done(self) -> Result<(), SettingsError> {
        if self.problems.is_empty() { Ok(()) } else { Err(SettingsError { problems: self.problems }) }
    }
}
