//! A monitor in lines, for programs and for where there is no terminal: what is told, as it is told.

use super::crew::Crew;
use super::describe::{Level, describe, level};
use super::error::MonitorError;
use super::frame::Frame;
use super::glyphs::Glyphs;
use super::settings::Settings;
use super::tell::{Continuity, Tell, Told};
use super::text::{NAME_CHARS_MAX, SENTENCE_CHARS_MAX, count, name, safe, time};
use crate::clock::{Clock, Timestamp};
use crate::service::Signal;
use crossbeam_channel::{Receiver, select};
use serde_json::{Map, Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at whether anybody still reads.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where lines go.
pub(crate) trait Sink {
    /// A line that is safe to be shown.
    fn line(&mut self, line: &str) -> io::Result<()>;
    fn json(&mut self, value: &Value) -> io::Result<()>;
    /// Talk, beside the data.
    fn say(&mut self, sentence: &str);
    /// Hands over all that was written; fails once nobody reads any more.
    fn flush(&mut self) -> io::Result<()>;
    fn is_json(&self) -> bool;
}

/// Prints until a signal comes.
pub(crate) fn run(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    signals: &Receiver<Signal>,
    sink: &mut dyn Sink,
) -> Result<(), MonitorError> {
    let crew = Crew::start(settings, clock).map_err(MonitorError::Start)?;
    let printed = print_all(settings, &crew, signals, sink);
    crew.finish(Some(signals));
    printed
}

fn print_all(
    settings: &Settings,
    crew: &Crew,
    signals: &Receiver<Signal>,
    sink: &mut dyn Sink,
) -> Result<(), MonitorError> {
    loop {
        sink.flush().map_err(MonitorError::Output)?;
        select! {
            recv(crew.told()) -> told => {
                let Ok(told) = told else { return Ok(()) };
                print(settings, &told, sink)?;
                // What is there already goes out with it.
                for told in crew.told().try_iter() {
                    print(settings, &told, sink)?;
                }
            }
            recv(signals) -> signal => match signal {
                Ok(Signal::Resized | Signal::Continued) => {}
                Ok(_) | Err(_) => return Ok(()),
            },
            default(LOOK_INTERVAL) => {}
        }
    }
}

fn print(settings: &Settings, told: &Told, sink: &mut dyn Sink) -> Result<(), MonitorError> {
    if matches!(told.tell, Tell::Died) {
        return Err(MonitorError::Died);
    }
    let panel = settings.panels.get(told.panel).map_or("", |panel| panel.name.as_str());
    if sink.is_json() {
        let document = document(panel, told);
        return document.map_or(Ok(()), |document| sink.json(&document)).map_err(MonitorError::Output);
    }
    match &told.tell {
        Tell::Event { frame, .. } => {
            sink.line(&event_line(panel, frame, told.at.wall, settings.look.glyphs)).map_err(MonitorError::Output)?
        }
        Tell::Status(data) => {
            let sign = settings.look.glyphs.level(Level::Good);
            let line = format!("{} UTC  {sign} {panel}  {}", time(&told.at.wall.to_string()), status_words(data));
            sink.line(&settings.look.glyphs.text(&line)).map_err(MonitorError::Output)?;
        }
        tell => {
            if let Some(sentence) = sentence(tell) {
                sink.say(&format!("{panel}: {sentence}"));
            }
        }
    }
    Ok(())
}

fn event_line(panel: &str, frame: &Frame, arrived: Timestamp, glyphs: Glyphs) -> String {
    let at = frame.at().unwrap_or(arrived).to_string();
    let sign = glyphs.level(level(frame));
    let (event, room) = (safe(&frame.event, NAME_CHARS_MAX), frame.room.as_deref().unwrap_or("-"));
    let line =
        format!("{} UTC  {sign} {panel}  {event}  {}  {}", time(&at), safe(room, NAME_CHARS_MAX), describe(frame));
    glyphs.text(&line).into_owned()
}

/// How a pool or a workflow is, in a few words.
fn status_words(data: &Map<String, Value>) -> String {
    let number = |key: &str, what: &str| count(data, key).map(|number| format!("{number} {what}"));
    let words = [
        name(data, "pool_id").or_else(|| name(data, "workflow_id")),
        name(data, "status"),
        number("worker_count", "workers"),
        number("active_workers", "busy"),
        number("queue_size", "queued"),
        number("tasks_completed", "completed"),
        number("tasks_failed", "failed"),
        name(data, "current_stage").map(|stage| format!("at {stage}")),
        number("stages_completed", "stages done").filter(|_| data.contains_key("total_stages")),
        number("total_stages", "in all"),
        data.get("held").and_then(Value::as_bool).filter(|held| *held).map(|_| "held".to_owned()),
        name(data, "degraded").map(|why| format!("the daemon cannot write: {why}")),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What a person is told of the connection.
pub(crate) fn sentence(tell: &Tell) -> Option<String> {
    Some(match tell {
        Tell::Subscribed(Continuity::First) => "connected".to_owned(),
        Tell::Subscribed(Continuity::Whole) => "connected again; nothing was missed".to_owned(),
        Tell::Subscribed(Continuity::Broken) => "connected again; events may be missing".to_owned(),
        Tell::NoWelcome => {
            "the server does not greet us; if it wants a token, give it with --token-file FILE or CLAUDE_COMMS_TOKEN"
                .to_owned()
        }
        Tell::Unknown { known } => unknown(known, true),
        Tell::Refused { code, message } => {
            format!("the server refused: {}, {}", safe(message, SENTENCE_CHARS_MAX), safe(code, NAME_CHARS_MAX))
        }
        Tell::Junk => "the server sent something that is no frame".to_owned(),
        Tell::Lost(lost) => {
            let why = safe(&lost.why.to_string(), SENTENCE_CHARS_MAX);
            format!("{why}; attempt {} in {:.1} s", lost.attempt, lost.retry_in.as_secs_f64())
        }
        Tell::Found { address } => format!("the server is at {}", safe(&address.to_string(), NAME_CHARS_MAX)),
        Tell::Connecting { .. } | Tell::Welcomed | Tell::Event { .. } | Tell::Status(_) => return None,
        Tell::Ended | Tell::Died => return None,
    })
}

/// `is_awaited`, unless this is all that is looked.
pub(crate) fn unknown(known: &[String], is_awaited: bool) -> String {
    let names: Vec<String> = known.iter().map(|name| safe(name, NAME_CHARS_MAX)).collect();
    let those = if names.is_empty() { String::new() } else { format!("; those that it knows: {}", names.join(", ")) };
    let wait = if is_awaited { ", and is waited for" } else { "" };
    format!("the server knows none of this name{wait}{those}")
}

/// The same for a program: one object.
fn document(panel: &str, told: &Told) -> Option<Value> {
    let about = |kind: &str, mut rest: Value| {
        let mut object = json!({ "panel": panel, "kind": kind, "at": told.at.wall.to_string() });
        if let (Some(object), Some(rest)) = (object.as_object_mut(), rest.as_object_mut()) {
            object.append(rest);
        }
        object
    };
    let connection = |state: &str, rest: Value| {
        let mut rest = rest;
        rest["state"] = state.into();
        Some(about("connection", rest))
    };
    match &told.tell {
        Tell::Event { frame, .. } => Some(about(
            "event",
            json!({
                "event": frame.event,
                "room": frame.room,
                "seq": frame.seq,
                "timestamp": frame.timestamp,
                "data": frame.data,
            }),
        )),
        Tell::Status(data) => Some(about("status", json!({ "data": data }))),
        Tell::Unknown { known } => Some(about("unknown", json!({ "known": known }))),
        Tell::Refused { code, message } => Some(about("refused", json!({ "code": code, "message": message }))),
        Tell::Junk => Some(about("junk", json!({}))),
        Tell::Connecting { attempt } => connection("connecting", json!({ "attempt": attempt })),
        Tell::Found { address } => connection("found", json!({ "url": address.to_string() })),
        Tell::NoWelcome => connection("no_welcome", json!({})),
        Tell::Subscribed(continuity) => {
            connection("connected", json!({ "complete": *continuity != Continuity::Broken }))
        }
        Tell::Lost(lost) => {
            let wait = u64::try_from(lost.retry_in.as_millis()).unwrap_or(u64::MAX);
            let why = lost.why.to_string();
            connection("lost", json!({ "reason": why, "attempt": lost.attempt, "retry_after_ms": wait }))
        }
        Tell::Welcomed | Tell::Ended | Tell::Died => None,
    }
}
