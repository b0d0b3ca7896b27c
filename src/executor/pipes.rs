//! Our ends of a child's pipes, which never block: what it reads is fed to it, what it writes is taken from it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::output::LogFile;

/// What the child reads, as far as it does.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pipe: OwnedFd,
    text: Cow<'a, str>,
    written: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(pipe: OwnedFd, text: Cow<'a, str>) -> Input<'a> {
        Input { pipe, text, written: 0 }
    }

    pub(super) fn pipe(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Writes what there is room for. Returns whether that was the end: all is written, or nobody reads it.
    pub(super) fn write(&mut self) -> bool {
        match rustix::io::write(&self.pipe, &self.text.as_bytes()[self.written..]) {
            Ok(count) => {
                self.written += count;
                self.written == self.text.len()
            }
            Err(err) => !is_temporary(err),
        }
    }
}

/// What the child writes, on its way into the log.
#[derive(Debug)]
pub(super) struct Stream {
    /// Until the other side has closed it.
    pipe: Option<OwnedFd>,
    log: LogFile,
}

impl Stream {
    pub(super) fn new(pipe: Option<OwnedFd>, log: LogFile) -> Stream {
        Stream { pipe, log }
    }

    pub(super) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Length of its log, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.log.length()
    }

    /// Takes what is there, at most as much as the buffer holds.
    pub(super) fn read(&mut self, chunk: &mut [u8], mut also: impl FnMut(&[u8])) {
        let Some(pipe) = &self.pipe else { return };
        match rustix::io::read(pipe, &mut *chunk) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                self.log.write(&chunk[..count]);
                also(&chunk[..count]);
            }
            Err(err) if is_temporary(err) => {}
            Err(_) => self.pipe = None,
        }
    }
}

fn is_temporary(err: Errno) -> bool {
    matches!(err, Errno::AGAIN | Errno::INTR)
}
