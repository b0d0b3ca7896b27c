//! The stream under a WebSocket. What is read comes from the network at once; what is written is gathered, because it may
//! go out only between two events.

use mio::net::TcpStream;
use std::io::{self, Read, Write};

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    /// Whole frames, written by the protocol and not sent yet.
    pub(super) written: Vec<u8>,
    /// A sign of life since this was last looked at: bytes that came, or that were taken where there was no room before.
    /// That the kernel takes what it has room for says nothing of the peer.
    pub(super) has_heard: bool,
    /// The peer has to take something before more can be sent.
    is_full: bool,
    /// Bytes that may be read before others have their turn: a message of countless empty parts has no end.
    pub(super) ration: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire { stream, written: Vec::new(), has_heard: false, is_full: false, ration: 0 }
    }

    /// Sends at once, as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = send(&mut self.stream, bytes);
        match &sent {
            Ok(_) => self.has_heard |= std::mem::take(&mut self.is_full),
            Err(error) => self.is_full |= error.kind() == io::ErrorKind::WouldBlock,
        }
        sent
    }
}

/// Sends at once, as much as there is room for.
pub(super) fn send(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
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
