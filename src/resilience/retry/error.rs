//! How an operation under a retry policy fails.

use crate::resilience::event::StopReason;

/// An operation was given up although its last error was worth another attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed after {attempts} attempts ({})", .reason.as_str())]
pub struct MaxRetriesExceededError<E> {
    pub operation: String,
    pub attempts: u32,
    pub reason: StopReason,
    /// The error of the last attempt.
    #[source]
    pub last: E,
}

/// How an operation under a retry policy failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryError<E> {
    /// Not worth another attempt: the operation's own error, unchanged.
    #[error(transparent)]
    Permanent(E),
    #[error(transparent)]
    MaxRetriesExceeded(MaxRetriesExceededError<E>),
    /// The deadline had passed before the first attempt.
    #[error("{operation} was not attempted: its deadline has passed")]
    DeadlinePassed { operation: String },
    /// The token was cancelled. `last` is the error of the last attempt, if there was one.
    #[error("{operation} was cancelled after {attempts} attempts")]
    Cancelled { operation: String, attempts: u32, last: Option<E> },
}

impl<E> RetryError<E> {
    /// The operation's own last error.
    pub fn last(&self) -> Option<&E> {
        match self {
            RetryError::Permanent(last) => Some(last),
            RetryError::MaxRetriesExceeded(exceeded) => Some(&exceeded.last),
            RetryError::Cancelled { last, .. } => last.as_ref(),
            RetryError::DeadlinePassed { .. } => None,
        }
    }

    /// The operation's own last error, by value.
    pub fn into_last(self) -> Option<E> {
        match self {
            RetryError::Permanent(last) => Some(last),
            RetryError::MaxRetriesExceeded(exceeded) => Some(exceeded.last),
            RetryError::Cancelled { last, .. } => last,
            RetryError::DeadlinePassed { .. } => None,
        }
    }
}
