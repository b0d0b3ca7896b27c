//! Foreign text on its way to a screen or a line: escaped, and cut to what there is room for.

use crate::service::logging;
use serde_json::{Map, Value};
use std::time::Duration;

/// How much of an id is shown, in characters: time-ordered ids share their beginnings.
const ID_CHARS: usize = 8;
/// Longest name that is kept to be shown, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 64;
/// Longest sentence, likewise.
pub(crate) const SENTENCE_CHARS_MAX: usize = 200;

/// One line that cannot command the terminal, of at most so many characters before escaping.
pub(crate) fn safe(text: &str, chars_max: usize) -> String {
    let mut cut: String = text.chars().take(chars_max).collect();
    if cut.len() < text.len() {
        cut.pop();
        cut.push('…');
    }
    logging::escape(&cut)
}

/// The last of an id.
pub(crate) fn short_id(id: &str) -> String {
    let count = id.chars().count();
    let end: String = id.chars().skip(count.saturating_sub(ID_CHARS)).collect();
    logging::escape(&end)
}

/// A time to the second, as our tables have it.
pub(crate) fn time(at: &str) -> String {
    let is_long = at.as_bytes().get(10) == Some(&b'T') && at.is_char_boundary(19);
    if is_long { at[..19].replace('T', " ") } else { safe(at, 19) }
}

/// The time of day to the second.
pub(crate) fn clock(at: &str) -> String {
    let is_long = at.as_bytes().get(10) == Some(&b'T') && at.is_char_boundary(11) && at.is_char_boundary(19);
    if is_long { at[11..19].to_owned() } else { safe(at, 8) }
}

/// How long ago, coarsely: what changes on the screen is sent to the terminal.
pub(crate) fn age(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".to_owned(),
        seconds @ ..10 => format!("{seconds} s"),
        seconds @ ..60 => format!("{} s", seconds / 5 * 5),
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How long something took.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..1.0 => format!("{} ms", span.as_millis()),
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{} min {:02} s", span.as_secs() / 60, span.as_secs() % 60),
        _ => format!("{} h {:02} min", span.as_secs() / 3600, span.as_secs() / 60 % 60),
    }
}

pub(crate) fn word<'a>(data: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    data.get(name).and_then(Value::as_str).filter(|word| !word.is_empty())
}

/// A name out of some data, ready to be shown.
pub(crate) fn name(data: &Map<String, Value>, name: &str) -> Option<String> {
    word(data, name).map(|word| safe(word, NAME_CHARS_MAX))
}

/// A number that counts something.
pub(crate) fn count(data: &Map<String, Value>, name: &str) -> Option<u64> {
    data.get(name).and_then(|value| value.as_u64().or_else(|| value.as_f64().map(|float| float.max(0.0) as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_and_loses_its_power() {
        assert_eq!(safe("a\u{1b}[2Jb\nc", 100), "a\\u{1b}[2Jb\\nc");
        assert_eq!(safe("abcdef", 4), "abc…");
        assert_eq!((safe("abcd", 4), safe("", 0)), ("abcd".to_owned(), String::new()));
        assert_eq!(short_id("0199a0b1-7c2d-7e3f-8a4b-1234567890\u{7}b"), "567890\\u{7}b");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time("2026-11-03T10:20:30.123456+00:00"), "2026-11-03 10:20:30");
        assert_eq!(clock("2026-11-03T10:20:30.123456+00:00"), "10:20:30");
        for odd in ["", "never", "2026-11-03Tüüüüüüüü", "üüüüüüüüüüüüüüüüüüüüü"] {
            assert!(time(odd).chars().count() <= 19 && clock(odd).chars().count() <= 8, "{odd}");
        }
    }

    #[test]
    fn ages_grow_coarser() {
        let shown = [0, 1, 9, 14, 59, 60, 3599, 3600, 172_800].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(shown, ["now", "1 s", "9 s", "10 s", "55 s", "1 min", "59 min", "1 h", "2 d"]);
        let spans = [5, 1500, 61_000, 3_660_000].map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(spans, ["5 ms", "1.5 s", "1 min 01 s", "1 h 01 min"]);
    }
}
