//! What a server said, short enough for a log line.

/// Longest excerpt in characters.
const EXCERPT_CHARS_MAX: usize = 300;

/// On one line, without control characters, cut. Says so when there is nothing.
pub fn excerpt(text: &str) -> String {
    let mut words = text.split(|letter: char| letter.is_control() || letter == ' ').filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return "it said nothing".to_owned() };
    let mut short = first.to_owned();
    for word in words {
        if short.len() > EXCERPT_CHARS_MAX {
            break;
        }
        short.push(' ');
        short.push_str(word);
    }
    if short.chars().count() > EXCERPT_CHARS_MAX {
        short = short.chars().take(EXCERPT_CHARS_MAX).chain(['…']).collect();
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(" a\r\n\tb \u{1b}[31mc\0"), "a b [31mc");
        assert_eq!(excerpt(" \n"), "it said nothing");
        assert_eq!(excerpt(&"é".repeat(1_000)).chars().count(), EXCERPT_CHARS_MAX + 1);
        assert_eq!(excerpt(&"a ".repeat(100_000)).chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
