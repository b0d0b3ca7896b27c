//! Signals, told one at a time by a thread of their own.

use std::io;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator;

use crate::thread::Joined;

/// What the person or the supervisor outside wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The first TERM or INT: stop in order.
    Stop,
    /// Any further one: stop waiting.
    StopNow,
    /// HUP: read the configuration again; on a screen: the terminal is gone.
    Reload,
    /// WINCH, on a screen: the terminal has another size.
    Resized,
    /// CONT, on a screen: we were stopped, and somebody else had the terminal.
    Continued,
}

/// Listening for signals; dropping it ends the thread.
#[derive(Debug)]
pub struct Signals {
    handle: iterator::Handle,
    // Joined when dropped, which comes after `Drop` below has closed the handle.
    _thread: Joined<()>,
}

impl Signals {
    /// From when this returns, no TERM, INT or HUP ends the process by itself any more; `tell` is called for each, on
    /// the thread `signals`. It must not block for long: a signal that arrives meanwhile waits, and equal ones become one.
    ///
    /// # Errors
    /// The operating system has no thread or no handler left to give.
    pub fn listen(tell: impl FnMut(Signal) + Send + 'static) -> io::Result<Signals> {
        Signals::listen_for(&[SIGTERM, SIGINT, SIGHUP], tell)
    }

    /// The same, and what concerns a screen.
    ///
    /// # Errors
    /// As of [`Signals::listen`].
    pub fn listen_on_screen(tell: impl FnMut(Signal) + Send + 'static) -> io::Result<Signals> {
        Signals::listen_for(&[SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGCONT], tell)
    }

    fn listen_for(numbers: &[i32], mut tell: impl FnMut(Signal) + Send + 'static) -> io::Result<Signals> {
        let mut arriving = iterator::Signals::new(numbers)?;
        let handle = arriving.handle();
        let _thread = Joined::spawn("signals", move || {
            let mut stopping = false;
            for number in arriving.forever() {
                tell(meaning(number, &mut stopping));
            }
        })?;
        Ok(Signals { handle, _thread })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

fn meaning(number: i32, stopping: &mut bool) -> Signal {
    match number {
        SIGHUP => return Signal::Reload,
        SIGWINCH => return Signal::Resized,
        SIGCONT => return Signal::Continued,
        _ => {}
    }
    if std::mem::replace(stopping, true) { Signal::StopNow } else { Signal::Stop }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use rustix::process::{Signal as Number, getpid, kill_process};
    use std::io::Write;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn signals_are_told_by_their_meaning_and_the_thread_ends() {
        let (told, telling) = bounded(16);
        let signals = Signals::listen(move |signal| told.send(signal).unwrap()).unwrap();
        for (number, expected) in [
            (Number::HUP, Signal::Reload),
            (Number::TERM, Signal::Stop),
            (Number::HUP, Signal::Reload),
            (Number::INT, Signal::StopNow),
            (Number::TERM, Signal::StopNow),
        ] {
            // Each is awaited before the next, because equal pending signals become one.
            kill_process(getpid(), number).unwrap();
            assert_eq!(telling.recv_timeout(LIMIT), Ok(expected));
        }
        drop(signals);
        // The sender belonged to the thread.
        assert!(telling.recv_timeout(LIMIT).is_err());
    }

    #[test]
    fn a_closed_pipe_is_an_error_and_not_the_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(writer.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
