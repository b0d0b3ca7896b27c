//! How rows and single things are laid out for people: ids cut to their telling end, foreign text made safe.

use std::io;

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use rustix::termios::tcgetwinsize;

use super::exit::Failure;
use super::output::Output;
use crate::service::logging;

/// How much of an id a table shows, in characters: time-ordered ids share their beginnings.
const ID_CHARS: usize = 8;
/// How much of a text a table's cell takes, in characters; what the terminal has no room for is cut further.
const CELL_CHARS_MAX: usize = 200;
/// What a text gets at least, in columns of the terminal, its gap included.
const TEXT_WIDTH_MIN: u16 = 8;
/// Columns between two columns.
const GAP_WIDTH: u16 = 2;
const NOTHING: &str = "-";

/// What stands in a cell.
pub(super) enum Kept {
    /// Never cut: ids, states, numbers.
    Whole(String),
    /// The same, but its whole column is left out where there is no room.
    Spare(String),
    /// Foreign text, cut where there is no room.
    Text(String),
}

impl Kept {
    /// Columns that it takes at least, with the gap behind it.
    fn width_min(&self) -> usize {
        match self {
            Kept::Whole(content) | Kept::Spare(content) => content.chars().count() + usize::from(GAP_WIDTH),
            Kept::Text(_) => usize::from(TEXT_WIDTH_MIN),
        }
    }
}

/// The last of an id, as tables show it.
pub(super) fn short_id(id: &str) -> String {
    let count = id.chars().count();
    let end: String = id.chars().skip(count.saturating_sub(ID_CHARS)).collect();
    logging::escape(&end)
}

pub(super) fn id(id: &str) -> Kept {
    Kept::Whole(short_id(id))
}

/// Of what is known by other columns too.
pub(super) fn spare_id(id: &str) -> Kept {
    Kept::Spare(short_id(id))
}

pub(super) fn maybe_id(id: Option<&str>) -> Kept {
    Kept::Whole(id.map_or_else(|| NOTHING.to_owned(), short_id))
}

pub(super) fn word(word: &str) -> Kept {
    Kept::Whole(logging::escape(word))
}

pub(super) fn number(number: impl ToString) -> Kept {
    Kept::Whole(number.to_string())
}

/// A number that may be of any size: very large and very small ones are written with an exponent.
pub(super) fn float(number: f64) -> Kept {
    let size = number.abs();
    let is_plain = size == 0.0 || (1e-6..1e15).contains(&size);
    Kept::Whole(if is_plain { number.to_string() } else { format!("{number:e}") })
}

pub(super) fn text(text: &str) -> Kept {
    let cut: String = text.chars().take(CELL_CHARS_MAX).collect();
    Kept::Text(logging::escape(cut.trim()))
}

pub(super) fn maybe_text(given: Option<&str>) -> Kept {
    given.map_or_else(|| Kept::Text(NOTHING.to_owned()), text)
}

pub(super) fn time(at: &str) -> Kept {
    Kept::Whole(short_time(at))
}

/// An RFC 3339 time of ours, to the second.
pub(super) fn maybe_time(at: Option<&str>) -> Kept {
    Kept::Whole(at.map_or_else(|| NOTHING.to_owned(), short_time))
}

pub(super) fn short_time(at: &str) -> String {
    match at.get(..19) {
        Some(civil) => logging::escape(&civil.replacen('T', " ", 1)),
        None => logging::escape(at),
    }
}

/// Prints rows under a heading, or `empty` when there are none.
pub(super) fn print(output: &mut Output, heading: &[&str], rows: Vec<Vec<Kept>>, empty: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        output.say(empty);
        return Ok(());
    }
    let width = if output.terminal { terminal_width() } else { None };
    let mut heading = heading.to_vec();
    let mut rows = rows;
    if let Some(width) = width {
        leave_out_spare(&mut heading, &mut rows, width);
    }
    for line in layout(&heading, rows, width).lines() {
        output.line(line.trim_end())?;
    }
    Ok(())
}

/// Takes spare columns out, the last one first, until the rest fits or none is left.
fn leave_out_spare(heading: &mut Vec<&str>, rows: &mut [Vec<Kept>], width: u16) {
    let width_min = |rows: &[Vec<Kept>], at: usize| rows.iter().map(|row| row[at].width_min()).max().unwrap_or(0);
    for at in (0..heading.len()).rev() {
        let needed: usize = (0..heading.len()).map(|at| width_min(rows, at)).sum();
        if needed > usize::from(width) && rows.iter().all(|row| matches!(row[at], Kept::Spare(_))) {
            heading.remove(at);
            rows.iter_mut().for_each(|row| drop(row.remove(at)));
        }
    }
}

