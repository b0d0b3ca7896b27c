//! The process that a task was started as. It leads a process group, which keeps the group's number ours for as long as
//! the leader is not reaped: so it is reaped last, after everything else in the group has been ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_open, waitid,
};

use super::poll::poll;
use super::procfs::{self, Stat};

/// How long to wait for the end of what was killed: longer only takes what is stuck in the kernel.
pub(super) const KILLED_WAIT_MAX: Duration = Duration::from_secs(5);

/// Held for reading while a child exists that is not yet in [`LEADERS`].
static STARTING: RwLock<()> = RwLock::new(());
/// The leaders that some thread is going to reap. With it, [`reap_adopted`] can tell them from adopted strangers.
static LEADERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

#[derive(Debug)]
pub(super) struct Leader {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Leader {
    /// Starts the command as the leader of a new process group, and gives back its pipes inside the [`Child`].
    pub(super) fn spawn(command: &mut Command) -> io::Result<(Leader, Child)> {
        use std::os::unix::process::CommandExt;

        let starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
        // Not `pre_exec`: only without it does the standard library take the fast way through posix_spawn.
        let child = command.process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        leaders().push(pid);
        drop(starting);

        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok((Leader { pid, pidfd, reaped: false }, child)),
            Err(err) => {
                // What cannot be supervised must not run.
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
                forget(pid);
                Err(err.into())
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals the whole group. The number cannot have gone to anybody else, because the leader is not reaped yet.
    pub(super) fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            // Fails only for members that have become another user's; those nobody but root could end.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// After the leader has exited: whether anything else of its group is alive.
    ///
    /// The kernel is asked for children in the group that might still stop. The leader, dead and not reaped, cannot; if
    /// nobody else is left the answer is "no such child". What has lost its parent is a child of ours, see
    /// [`become_subreaper`].
    pub(super) fn has_company(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pgid(Some(self.pid)), options).is_ok()
    }

    /// How it ended, if it has; also reaps whoever else died in the group. The group must not be signalled after this.
    pub(super) fn reap(&mut self) -> Option<WaitIdStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok().flatten()?;
        self.reaped = true;
        while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(self.pid)), options) {}
        Some(status)
    }
}

impl AsFd for Leader {
    /// Becomes readable when the leader has exited.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.reaped {
            // Somebody panicked in the middle of a run, or the kernel does not let go of the process.
            self.signal_group(Signal::KILL);
            let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], KILLED_WAIT_MAX);
            self.reap();
        }
        forget(self.pid);
    }
}

/// Makes this process the parent of every orphan among its descendants. The daemon calls it once, before its first run;
/// without it a child that has detached itself goes to init, and a run cannot see that it is still there.
///
/// # Errors
/// The system does not allow it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Reaps adopted processes that have ended by themselves, and returns how many. It costs one system call while no child
/// is dead, and otherwise a look through /proc: call it when a worker has run out of tasks, not after each.
///
/// Only for a process that starts children in groups of their own through this room alone: those of others would be
/// taken for adopted ones. A child that stayed in our own group is nobody's orphan and left alone.
///
/// # Errors
/// /proc cannot be read.
pub fn reap_adopted() -> io::Result<usize> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
        return Ok(0);
    }
    // Read from /proc: in a PID namespace the leader of our own group may be outside, and its number is then 0.
    let our_group = Stat::read(std::process::id())?.group;
    let mut reaped = 0;
    for pid in procfs::ours()? {
        let Ok(stat) = Stat::read(pid) else { continue };
        let is_dead_child = stat.is_dead() && stat.parent == std::process::id();
        if is_dead_child && stat.group != our_group && reap_stranger(pid) {
            reaped += 1;
        }
    }
    Ok(reaped)
}

fn reap_stranger(pid: u32) -> bool {
    let Some(pid) = procfs::pid(pid) else { return false };
    // It may be a leader that exited before its thread could say that it had started it: wait for all who are at it.
    drop(STARTING.write().unwrap_or_else(PoisonError::into_inner));
    // By pid, so that the end of a leader is left to the thread that waits for it.
    !leaders().contains(&pid)
        && matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(Some(_)))
}

fn leaders() -> MutexGuard<'static, Vec<Pid>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes one entry: should the number already belong to the next leader, its own entry stays.
fn forget(pid: Pid) {
    let mut leaders = leaders();
    if let Some(at) = leaders.iter().position(|&leader| leader == pid) {
        leaders.swap_remove(at);
    }
}
