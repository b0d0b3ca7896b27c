//! `hook`: the commands of the configuration that run for what happens, and how they fare.

use clap::Subcommand;

use super::exit::{Failure, OK, Outcome};
use super::output::Output;
use super::session::Session;
use super::table;
use crate::control::wire::{self, Request};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms hook list                      how each stands
  claude-comms hook list --json               with what the last run complained of

Hooks stand in the configuration, under [[hook]].";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the hooks, how far each has come, and how its last run went
    List,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    let Verb::List = verb;
    session.ask(&Request::HookList(wire::Empty {}), |output, found: wire::Hooks| show(output, &found.hooks))?;
    Ok(OK)
}

fn show(output: &mut Output, hooks: &[wire::Hook]) -> Result<(), Failure> {
    let row = |hook: &wire::Hook| {
        let last = hook.last_run.as_ref();
        vec![
            table::word(&hook.name),
            table::word(&hook.state),
            table::number(hook.seq),
            table::number(hook.behind),
            table::maybe_time(last.map(|run| run.started_at.as_str())),
            table::word(last.map_or("-", |run| run.outcome.as_str())),
            table::text(&hook.command.join(" ")),
        ]
    };
    let heading = ["HOOK", "STATE", "SEQ", "BEHIND", "LAST RUN (UTC)", "OUTCOME", "COMMAND"];
    table::print(output, &heading, hooks.iter().map(row).collect(), "no hook is configured")
}
