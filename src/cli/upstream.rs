//! `upstream`: the numbers of this program, for those who collect them.

use clap::Subcommand;

use super::exit::{OK, Outcome};
use super::session::Session;
use crate::control::wire::{self, Request};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms upstream metrics                            for Prometheus
  claude-comms upstream metrics | grep pool_queue_size

A textfile collector reads it from a file: claude-comms upstream metrics > FILE.prom";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print all numbers in the text format of Prometheus
    Metrics,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    let Verb::Metrics = verb;
    session.ask(&Request::UpstreamMetrics(wire::Empty {}), |output, metrics: wire::Metrics| {
        output.line(metrics.text.trim_end())
    })?;
    Ok(OK)
}
