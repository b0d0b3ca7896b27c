//! A stream of bytes cut into lines, with a limit to their length.

/// Longer lines are dropped as a whole.
pub(super) const LINE_BYTES_MAX: usize = 8 << 20;

/// Room that is kept for the next line once a line has been taken.
const ROOM_BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come yet.
    half: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Takes in the next bytes and hands every line that they complete to `each`, without its newline.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.half.is_empty() && !self.is_too_long {
                each(line);
            } else {
                self.keep(line);
                self.finish(&mut each);
            }
            bytes = rest;
        }
        self.keep(bytes);
    }

    /// The last line may lack its newline.
    pub(super) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.half.is_empty() {
            each(&self.half);
        }
        self.half.clear();
        self.half.shrink_to(ROOM_BYTES_MAX);
        self.is_too_long = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.half.len() + bytes.len() > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.half = Vec::new();
        } else {
            self.half.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut each = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        lines.finish(&mut each);
        seen
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"one\ntwo\n\nthree";
        let whole = lines(&[text]);
        assert_eq!(whole, ["one", "two", "", "three"]);
        for cut in 0..text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_and_the_next_one_is_not() {
        let long = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        assert_eq!(lines(&[b"a\n", &long, &long, b"tail\nb\n"]), ["a", "b"]);
        assert_eq!(lines(&[&long, &long]), Vec::<String>::new());
    }
}
