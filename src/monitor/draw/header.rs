//! The first two rows: what the screen is about, and how the connection is; and the words for both.

use super::brush::{Brush, Rows, line, line_and_end};
use crate::clock::Now;
use crate::monitor::describe::Level;
use crate::monitor::panel::{Link, Panel};
use crate::monitor::state::State;
use crate::monitor::tell::Lost;
use crate::monitor::text::age;
use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};
use std::time::Duration;

/// The subject with how it is, and the connection with its figures.
pub(super) fn paint(state: &State, panel: &Panel, brush: Brush, rows: &mut Rows, buffer: &mut Buffer) {
    let link = state.panels.first().map_or(&panel.link, |panel| &panel.link);
    let subject = Line::styled(brush.glyphs().text(&state.subject()).into_owned(), brush.strong());
    line_and_end(&subject, &link_words(link, brush), rows.take(1), buffer);
    line(&figures(state.now, panel, link, brush), rows.take(1), buffer);
}

/// How the connection is, shortly.
pub(super) fn link_words(link: &Link, brush: Brush) -> Line<'static> {
    let (level, words) = match link {
        Link::Live => (Level::Good, "live"),
        Link::Greeted => (Level::Good, "subscribing"),
        Link::Connecting { .. } => (Level::Warning, "connecting"),
        Link::Ungreeted => (Level::Warning, "no greeting"),
        Link::Lost { .. } => (Level::Error, "lost"),
    };
    Line::from(brush.sign(level, words).to_vec())
}

/// Where the server is and how much comes; or why nothing does.
pub(super) fn figures(now: Now, panel: &Panel, link: &Link, brush: Brush) -> Line<'static> {
    let url = brush.styled(&panel.url, brush.faint());
    Line::from(vec![url, Span::raw("  "), brush.text(&figures_words(now, panel, link, u16::MAX))])
}

/// How much comes, or why nothing does.
pub(super) fn figures_words(now: Now, panel: &Panel, link: &Link, width: u16) -> String {
    const WIDE: u16 = 46;
    if let Some(trouble) = link.trouble() {
        return trouble;
    }
    if width < WIDE {
        return short_figures(now, panel);
    }
    let mut parts = vec![counted(panel.messages, "message")];
    parts.push(format!("{:.1}/s", panel.rate.per_second(now.tick)));
    let percentile =
        |name: &str, of: usize| panel.latency.percentile(of).map(|time| format!("{name} {}", millis(time)));
    parts.extend(percentile("p50", 50));
    parts.extend(percentile("p99", 99));
    if panel.junk > 0 {
        parts.push(format!("{} not understood", panel.junk));
    }
    parts.join(" · ")
}

/// The same where there is little room.
fn short_figures(now: Now, panel: &Panel) -> String {
    let times = panel.latency.percentile(50).zip(panel.latency.percentile(99));
    let whole = |time: Duration| time.as_millis();
    let times = times.map(|(half, most)| format!(" · p50/p99 {}/{} ms", whole(half), whole(most)));
    let messages = counted(panel.messages, "msg");
    format!("{messages} · {:.1}/s{}", panel.rate.per_second(now.tick), times.unwrap_or_default())
}

fn counted(count: u64, what: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {what}{many}")
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

/// What is said beside data that may be wrong by now.
pub(super) fn staleness(now: Now, panel: &Panel, link: &Link, width: u16) -> Option<String> {
    const WIDE: u16 = 60;
    let since = panel.stale_since?;
    let as_of = format!("as of {} ago", age(now.tick.since(since)).replace("now", "0 s"));
    Some(match link {
        Link::Lost { lost, retry_at } if *retry_at > now.tick => {
            let next = now.tick.until(*retry_at).as_secs_f64().ceil();
            match width {
                WIDE.. => format!("{as_of}, reconnecting (attempt {}, next in {next} s)", lost.attempt),
                _ => format!("{as_of}, attempt {} in {next} s", lost.attempt),
            }
        }
        Link::Connecting { attempt } | Link::Lost { lost: Lost { attempt, .. }, .. } => {
            format!("{as_of}, reconnecting (attempt {attempt})")
        }
        _ => as_of,
    })
}

/// A heading, and beside it how old the data are.
pub(super) fn heading(name: &str, stale: Option<&str>, brush: Brush) -> Line<'static> {
    let mut spans = vec![brush.styled(name, brush.strong())];
    if let Some(stale) = stale {
        spans.push(Span::raw(" "));
        spans.extend(brush.sign(Level::Warning, stale));
    }
    Line::from(spans)
}
