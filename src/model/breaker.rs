//! What a circuit breaker lets through, as far as the hub needs to know: the breaker itself stands where calls leave the
//! process, and tells the hub when it changes.

use super::id::Token;
use crate::clock::{Tick, Timestamp};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing does.
    Open,
    /// One call at a time, to see whether the others may follow.
    HalfOpen,
}

impl BreakerState {
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "CLOSED",
            BreakerState::Open => "OPEN",
            BreakerState::HalfOpen => "HALF_OPEN",
        }
    }
}

/// A change that a breaker has told, and how it stands when that is heard: it may have changed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerChange {
    pub from: BreakerState,
    pub to: BreakerState,
    /// How long it was to stay open.
    pub wait: Option<Duration>,
    pub stands: Stands,
    /// What it needs to go on from here after a restart; it alone can read that.
    pub snapshot: String,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stands {
    pub state: BreakerState,
    /// Until it lets something through; zero when it does.
    pub wait: Duration,
}

/// A breaker's state as stored, by the name that its owner gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerRow {
    pub name: String,
    pub snapshot: String,
    pub saved_at: Timestamp,
}

/// While a pool's breaker is not closed its queue waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub state: BreakerState,
    /// From then on one task at a time is given out.
    pub until: Tick,
    /// The same as civil time, to be shown.
    pub until_wall: Timestamp,
    /// Claims from this one on were made under the hold: they are what it is tried with.
    pub since: Token,
}
