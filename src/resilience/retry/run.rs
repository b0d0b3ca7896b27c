//! One operation under way: may there be another attempt, and how long until then?

use std::time::Duration;

use super::RetryPolicy;
use super::error::{MaxRetriesExceededError, RetryError};
use super::operation::{Attempt, Operation};
use crate::clock::Tick;
use crate::resilience::backoff::Schedule;
use crate::resilience::cancel::CancelToken;
use crate::resilience::event::{Event, Outcome, StopReason};
use crate::resilience::verdict::Verdict;

/// One operation under way.
pub(super) struct Run<'a, E> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) operation: &'a Operation<'a, E>,
    pub(super) deadline: Option<Tick>,
    pub(super) schedule: Schedule<'a>,
    /// How many have failed.
    pub(super) attempts: u32,
    pub(super) last: Option<E>,
    /// The budget has paid for an attempt that has not been made yet.
    pub(super) paid: bool,
}

impl<E> Run<'_, E> {
    /// The next attempt, unless it may not start any more.
    pub(super) fn next_attempt(&mut self) -> Result<Attempt, RetryError<E>> {
        if self.operation.cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(self.cancelled());
        }
        let number = self.attempts.saturating_add(1);
        let Some(deadline) = self.deadline else { return Ok(Attempt { number, remaining: None }) };
        let remaining = self.policy.effects.timer.tick().until(deadline);
        if !remaining.is_zero() {
            return Ok(Attempt { number, remaining: Some(remaining) });
        }
        self.refund();
        match self.last.take() {
            Some(last) => Err(self.give_up(last, StopReason::Deadline)),
            None => {
                self.told_end(StopReason::Deadline);
                Err(RetryError::DeadlinePassed { operation: self.operation.name.to_owned() })
            }
        }
    }

    pub(super) fn succeeded(&self) {
        let (name, attempts) = (self.operation.name, self.attempts.saturating_add(1));
        self.policy.tell(&Event::Attempted { operation: name, attempt: attempts, outcome: Outcome::Success });
        if attempts > 1 {
            self.policy.tell(&Event::RetrySucceeded { operation: name, attempts });
        }
    }

    /// Waits for the next attempt, or says why there is none.
    pub(super) fn failed(&mut self, error: E) -> Result<(), RetryError<E>> {
        let verdict = (self.operation.judge)(&error);
        let (operation, attempt) = (self.operation.name, self.attempts);
        self.policy.tell(&Event::Attempted { operation, attempt, outcome: verdict.outcome() });
        if !verdict.retryable {
            return Err(RetryError::Permanent(error));
        }
        let wait = match self.affordable_wait(&verdict) {
            Ok(wait) => wait,
            Err(StopReason::Cancelled) => {
                self.last = Some(error);
                return Err(self.cancelled());
            }
            Err(reason) => return Err(self.give_up(error, reason)),
        };
        if let Some(on_retry) = self.operation.on_retry {
            on_retry(attempt, &error);
        }
        log::debug!("retrying operation={operation} attempt={attempt} error={} wait={wait:?}", verdict.kind);
        self.policy.tell(&Event::Retrying { operation, attempt, kind: verdict.kind, wait });
        self.last = Some(error);
        self.pause(wait);
        Ok(())
    }

    /// How long to wait before the next attempt; paid for when this returns.
    fn affordable_wait(&mut self, verdict: &Verdict) -> Result<Duration, StopReason> {
        let settings = &self.policy.settings;
        if self.operation.cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(StopReason::Cancelled);
        }
        if self.attempts >= settings.max_attempts {
            return Err(StopReason::Attempts);
        }
        let asked = verdict.retry_after.unwrap_or(Duration::ZERO);
        if asked > settings.retry_after_max {
            return Err(StopReason::RetryAfter);
        }
        let backoff = self.schedule.next_delay(&*self.policy.effects.rng);
        let wait = backoff.max(asked);
        let ends = self.policy.effects.timer.tick().after(wait);
        if self.deadline.is_some_and(|deadline| ends >= deadline) {
            return Err(if asked > backoff { StopReason::RetryAfter } else { StopReason::Deadline });
        }
        match &self.policy.budget {
            Some(budget) if !budget.withdraw() => Err(StopReason::Budget),
            _ => {
                self.paid = true;
                Ok(wait)
            }
        }
    }

    /// Waits. A cancellation ends the wait, and shows when the next attempt is asked for.
    fn pause(&self, wait: Duration) {
        let timer = &self.policy.effects.timer;
        let never = CancelToken::new();
        timer.wait_until(timer.tick().after(wait), self.operation.cancel.unwrap_or(&never));
    }

    /// Gives back what was paid for an attempt that is not made after all.
    pub(super) fn refund(&mut self) {
        if std::mem::take(&mut self.paid)
            && let Some(budget) = &self.policy.budget
        {
            budget.refund();
        }
    }

    fn cancelled(&mut self) -> RetryError<E> {
        self.refund();
        self.told_end(StopReason::Cancelled);
        RetryError::Cancelled {
            operation: self.operation.name.to_owned(),
            attempts: self.attempts,
            last: self.last.take(),
        }
    }

    fn give_up(&self, last: E, reason: StopReason) -> RetryError<E> {
        let (operation, attempts) = (self.operation.name, self.attempts);
        let level = if self.operation.is_told_by_caller { log::Level::Debug } else { log::Level::Error };
        log::log!(level, "retries exhausted operation={operation} attempts={attempts} reason={}", reason.as_str());
        self.told_end(reason);
        RetryError::MaxRetriesExceeded(MaxRetriesExceededError {
            operation: operation.to_owned(),
            attempts,
            reason,
            last,
        })
    }

    fn told_end(&self, reason: StopReason) {
        let (operation, attempts) = (self.operation.name, self.attempts);
        self.policy.tell(&Event::GaveUp { operation, attempts, reason });
    }
}
