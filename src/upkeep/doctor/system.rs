//! What the machine gives: room on the disk, the time, files and watches; and the daemon that runs on it.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify;

use super::{Daemon, Finding, processes};
use crate::clock::Timestamp;

/// With less than this the next commits may fail, in bytes.
const FREE_BYTES_MIN: u64 = 64 << 20;
const FREE_BYTES_WARNED: u64 = 512 << 20;
/// Connections, tasks and hooks need a few each.
const OPEN_FILES_MIN: u64 = 256;
const OPEN_FILES_WARNED: u64 = 1024;
/// Clocks of programs that write may differ by so much.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Before this program was written.
const EARLIEST: &str = "2026-01-01T00:00:00Z";

pub(super) fn disk(directory: &Path) -> Finding {
    const CHECK: &str = "disk";
    // Of a directory that is not there yet, the nearest that is.
    let existing = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(existing) {
        Ok(found) => judge_disk(
            directory,
            found.f_bavail.saturating_mul(found.f_frsize),
            found.f_files > 0 && found.f_favail == 0,
        ),
        Err(error) => {
            let sentence =
                format!("how much room there is on the disk of {} cannot be seen: {error}", directory.display());
            Finding::warning(CHECK, sentence, "see df(1)")
        }
    }
}

fn judge_disk(directory: &Path, free_bytes: u64, no_files_left: bool) -> Finding {
    const CHECK: &str = "disk";
    let advice = "remove what is not needed there, or move the state directory (--state-dir) to another disk";
    if no_files_left {
        let sentence = format!("the disk of {} has no room for another file (inodes)", directory.display());
        return Finding::fault(CHECK, sentence, advice);
    }
    let sentence = format!("{} MiB are free on the disk of {}", free_bytes >> 20, directory.display());
    if free_bytes < FREE_BYTES_MIN {
        Finding::fault(CHECK, format!("only {sentence}"), advice)
    } else if free_bytes < FREE_BYTES_WARNED {
        Finding::warning(CHECK, format!("only {sentence}"), advice)
    } else {
        Finding::ok(CHECK, sentence)
    }
}

/// Whether the clock is behind what was stored already, or has never been set.
pub(super) fn clock(now: Timestamp, last_event_at: Option<Timestamp>) -> Finding {
    const CHECK: &str = "clock";
    let advice = "set the clock (timedatectl set-ntp true); times of events and messages are wrong until then";
    if Timestamp::parse(EARLIEST).is_some_and(|earliest| now < earliest) {
        return Finding::fault(CHECK, format!("the clock says {now}, which is long ago"), advice);
    }
    match last_event_at {
        Some(last) if now.after(AHEAD_MAX) < last => Finding::fault(
            CHECK,
            format!("the clock says {now}, but the last event is of {last}: one of the two is wrong"),
            advice,
        ),
        _ => Finding::ok(CHECK, format!("it is {now}")),
    }
}

pub(super) fn open_files(daemon: Option<u32>) -> Finding {
    judge_open_files(processes::open_files_max(daemon).or_else(|| processes::open_files_max(None)))
}

fn judge_open_files(files_max: Option<u64>) -> Finding {
    const CHECK: &str = "open_files";
    let advice = "raise it: ulimit -n 4096 before the daemon is started, or LimitNOFILE=4096 in its unit";
    match files_max {
        None => Finding::ok(CHECK, "how many files may be open cannot be seen here"),
        Some(u64::MAX) => Finding::ok(CHECK, "any number of files may be open"),
        Some(files) if files < OPEN_FILES_MIN => {
            Finding::fault(CHECK, format!("only {files} files may be open, too few for connections and tasks"), advice)
        }
        Some(files) if files < OPEN_FILES_WARNED => {
            Finding::warning(CHECK, format!("only {files} files may be open"), advice)
        }
        Some(files) => Finding::ok(CHECK, format!("{files} files may be open")),
    }
}

pub(super) fn inotify() -> Finding {
    let refused = inotify::init(inotify::CreateFlags::CLOEXEC).err().map(io::Error::from);
    let used = processes::inotify_instances();
    judge_inotify(used, processes::number_in("/proc/sys/fs/inotify/max_user_instances"), refused.as_ref())
}

