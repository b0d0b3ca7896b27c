//! The word that somebody probably meant.

/// Words longer than this are not compared, in characters.
const WORD_CHARS_MAX: usize = 64;

/// The one of `known` nearest to `written`, if near enough to be a slip of the fingers.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written: Vec<char> = written.to_lowercase().chars().take(WORD_CHARS_MAX + 1).collect();
    if written.len() > WORD_CHARS_MAX {
        return None;
    }
    let slips_max = (written.len() / 3).max(1);
    known
        .into_iter()
        .map(|word| (slips(&written, &word.chars().collect::<Vec<char>>()), word))
        .filter(|&(slips, _)| slips <= slips_max)
        .min()
        .map(|(_, word)| word)
}

/// How many single slips (a letter too many, too few, wrong, or two swapped) lead from `a` to `b`.
fn slips(a: &[char], b: &[char]) -> usize {
    // Row r holds the distance of the first r letters of `a` to every beginning of `b`.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for row in 1..=a.len() {
        let mut this = vec![row; b.len() + 1];
        for column in 1..=b.len() {
            let wrong = usize::from(a[row - 1] != b[column - 1]);
            let mut fewest = (last[column] + 1).min(this[column - 1] + 1).min(last[column - 1] + wrong);
            let swapped =
                row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1] && wrong == 1;
            if swapped {
                fewest = fewest.min(before_last[column - 2] + 1);
            }
            this[column] = fewest;
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("listen", "listen", 0),
            ("lisen", "listen", 1),
            ("litsen", "listen", 1),
            ("kitten", "sitting", 3),
        ] {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(slips(&a, &b), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let known = ["listen", "max_messages", "log_level"];
        assert_eq!(nearest("lsiten", known), Some("listen"));
        assert_eq!(nearest("Listen", known), Some("listen"));
        assert_eq!(nearest("max_mesages", known), Some("max_messages"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"l".repeat(1 << 20), known), None);
    }
}
