//! Which signal is due when: the deadline of a run, requests to stop it, the grace, and how long its end is waited for.
//! Decides only, on time that it is given.

use std::time::Duration;

use rustix::process::Signal;

use crate::clock::Tick;

use super::finished::Ending;
use super::leader::KILLED_WAIT_MAX;

/// How long output is still read after the leader has exited: somebody in the background may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Limits {
    phase: Phase,
    graces: Graces,
    stopped: Option<Ending>,
}

/// From TERM to KILL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Graces {
    /// When the time is up or somebody cancelled.
    pub(super) ended: Duration,
    /// When the daemon stops.
    pub(super) stopped: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Working {
        deadline: Tick,
    },
    /// TERM was sent.
    Ending {
        kill_at: Tick,
    },
    /// KILL was sent.
    Killed {
        give_up_at: Tick,
    },
    /// The leader has exited; what it wrote may still be in the pipes.
    Exited {
        drained_at: Tick,
        kill_at: Tick,
    },
}

impl Limits {
    pub(super) fn new(began: Tick, timeout: Duration, graces: Graces) -> Limits {
        Limits { phase: Phase::Working { deadline: began.after(timeout) }, graces, stopped: None }
    }

    fn grace(&self) -> Duration {
        if self.stopped == Some(Ending::Shutdown) { self.graces.stopped } else { self.graces.ended }
    }

    /// The signal that the group is to get now, if any; ask until there is none. `asked` is how somebody wants the run
    /// to end, `hurry` that they do not grant it any grace.
    pub(super) fn due(&mut self, now: Tick, asked: Option<Ending>, hurry: bool) -> Option<Signal> {
        match self.phase {
            Phase::Working { deadline } => {
                self.stopped = asked.or((now >= deadline).then_some(Ending::TimedOut));
                self.stopped?;
                self.phase = Phase::Ending { kill_at: now.after(self.grace()) };
                Some(Signal::TERM)
            }
            Phase::Ending { kill_at } if now >= kill_at || hurry => {
                self.phase = Phase::Killed { give_up_at: now.after(KILLED_WAIT_MAX) };
                Some(Signal::KILL)
            }
            Phase::Ending { .. } | Phase::Killed { .. } | Phase::Exited { .. } => None,
        }
    }

    pub(super) fn note_exit(&mut self, now: Tick) {
        self.phase = Phase::Exited { drained_at: now.after(DRAIN), kill_at: self.kill_rest_at(now) };
    }

    pub(super) fn has_exited(&self) -> bool {
        matches!(self.phase, Phase::Exited { .. })
    }

    /// Whether there is nothing more to wait for: the leader has exited and `is_drained` says that all it wrote was
    /// read, or the patience for one of both has run out.
    pub(super) fn is_over(&self, now: Tick, is_drained: bool, hurry: bool) -> bool {
        match self.phase {
            Phase::Working { .. } | Phase::Ending { .. } => false,
            Phase::Killed { give_up_at } => now >= give_up_at,
            Phase::Exited { drained_at, .. } => is_drained || hurry || now >= drained_at,
        }
    }

    /// When the next of these answers changes by itself.
    pub(super) fn next(&self) -> Tick {
        match self.phase {
            Phase::Working { deadline } => deadline,
            Phase::Ending { kill_at } => kill_at,
            Phase::Killed { give_up_at } => give_up_at,
            Phase::Exited { drained_at, .. } => drained_at,
        }
    }

    /// When whatever the leader leaves behind is to be killed. It gets one grace, not two.
    pub(super) fn kill_rest_at(&self, now: Tick) -> Tick {
        match self.phase {
            Phase::Working { .. } => now.after(self.grace()),
            Phase::Ending { kill_at } | Phase::Exited { kill_at, .. } => kill_at,
            Phase::Killed { .. } => now,
        }
    }

    /// Why the run was ended from outside, if it was.
    pub(super) fn stopped(&self) -> Option<Ending> {
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(millis))
    }

    /// A run that may take 100 ms and has 10 ms of grace.
    fn limits() -> Limits {
        let graces = Graces { ended: Duration::from_millis(10), stopped: Duration::from_millis(20) };
        Limits::new(at(0), Duration::from_millis(100), graces)
    }

    #[test]
    fn a_daemon_that_stops_has_a_grace_of_its_own() {
        let mut limits = limits();
        assert_eq!(limits.due(at(50), Some(Ending::Shutdown), false), Some(Signal::TERM));
        assert_eq!(limits.due(at(69), None, false), None);
        assert_eq!(limits.due(at(70), None, false), Some(Signal::KILL));
    }

    #[test]
    fn the_deadline_asks_and_the_grace_kills() {
        let mut limits = limits();
        assert_eq!((limits.due(at(99), None, false), limits.next()), (None, at(100)));
        assert_eq!(limits.due(at(100), None, false), Some(Signal::TERM));
        assert_eq!((limits.due(at(109), None, false), limits.next()), (None, at(110)));
        assert_eq!(limits.due(at(110), None, false), Some(Signal::KILL));
        assert_eq!((limits.due(at(111), None, false), limits.stopped()), (None, Some(Ending::TimedOut)));
        assert!(!limits.is_over(at(5109), true, true) && limits.is_over(at(5110), false, false));
    }

    #[test]
    fn a_request_comes_before_the_deadline_and_a_later_one_changes_nothing() {
        let mut limits = limits();
        assert_eq!(limits.due(at(100), Some(Ending::Cancelled), false), Some(Signal::TERM));
        assert_eq!(limits.due(at(101), Some(Ending::Shutdown), false), None);
        assert_eq!(limits.stopped(), Some(Ending::Cancelled));
    }

    #[test]
    fn hurry_leaves_no_grace() {
        let mut limits = limits();
        assert_eq!(limits.due(at(1), Some(Ending::Shutdown), true), Some(Signal::TERM));
        assert_eq!(limits.due(at(1), Some(Ending::Shutdown), true), Some(Signal::KILL));
    }

    #[test]
    fn after_the_exit_output_is_read_for_a_while() {
        let mut limits = limits();
        limits.note_exit(at(50));
        assert!(limits.has_exited() && limits.next() == at(300));
        assert!(!limits.is_over(at(299), false, false) && limits.is_over(at(300), false, false));
        assert!(limits.is_over(at(50), true, false) && limits.is_over(at(50), false, true));
        // The deadline is met, even if reading takes longer.
        assert_eq!((limits.due(at(200), Some(Ending::Cancelled), false), limits.stopped()), (None, None));
    }

    #[test]
    fn what_is_left_behind_has_what_is_left_of_the_grace() {
        let mut completed = limits();
        completed.note_exit(at(50));
        assert_eq!(completed.kill_rest_at(at(70)), at(60));
        let mut asked = limits();
        asked.due(at(20), Some(Ending::Cancelled), false);
        asked.note_exit(at(25));
        assert_eq!(asked.kill_rest_at(at(26)), at(30));
        let mut killed = limits();
        killed.due(at(20), Some(Ending::Cancelled), false);
        killed.due(at(30), None, false);
        killed.note_exit(at(31));
        assert_eq!(killed.kill_rest_at(at(40)), at(31));
    }
}
