//! The signs that meaning is told by, besides words and never by colour alone; and a set for terminals without Unicode.

use super::describe::Level;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyphs {
    Unicode,
    Ascii,
}

impl Glyphs {
    /// As the locale's name asks for, the first that is given of `LC_ALL`, `LC_CTYPE` and `LANG`.
    pub(crate) fn of_locale(locale: &str) -> Glyphs {
        let name = locale.to_ascii_lowercase();
        if name.ends_with("utf-8") || name.ends_with("utf8") || name.contains("utf-8@") || name.contains("utf8@") {
            Glyphs::Unicode
        } else {
            Glyphs::Ascii
        }
    }

    pub(crate) fn level(self, level: Level) -> &'static str {
        match (self, level) {
            (Glyphs::Unicode, Level::Good) => "●",
            (Glyphs::Unicode, Level::Warning) => "▲",
            (Glyphs::Unicode, Level::Error) => "✖",
            (Glyphs::Ascii, Level::Good) => "o",
            (Glyphs::Ascii, Level::Warning) => "!",
            (Glyphs::Ascii, Level::Error) => "x",
        }
    }

    /// What was not reached yet, or says nothing.
    pub(crate) fn empty(self) -> &'static str {
        match self {
            Glyphs::Unicode => "○",
            Glyphs::Ascii => ".",
        }
    }

    /// A bar of `width` cells, of which `done` of `all` are full.
    pub(crate) fn bar(self, done: u64, all: u64, width: u16) -> String {
        let width = u64::from(width);
        let full = done.min(all).saturating_mul(width).checked_div(all).unwrap_or(0);
        let (filled, open) = match self {
            Glyphs::Unicode => ("█", "░"),
            Glyphs::Ascii => ("#", "-"),
        };
        let times = |count: u64| usize::try_from(count).unwrap_or(0);
        filled.repeat(times(full)) + &open.repeat(times(width - full))
    }

    /// The same text in characters that the terminal has.
    pub(crate) fn text(self, text: &str) -> Cow<'_, str> {
        match self {
            Glyphs::Ascii if !text.is_ascii() => Cow::Owned(text.chars().map(plain).collect()),
            _ => Cow::Borrowed(text),
        }
    }
}

fn plain(char: char) -> char {
    match char {
        '●' => 'o',
        '▲' => '!',
        '✖' => 'x',
        '·' => '-',
        '…' => '.',
        char if char.is_ascii() => char,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides() {
        for (locale, expected) in [
            ("de_DE.UTF-8", Glyphs::Unicode),
            ("C.utf8", Glyphs::Unicode),
            ("ca_ES.utf-8@valencia", Glyphs::Unicode),
            ("C", Glyphs::Ascii),
            ("de_DE.ISO-8859-1", Glyphs::Ascii),
            ("", Glyphs::Ascii),
        ] {
            assert_eq!(Glyphs::of_locale(locale), expected, "{locale}");
        }
    }

    #[test]
    fn a_bar_is_as_wide_as_asked_whatever_the_numbers() {
        assert_eq!(Glyphs::Ascii.bar(1, 4, 8), "##------");
        for (done, all) in [(0, 0), (5, 0), (9, 3), (u64::MAX, u64::MAX)] {
            assert_eq!(Glyphs::Ascii.bar(done, all, 5).len(), 5, "{done}/{all}");
        }
        assert_eq!(Glyphs::Ascii.text("a·b…ü"), "a-b.?");
    }
}
