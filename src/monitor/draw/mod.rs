//! The screen of a state: pure, whatever the size.

mod brush;
mod dashboard;
mod footer;
mod header;
mod help;
mod history;
mod pool;
mod workflow;

use super::panel::Picture;
use super::state::State;
use brush::{Brush, Rows};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Below this there are no words for keys.
const FOOTER_HEIGHT_MIN: u16 = 4;

pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    paint(state, frame.area(), frame.buffer_mut());
}

/// The same into any buffer.
pub(crate) fn paint(state: &State, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let brush = Brush::new(state.look, area, state.is_printed);
    let mut rows = Rows::new(area);
    if area.height >= FOOTER_HEIGHT_MIN && !state.is_printed {
        footer::paint(state, brush, rows.take_last(), buffer);
    }
    if state.has_help {
        help::paint(brush, rows.rest(), buffer);
        return;
    }
    let Some(panel) = state.shown(0) else { return };
    match &panel.picture {
        Picture::Pool(pool) => pool::paint(state, panel, pool, brush, rows, buffer),
        Picture::Workflow(picture) => workflow::paint(state, panel, picture, brush, rows, buffer),
        Picture::Events => dashboard::paint(state, brush, rows, buffer),
    }
}
