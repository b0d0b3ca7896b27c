//! `poll`: what is watched, and the state of the daemon that watches it.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::alert;
use super::daemon::{self, Start};
use super::exit::{Failure, NO_ANSWER, NO_DAEMON, OK, Outcome};
use super::input;
use super::logs::{self, Logs};
use super::message;
use super::output::Output;
use super::pages;
use super::session::{Session, as_words, read};
use super::stop::{self, Stop};
use super::table::{self, Details};
use super::wait::{self, Wait};
use crate::clock::{Clock, SystemClock};
use crate::control::wire::{self, Request};
use crate::control::{Client, ClientError, PATIENCE};
use crate::service::{self, Holder, logging};

/// A daemon that is just starting or ending has the lock and no socket; for so long it is given time to be either.
const SETTLE_MAX: Duration = Duration::from_millis(250);
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms poll start --if-needed            have a daemon running, whether or not there was one
  claude-comms poll status                       0 running, 3 not running, 4 there but not answering
  claude-comms poll add --task-id T --source frontend --target backend
  claude-comms poll wait 9f3ab2c1 --timeout 5m   until that message is complete, failed or expired
  claude-comms poll list --status all            what is watched, and what became of it
  claude-comms poll show 9f3ab2c1                the watch, and what it is about
  claude-comms poll remove 9f3ab2c1              watch it no more
  claude-comms poll logs -f                      what the daemon does
  claude-comms poll stop --timeout 1m            tasks that run are ended, and run again after the next start

An ID may be shortened to its beginning or its end (at least 4 characters).";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start the daemon in the background; returns once it answers
    Start(Start),
    /// Stop the daemon; running tasks are ended at once and, like those that wait, run after the next start
    Stop(Stop),
    /// Say whether the daemon runs, and how it is
    Status,
    /// Print the daemon's log
    Logs(Logs),
    /// List the messages that are watched
    List(List),
    /// Show a watched message and how it came to its status
    Show(Show),
    /// Watch a message or a task, also one that does not exist yet
    Add(Add),
    /// Watch it no longer; those who wait for it are told
    Remove {
        /// The watched message or task
        id: String,
    },
    /// Wait until a message or task is complete (exit code 0), failed (1) or expired (124)
    Wait(Wait),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Which of them
    #[arg(long, value_parser = ["active", "completed", "failed", "expired", "all"], default_value = "active")]
    status: String,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = pages::limit())]
    limit: u16,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The message or task
    id: String,
    /// Go on and show each change until it is final
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["task_id", "message_id"]).required(true).multiple(true))]
pub(super) struct Add {
    /// A task of ours, a message, or the task that a message's metadata names
    #[arg(long, value_name = "T")]
    task_id: Option<String>,
    /// The thread that the message belongs to
    #[arg(long, value_name = "TH", requires = "message_id")]
    thread_id: Option<String>,
    /// The message
    #[arg(long, value_name = "M")]
    message_id: Option<String>,
    /// The module that asked: its name or directory
    #[arg(long, value_name = "A")]
    source: Option<String>,
    /// The module that is to answer: its name or directory
    #[arg(long, value_name = "B")]
    target: Option<String>,
    /// How long to watch, in seconds or like 1h30m; else as configured (1 hour)
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
    /// Refuse what does not exist yet
    #[arg(long)]
    must_exist: bool,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Start(start) => daemon::start(start, session),
        Verb::Stop(stop) => stop::run(&stop, session),
        Verb::Status => status(session),
        Verb::Logs(logs) => logs::run(&logs, session),
        Verb::List(list) => self::list(list, session),
        Verb::Show(show) => self::show(show, session),
        Verb::Add(add) => self::add(add, session),
        Verb::Remove { id } => {
            session.ask(&Request::PollRemove(wire::Id { id }), |output, removed: wire::Watch| {
                // What was given may have been a part of it.
                output.say(format_args!("{} is watched no longer", name_of(removed)));
                Ok(())
            })?;
            Ok(OK)
        }
        Verb::Wait(wait) => wait::run(wait, session),
    }
}

