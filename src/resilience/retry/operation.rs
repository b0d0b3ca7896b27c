//! What is particular to one call of a policy, and to one attempt of it.

use std::time::Duration;

use crate::clock::Tick;
use crate::resilience::cancel::CancelToken;
use crate::resilience::verdict::{Fault, Verdict};

/// One operation, as its caller sees it: a name for logs, and what is particular to this time.
pub struct Operation<'a, E> {
    pub(in crate::resilience) name: &'a str,
    pub(in crate::resilience) judge: &'a dyn Fn(&E) -> Verdict,
    pub(super) cancel: Option<&'a CancelToken>,
    pub(super) deadline: Option<Tick>,
    pub(super) on_retry: Option<OnRetry<'a, E>>,
    pub(super) is_told_by_caller: bool,
}

/// Told the number of the failed attempt and its error.
type OnRetry<'a, E> = &'a dyn Fn(u32, &E);

impl<'a, E> Operation<'a, E> {
    /// An operation whose errors judge themselves.
    pub fn named(name: &'a str) -> Operation<'a, E>
    where
        E: Fault,
    {
        Operation::judged(name, &|error: &E| error.verdict())
    }

    /// An operation with a judge of its errors.
    pub fn judged(name: &'a str, judge: &'a dyn Fn(&E) -> Verdict) -> Operation<'a, E> {
        Operation { name, judge, cancel: None, deadline: None, on_retry: None, is_told_by_caller: false }
    }

    /// Stops it when that token is cancelled, in the middle of a wait too.
    #[must_use]
    pub fn cancelled_by(self, token: &'a CancelToken) -> Operation<'a, E> {
        Operation { cancel: Some(token), ..self }
    }

    /// No attempt starts at or after `deadline`; the policy's own deadline holds as well.
    #[must_use]
    pub fn until(self, deadline: Tick) -> Operation<'a, E> {
        Operation { deadline: Some(deadline), ..self }
    }

    /// That it was given up is for the caller to tell, who knows more of it; it is no line in the log of its own.
    #[must_use]
    pub fn told_by_caller(self) -> Operation<'a, E> {
        Operation { is_told_by_caller: true, ..self }
    }

    /// Called before each wait with the number of the attempt that failed, from 1, and its error.
    #[must_use]
    pub fn on_retry(self, on_retry: &'a dyn Fn(u32, &E)) -> Operation<'a, E> {
        Operation { on_retry: Some(on_retry), ..self }
    }
}

/// What an attempt should know. A blocking call cannot be stopped from outside, so the time that is left is handed to
/// it: use it as the call's own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Until the deadline; `None` when there is none. Never zero.
    pub remaining: Option<Duration>,
}
