//! One tool call, under the breaker and with its retries: the decision table.

use super::settings::PollerSettings;
use super::tools::Tools;
use crate::clock::Tick;
use crate::mcp::client::{CallError, ToolAnswer};
use crate::resilience::{
    CancelToken, CircuitBreaker, CircuitBreakerError, CircuitState, Effects, Fault, Operation, Permit, RetryError,
    RetryPolicy, SettingsError, Verdict,
};
use std::time::Duration;

/// How a tool call ended, all of its retries included.
pub(super) enum Called {
    Answered(ToolAnswer),
    Failed(CallError),
    /// The breaker turned it away.
    Refused(CircuitBreakerError),
    /// No time was left for it.
    TooLate,
    /// The poller is ending.
    Cancelled,
}

/// What calling needs.
pub(super) struct Caller {
    pub(super) tools: Box<dyn Tools>,
    pub(super) breaker: CircuitBreaker,
    pub(super) cancel: CancelToken,
    effects: Effects,
    /// With the delays as they are set.
    policy: RetryPolicy,
}

impl Caller {
    pub(super) fn new(
        settings: &PollerSettings,
        tools: Box<dyn Tools>,
        breaker: CircuitBreaker,
        effects: &Effects,
    ) -> Result<Caller, SettingsError> {
        let policy = RetryPolicy::new(settings.retry(settings.max_retries + 1, settings.retry_delay), effects)?;
        Ok(Caller { tools, breaker, cancel: CancelToken::new(), effects: effects.clone(), policy })
    }

    /// Calls a tool; once only while the breaker is half open. All retries of one call are one outcome for the breaker.
    pub(super) fn call(&self, settings: &PollerSettings, tool: &str, deadline: Tick) -> Called {
        let permit = match self.breaker.acquire_for(tool) {
            Ok(permit) => permit,
            Err(refused) => return Called::Refused(refused),
        };
        let called = self.tried(settings, tool, deadline);
        settle(permit, &called);
        called
    }

    fn tried(&self, settings: &PollerSettings, tool: &str, deadline: Tick) -> Called {
        let attempt = |attempt: crate::resilience::Attempt| {
            let left = attempt.remaining.unwrap_or(settings.timeout);
            let first = attempt.number == 1;
            let timeout = if first { settings.attempt_timeout(left) } else { settings.timeout.min(left) };
            self.tools.call(tool, timeout).map_err(|error| Tried { error, attempt: attempt.number })
        };
        let operation = Operation::named(tool).until(deadline).cancelled_by(&self.cancel).told_by_caller();
        match self.policy(settings, deadline).run(operation, attempt) {
            Ok(answer) => Called::Answered(answer),
            Err(RetryError::Permanent(Tried { error: CallError::Closed, .. }) | RetryError::Cancelled { .. }) => {
                Called::Cancelled
            }
            Err(RetryError::DeadlinePassed { .. }) => Called::TooLate,
            Err(RetryError::Permanent(tried)) => Called::Failed(tried.error),
            Err(RetryError::MaxRetriesExceeded(exceeded)) => Called::Failed(exceeded.last.error),
        }
    }

    /// The policy with delays that fit into what is left of the cycle.
    fn policy(&self, settings: &PollerSettings, deadline: Tick) -> RetryPolicy {
        let left = self.effects.timer.tick().until(deadline);
        let attempts = if self.breaker.state() == CircuitState::Closed { settings.max_retries + 1 } else { 1 };
        // Shorter delays and fewer attempts are refused by nobody.
        RetryPolicy::new(settings.retry(attempts, settings.first_delay(left)), &self.effects)
            .unwrap_or_else(|_| self.policy.clone())
    }
}

/// An error, and the attempt that met it: some errors are worth one more try, but not several.
struct Tried {
    error: CallError,
    attempt: u32,
}

impl Fault for Tried {
    fn verdict(&self) -> Verdict {
        self.error.verdict_after(self.attempt)
    }
}

/// What a call says of the server. A tool that fails by its own account, or that the server does not have, is an answer: the
/// server is well. What is wrong with the settings, a server that asks for patience and a call that was given up say nothing.
fn settle(permit: Permit<'_>, called: &Called) {
    match called {
        Called::Answered(_) => permit.success(),
        Called::Failed(error) if is_about_tool(error) => permit.success(),
        Called::Failed(error) if error.verdict().counted => permit.failure(),
        Called::Failed(_) | Called::Refused(_) | Called::TooLate | Called::Cancelled => permit.ignore(),
    }
}

fn is_about_tool(error: &CallError) -> bool {
    matches!(error, CallError::ToolFailed { .. } | CallError::ToolMissing { .. } | CallError::ToolUnreadable { .. })
}

/// How long a server does not want to be called, at most as long as the settings allow it to ask for.
pub(super) fn asked_wait(settings: &PollerSettings, error: &CallError) -> Option<Duration> {
    error.verdict().retry_after.map(|asked| asked.min(settings.cooldown())).filter(|wait| !wait.is_zero())
}