fn status(session: &mut Session) -> Outcome {
    let request = Request::PollStatus(wire::Empty {});
    let clock = SystemClock::new();
    let deadline = clock.tick().after(SETTLE_MAX);
    loop {
        let asked = session.connect().and_then(|mut client| Ok(client.call_raw(&request, Some(PATIENCE))?));
        match asked {
            Ok(answer) => return session.print(&answer, |output, status| show_status(output, &status)).map(|()| OK),
            Err(Failure::Client(ClientError::NoDaemon { .. } | ClientError::Gone)) => {}
            Err(failure) => return Err(failure),
        }
        match holder(session)? {
            None => return show_none(session),
            Some(holder) if clock.tick() >= deadline => return Err(unreachable_at(holder)),
            Some(_) => session.output.pause(SETTLE_INTERVAL)?,
        }
    }
}

/// Who has the lock, answering or not.
fn holder(session: &Session) -> Result<Option<Holder>, Failure> {
    let lock = session.paths()?.lock;
    service::holder(&lock)
        .map_err(|error| Failure::failed(format!("the lock {} cannot be read: {error}", lock.display())))
}

fn unreachable_at(holder: Holder) -> Failure {
    let pid = holder.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let sentence = format!(
        "a daemon is there{pid} but nobody answers at its socket: it is starting or stopping, or its socket is elsewhere (--socket, XDG_RUNTIME_DIR); see: claude-comms poll logs"
    );
    Failure::Told { exit_code: NO_ANSWER, code: "no_answer", sentence }
}

fn show_none(session: &mut Session) -> Outcome {
    let (start, output) = (as_words(&session.options), &mut session.output);
    if output.json {
        output.json(&serde_json::json!({"running": false}))?;
    } else {
        output.line("claude-comms is not running")?;
        output.hint(format_args!("start it with: claude-comms poll start{start}"));
    }
    Ok(NO_DAEMON)
}

fn show_status(output: &mut Output, status: &wire::DaemonStatus) -> Result<(), Failure> {
    let uptime = Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default();
    output.line(format_args!("claude-comms {} is running (pid {})", logging::escape(&status.version), status.pid))?;
    let details = Details::default()
        .add("started", format_args!("{} UTC, {} ago", table::short_time(&status.started_at), length(uptime)))
        .foreign("state directory", &status.state_dir)
        .foreign("socket", &status.socket)
        .foreign("database", &status.database)
        .foreign("listens on", &listens_on(status))
        .add("watched messages", format_args!("{} of at most {}", status.active_messages, status.max_messages))
        .add("interval", format_args!("{} s", status.interval_seconds))
        .add("pools", status.pools)
        .add("tasks", format_args!("{} running, {} queued", status.tasks_running, status.tasks_queued))
        .add("connections", status.connections)
        .add("last event", format_args!("{} of epoch {}", status.seq, status.epoch))
        .foreign("log level", &status.log_level)
        .maybe("DEGRADED", status.degraded.as_deref());
    let alerts = status.alerts.iter().map(alert::line);
    alerts.fold(details, |details, line| details.foreign("ALERT", &line)).print(output)
}

fn listens_on(status: &wire::DaemonStatus) -> String {
    match (&status.listen, &status.listen_error) {
        (Some(address), _) => format!("http://{address}"),
        (None, Some(error)) => format!("no TCP port: {error}"),
        (None, None) => "no TCP port".to_owned(),
    }
}

/// A length of time for people, in its two greatest units.
fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn list(list: List, session: &mut Session) -> Outcome {
    let (status, limit) = (Some(list.status), Some(usize::from(list.limit)));
    let request = Request::PollList(wire::PollList { status, limit, before: None });
    session.ask(&request, |output, found: wire::Watches| {
        let row = |watch: &wire::Watch| {
            vec![
                table::maybe_id(watch.message_id.as_deref()),
                table::maybe_id(watch.thread_id.as_deref()),
                table::maybe_id(watch.task_id.as_deref()),
                table::maybe_text(watch.source_module.as_deref()),
                table::maybe_text(watch.target_module.as_deref()),
                table::word(&watch.status),
                table::time(&watch.updated_at),
            ]
        };
        let heading = ["MESSAGE", "THREAD", "TASK", "FROM", "TO", "STATUS", "UPDATED (UTC)"];
        let rows = found.messages.iter().map(row).collect();
        table::print(output, &heading, rows, "nothing of that kind is watched")?;
        pages::tell_of_more(output, found.next);
        Ok(())
    })?;
    Ok(OK)
}

