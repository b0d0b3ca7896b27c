//! What the supervisor is told and what it asks for; without one, nothing happens.

use std::env;
use std::fmt::Display;
use std::os::fd::AsFd;
use std::time::Duration;

use sd_notify::NotifyState;

/// Longest status line, in bytes; systemd takes more, but shows one line.
const STATUS_BYTES_MAX: usize = 512;

/// The doors are open.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// The doors are being closed.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What `systemctl status` shows.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&one_line(status))]);
}

/// Still alive; to be called every [`watchdog_interval`].
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the supervisor wants to hear that we live: half of what it waits for.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero())
}

/// Whether standard error goes to the journal, which stamps lines itself and reads their level from a prefix.
pub fn journal_stream() -> bool {
    let stderr = std::io::stderr();
    match (env::var("JOURNAL_STREAM"), rustix::fs::fstat(stderr.as_fd())) {
        (Ok(named), Ok(found)) => is_named(&named, found.st_dev, found.st_ino),
        _ => false,
    }
}

/// Whether `dev:inode` names that file. The variable alone proves nothing: children inherit it, with other streams.
fn is_named(named: &str, dev: impl Display, ino: impl Display) -> bool {
    named == format!("{dev}:{ino}")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        // The supervisor will notice the silence; we carry on.
        log::debug!("the supervisor could not be told: {error}");
    }
}

/// A newline would begin another assignment in the message to the supervisor.
fn one_line(text: &str) -> String {
    let start = &text[..text.floor_char_boundary(STATUS_BYTES_MAX)];
    start.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_named("8:123", 8, 123));
        for other in ["", "8:12", "8", "9:123", "8:123\n", "08:123"] {
            assert!(!is_named(other, 8, 123), "{other:?}");
        }
    }

    #[test]
    fn a_status_cannot_say_anything_else() {
        assert_eq!(one_line("idle\nMAINPID=1\r\u{1b}"), "idle MAINPID=1  ");
        assert_eq!(one_line(&"é".repeat(1000)).len(), STATUS_BYTES_MAX);
    }
}
