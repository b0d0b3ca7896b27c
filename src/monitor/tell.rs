//! What a client tells of its server, in the order in which it happened.

use super::address::Address;
use super::frame::Frame;
use crate::clock::Now;
use serde_json::{Map, Value};
use std::time::Duration;

/// One piece of news, from the client of one panel.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) panel: usize,
    pub(crate) at: Now,
    pub(crate) tell: Tell,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tell {
    /// For the so-manieth time since it was last connected; the first is 1.
    Connecting {
        attempt: u32,
    },
    /// The server is somewhere else than was thought.
    Found {
        address: Address,
    },
    /// Connected, but nothing comes: it may wait for a token.
    NoWelcome,
    /// It has greeted us.
    Welcomed,
    Subscribed(Continuity),
    /// Something has happened; `is_live` unless it was kept for us or is a picture of a state.
    Event {
        frame: Frame,
        is_live: bool,
    },
    /// How the pool or workflow is, that we asked for.
    Status(Map<String, Value>),
    /// The server knows no such pool or workflow; it may name those that it knows.
    Unknown {
        known: Vec<String>,
    },
    /// It does not do what we asked for, and says why.
    Refused {
        code: String,
        message: String,
    },
    /// A message that is no frame.
    Junk,
    Lost(Lost),
    /// The client has ended, as it was told to; nothing follows.
    Ended,
    /// It has ended by a fault of ours.
    Died,
}

/// Whether something is missing between what was told before and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// There was nothing before.
    First,
    /// All that happened meanwhile follows.
    Whole,
    /// Something may be missing.
    Broken,
}

/// Why a connection is not there, and when the next is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) why: Why,
    /// Which attempt is next, counted from 1.
    pub(crate) attempt: u32,
    pub(crate) retry_in: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("nobody answers")]
    NobodyAnswers,
    #[error("could not connect: {0}")]
    NotConnected(String),
    #[error("it answers, but with HTTP status {0} and not as a WebSocket server")]
    HttpStatus(u16),
    #[error("it wants a token{}: give it with --token-file FILE or CLAUDE_COMMS_TOKEN", aside(.0))]
    WantsToken(String),
    #[error("it said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it sent what is not allowed: {0}")]
    Misbehaved(String),
    #[error("it closed the connection{}", aside(.0))]
    Closed(String),
}

impl Why {
    /// Whether there was a server at all.
    pub(crate) fn is_somebody(&self) -> bool {
        !matches!(self, Why::NobodyAnswers | Why::NotConnected(_))
    }
}

fn aside(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}
