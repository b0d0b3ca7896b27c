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
    fn what_the_terminal_does_not_have_is_replaced() {
        assert_eq!(Glyphs::Ascii.text("a·b…ü"), "a-b.?");
        assert_eq!(Glyphs::Unicode.text("a·b…ü"), "a·b…ü");
    }
}
