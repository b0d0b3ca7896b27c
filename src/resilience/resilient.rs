//! Circuit breaker and retry together, in an order that is said rather than guessed.

use super::circuit_breaker::{BreakerSettings, CircuitBreaker, CircuitBreakerError};
use super::effects::Effects;
use super::retry::{Attempt, Ended, Operation, RetryError, RetryPolicy, RetrySettings, Step};
use super::settings::SettingsError;
use super::verdict::Fault;

/// What the breaker sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// One outcome per operation, after all its retries.
    #[default]
    BreakerOutside,
    /// One outcome per attempt, so it opens sooner, in the middle of an operation too.
    BreakerInside,
}

/// The settings of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResilientSettings {
    pub breaker: BreakerSettings,
    pub retry: RetrySettings,
    pub order: Order,
}

/// How an operation under both failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResilientError<E> {
    /// The breaker turned it away, or its next attempt. `last` is what the last attempt before that failed with.
    #[error("{source}")]
    Rejected { source: CircuitBreakerError, attempts: u32, last: Option<E> },
    #[error(transparent)]
    Retry(RetryError<E>),
}

impl<E> ResilientError<E> {
    /// The operation's own last error.
    pub fn last(&self) -> Option<&E> {
        match self {
            ResilientError::Rejected { last, .. } => last.as_ref(),
            ResilientError::Retry(error) => error.last(),
        }
    }
}

/// A breaker and a retry policy, applied together.
#[derive(Clone, Debug)]
pub struct Resilient {
    breaker: CircuitBreaker,
    retry: RetryPolicy,
    order: Order,
}

impl Resilient {
    /// Both made from settings, for example one of the presets.
    ///
    /// # Errors
    /// A setting is out of its range, or the name is empty or too long.
    pub fn new(name: &str, settings: ResilientSettings, effects: &Effects) -> Result<Resilient, SettingsError> {
        let breaker = CircuitBreaker::new(name, settings.breaker, effects)?;
        let retry = RetryPolicy::new(settings.retry, effects)?;
        Ok(Resilient::of(breaker, retry, settings.order))
    }

    /// Both as they are; the breaker may be shared with others.
    pub fn of(breaker: CircuitBreaker, retry: RetryPolicy, order: Order) -> Resilient {
        Resilient { breaker, retry, order }
    }

    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Runs an operation whose errors judge themselves.
    ///
    /// # Errors
    /// See [`ResilientError`].
    pub fn call<T, E: Fault>(
        &self,
        name: &str,
        attempt: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, ResilientError<E>> {
        self.run(Operation::named(name), attempt)
    }

    /// Runs an operation, and hands its failure to `fallback` for something else to answer with.
    pub fn call_or<T, E: Fault>(
        &self,
        name: &str,
        attempt: impl FnMut(Attempt) -> Result<T, E>,
        fallback: impl FnOnce(ResilientError<E>) -> T,
    ) -> T {
        self.call(name, attempt).unwrap_or_else(fallback)
    }

    /// Runs an operation.
    ///
    /// # Errors
    /// See [`ResilientError`].
    pub fn run<T, E>(
        &self,
        operation: Operation<'_, E>,
        attempt: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, ResilientError<E>> {
        match self.order {
            Order::BreakerOutside => self.run_outside(operation, attempt),
            Order::BreakerInside => self.run_inside(&operation, attempt),
        }
    }

    fn run_outside<T, E>(
        &self,
        operation: Operation<'_, E>,
        attempt: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, ResilientError<E>> {
        let permit = self.breaker.acquire_for(operation.name).map_err(|source| ResilientError::Rejected {
            source,
            attempts: 0,
            last: None,
        })?;
        let judge = operation.judge;
        let result = self.retry.run(operation, attempt);
        match &result {
            Ok(_) => permit.success(),
            // Somebody else's decision to stop says nothing about the service.
            Err(RetryError::Cancelled { .. } | RetryError::DeadlinePassed { .. }) => permit.ignore(),
            Err(RetryError::Permanent(last)) => permit.judge(&judge(last)),
            Err(RetryError::MaxRetriesExceeded(exceeded)) => permit.judge(&judge(&exceeded.last)),
        }
        result.map_err(ResilientError::Retry)
    }

    fn run_inside<T, E>(
        &self,
        operation: &Operation<'_, E>,
        mut attempt: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, ResilientError<E>> {
        let step = |next: Attempt| {
            let permit = match self.breaker.acquire_for(operation.name) {
                Ok(permit) => permit,
                Err(rejection) => return Step::Forbidden(rejection),
            };
            match attempt(next) {
                Ok(value) => {
                    permit.success();
                    Step::Done(value)
                }
                Err(error) => {
                    permit.judge(&(operation.judge)(&error));
                    Step::Failed(error)
                }
            }
        };
        self.retry.drive(operation, step).map_err(|ended| match ended {
            Ended::Retry(error) => ResilientError::Retry(error),
            Ended::Forbidden { by, attempts, last } => ResilientError::Rejected { source: by, attempts, last },
        })
    }
}
