//! What the keys and signs mean.

use super::brush::{Brush, line};
use crate::monitor::describe::Level;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

const KEYS: [(&str, &str); 10] = [
    ("q, Ctrl-C", "leave"),
    ("?, Esc", "this page, and back"),
    ("Space", "stand still, and go on"),
    ("/", "show only what has this text; Esc clears it"),
    ("Up, Down", "scroll the history (also k, j)"),
    ("PgUp, PgDn", "the same by ten entries"),
    ("Home, g", "to the oldest entry"),
    ("End, G, f", "to the newest, and follow"),
    ("Tab", "the next panel"),
    ("Ctrl-Z", "to the shell; fg comes back"),
];

pub(super) fn paint(brush: Brush, area: Rect, buffer: &mut Buffer) {
    let inner = brush.section(Line::styled("Help", brush.strong()), area, buffer);
    let keys = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![brush.styled(&format!("{key:<12}"), brush.strong()), brush.text(what)]));
    let signs = [(Level::Good, "good"), (Level::Warning, "a warning"), (Level::Error, "an error")];
    let signs = signs.map(|(level, word)| Line::from(brush.sign(level, word).to_vec()));
    let lines = keys.chain([Line::default()]).chain(signs).chain([
        Line::default(),
        Line::from(brush.text("Times are UTC. \"as of\": the server is away, and this is what it said last.")),
    ]);
    for (row, text) in inner.rows().zip(lines) {
        line(&text, row, buffer);
    }
}
