//! What a batch leads to, for the daemon to do.

use crate::model::command::{Refusal, Reply};
use crate::model::event::Event;
use crate::model::id::{AskId, PoolId, TaskId, TaskSeq, Token, UpstreamName};
use crate::model::measure::Measure;
use crate::model::rows::Write;
use crate::model::upstream::UpstreamRow;
use std::time::Duration;

/// A task to be run by a worker, once its claim is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub seq: TaskSeq,
    pub id: TaskId,
    pub token: Token,
    pub attempt: u32,
    pub pool: PoolId,
    pub slot: u8,
    pub timeout: Duration,
    /// Whether somebody reads the answer while it is being written.
    pub progress: bool,
    /// Whether its prompt may name results of earlier tasks: it belongs to a workflow.
    pub refers: bool,
}

/// A running attempt that is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    pub pool: PoolId,
    pub slot: u8,
    pub token: Token,
    pub stop: Stop,
}

/// Why an attempt is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Cancelled,
    Stuck,
}

/// What a poller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollerOrder {
    /// Come into being; it polls by schedule if the row says so. What it tells, it tells as of this life of the name.
    Begin(Box<UpstreamRow>, u64),
    /// Cease to be.
    End,
    /// Poll by schedule.
    Start,
    Stop,
    /// One cycle now. The report of the first one that begins after this has its number, or a higher one.
    Poll(u64),
    /// Close the breaker.
    Reset,
}

/// What should happen after a batch, in the order of the fields.
#[derive(Debug, Default)]
pub struct Effects {
    /// Applied as each step ends, so that the next one reads them.
    pub writes: Vec<Write>,
    pub events: Vec<Event>,
    pub replies: Vec<(AskId, Result<Reply, Refusal>)>,
    /// Pools whose threads are to be started; the outcome comes back as [`Input::Staffed`].
    pub staff: Vec<(PoolId, Option<AskId>)>,
    pub runs: Vec<Run>,
    /// Pools whose threads are to end; they have nothing to do.
    pub dismissed: Vec<PoolId>,
    /// Running attempts that are to be ended.
    pub cancels: Vec<Cancel>,
    /// Pools whose executor's breaker is to let one task through.
    pub breakers_tried: Vec<PoolId>,
    /// What pollers are to do, in this order.
    pub pollers: Vec<(UpstreamName, PollerOrder)>,
    pub stop: bool,
    /// For statistics only.
    pub measures: Vec<Measure>,
}

impl Effects {
    /// Whether there is something to commit.
    pub fn must_persist(&self) -> bool {
        !self.writes.is_empty() || !self.events.is_empty()
    }
}
