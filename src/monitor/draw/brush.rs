//! What everything is drawn with: styles that mean nothing alone, rows from top to bottom, and sections with a heading.

use crate::monitor::describe::Level;
use crate::monitor::glyphs::Glyphs;
use crate::monitor::settings::Look;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

/// Below this, sections have a heading and no frame.
const FRAME_WIDTH_MIN: u16 = 50;
const FRAME_HEIGHT_MIN: u16 = 18;

const ASCII: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

#[derive(Clone, Copy)]
pub(super) struct Brush {
    look: Look,
    is_framed: bool,
}

impl Brush {
    pub(super) fn new(look: Look, area: Rect, is_printed: bool) -> Brush {
        let has_room = area.width >= FRAME_WIDTH_MIN && area.height >= FRAME_HEIGHT_MIN;
        Brush { look, is_framed: has_room && !is_printed }
    }

    pub(super) fn glyphs(self) -> Glyphs {
        self.look.glyphs
    }

    /// Rows that a section takes besides its contents.
    pub(super) fn section_rows(self) -> u16 {
        if self.is_framed { 2 } else { 1 }
    }

    fn coloured(self, color: Color) -> Style {
        if self.look.has_colour { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn level(self, level: Level) -> Style {
        match level {
            Level::Good => self.coloured(Color::Green),
            Level::Warning => self.coloured(Color::Yellow),
            Level::Error => self.coloured(Color::Red),
        }
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Beside the matter, or no more certain.
    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn text(self, text: &str) -> Span<'static> {
        self.styled(text, Style::new())
    }

    pub(super) fn styled(self, text: &str, style: Style) -> Span<'static> {
        Span::styled(self.look.glyphs.text(text).into_owned(), style)
    }

    /// A sign and a word that mean the same.
    pub(super) fn sign(self, level: Level, word: &str) -> [Span<'static>; 3] {
        let style = self.level(level);
        [Span::styled(self.look.glyphs.level(level), style), Span::raw(" "), self.styled(word, style)]
    }

    /// A section with a heading; returns where its contents go.
    pub(super) fn section(self, heading: Line<'static>, area: Rect, buffer: &mut Buffer) -> Rect {
        let borders = if self.is_framed { Borders::ALL } else { Borders::TOP };
        let set = match self.look.glyphs {
            Glyphs::Unicode => border::PLAIN,
            Glyphs::Ascii => ASCII,
        };
        let mut heading = heading;
        // So that words and lines do not run into each other.
        heading.spans.insert(0, Span::raw(" "));
        heading.push_span(" ");
        let block = Block::new().borders(borders).border_set(set).border_style(self.faint()).title(heading);
        let inner = block.inner(area);
        block.render(area, buffer);
        inner
    }
}

/// One line, cut where the area ends.
pub(super) fn line(line: &Line<'_>, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.height > 0 && area.width > 0 {
        buffer.set_line(area.x, area.y, line, area.width);
    }
}

/// One line, and something at its right end that gives way to nothing.
pub(super) fn line_and_end(left: &Line<'_>, end: &Line<'_>, area: Rect, buffer: &mut Buffer) {
    let width = u16::try_from(end.width()).unwrap_or(u16::MAX).min(area.width);
    let place = Rect { x: area.x + area.width - width, width, ..area };
    line(left, Rect { width: (area.width - width).saturating_sub(1), ..area }, buffer);
    line(end, place, buffer);
}

/// Items one after the other, on as many lines as they need.
pub(super) fn flow(items: &[Vec<Span<'static>>], width: u16) -> Vec<Line<'static>> {
    const GAP: usize = 3;
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut used = 0;
    for item in items {
        let item_width: usize = item.iter().map(Span::width).sum();
        match lines.last_mut() {
            Some(last) if used + GAP + item_width <= usize::from(width) => {
                last.push_span(" ".repeat(GAP));
                last.spans.extend(item.iter().cloned());
                used += GAP + item_width;
            }
            _ => {
                lines.push(Line::from(item.clone()));
                used = item_width;
            }
        }
    }
    lines
}

/// Words over as many lines as they need; a word that is longer than a line is cut.
pub(super) fn wrap(text: &str, width: u16) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let fits = lines.last().is_some_and(|last| Span::raw(format!("{last} {word}")).width() <= usize::from(width));
        match lines.last_mut() {
            Some(last) if fits => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// An area, given away row by row.
pub(super) struct Rows {
    rest: Rect,
}

impl Rows {
    pub(super) fn new(area: Rect) -> Rows {
        Rows { rest: area }
    }

    pub(super) fn rest(&self) -> Rect {
        self.rest
    }

    /// The next so many rows, or what is left of them.
    pub(super) fn take(&mut self, rows: u16) -> Rect {
        let height = rows.min(self.rest.height);
        let taken = Rect { height, ..self.rest };
        self.rest = Rect { y: self.rest.y + height, height: self.rest.height - height, ..self.rest };
        taken
    }

    pub(super) fn take_last(&mut self) -> Rect {
        let height = self.rest.height.min(1);
        self.rest.height -= height;
        Rect { y: self.rest.y + self.rest.height, height, ..self.rest }
    }
}
