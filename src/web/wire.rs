//! The stream under a WebSocket. What is read comes from the network at once; what is written is gathered, because it may
//! go out only between two events.

use mio::net::TcpStream;
use std::io::{self, Read, Write};

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    /// Whole frames, written by the protocol and not sent yet.
    pub(super) written: Vec<u8>,
    /// Bytes came since this was last looked at.
    pub(super) has_heard: bool,
    /// Bytes that may be read before others have their turn: a message of countless empty parts has no end.
    pub(super) ration: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire { stream, written: Vec::new(), has_heard: false, ration: 0 }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ration == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match self.stream.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(bytes) => {
                    self.has_heard |= bytes > 0;
                    self.ration = self.ration.saturating_sub(bytes);
                    return Ok(bytes);
                }
                other => return other,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
