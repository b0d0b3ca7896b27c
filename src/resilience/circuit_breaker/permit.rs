//! What an admitted call holds until it reports: exactly one outcome comes of each permit.

use std::time::Duration;

use super::CircuitBreaker;
use super::state::Ticket;
use crate::clock::Tick;
use crate::resilience::event::Outcome;
use crate::resilience::sync::panicking;
use crate::resilience::verdict::Verdict;

/// The right to make one call, and the duty to say how it ended. Dropped unsaid, the call is ignored, or a failure if
/// the thread is unwinding from a panic.
#[must_use = "a permit that is dropped counts as an ignored call"]
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    ticket: Ticket,
    admitted: Tick,
    /// Taken by a destructor while the thread was already unwinding: then that panic is none of this call.
    amid_panic: bool,
    settled: bool,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new(breaker: &'a CircuitBreaker, ticket: Ticket, admitted: Tick) -> Permit<'a> {
        Permit { breaker, ticket, admitted, amid_panic: panicking(), settled: false }
    }

    /// The call went well.
    #[inline]
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// The call failed, and the service is to blame.
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// The call says nothing about the service.
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// A failure or ignored, as the verdict on the call's error says; with the wait that the service asked for.
    pub fn judge(mut self, verdict: &Verdict) {
        self.report(verdict.outcome(), verdict.retry_after);
    }

    /// Reports how the call ended; the methods above say the same in a word.
    #[inline]
    pub fn settle(mut self, outcome: Outcome) {
        self.report(outcome, None);
    }

    #[inline]
    fn report(&mut self, outcome: Outcome, asked: Option<Duration>) {
        self.settled = true;
        self.breaker.settle(self.ticket, outcome, asked, self.admitted);
    }

    /// How long the call is under way, where the breaker times its calls; else zero.
    pub fn elapsed(&self) -> Duration {
        self.breaker.elapsed_since(self.admitted)
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.settled {
            let unwinding = panicking() && !self.amid_panic;
            let outcome = if unwinding { Outcome::Failure } else { Outcome::Ignored };
            self.breaker.settle(self.ticket, outcome, None, self.admitted);
        }
    }
}
