//! An answer that comes in parts: server-sent events, in chunks.

use crate::clock::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// After so long without anything, a comment says that the stream lives.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
const CONTENT_TYPE: &str = "text/event-stream";

/// What such an answer begins with.
pub(super) fn head(at: Timestamp, keep_alive: bool) -> Bytes {
    let close = if keep_alive { "" } else { "Connection: close\r\n" };
    format!(
        "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: {CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\
         Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\n{close}\r\n",
        at.http_date(),
    )
    .into()
}

/// One message, which has no line breaks, as JSON has none that are not escaped.
pub(super) fn event(message: &[u8]) -> Bytes {
    chunk(&[b"event: message\ndata: ", message, b"\n\n"])
}

pub(super) fn comment() -> Bytes {
    chunk(&[b": the stream lives\n\n"])
}

pub(super) fn end() -> Bytes {
    Bytes::from_static(b"0\r\n\r\n")
}

fn chunk(parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = format!("{length:x}\r\n").into_bytes();
    bytes.reserve(length + 2);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_event_in_one_chunk() {
        assert_eq!(event(b"{}"), &b"19\r\nevent: message\ndata: {}\n\n\r\n"[..]);
        assert!(comment().starts_with(b"14\r\n: "));
        let head = head(Timestamp::from_micros(0), true);
        assert!(head.ends_with(b"\r\n\r\n") && !head.windows(5).any(|part| part == b"close"));
    }
}