fn judge_inotify(used: usize, instances_max: Option<usize>, refused: Option<&io::Error>) -> Finding {
    const CHECK: &str = "inotify";
    let advice = "as root: sysctl fs.inotify.max_user_instances=1024 (and in /etc/sysctl.d, to last); until then changes \
                  of other programs are seen every [daemon] interval_seconds";
    if let Some(error) = refused {
        return Finding::warning(CHECK, format!("the system gives no inotify: {error}"), advice);
    }
    match instances_max {
        None => Finding::ok(CHECK, "files can be watched"),
        Some(most) if used * 10 >= most * 9 => {
            Finding::warning(CHECK, format!("{used} of {most} instances of inotify are in use"), advice)
        }
        Some(most) => Finding::ok(CHECK, format!("{used} of {most} instances are in use")),
    }
}

/// Whether it runs, is the same program as this one, and can write.
pub(super) fn daemon(daemon: &Daemon, version: &str) -> Finding {
    const CHECK: &str = "daemon";
    let Some(answer) = daemon.answer() else {
        return Finding::ok(CHECK, "none answers; claude-comms poll start starts one");
    };
    let restart = "claude-comms poll stop, then claude-comms poll start";
    if let Some(reason) = &answer.degraded {
        let sentence = format!("the daemon (process {}) cannot write: {reason}", answer.pid);
        return Finding::fault(CHECK, sentence, "mend what it says; it goes on by itself then");
    }
    if answer.version != version {
        let sentence = format!("the daemon is of version {}, this program of {version}", answer.version);
        return Finding::warning(CHECK, sentence, restart);
    }
    if processes::has_stale_program(answer.pid) {
        let sentence = format!("the program of the daemon (process {}) was replaced since it was started", answer.pid);
        return Finding::warning(CHECK, sentence, restart);
    }
    Finding::ok(CHECK, format!("version {version} runs (process {})", answer.pid))
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, State};
    use super::*;

    fn check(finding: &Finding, state: State, said: &str, advice: &str) {
        assert_eq!(finding.state, state, "{finding:?}");
        assert!(finding.sentence.contains(said), "{finding:?}");
        assert!(finding.advice.as_deref().unwrap_or_default().contains(advice), "{finding:?}");
    }

    #[test]
    fn what_is_short_is_said_before_it_is_out() {
        let disk = |mib: u64| judge_disk(Path::new("/s"), mib << 20, false);
        check(&disk(1), State::Fault, "only 1 MiB are free", "another disk");
        check(&disk(100), State::Warning, "only 100 MiB", "another disk");
        check(&disk(9000), State::Ok, "9000 MiB", "");
        check(&judge_disk(Path::new("/s"), 1 << 40, true), State::Fault, "inodes", "another disk");
        check(&judge_open_files(Some(64)), State::Fault, "only 64 files", "LimitNOFILE");
        check(&judge_open_files(Some(512)), State::Warning, "only 512 files", "ulimit -n");
        check(&judge_open_files(Some(4096)), State::Ok, "4096", "");
        check(&judge_inotify(120, Some(128), None), State::Warning, "120 of 128", "max_user_instances");
        check(&judge_inotify(3, Some(128), None), State::Ok, "3 of 128", "");
        let refused = io::Error::from_raw_os_error(24);
        check(&judge_inotify(3, Some(128), Some(&refused)), State::Warning, "no inotify", "max_user_instances");
    }

    #[test]
    fn a_clock_that_is_behind_is_told_by_what_was_stored() {
        let now = Timestamp::parse("2026-11-29T08:00:00Z").unwrap();
        let later = |seconds| Some(now.after(Duration::from_secs(seconds)));
        check(&clock(now, later(30)), State::Ok, "2026", "");
        check(&clock(now, later(3600)), State::Fault, "the last event is of 2026-11-29T09:00", "timedatectl");
        check(&clock(Timestamp::from_micros(0), None), State::Fault, "long ago", "timedatectl");
    }

    #[test]
    fn another_version_of_the_daemon_is_told() {
        let answers = |version: &str, degraded: Option<&str>| {
            Daemon::Answers(Answer {
                pid: std::process::id(),
                version: version.to_owned(),
                degraded: degraded.map(ToOwned::to_owned),
                ..Answer::default()
            })
        };
        check(&daemon(&Daemon::Absent, "2"), State::Ok, "none answers", "");
        check(&daemon(&answers("1", None), "2"), State::Warning, "version 1, this program of 2", "poll stop");
        check(&daemon(&answers("2", Some("the disk is full")), "2"), State::Fault, "the disk is full", "mend");
        check(&daemon(&answers("2", None), "2"), State::Ok, "version 2 runs", "");
    }
}
