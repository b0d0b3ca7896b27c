//! The last row: what can be pressed, the filter, and whether the picture stands still.

use super::brush::{Brush, line};
use crate::monitor::describe::Level;
use crate::monitor::state::State;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

pub(super) fn paint(state: &State, brush: Brush, area: Rect, buffer: &mut Buffer) {
    let mut spans = Vec::new();
    if let Some(unseen) = state.unseen() {
        spans.extend(brush.sign(Level::Warning, &format!("paused, {unseen} came since  ")));
    }
    if state.is_typing {
        spans.push(brush.text(&format!("filter: {}", state.filter)));
        spans.push(Span::styled(" ", ratatui::style::Style::new().add_modifier(Modifier::REVERSED)));
        spans.push(brush.styled("  Enter keeps it, Esc clears it", brush.faint()));
    } else {
        if !state.filter.is_empty() {
            spans.push(brush.styled(&format!("filter: {}  ", state.filter), brush.strong()));
        }
        let tab = if state.panels.len() > 1 { "  Tab panel" } else { "" };
        spans.push(brush.styled(&format!("q quit  ? help  / filter  Space pause{tab}"), brush.faint()));
    }
    line(&Line::from(spans), area, buffer);
}
