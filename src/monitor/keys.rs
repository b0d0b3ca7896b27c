//! What a person presses, on a thread of its own that waits for it.

use super::decoder::Decoder;
use crate::thread::{Bell, Joined};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    BackTab,
}

/// How long the thread may take to end; it is left behind when it hangs in a read that nothing can end.
const END_TIMEOUT: Duration = Duration::from_millis(500);
/// Between the bytes of one key.
const REST_TIMEOUT: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 256;

/// Listening to the keyboard; dropping it ends the thread.
pub(crate) struct Keys {
    stop: Arc<Bell>,
    /// Hangs up at the thread's end.
    ended: Receiver<()>,
    /// Always there until this is dropped.
    thread: Option<Joined<()>>,
}

impl Keys {
    /// Keys that nobody takes in time are lost.
    ///
    /// # Errors
    /// There is no keyboard, or the operating system has no thread left to give.
    pub(crate) fn listen(keys: Sender<Key>) -> io::Result<Keys> {
        let terminal = keyboard()?;
        let stop = Arc::new(Bell::new()?);
        let bell = Arc::clone(&stop);
        let (end, ended) = bounded(0);
        let thread = Joined::spawn("keys", move || {
            let _end = end;
            listen(&terminal, &bell, &keys);
        })?;
        Ok(Keys { stop, ended, thread: Some(thread) })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.ring();
        let has_ended = self.ended.recv_timeout(END_TIMEOUT) == Err(RecvTimeoutError::Disconnected);
        if let Some(thread) = self.thread.take().filter(|_| !has_ended) {
            thread.leave();
        }
    }
}

/// Standard input, or the terminal itself where that is something else.
fn keyboard() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return stdin.as_fd().try_clone_to_owned();
    }
    Ok(openat(CWD, "/dev/tty", OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?)
}

fn listen(terminal: &OwnedFd, stop: &Bell, keys: &Sender<Key>) {
    let mut decoder = Decoder::default();
    loop {
        let rest = Timespec::try_from(REST_TIMEOUT).ok().filter(|_| decoder.is_within_a_key());
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(terminal, PollFlags::IN)];
        match poll(&mut fds, rest.as_ref()) {
            Ok(0) => decoder.nothing_follows(),
            Ok(_) if !fds[0].revents().is_empty() => return,
            Ok(_) => {
                let mut bytes = [0; READ_BYTES];
                match read(terminal, &mut bytes) {
                    // The terminal is gone, or somebody else's: signals are what is left.
                    Ok(0) => return,
                    Ok(count) => decoder.take(&bytes[..count]),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => return,
                }
            }
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
        for key in decoder.keys.drain(..) {
            let _ = keys.try_send(key);
        }
    }
}