fn layout(heading: &[&str], rows: Vec<Vec<Kept>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_truncation_indicator("…");
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let mut names = Row::from(heading.to_vec());
    names.max_height(1);
    table.set_header(names);
    let mut whole = vec![false; heading.len()];
    for row in rows {
        let mut cells = Row::new();
        for (at, kept) in row.into_iter().enumerate() {
            let (content, is_whole) = match kept {
                Kept::Whole(content) | Kept::Spare(content) => (content, true),
                Kept::Text(content) => (content, false),
            };
            whole[at] |= is_whole;
            cells.add_cell(Cell::new(content));
        }
        cells.max_height(1);
        table.add_row(cells);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP_WIDTH));
        let constraint = match whole.get(at) {
            Some(true) => ColumnConstraint::ContentWidth,
            // On a terminal that is too narrow even for this the lines are longer than it.
            _ => ColumnConstraint::LowerBoundary(Width::Fixed(TEXT_WIDTH_MIN)),
        };
        column.set_constraint(constraint);
    }
    table.to_string()
}

pub(super) fn terminal_width() -> Option<u16> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// One thing with its properties, a line each.
#[derive(Default)]
pub(super) struct Details {
    lines: Vec<(&'static str, String)>,
}

impl Details {
    /// A property of our own words.
    pub(super) fn add(mut self, name: &'static str, value: impl ToString) -> Details {
        self.lines.push((name, value.to_string()));
        self
    }

    /// A property that a foreign program may have written.
    pub(super) fn foreign(self, name: &'static str, value: &str) -> Details {
        self.add(name, logging::escape(value))
    }

    /// Left out when there is none.
    pub(super) fn maybe(self, name: &'static str, value: Option<&str>) -> Details {
        match value {
            Some(value) => self.foreign(name, value),
            None => self,
        }
    }

    pub(super) fn print(self, output: &mut Output) -> Result<(), Failure> {
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in self.lines {
            output.line(format_args!("{name:width$}  {value}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_by_its_end() {
        assert_eq!(short_id("0199a0b1-7c2d-7e3f-8a4b-1234567890ab"), "567890ab");
        assert_eq!(short_id("short"), "short");
        assert_eq!(short_id("ü-12345678"), "12345678");
        assert_eq!(short_id("1234567\u{1b}"), "1234567\\u{1b}");
    }

    #[test]
    fn a_time_is_shown_to_the_second() {
        assert_eq!(short_time("2026-11-03T10:20:30.123456+00:00"), "2026-11-03 10:20:30");
        assert_eq!(short_time("never"), "never");
    }

    #[test]
    fn a_narrow_terminal_costs_text_and_never_ids() {
        let rows =
            || vec![vec![id("0199-12345678"), text("a long tale of many words that does not fit"), word("pending")]];
        let narrow = layout(&["ID", "TEXT", "STATUS"], rows(), Some(40));
        let lines: Vec<&str> = narrow.lines().collect();
        assert_eq!(lines.len(), 2, "{narrow}");
        assert!(lines[1].starts_with("12345678  a long"), "{narrow}");
        assert!(lines[1].trim_end().ends_with("pending"), "{narrow}");
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{narrow}");
        let wide = layout(&["ID", "TEXT", "STATUS"], rows(), None);
        assert!(wide.contains("does not fit"), "{wide}");
        let tiny = layout(&["ID", "A LONG HEADING", "STATUS"], rows(), Some(5));
        assert_eq!(tiny.lines().count(), 2, "{tiny}");
        assert!(tiny.contains("12345678") && tiny.contains("pending"), "{tiny}");
    }

    #[test]
    fn a_spare_column_is_left_out_where_it_would_not_fit() {
        let whole = || vec![vec![id("0199-12345678"), spare_id("87654321"), text("a long tale"), word("pending")]];
        for (width, expected) in [(37, vec!["ID", "SPARE", "TEXT", "STATUS"]), (36, vec!["ID", "TEXT", "STATUS"])] {
            let (mut heading, mut rows) = (vec!["ID", "SPARE", "TEXT", "STATUS"], whole());
            leave_out_spare(&mut heading, &mut rows, width);
            assert_eq!(heading, expected);
            let laid = layout(&heading, rows, Some(width));
            assert!(
                laid.lines().count() == 2 && laid.lines().all(|line| line.chars().count() <= width.into()),
                "{laid}"
            );
        }
    }

    #[test]
    fn a_cell_is_one_line_without_control_characters() {
        let Kept::Text(cell) = text("one\ntwo\u{1b}[31m") else { panic!("text is text") };
        assert_eq!(cell, "one\\ntwo\\u{1b}[31m");
    }
    #[test]
    fn a_number_of_any_size_takes_little_room() {
        for (number, expected) in
            [(0.0, "0"), (41.5, "41.5"), (-3e9, "-3000000000"), (1e308, "1e308"), (-2.5e-9, "-2.5e-9"), (1e15, "1e15")]
        {
            let Kept::Whole(shown) = float(number) else { panic!() };
            assert_eq!(shown, expected);
        }
    }
}
