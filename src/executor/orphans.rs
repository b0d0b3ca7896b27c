//! What an earlier daemon left running when it was killed: found by record and by marker, ended, and awaited, before any
//! of its tasks may run again.

use std::io;
use std::time::Duration;

use crate::clock::Clock;

use super::procfs::{self, Stat};
use super::sweep::Sweep;

/// What was noted of a process when its run started.
pub use super::procfs::Process as Record;

/// How many processes were ended, and how many of them had to be killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub processes: usize,
    pub killed: usize,
}

/// Ends every process of our user that one of `records` describes or that carries a marker of this `epoch`, together
/// with the process groups they lead: TERM, after `grace` KILL. Returns when they have exited. A number that meanwhile
/// belongs to another process is never signalled. This process itself is never meant, even if it carries the marker.
///
/// # Errors
/// /proc cannot be read, or ([`io::ErrorKind::TimedOut`]) a process that was killed does not end.
pub fn end_all(epoch: &str, records: &[Record], grace: Duration, clock: &dyn Clock) -> io::Result<Ended> {
    let boot_id = procfs::boot_id();
    let is_recorded = |pid: u32, stat: &Stat| {
        let matches = |record: &Record| record.pid == pid && record.started == stat.started;
        !boot_id.is_empty() && records.iter().any(|record| record.boot_id == boot_id && matches(record))
    };
    let is_marked = |pid: u32| {
        let marker = procfs::marker(pid);
        marker.is_some_and(|marker| marker.strip_prefix(epoch).is_some_and(|rest| rest.starts_with('/')))
    };
    let sweep = Sweep {
        wanted: &|pid, stat| is_recorded(pid, stat) || is_marked(pid),
        group: None,
        group_asked: false,
        kill_at: clock.tick().after(grace),
        clock,
        wake: None,
    };
    let swept = sweep.run()?;
    if swept.left.is_empty() {
        return Ok(Ended { processes: swept.ended, killed: swept.killed });
    }
    let message = format!("processes {:?} of an earlier run were killed and do not end", swept.left);
    Err(io::Error::new(io::ErrorKind::TimedOut, message))
}
