//! The terminal while a screen is on it: raw, on its alternate page, and as it was before when we leave, however that
//! comes about.

use crate::clock::{Clock, Tick};
use crate::thread::Bell;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::style::ResetColor;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{execute, queue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a terminal is given at once: so much it takes whenever it says that it takes anything.
const CHUNK_BYTES_MAX: usize = 256;
/// How long a terminal may take nothing, at the end.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// Whether the terminal is ours at the moment; also looked at by a panic, on whatever thread.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Owns the terminal until it is dropped.
#[must_use]
pub(crate) struct Taken;

impl Taken {
    /// # Errors
    /// It is none, or cannot be made raw.
    pub(crate) fn take(out: &mut Patient) -> io::Result<Taken> {
        restore_on_panic();
        // From here on a failure gives it back.
        let taken = Taken;
        taken.take_again(out)?;
        Ok(taken)
    }

    fn take_again(&self, out: &mut Patient) -> io::Result<()> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        execute!(out, EnterAlternateScreen, Hide)
    }

    /// Gives the terminal to the shell until it lets us go on.
    ///
    /// # Errors
    /// The terminal is gone meanwhile.
    pub(crate) fn suspend(&self, out: &mut Patient) -> io::Result<()> {
        give_back(&mut Patient::last());
        // Returns when we are continued; at once where there is no shell that could do so.
        kill_process(getpid(), Signal::TSTP)?;
        self.take_again(out)
    }

    /// After somebody else has stopped us, and whoever had the terminal then may have changed its ways.
    ///
    /// # Errors
    /// As of [`Taken::suspend`].
    pub(crate) fn retake(&self, out: &mut Patient) -> io::Result<()> {
        disable_raw_mode()?;
        self.take_again(out)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back(&mut Patient::last());
    }
}

fn give_back(out: &mut Patient) {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing; whatever can be put right is.
        let _ = queue!(out, ResetColor, Show, LeaveAlternateScreen);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// What a panic says is to be read, so the terminal is given back before it is said. Once for the whole process.
fn restore_on_panic() {
    static HOOKED: AtomicBool = AtomicBool::new(false);
    if HOOKED.swap(true, Ordering::SeqCst) {
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        give_back(&mut Patient::last());
        before(info);
    }));
}

/// Standard output, written to only when it takes something: one that does not, and whoever wants to end, end the wait.
pub(crate) struct Patient {
    out: Stdout,
    waiting: Vec<u8>,
    /// Rings when we are to end.
    stop: Option<Arc<Bell>>,
    limit: Option<(Tick, Arc<dyn Clock>)>,
    /// It was not taken once, and is not tried again: whoever tidies up behind us must not wait either.
    has_given_up: bool,
}

impl Patient {
    pub(crate) fn until(stop: Arc<Bell>) -> Patient {
        Patient { out: io::stdout(), waiting: Vec::new(), stop: Some(stop), limit: None, has_given_up: false }
    }

    fn last() -> Patient {
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock::new());
        let limit = clock.tick().after(LAST_PATIENCE);
        Patient { out: io::stdout(), waiting: Vec::new(), stop: None, limit: Some((limit, clock)), has_given_up: false }
    }

    /// Until the terminal takes something.
    fn wait(&self) -> io::Result<()> {
        if self.stop.is_some() && !TAKEN.load(Ordering::SeqCst) {
            // A panic has given it back, and its words are not to be painted over.
            return Err(io::ErrorKind::NotConnected.into());
        }
        loop {
            let left = self.limit.as_ref().map(|(limit, clock)| clock.tick().until(*limit));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = vec![PollFd::new(&self.out, PollFlags::OUT)];
            fds.extend(self.stop.as_deref().map(|stop| PollFd::new(stop, PollFlags::IN)));
            match poll(&mut fds, left.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) if fds[0].revents().contains(PollFlags::OUT) => return Ok(()),
                Ok(_) if fds.get(1).is_some_and(|stop| !stop.revents().is_empty()) => {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Patient {
    fn write_out(&self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
            self.wait()?;
            let mut out = self.out.lock();
            out.write_all(chunk)?;
            out.flush()?;
        }
        Ok(())
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if self.has_given_up {
            return Ok(());
        }
        let written = self.write_out(&waiting);
        self.has_given_up = written.is_err();
        written
    }
}
