//! A terminal of our own: what a program writes to it, what it is told by keys, and how it is left.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{read, write};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that anything is waited for.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Pty {
    master: OwnedFd,
    slave: OwnedFd,
    /// All that was written to it.
    pub(crate) bytes: Vec<u8>,
}

impl Pty {
    pub(crate) fn open(width: u16, height: u16) -> Pty {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let pty = Pty { master, slave, bytes: Vec::new() };
        pty.resize(width, height);
        pty
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.slave, size).unwrap();
    }

    /// Starts a program on it.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let slave = || Stdio::from(self.slave.try_clone().unwrap());
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap()
    }

    /// Whether it takes no more, because nobody reads it.
    pub(crate) fn is_full(&self) -> bool {
        poll(&mut [PollFd::new(&self.slave, PollFlags::OUT)], Some(&Timespec::default())) == Ok(0)
    }

    pub(crate) fn press(&self, keys: &str) {
        assert_eq!(write(&self.master, keys.as_bytes()), Ok(keys.len()));
    }

    /// Reads what is written within so long; false when nothing was.
    pub(crate) fn read_for(&mut self, wait: Duration) -> bool {
        let before = self.bytes.len();
        let until = now() + wait;
        loop {
            let limit = Timespec::try_from(until.saturating_duration_since(now())).unwrap();
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            if poll(&mut fds, Some(&limit)) != Ok(1) || !fds[0].revents().contains(PollFlags::IN) {
                return self.bytes.len() > before;
            }
            let mut buffer = [0; 65536];
            let count = read(&self.master, &mut buffer).unwrap();
            self.bytes.extend_from_slice(&buffer[..count]);
        }
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = now() + LIMIT;
        while !self.has(text) {
            assert!(now() < until, "{text:?} is not in {:?}", String::from_utf8_lossy(&self.bytes));
            self.read_for(Duration::from_millis(20));
        }
    }

    /// The exit code of a program on it, once it ends.
    #[track_caller]
    pub(crate) fn wait(&mut self, child: &mut Child) -> Option<i32> {
        let until = now() + LIMIT;
        loop {
            // Somebody has to read, or it cannot end.
            self.read_for(Duration::from_millis(20));
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if now() > until {
                let _ = child.kill();
                panic!("it does not end");
            }
        }
    }

    /// Whether lines are edited and keys echoed again, the screen is the old one and the cursor is back.
    pub(crate) fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        let text = String::from_utf8_lossy(&self.bytes);
        let last = |on: &str, off: &str| text.rfind(on) < text.rfind(off);
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
            && last("\x1b[?1049h", "\x1b[?1049l")
            && last("\x1b[?25l", "\x1b[?25h")
    }

    pub(crate) fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits in real time for a real program")]
fn now() -> Instant {
    Instant::now()
}
