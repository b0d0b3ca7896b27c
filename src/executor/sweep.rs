//! Ending processes that are not our children, or no longer: found in /proc, held by pidfd, asked with TERM, and killed
//! when they do not go. Nothing is signalled that has not been recognised *after* its pidfd was opened.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};

use crate::clock::{Clock, Tick};

use super::leader::KILLED_WAIT_MAX;
use super::poll::poll;
use super::procfs::{self, Stat};
use super::wake::Wake;

/// Processes ended in one round, so that a crowd does not use up our file descriptors; the next round takes more.
const ROUND_TARGETS_MAX: usize = 256;

/// Whom to end, and how patiently.
pub(super) struct Sweep<'a> {
    pub(super) wanted: &'a dyn Fn(u32, &Stat) -> bool,
    /// A group whose number is held by a leader that we have not reaped: it can be signalled as a whole.
    pub(super) group: Option<Pid>,
    /// Whether that group has had its TERM.
    pub(super) group_asked: bool,
    pub(super) kill_at: Tick,
    pub(super) clock: &'a dyn Clock,
    pub(super) wake: Option<&'a Wake>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) ended: usize,
    /// Of these, how many did not go by themselves.
    pub(super) killed: usize,
    /// Killed and still there: stuck in the kernel.
    pub(super) left: Vec<u32>,
}

/// A process that cannot be mistaken for another one while this lives.
struct Target {
    pid: Pid,
    stat: Stat,
    pidfd: OwnedFd,
}

impl Sweep<'_> {
    /// Rounds of looking and ending, until a look finds nobody.
    pub(super) fn run(mut self) -> io::Result<Swept> {
        let mut swept = Swept::default();
        let mut give_up_at = Tick::FAR;
        loop {
            let targets = self.find()?;
            let now = self.clock.tick();
            if targets.is_empty() || now >= give_up_at {
                swept.left = targets.iter().map(|target| target.pid.as_raw_pid().unsigned_abs()).collect();
                return Ok(swept);
            }
            let killing = self.is_time_to_kill(now);
            if killing {
                give_up_at = give_up_at.min(now.after(KILLED_WAIT_MAX));
            }
            self.signal(&targets, if killing { Signal::KILL } else { Signal::TERM });
            let ended = self.wait_for(&targets, killing, if killing { give_up_at } else { self.kill_at })?;
            swept.ended += ended;
            swept.killed += if killing { ended } else { 0 };
        }
    }

    fn is_time_to_kill(&self, now: Tick) -> bool {
        now >= self.kill_at || self.wake.is_some_and(Wake::is_impatient)
    }

    /// Everybody who is wanted, and the groups that they lead.
    fn find(&self) -> io::Result<Vec<Target>> {
        let mut targets = Vec::new();
        let mut others = Vec::new();
        for pid in procfs::ours()? {
            let Ok(stat) = Stat::read(pid) else { continue };
            if stat.is_dead() {
                continue;
            }
            if (self.wanted)(pid, &stat) {
                hold(&mut targets, pid, &stat)?;
            } else {
                others.push((pid, stat));
            }
        }
        let led: BTreeMap<u32, usize> =
            (0..targets.len()).filter(|&at| targets[at].leads_group()).map(|at| (targets[at].stat.group, at)).collect();
        for (pid, stat) in others {
            let Some(&leader) = led.get(&stat.group) else { continue };
            let held = hold(&mut targets, pid, &stat)?;
            // As long as the leader lives, the group of that number is its group.
            if held && targets[leader].has_exited() {
                targets.pop();
            }
        }
        Ok(targets)
    }

    fn signal(&mut self, targets: &[Target], signal: Signal) {
        let is_in_group = |target: &Target| self.group.is_some_and(|group| target.is_in(group));
        if let Some(group) = self.group
            && targets.iter().any(is_in_group)
            && (signal == Signal::KILL || !self.group_asked)
        {
            // All at once: one by one, a group that forks would outrun us.
            let _ = kill_process_group(group, signal);
            self.group_asked = true;
        }
        for target in targets.iter().filter(|target| !is_in_group(target)) {
            // Fails only for one that has ended, or become another user's: see `left`.
            let _ = pidfd_send_signal(&target.pidfd, signal);
        }
    }

    /// Waits until all have exited, it is `limit`, or somebody has lost patience. Returns how many have exited.
    fn wait_for(&self, targets: &[Target], killing: bool, limit: Tick) -> io::Result<usize> {
        let mut alive: Vec<&Target> = targets.iter().collect();
        loop {
            alive.retain(|target| !target.has_exited());
            let now = self.clock.tick();
            if alive.is_empty() || now >= limit || (!killing && self.is_time_to_kill(now)) {
                break;
            }
            let mut fds: Vec<PollFd<'_>> =
                alive.iter().map(|target| PollFd::new(&target.pidfd, PollFlags::IN)).collect();
            if let Some(wake) = self.wake {
                fds.push(PollFd::new(wake, PollFlags::IN));
            }
            poll(&mut fds, now.until(limit))?;
            if let Some(wake) = self.wake {
                wake.hush();
            }
        }
        if self.group.is_some() {
            for target in targets {
                target.reap_if_ours();
            }
        }
        Ok(targets.len() - alive.len())
    }
}

/// Adds the process that `seen` was read from, and says whether it did: it may have ended, or be one for the next round.
fn hold(targets: &mut Vec<Target>, pid: u32, seen: &Stat) -> io::Result<bool> {
    if targets.len() == ROUND_TARGETS_MAX {
        return Ok(false);
    }
    match Target::open(pid, seen) {
        Ok(target) => {
            targets.push(target);
            Ok(true)
        }
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound) => Ok(false),
        // Out of file descriptors: those we have come first. Without any it must not look as if nobody was there.
        Err(_) if !targets.is_empty() => Ok(false),
        Err(err) => Err(err),
    }
}

impl Target {
    fn open(pid: u32, seen: &Stat) -> io::Result<Target> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let held = procfs::pid(pid).ok_or_else(gone)?;
        let pidfd = pidfd_open(held, PidfdFlags::empty()).map_err(|err| match err {
            Errno::SRCH => gone(),
            other => other.into(),
        })?;
        // In this order: the number still belongs to the process seen before, so it also did when the pidfd was opened.
        let stat = Stat::read(pid).map_err(|_| gone())?;
        if stat.started != seen.started || stat.group != seen.group || stat.is_dead() {
            return Err(gone());
        }
        Ok(Target { pid: held, stat, pidfd })
    }

    fn leads_group(&self) -> bool {
        self.is_in(self.pid)
    }

    fn is_in(&self, group: Pid) -> bool {
        i32::try_from(self.stat.group) == Ok(group.as_raw_pid())
    }

    fn has_exited(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, std::time::Duration::ZERO).is_ok() && !fds[0].revents().is_empty()
    }

    /// After a run most are adopted children; what has another parent is reaped by that.
    fn reap_if_ours(&self) {
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}
