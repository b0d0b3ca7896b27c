//! Trying again: how often, how long apart, until when, and what stops it.

mod error;
mod operation;
mod run;
mod settings;

use std::convert::Infallible;

use super::budget::RetryBudget;
use super::effects::Effects;
use super::event::{Event, tell};
use super::settings::SettingsError;
use super::verdict::Fault;

pub use error::{MaxRetriesExceededError, RetryError};
pub use operation::{Attempt, Operation};
pub use settings::RetrySettings;

use run::Run;

/// What one attempt came to; `S` is what may forbid the attempt altogether.
pub(in crate::resilience) enum Step<T, E, S> {
    Done(T),
    Failed(E),
    Forbidden(S),
}

/// How the loop ended without success.
pub(in crate::resilience) enum Ended<E, S> {
    Retry(RetryError<E>),
    Forbidden { by: S, attempts: u32, last: Option<E> },
}

/// Settings that were found good, and the effects they work by.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    settings: RetrySettings,
    effects: Effects,
    budget: Option<RetryBudget>,
}

impl RetryPolicy {
    /// # Errors
    /// A setting is out of its range.
    pub fn new(settings: RetrySettings, effects: &Effects) -> Result<RetryPolicy, SettingsError> {
        settings.validate()?;
        Ok(RetryPolicy { settings, effects: effects.clone(), budget: None })
    }

    /// Retries only what that budget can pay.
    #[must_use]
    pub fn with_budget(self, budget: RetryBudget) -> RetryPolicy {
        RetryPolicy { budget: Some(budget), ..self }
    }

    pub fn settings(&self) -> &RetrySettings {
        &self.settings
    }

    /// Runs an operation whose errors judge themselves.
    ///
    /// # Errors
    /// See [`RetryError`].
    pub fn call<T, E: Fault>(
        &self,
        name: &str,
        attempt: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, RetryError<E>> {
        self.run(Operation::named(name), attempt)
    }

    /// Runs an operation until it succeeds or must be given up.
    ///
    /// # Errors
    /// See [`RetryError`].
    pub fn run<T, E>(
        &self,
        operation: Operation<'_, E>,
        mut attempt: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, RetryError<E>> {
        let step = |next: Attempt| match attempt(next) {
            Ok(value) => Step::<T, E, Infallible>::Done(value),
            Err(error) => Step::Failed(error),
        };
        self.drive(&operation, step).map_err(|ended| match ended {
            Ended::Retry(error) => error,
            Ended::Forbidden { by, .. } => match by {},
        })
    }

    pub(in crate::resilience) fn drive<T, E, S>(
        &self,
        operation: &Operation<'_, E>,
        mut step: impl FnMut(Attempt) -> Step<T, E, S>,
    ) -> Result<T, Ended<E, S>> {
        let own = self.settings.deadline.map(|deadline| self.effects.timer.tick().after(deadline));
        let deadline = [own, operation.deadline].into_iter().flatten().min();
        let mut run = Run {
            policy: self,
            operation,
            deadline,
            schedule: self.settings.backoff.schedule(),
            attempts: 0,
            last: None,
            paid: false,
        };
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        loop {
            let next = run.next_attempt().map_err(Ended::Retry)?;
            match step(next) {
                Step::Done(value) => {
                    run.succeeded();
                    return Ok(value);
                }
                Step::Failed(error) => {
                    run.attempts = next.number;
                    run.paid = false;
                    run.failed(error).map_err(Ended::Retry)?;
                }
                Step::Forbidden(by) => {
                    run.refund();
                    return Err(Ended::Forbidden { by, attempts: run.attempts, last: run.last });
                }
            }
        }
    }

    fn tell(&self, event: &Event<'_>) {
        tell(&self.effects.observers, event);
    }
}
