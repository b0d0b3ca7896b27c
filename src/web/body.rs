//! The body of a request, as it comes: of a length that is said before, or in chunks.

use super::head::Head;
use tungstenite::http::header;

/// Largest body: that of a line on the control socket.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// Longest line with the length of a chunk, its extensions included.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;

#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    next: Part,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// So many bytes more, and then the end.
    Rest(usize),
    /// The line with a chunk's length.
    Length,
    Chunk(usize),
    /// The end of a chunk's line.
    Break,
    /// Lines that end with an empty one.
    Trailer,
}

/// The status to answer with, and why.
pub(super) type Unreadable = (u16, &'static str);

const TOO_LARGE: Unreadable = (413, "the body is larger than 8 MiB");

impl Body {
    pub(super) fn of(head: &Head) -> Result<Body, Unreadable> {
        let next = match head.text(header::TRANSFER_ENCODING) {
            Some(coding) if coding.trim().eq_ignore_ascii_case("chunked") => Part::Length,
            Some(_) => return Err((501, "a body comes as it is or in chunks, and in no other coding")),
            None if head.headers.contains_key(header::TRANSFER_ENCODING) => return Err((400, "the coding is no text")),
            None => match head.text(header::CONTENT_LENGTH).map(str::parse) {
                Some(Ok(length)) if length <= BODY_BYTES_MAX => Part::Rest(length),
                Some(_) => return Err(TOO_LARGE),
                None => return Err((411, "there is no Content-Length")),
            },
        };
        Ok(Body { bytes: Vec::new(), next })
    }

    /// Takes what has come, and leaves what belongs to the next request. The whole body when that was all of it.
    pub(super) fn take(&mut self, input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Unreadable> {
        loop {
            match self.next {
                Part::Rest(left) => {
                    let taken = left.min(input.len());
                    self.bytes.extend(input.drain(..taken));
                    self.next = Part::Rest(left - taken);
                    return Ok((left == taken).then(|| std::mem::take(&mut self.bytes)));
                }
                Part::Chunk(left) => {
                    let taken = left.min(input.len());
                    self.bytes.extend(input.drain(..taken));
                    self.next = if left == taken { Part::Break } else { Part::Chunk(left - taken) };
                    if left > taken {
                        return Ok(None);
                    }
                }
                Part::Length => {
                    let Some(line) = line(input)? else { return Ok(None) };
                    let length = chunk_length(&line)?;
                    if self.bytes.len().saturating_add(length) > BODY_BYTES_MAX {
                        return Err(TOO_LARGE);
                    }
                    self.next = if length == 0 { Part::Trailer } else { Part::Chunk(length) };
                }
                Part::Break => match line(input)? {
                    None => return Ok(None),
                    Some(line) if line.is_empty() => self.next = Part::Length,
                    Some(_) => return Err((400, "a chunk is longer than it says")),
                },
                Part::Trailer => match line(input)? {
                    None => return Ok(None),
                    Some(line) if line.is_empty() => return Ok(Some(std::mem::take(&mut self.bytes))),
                    Some(_) => {}
                },
            }
        }
    }
}

/// The next line without its end, if it is there.
fn line(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Unreadable> {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > 0 && at <= CHUNK_LINE_BYTES_MAX && input[at - 1] == b'\r' => {
            let mut line: Vec<u8> = input.drain(..=at).collect();
            line.truncate(at - 1);
            Ok(Some(line))
        }
        None if input.len() <= CHUNK_LINE_BYTES_MAX => Ok(None),
        _ => Err((400, "a chunk has no valid beginning")),
    }
}

fn chunk_length(line: &[u8]) -> Result<usize, Unreadable> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_valid = !digits.is_empty() && digits.len() <= 8 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_valid);
    text.and_then(|text| usize::from_str_radix(text, 16).ok()).ok_or((400, "a chunk has no valid length"))
}

#[cfg(test)]
mod tests {
    use super::super::head::{Parsed, parse};
    use super::*;

    fn body(headers: &str) -> Result<Body, Unreadable> {
        let text = format!("POST /mcp HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
        let Parsed::Whole { head, .. } = parse(text.as_bytes()) else { panic!("{text:?}") };
        Body::of(&head)
    }

    /// Fed a byte at a time, and all at once; with what is left over.
    fn read(headers: &str, text: &str) -> Result<(String, String), Unreadable> {
        let mut whole = text.as_bytes().to_vec();
        let at_once = body(headers)?.take(&mut whole);
        let (mut body, mut input, mut bytes) = (body(headers)?, Vec::new(), text.bytes());
        let slowly = loop {
            match body.take(&mut input) {
                Ok(None) => match bytes.next() {
                    Some(byte) => input.push(byte),
                    None => break Ok(None),
                },
                other => break other,
            }
        };
        assert_eq!(slowly, at_once, "{text:?}");
        let found = at_once?.expect("a whole body");
        Ok((String::from_utf8(found).unwrap(), String::from_utf8(whole).unwrap()))
    }

    #[test]
    fn a_body_ends_where_it_says() {
        let text = |body: &str, rest: &str| Ok((body.to_owned(), rest.to_owned()));
        assert_eq!(read("Content-Length: 3", "abcd"), text("abc", "d"));
        assert_eq!(read("Content-Length: 0", "POST"), text("", "POST"));
        let chunked = "Transfer-Encoding: chunked";
        assert_eq!(read(chunked, "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\nGET"), text("abcd", "GET"));
        assert_eq!(read(chunked, "A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"), text("0123456789", ""));
    }

    #[test]
    fn what_cannot_be_a_body_is_refused() {
        assert_eq!(body("X: y").unwrap_err().0, 411);
        assert_eq!(body("Content-Length: 8388609").unwrap_err().0, 413);
        assert_eq!(body("Content-Length: 9999999999999999999").map(|_| ()).unwrap_err().0, 413);
        assert_eq!(body("Transfer-Encoding: gzip, chunked").unwrap_err().0, 501);
        let chunked = "Transfer-Encoding: chunked";
        for text in ["x\r\n", "\r\n", "3\nabc", "3\r\nabcd\r\n", "-1\r\n", "000000003\r\nabc", "+3\r\nabc"] {
            assert_eq!(read(chunked, text).unwrap_err().0, 400, "{text:?}");
        }
        assert_eq!(read(chunked, &"1".repeat(2_000)).unwrap_err().0, 400);
        assert_eq!(read(chunked, "7fffffff\r\n").unwrap_err().0, 413);
    }
}