fn show(show: Show, session: &mut Session) -> Outcome {
    let mut client = session.connect()?;
    let answer = client.call_raw(&Request::PollShow(wire::Id { id: show.id }), Some(PATIENCE))?;
    session.print(&answer, |output, shown| show_watched(output, &shown))?;
    if show.follow {
        wait::follow(&read(&answer)?, &mut client, &mut session.output)?;
    }
    Ok(OK)
}

fn show_watched(output: &mut Output, shown: &wire::Watched) -> Result<(), Failure> {
    let watch = &shown.watch;
    let expires = watch.expires_at.as_deref().map(|at| format!("{} UTC", table::short_time(at)));
    Details::default()
        .maybe("message", watch.message_id.as_deref())
        .maybe("thread", watch.thread_id.as_deref())
        .maybe("task", watch.task_id.as_deref())
        .add("status", output.status(&watch.status))
        .maybe("from", watch.source_module.as_deref())
        .maybe("to", watch.target_module.as_deref())
        .maybe("type", shown.r#type.as_deref())
        .add("added", format_args!("{} UTC", table::short_time(&watch.added_at)))
        .add("updated", format_args!("{} UTC", table::short_time(&watch.updated_at)))
        .maybe("expires", expires.as_deref())
        .maybe("error", shown.error.as_deref())
        .maybe("metadata", shown.metadata.as_ref().map(ToString::to_string).as_deref())
        .print(output)?;
    for step in &shown.history {
        let from = step.from.as_deref().unwrap_or("unknown");
        let change = format!("{} -> {}", output.status(from), output.status(&step.to));
        output.line(format_args!("{} UTC  {change}", table::short_time(&step.at)))?;
    }
    match shown.content.as_deref() {
        None | Some("") => Ok(()),
        Some(content) => {
            output.line("")?;
            output.paragraph(content)?;
            message::tell_if_truncated(shown.content_truncated, output);
            Ok(())
        }
    }
}

fn add(add: Add, session: &mut Session) -> Outcome {
    let request = Request::PollAdd(wire::PollAdd {
        message_id: add.message_id,
        thread_id: add.thread_id,
        task_id: add.task_id,
        source: input::party_if_given(add.source)?,
        target: input::party_if_given(add.target)?,
        timeout_seconds: add.timeout,
        must_exist: add.must_exist,
    });
    let mut client: Client = session.connect()?;
    let answer = client.call_raw(&request, Some(PATIENCE))?;
    let watch: wire::Watch = read(&answer)?;
    session.print(&answer, show_added)?;
    if watch.status == "unknown" {
        session.output.say("it does not exist yet; it is watched until it does and is final, or the watch expires");
    }
    Ok(OK)
}

fn show_added(output: &mut Output, watch: wire::Watch) -> Result<(), Failure> {
    let status = output.status(&watch.status);
    output.line(format_args!("{} {status}", logging::escape(&name_of(watch))))
}

fn name_of(watch: wire::Watch) -> String {
    watch.message_id.or(watch.task_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    #[test]
    fn a_watch_needs_a_task_or_a_message() {
        for good in [
            "poll add --task-id t --source a --target b --timeout 5m --must-exist",
            "poll add --thread-id th --message-id m",
            "poll add --message-id m",
        ] {
            assert!(parse_words(good).is_ok(), "{good}");
        }
        for bad in ["poll add", "poll add --thread-id th --task-id t", "poll add --task-id t --timeout -1"] {
            assert!(parse_words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_length_of_time_has_two_units() {
        let said = |seconds| length(Duration::from_secs(seconds));
        assert_eq!([said(59), said(61), said(3660), said(90_000)], ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
