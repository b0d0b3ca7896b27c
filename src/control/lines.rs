//! Lines off a stream, none longer than allowed.

use std::io::{self, Read};

const CHUNK_BYTES: usize = 16 << 10;
/// A buffer that one long line has blown up is given back when it is empty again.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Splits a stream into lines, with one buffer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    stream: R,
    buffer: Vec<u8>,
    /// What of the buffer is not handed out yet.
    start: usize,
    end: usize,
    /// How far past `start` no end of line was found.
    searched: usize,
    bytes_max: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its end.
    Text(&'a [u8]),
    TooLong,
    End,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(stream: R, bytes_max: usize) -> Lines<R> {
        Lines { stream, buffer: Vec::new(), start: 0, end: 0, searched: 0, bytes_max }
    }

    /// Whether part of a line has come.
    pub(super) fn is_within_line(&self) -> bool {
        self.end > self.start
    }

    /// Whether a whole line is there already, so that [`Lines::next`] will not wait.
    pub(super) fn has_line(&self) -> bool {
        self.buffer[self.start + self.searched..self.end].contains(&b'\n')
    }

    /// What was read and not handed out, when the lines are at an end here.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.buffer[self.start..self.end].to_vec()
    }

    /// The next line; what was read before an error stays.
    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        loop {
            let from = self.start + self.searched;
            if let Some(at) = self.buffer[from..self.end].iter().position(|byte| *byte == b'\n') {
                let line = self.start..from + at;
                self.start = from + at + 1;
                self.searched = 0;
                return Ok(Line::Text(&self.buffer[line]));
            }
            self.searched = self.end - self.start;
            if self.searched > self.bytes_max {
                return Ok(Line::TooLong);
            }
            if self.fill()? == 0 {
                let rest = self.start..self.end;
                (self.start, self.searched) = (self.end, 0);
                return Ok(if rest.is_empty() { Line::End } else { Line::Text(&self.buffer[rest]) });
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        // A long line that is already at the front must not be moved for every part of it that comes.
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == 0 && self.buffer.len() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        if self.buffer.len() < self.end + CHUNK_BYTES {
            let more = self.buffer.len().max(CHUNK_BYTES);
            self.buffer.resize((self.end + CHUNK_BYTES).max(more), 0);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let text = b"one\n\ntwo and a half\nrest";
        for step in 1..text.len() {
            let mut lines = Lines::new(Trickle(text, step), 100);
            for expected in ["one", "", "two and a half", "rest"] {
                assert_eq!(lines.next().unwrap(), Line::Text(expected.as_bytes()));
            }
            assert_eq!(lines.next().unwrap(), Line::End);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_refused_and_not_kept_growing() {
        let endless = vec![b'x'; 1 << 20];
        let mut lines = Lines::new(Trickle(&endless, 1000), 10_000);
        assert_eq!(lines.next().unwrap(), Line::TooLong);
        assert!(lines.buffer.len() < 64 << 10);
    }
}
