//! One picture, and the end: for scripts, and for a look.

use super::crew::Crew;
use super::draw::paint;
use super::error::MonitorError;
use super::panel::{Link, Panel};
use super::plain::{Sink, unknown};
use super::settings::{Kind, Settings};
use super::state::{Msg, State, update};
use super::tell::{Continuity, Tell, Told, Why};
use crate::clock::{Clock, Tick};
use crate::service::Signal;
use crossbeam_channel::{Receiver, select};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long all panels together may take to have something to show.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest picture, in rows.
const ROWS_MAX: u16 = 120;

/// What a look has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    Shown,
    /// The same, but it shows that what was asked for is not there.
    Unknown,
    /// There was nothing to show.
    Unreachable {
        url: String,
        why: Option<Why>,
    },
    /// A signal came first.
    Interrupted,
}

/// Prints one picture as soon as there is one.
pub(crate) fn run(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    signals: &Receiver<Signal>,
    width: u16,
    sink: &mut dyn Sink,
) -> Result<Looked, MonitorError> {
    let crew = Crew::start(settings, clock).map_err(MonitorError::Start)?;
    let mut look = Look::new(settings, clock);
    let watched = look.watch(&crew, signals, clock.tick().after(LIMIT));
    crew.finish(Some(signals));
    match watched? {
        Looked::Interrupted => return Ok(Looked::Interrupted),
        _ if !look.seen.iter().any(|seen| seen.is_some()) => return Ok(look.unreachable()),
        _ => {}
    }
    look.print(width, sink).map_err(MonitorError::Output)?;
    let is_unknown = look.state.panels.iter().any(|panel| panel.unknown.is_some());
    Ok(if is_unknown { Looked::Unknown } else { Looked::Shown })
}

struct Look {
    state: State,
    /// For each panel what its server said of how things are; nothing of one that only has events.
    seen: Vec<Option<Map<String, Value>>>,
    /// Whether it has said all that it will, or failed.
    is_done: Vec<bool>,
}

impl Look {
    fn new(settings: &Settings, clock: &Arc<dyn Clock>) -> Look {
        let mut state = State::new(settings, clock.now());
        state.is_printed = true;
        let count = settings.panels.len();
        Look { state, seen: vec![None; count], is_done: vec![false; count] }
    }

    fn watch(&mut self, crew: &Crew, signals: &Receiver<Signal>, deadline: Tick) -> Result<Looked, MonitorError> {
        let over = crossbeam_channel::after(self.state.now.tick.until(deadline));
        while !self.is_done.iter().all(|done| *done) {
            select! {
                recv(crew.told()) -> told => match told {
                    Ok(Told { tell: Tell::Died, .. }) | Err(_) => return Err(MonitorError::Died),
                    Ok(told) => self.hear(told),
                },
                recv(signals) -> signal => match signal {
                    Ok(Signal::Resized | Signal::Continued) => {}
                    Ok(_) | Err(_) => return Ok(Looked::Interrupted),
                },
                recv(over) -> _ => break,
            }
        }
        Ok(Looked::Shown)
    }

    fn hear(&mut self, told: Told) {
        let panel = told.panel;
        let has_events_only = self.state.kind == Kind::Dashboard;
        let seen = match &told.tell {
            Tell::Status(data) => Some(data.clone()),
            Tell::Unknown { known } => Some(Map::from_iter([("known".to_owned(), json!(known))])),
            Tell::Subscribed(Continuity::First) if has_events_only => Some(Map::new()),
            _ => None,
        };
        if let Some(done) = self.is_done.get_mut(panel) {
            *done |= seen.is_some() || matches!(told.tell, Tell::Lost(_));
        }
        if let Some(place) = self.seen.get_mut(panel) {
            *place = seen.or(place.take());
        }
        let known = if let Tell::Unknown { known } = &told.tell { Some(unknown(known, false)) } else { None };
        update(&mut self.state, told.at, Msg::Told(Box::new(told)));
        // Nobody waits here for it to come.
        if let (Some(panel), Some(known)) = (self.state.panels.get_mut(panel), known) {
            panel.unknown = Some(known);
        }
    }

    fn unreachable(&self) -> Looked {
        let lost = |panel: &Panel| match &panel.link {
            Link::Lost { lost, .. } => Some(lost.why.clone()),
            // It may be waiting for us to say who we are.
            Link::Ungreeted => Some(Why::WantsToken("it does not greet us".to_owned())),
            _ => None,
        };
        let url = self.state.panels.first().map_or_else(String::new, |panel| panel.url.clone());
        Looked::Unreachable { url, why: self.state.panels.iter().find_map(lost) }
    }

    fn print(&self, width: u16, sink: &mut dyn Sink) -> std::io::Result<()> {
        if sink.is_json() {
            sink.json(&self.document())?;
            return sink.flush();
        }
        let area = Rect::new(0, 0, width, ROWS_MAX);
        let mut buffer = Buffer::empty(area);
        paint(&self.state, area, &mut buffer);
        let rows: Vec<String> = area.rows().map(|row| text_of(row, &buffer)).collect();
        let count = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
        rows.iter().take(count).try_for_each(|row| sink.line(row))?;
        sink.flush()
    }

    fn document(&self) -> Value {
        let one = |(panel, seen): (&Panel, &Option<Map<String, Value>>)| {
            json!({
                "panel": panel.name,
                "url": panel.url,
                "channel": panel.channel,
                "connection": if seen.is_some() { "live" } else { "lost" },
                "reason": panel.link.trouble(),
                "status": seen,
            })
        };
        let panels: Vec<Value> = self.state.panels.iter().zip(&self.seen).map(one).collect();
        json!({ "at": self.state.now.wall.to_string(), "panels": panels })
    }
}

fn text_of(row: Rect, buffer: &Buffer) -> String {
    let mut text = String::new();
    let mut covered = 0;
    for place in row.positions() {
        // A wide character covers the cell behind it.
        if covered > 0 {
            covered -= 1;
            continue;
        }
        let symbol = buffer.cell(place).map_or(" ", |cell| cell.symbol());
        covered = ratatui::text::Span::raw(symbol).width().saturating_sub(1);
        text.push_str(symbol);
    }
    text.trim_end().to_owned()
}
