//! What is on its way to one client: whole frames, of which the first may be sent in part. What belongs to a connection
//! alone goes in between events, never into one.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io;

/// With so much on its way, nothing more is taken from a client.
pub(super) const PENDING_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.bytes += frames.len();
            self.chunks.push_back(frames);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether the client has to take something before it is heard again.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= PENDING_BYTES_MAX
    }

    /// Sends until all is out (true) or no more is taken (false).
    pub(super) fn flush(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        while let Some(chunk) = self.chunks.front_mut() {
            match send(chunk) {
                Ok(taken) => {
                    self.bytes -= taken;
                    chunk.advance(taken);
                    if chunk.is_empty() {
                        self.chunks.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        // Thousands of connections that have nothing to say hold no memory for it.
        self.chunks = VecDeque::new();
        Ok(true)
    }
}

/// Appends a WebSocket text frame as a server sends it: whole, and not masked (RFC 6455, 5.2).
pub(super) fn put_text(out: &mut Vec<u8>, payload: &[u8]) {
    const FINAL_TEXT: u8 = 0x81;
    out.push(FINAL_TEXT);
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time, then none.
    struct Trickle(Vec<u8>, usize);

    impl Trickle {
        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            self.1 -= taken;
            self.0.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        }
    }

    #[test]
    fn what_is_taken_in_parts_arrives_whole_and_in_order() {
        let mut outbox = Outbox::default();
        for text in ["first", "", "second"] {
            outbox.push(Bytes::from_static(text.as_bytes()));
        }
        let mut to = Trickle(Vec::new(), 0);
        while !outbox.flush(|bytes| to.send(bytes)).unwrap() {
            to.1 = 3;
        }
        assert_eq!((to.0.as_slice(), outbox.bytes, outbox.is_empty()), (&b"firstsecond"[..], 0, true));
    }

    #[test]
    fn a_frame_has_the_shortest_length_that_holds_it() {
        for (length, head) in [(0, vec![0x81, 0]), (125, vec![0x81, 125]), (126, vec![0x81, 126, 0, 126])] {
            let mut out = Vec::new();
            put_text(&mut out, &vec![b'x'; length]);
            assert_eq!((&out[..head.len()], out.len()), (&head[..], head.len() + length));
        }
        let mut out = Vec::new();
        put_text(&mut out, &vec![b'x'; 65_536]);
        assert_eq!(out[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
