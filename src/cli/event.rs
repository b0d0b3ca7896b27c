//! `event`: everything that happens, as it happens; and what others have to tell.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Failure, NO_DAEMON, OK, Outcome};
use super::export;
use super::input;
use super::output::Output;
use super::session::{Session, read, receive};
use super::table;
use crate::control::wire::{self, Request};
use crate::control::{Client, ClientError, Followed, PATIENCE};
use crate::model::id::is_name;
use crate::service::logging;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms event tail                                  all that happens from now on
  claude-comms event tail --channel pool:local --json      one JSON object a line
  claude-comms event tail --channel messages --severity error
  claude-comms event tail --channel alerts                 numbers that are too high or too low
  claude-comms event tail --since 0                        from the oldest event that is kept
  claude-comms event export events.jsonl                   all that is kept; again: what has happened since
  claude-comms event publish insights insight.generated '{\"type\":\"cost\"}'

A channel is pool:ID, message:ID, messages, alerts,
global (pools and workflows) or * (everything).";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print events until interrupted
    Tail(Tail),
    /// Write what has happened into a file, and go on with it later
    Export(export::Export),
    /// Tell everybody who follows a channel of yours
    Publish(Publish),
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// insights, patterns:TYPE, or a kind:id of your own
    channel: String,
    /// Its name, like insight.generated
    event: String,
    /// A JSON object of at most 16 KiB, or - for standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    data: String,
    /// How loud it is; else as the JSON says, else info
    #[arg(long, value_name = "S")]
    severity: Option<Severity>,
}

/// Which events are wanted.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only of this channel; may be given several times
    #[arg(long, value_name = "C")]
    pub(super) channel: Vec<String>,
    /// Only events of this name, like task.failed; may be given several times
    #[arg(long, value_name = "E")]
    pub(super) event: Vec<String>,
    /// Only of this severity or a greater one
    #[arg(long, value_name = "S", default_value = "info")]
    pub(super) severity: Severity,
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    which: Which,
    /// Begin behind the event of this number; else with the next one
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Info,
    Warning,
    Error,
}

impl Severity {
    /// Whether an event is loud enough.
    pub(super) fn lets_through(self, frame: &str) -> Result<bool, Failure> {
        let malformed = |error: serde_json::Error| Failure::Client(ClientError::Malformed(error.to_string()));
        Ok(serde_json::from_str::<Frame>(frame).map_err(malformed)?.is_at_least(self))
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// What a line needs of an event.
#[derive(Debug, Deserialize)]
struct Frame {
    event: String,
    timestamp: String,
    room: Option<String>,
    data: Value,
}

impl Frame {
    /// One that says nothing of its severity is worth seeing.
    fn is_at_least(&self, least: Severity) -> bool {
        let said = self.data.get("severity").and_then(|severity| Severity::deserialize(severity).ok());
        said.is_none_or(|severity| severity >= least)
    }

    fn line(mut self) -> String {
        if let Some(data) = self.data.as_object_mut() {
            data.remove("severity");
        }
        let (at, event, room) = (table::short_time(&self.timestamp), self.event, self.room.unwrap_or_default());
        format!("{at} UTC  {}", logging::escape(&format!("{event}  {room}  {}", self.data)))
    }
}

/// Set for the command of a hook: what that publishes does not start the hook again.
const HOOK: &str = "CLAUDE_COMMS_HOOK";

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Tail(tail) => run_tail(tail, session),
        Verb::Export(export) => export::run(export, session),
        Verb::Publish(publish) => run_publish(publish, session),
    }
}

fn run_publish(publish: Publish, session: &mut Session) -> Outcome {
    let text = input::text_or_stdin(publish.data)?;
    let data = serde_json::from_str(&text).map_err(|error| Failure::usage(format!("JSON is not valid: {error}")))?;
    let request = Request::EventPublish(wire::EventPublish {
        channel: publish.channel,
        event: publish.event,
        data: Some(data),
        severity: publish.severity.map(|severity| severity.word().to_owned()),
        hook: std::env::var(HOOK).ok().filter(|name| is_name(name)),
    });
    session.ask(&request, |output, published: wire::Published| {
        output.say(format_args!("event {} was published", published.seq));
        Ok(())
    })?;
    Ok(OK)
}

fn run_tail(tail: Tail, session: &mut Session) -> Outcome {
    let mut client = session.connect()?;
    let Which { channel, event, severity } = tail.which;
    let follow = wire::EventFollow { since: tail.since, since_epoch: None, channels: channel, events: event };
    let asked = client.send(&Request::EventFollow(follow))?;
    let mut limit = Some(PATIENCE);
    loop {
        match receive(&mut client, &mut session.output, limit) {
            Ok(Followed::Answer { id, result }) if id == asked => {
                let following: wire::Following = read(&result?)?;
                if !following.recovered {
                    session.output.say("there is nothing to go on from at that number, it was forgotten or is yet to come; these are the next events");
                }
                // When the next event comes is not for the daemon to say.
                limit = None;
            }
            Ok(Followed::Answer { .. }) => {}
            Ok(Followed::Frame(frame)) => {
                print(&frame, severity, &mut session.output)?;
            }
            // It was stopped, and everything until then was told.
            Err(Failure::Client(ClientError::Gone)) if limit.is_none() => return ended(&client),
            Err(failure) => return Err(failure),
        }
    }
}

/// The connection has ended, and whoever follows wants to know whether that was all.
pub(super) fn ended(client: &Client) -> Outcome {
    if client.was_taken_leave_of() {
        return Ok(OK);
    }
    let sentence =
        "the daemon went away without a word, and what happens now is not told; see why with: claude-comms poll logs";
    Err(Failure::Told { exit_code: NO_DAEMON, code: "no_daemon", sentence: sentence.to_owned() })
}

fn print(text: &str, least: Severity, output: &mut Output) -> Result<(), Failure> {
    let malformed = |error: serde_json::Error| Failure::Client(ClientError::Malformed(error.to_string()));
    let frame: Frame = serde_json::from_str(text).map_err(malformed)?;
    if !frame.is_at_least(least) {
        return Ok(());
    }
    if output.json { output.json_text(text) } else { output.line(frame.line()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(data: &str) -> Frame {
        let text = format!(
            r#"{{"event":"task.failed","timestamp":"2026-11-03T10:20:30.123456+00:00","room":"pool:local","data":{data}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_has_time_name_channel_and_data() {
        let line = frame(r#"{"error":"timeout\u001b[2J","severity":"error"}"#).line();
        assert_eq!(line, "2026-11-03 10:20:30 UTC  task.failed  pool:local  {\"error\":\"timeout\\u001b[2J\"}");
    }

    #[test]
    fn what_is_not_severe_enough_is_left_out() {
        let warning = frame(r#"{"severity":"warning"}"#);
        let shown = [Severity::Info, Severity::Warning, Severity::Error].map(|least| warning.is_at_least(least));
        assert_eq!(shown, [true, true, false]);
        assert!(frame("{}").is_at_least(Severity::Error));
    }
}
