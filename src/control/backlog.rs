//! What is on its way to a peer, and how much of it there may be.

use super::connection::has_hung_up;
use crate::model::command::Refusal;
use crate::thread::Bell;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::value::RawValue;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests of one connection that are not answered yet; then reading pauses.
pub(super) const UNANSWERED_MAX: usize = 1024;
/// Answers to reads that the peer has not taken yet; then reading pauses too.
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// What is on its way to the peer, counted by both threads. Only the reader adds to it, and waits when it is too much;
/// only the writer takes from it, and rings when it was too much.
pub(super) struct Backlog {
    unanswered: AtomicUsize,
    queued_bytes: AtomicUsize,
    bell: Bell,
}

impl Backlog {
    pub(super) fn new() -> io::Result<Backlog> {
        Ok(Backlog { unanswered: AtomicUsize::new(0), queued_bytes: AtomicUsize::new(0), bell: Bell::new()? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) >= UNANSWERED_MAX
            || self.queued_bytes.load(Ordering::SeqCst) >= QUEUED_BYTES_MAX
    }

    /// Counts one more request, as soon as there is room. Returns false when the stream has ended meanwhile.
    pub(super) fn enter(&self, stream: &UnixStream) -> bool {
        while self.is_full() {
            let mut fds = [PollFd::new(stream, PollFlags::empty()), PollFd::new(&self.bell, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
            if has_hung_up(&fds[0]) {
                return false;
            }
            self.bell.silence();
        }
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        true
    }

    pub(super) fn queued(&self, outcome: &Result<Box<RawValue>, Refusal>) {
        self.queued_bytes.fetch_add(bytes_of(outcome), Ordering::SeqCst);
    }

    pub(super) fn leave(&self, bytes: usize) {
        let was_full = self.is_full();
        self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
        if was_full {
            self.bell.ring();
        }
    }
}

pub(super) fn bytes_of(outcome: &Result<Box<RawValue>, Refusal>) -> usize {
    outcome.as_ref().map_or(0, |result| result.get().len())
}
