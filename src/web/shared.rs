//! What all connections have in common during a turn of the loop.

use super::calls::Calls;
use super::delivery::Batches;
use super::meters::Meters;
use super::token::Tokens;
use super::visitor::Welcome;
use super::work::Job;
use crate::clock::{Clock, Now, Tick};
use crate::feed::Feed;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How the door is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    pub welcome: Welcome,
    pub tokens: Tokens,
    /// Whether events, too, are only for those who show a token. Always so for who comes from another machine.
    pub require_auth: bool,
    pub connections_max: usize,
    pub requests_per_second: u32,
    pub requests_burst: u32,
    /// A head, or a token where one is needed, must be there after this.
    pub handshake_timeout: Duration,
    /// A client of which nothing was heard for so long is asked whether it is there.
    pub ping_after: Duration,
    /// And is given up when nothing comes for so much longer.
    pub pong_timeout: Duration,
    /// Every message is sent back, and nothing else is done: for the tests of the protocol alone.
    pub echo: bool,
    /// Agents of this machine need no token: for the tests of the protocol alone.
    pub open_to_agents: bool,
}

impl Settings {
    pub fn new(tokens: Tokens) -> Settings {
        Settings {
            welcome: Welcome::default(),
            tokens,
            require_auth: false,
            connections_max: 1_000,
            requests_per_second: 100,
            requests_burst: 150,
            handshake_timeout: Duration::from_secs(5),
            ping_after: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(10),
            echo: false,
            open_to_agents: false,
        }
    }
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) feed: Arc<Feed>,
    pub(super) meters: Meters,
    pub(super) batches: Batches,
    /// What connections want done, in their order; each has at most one in it.
    pub(super) jobs: VecDeque<(usize, Job)>,
    /// Requests of MCP that are under way.
    pub(super) calls: Calls,
    pub(super) clock: Arc<dyn Clock>,
    /// When this turn began.
    pub(super) now: Now,
    /// The newest event, as of this turn, and when it came.
    pub(super) last_seq: u64,
    pub(super) last_at: Tick,
}
