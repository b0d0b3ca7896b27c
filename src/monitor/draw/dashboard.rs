//! The screen of several services: a panel for each, beside each other or one below the other.

use super::brush::{Brush, Rows, line, line_and_end};
use super::header::{figures_words, link_words, staleness};
use super::history;
use crate::monitor::describe::Level;
use crate::monitor::panel::{Link, Panel};
use crate::monitor::state::State;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// What a panel gets at least; where there is less, those around the chosen one are shown.
const PANEL_WIDTH_MIN: u16 = 38;
const PANEL_HEIGHT_MIN: u16 = 6;
/// Entries of each panel on paper.
const PRINTED_ENTRIES: u16 = 6;

pub(super) fn paint(state: &State, brush: Brush, mut rows: Rows, buffer: &mut Buffer) {
    let live = state.panels.iter().filter(|panel| panel.link == Link::Live).count();
    let all = state.panels.len();
    let level = if live == all { Level::Good } else { Level::Warning };
    let end = Line::from(brush.sign(level, &format!("{live} of {all} live")).to_vec());
    let subject = Line::styled(state.subject(), brush.strong());
    line_and_end(&subject, &end, rows.take(1), buffer);
    if state.is_printed {
        for panel in 0..all {
            paint_panel(state, panel, brush, rows.take(PRINTED_ENTRIES + PANEL_HEIGHT_MIN), buffer);
        }
        return;
    }
    for (panel, area) in cells(rows.rest(), all, state.focus) {
        paint_panel(state, panel, brush, area, buffer);
    }
}

/// Where each panel goes; those of other pages have no place.
fn cells(area: Rect, count: usize, focus: usize) -> Vec<(usize, Rect)> {
    let fit = |length: u16, least: u16| usize::from((length / least).max(1));
    let columns = fit(area.width, PANEL_WIDTH_MIN).min(count.max(1));
    let rows = fit(area.height, PANEL_HEIGHT_MIN).min(count.div_ceil(columns));
    let page = focus / (columns * rows).max(1) * columns * rows;
    let share = |length: u16, parts: usize, part: usize| {
        let (length, parts, part) = (usize::from(length), parts.max(1), part);
        let (from, to) = (length * part / parts, length * (part + 1) / parts);
        (u16::try_from(from).unwrap_or(u16::MAX), u16::try_from(to - from).unwrap_or(u16::MAX))
    };
    let cell = |place: usize| {
        let (x, width) = share(area.width, columns, place % columns);
        let (y, height) = share(area.height, rows, place / columns);
        Rect { x: area.x + x, y: area.y + y, width, height }
    };
    (page..count.min(page + columns * rows)).map(|panel| (panel, cell(panel - page))).collect()
}

fn paint_panel(state: &State, number: usize, brush: Brush, area: Rect, buffer: &mut Buffer) {
    let (Some(shown), Some(live)) = (state.shown(number), state.panels.get(number)) else { return };
    let is_chosen = state.focus == number && state.panels.len() > 1 && !state.is_printed;
    let inner = brush.section(heading(shown, &live.link, is_chosen, brush), area, buffer);
    let mut rows = Rows::new(inner);
    line(&Line::from(brush.styled(&shown.url, brush.faint())), rows.take(1), buffer);
    let words = Line::from(brush.text(&figures_words(state.now, shown, &live.link, inner.width)));
    line(&words, rows.take(1), buffer);
    if let Some(stale) = staleness(state.now, shown, &live.link, inner.width) {
        line(&Line::from(brush.sign(Level::Warning, &stale).to_vec()), rows.take(1), buffer);
    }
    history::entries(state, number, brush, rows.rest(), buffer);
}

fn heading(panel: &Panel, link: &Link, is_chosen: bool, brush: Brush) -> Line<'static> {
    let mut spans = link_words(link, brush).spans;
    // The word for it stands behind the name.
    let word = spans.pop();
    spans.push(brush.styled(&panel.name, brush.strong()));
    spans.push(brush.text(&format!(" {} ", panel.channel)));
    spans.extend(word);
    if is_chosen {
        spans.insert(0, Span::raw("> "));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_share_the_area_and_never_lie_on_each_other() {
        for (width, height, count) in [(120, 40, 3), (80, 24, 3), (40, 15, 3), (200, 60, 32), (1, 1, 5), (77, 13, 7)] {
            for focus in 0..count {
                let area = Rect::new(0, 1, width, height);
                let cells = cells(area, count, focus);
                assert!(cells.iter().any(|(panel, _)| *panel == focus), "{width}x{height} {count} {focus}");
                for (place, (_, cell)) in cells.iter().enumerate() {
                    assert_eq!(area.union(*cell), area);
                    assert!(cells[..place].iter().all(|(_, other)| !other.intersects(*cell)));
                }
            }
        }
        let wide = cells(Rect::new(0, 0, 120, 40), 3, 0);
        assert_eq!(wide.iter().map(|(_, cell)| cell.width).collect::<Vec<_>>(), [40, 40, 40]);
    }
}
