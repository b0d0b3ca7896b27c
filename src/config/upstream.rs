//! Upstreams: other programs' MCP servers that are asked for their numbers, and whether the asking fits into its time.

use std::time::Duration;

use super::problems::Problem;
use super::record::Record;
use super::value::Secret;

/// The upstream that has a section of its own, `[session_buddy_polling]`.
pub const SESSION_BUDDY: &str = "session-buddy";

/// Delays between attempts double up to this.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// A server that is polled: `[session_buddy_polling]`, or an `[[upstream]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Unique; `session-buddy` for the one with a section of its own.
    pub name: String,
    pub enabled: bool,
    /// An http or https URL with a host.
    pub endpoint: String,
    /// What it is shown as the bearer.
    pub token: Option<Secret>,
    /// From the start of one cycle to the start of the next.
    pub interval: Duration,
    /// For one call.
    pub timeout: Duration,
    /// After the first attempt.
    pub max_retries: u32,
    /// Before the first retry; doubled for each further one.
    pub retry_delay: Duration,
    /// So many failed tools in a row open the circuit breaker.
    pub circuit_breaker_threshold: u32,
    /// The tools that are called, in this order; never empty, none twice.
    pub metrics_to_collect: Vec<String>,
}

impl Upstream {
    pub(super) fn session_buddy(record: &Record) -> Upstream {
        Upstream::read(SESSION_BUDDY.to_owned(), None, record)
    }

    fn read(name: String, token: Option<Secret>, record: &Record) -> Upstream {
        Upstream {
            name,
            enabled: record.switch("enabled"),
            endpoint: record.text("endpoint"),
            token,
            interval: record.seconds("interval_seconds"),
            timeout: record.seconds("timeout_seconds"),
            max_retries: record.count("max_retries"),
            retry_delay: record.seconds("retry_delay_seconds"),
            circuit_breaker_threshold: record.count("circuit_breaker_threshold"),
            metrics_to_collect: record.words("metrics_to_collect"),
        }
    }

    /// How long one cycle may take: nine tenths of the interval.
    pub fn cycle_limit(&self) -> Duration {
        self.interval * 9 / 10
    }

    /// All delays between the attempts at one tool, as long as they may become.
    fn delays_longest(&self) -> Duration {
        let delay = |retry| self.retry_delay.saturating_mul(1_u32 << retry).min(RETRY_DELAY_MAX);
        (0..self.max_retries.min(31)).map(delay).sum()
    }

    /// What to know about settings that cannot all be had within one cycle.
    pub(super) fn warning(&self, record: &Record) -> Option<Problem> {
        let attempts = self.max_retries + 1;
        let delays = self.delays_longest();
        let tools = u32::try_from(self.metrics_to_collect.len()).unwrap_or(u32::MAX);
        let longest = (self.timeout * attempts + delays).saturating_mul(tools);
        let limit = self.cycle_limit();
        if !self.enabled || longest <= limit {
            return None;
        }
        let place = ["interval_seconds", "enabled"].iter().find_map(|name| record.place_of(name));
        let [timeout, delays, longest, limit_seconds, interval] =
            [self.timeout, delays, longest, limit, self.interval].map(|time| time.as_secs_f64());
        let consequence = if self.timeout > limit {
            "each call is given up when the cycle ends"
        } else if self.timeout * 2 > limit {
            "a call that takes its whole timeout leaves no time for a whole second one"
        } else {
            "the daemon shortens the delays so that at least one retry fits"
        };
        let (plural, rest) =
            if tools == 1 { ("", "") } else { ("s", ", and the tools left over come first in the next cycle") };
        let sentence = format!(
            "{} may need {tools} tool{plural} × ({timeout} s × {attempts} attempts + {delays} s of delays) = {longest} s \
             when no call is answered, and a cycle has 0.9 × {interval} s = {limit_seconds} s: {consequence}{rest}",
            self.name
        );
        Some(Problem { place: place.or_else(|| record.place.clone())?, sentence })
    }
}

/// As an `[[upstream]]` has it.
impl From<&Record> for Upstream {
    fn from(record: &Record) -> Upstream {
        Upstream::read(record.text("name"), record.secret("token"), record)
    }
}

/// What is wrong with an `[[upstream]]` whose values are all good by themselves.
pub(super) fn fault(record: &Record) -> Option<(&'static str, String)> {
    let taken = record.text("name") == SESSION_BUDDY;
    taken.then(|| ("name", "the upstream \"session-buddy\" is configured in [session_buddy_polling]".to_owned()))
}

#[cfg(test)]
mod tests;
