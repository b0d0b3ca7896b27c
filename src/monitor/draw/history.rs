//! What has happened, the newest at the bottom, from where the person has scrolled to.

use super::brush::{Brush, line};
use crate::monitor::history::Entry;
use crate::monitor::state::State;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

pub(super) fn paint(state: &State, panel: usize, brush: Brush, area: Rect, buffer: &mut Buffer) {
    let heading = Line::styled(heading(state, panel), brush.strong());
    let inner = brush.section(heading, area, buffer);
    entries(state, panel, brush, inner, buffer);
}

fn heading(state: &State, panel: usize) -> String {
    if state.is_printed {
        return "History, UTC".to_owned();
    }
    let is_scrolled = state.places.get(panel).copied().flatten().is_some();
    let filter = if state.filter.is_empty() { "" } else { ", filtered" };
    let follows = if is_scrolled { "scrolled, End follows" } else { "following" };
    format!("History, UTC ({follows}{filter})")
}

/// Only the entries, without a heading.
pub(super) fn entries(state: &State, panel: usize, brush: Brush, area: Rect, buffer: &mut Buffer) {
    let Some(shown) = state.shown(panel) else { return };
    let height = usize::from(area.height);
    let matching: Vec<(u64, &Entry)> = shown.history.matching(&state.filter).collect();
    let end = match state.places.get(panel).copied().flatten() {
        // The first page is always full, so that going up to the oldest shows as much as there is.
        Some(place) => matching.partition_point(|(number, _)| *number <= place).max(height).min(matching.len()),
        None => matching.len(),
    };
    let visible = &matching[end.saturating_sub(height)..end];
    for (row, (_, entry)) in area.rows().zip(visible) {
        line(&entry_line(entry, brush), row, buffer);
    }
    if matching.is_empty() {
        let words = if state.filter.is_empty() { "nothing has happened yet" } else { "nothing has this text" };
        line(&Line::styled(words, brush.faint()), area, buffer);
    }
}

fn entry_line(entry: &Entry, brush: Brush) -> Line<'static> {
    let sign = Span::styled(brush.glyphs().level(entry.level), brush.level(entry.level));
    Line::from(vec![
        brush.styled(&entry.clock, brush.faint()),
        Span::raw(" "),
        sign,
        Span::raw(" "),
        brush.styled(&entry.event, brush.strong()),
        Span::raw("  "),
        brush.text(&entry.text),
    ])
}
