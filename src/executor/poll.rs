//! The one blocking wait of this room: poll(2) with the resolution of the clock.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, Timespec};

/// Waits until one of `fds` is ready or the time is up. Being interrupted by a signal counts as waking up.
pub(super) fn poll(fds: &mut [PollFd<'_>], wait: Duration) -> io::Result<()> {
    let limit =
        Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(wait.subsec_nanos()) };
    match rustix::event::poll(fds, Some(&limit)) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::INTR) => {
            for fd in fds {
                fd.clear_revents();
            }
            Ok(())
        }
        Err(err) => Err(err.into()),
    }
}
