//! Processes that an earlier daemon left running.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};

use super::*;
use crate::clock::{Clock, Tick};
use crate::executor::orphans::{Ended, end_all};

/// A process that is ready: it has said so.
fn process(script: &str, marker: Option<&str>) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]).process_group(0).stdout(Stdio::piped());
    if let Some(marker) = marker {
        command.env(procfs::MARKER, marker);
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn signal_of(child: &mut Child) -> Option<i32> {
    child.wait().unwrap().signal()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn epoch() -> String {
    job(&[]).marker.split('/').next().unwrap().to_owned()
}

const POLITE: &str = "echo ready; exec sleep 1000";
const STUBBORN: &str = "trap '' TERM; echo ready; exec sleep 1000";

#[test]
fn are_found_by_their_marker() {
    let epoch = epoch();
    let mut polite = process(POLITE, Some(&format!("{epoch}/a/1")));
    let mut stubborn = process(STUBBORN, Some(&format!("{epoch}/b/7")));
    let other = process(POLITE, Some(&format!("{epoch}-other/a/1")));
    let clock = SystemClock::new();
    let ended = end_all(&epoch, &[], Duration::from_millis(100), &clock).unwrap();
    assert_eq!(ended, Ended { processes: 2, killed: 1 });
    assert_eq!((signal_of(&mut polite), signal_of(&mut stubborn)), (Some(15), Some(9)));
    assert!(!procfs::Stat::read(other.id()).unwrap().is_dead());
    end(other);
    assert_eq!(end_all(&epoch, &[], Duration::ZERO, &clock).unwrap(), Ended::default());
}

#[test]
fn are_found_by_their_record_unless_the_number_is_another_ones() {
    let mut child = process(POLITE, None);
    let record = Process::of(child.id()).unwrap();
    let later = Process { started: record.started + 1, ..record.clone() };
    let before_boot = Process { boot_id: "00000000-0000-0000-0000-000000000000".to_owned(), ..record.clone() };
    let clock = SystemClock::new();
    let nobody = end_all(&epoch(), &[later, before_boot], LONG, &clock).unwrap();
    assert_eq!(nobody, Ended::default());
    assert!(!procfs::Stat::read(record.pid).unwrap().is_dead());
    assert_eq!(end_all(&epoch(), &[record], LONG, &clock).unwrap(), Ended { processes: 1, killed: 0 });
    assert_eq!(signal_of(&mut child), Some(15));
    assert!(clock.tick().since(Tick::ZERO) < LONG);
}

#[test]
fn take_the_group_that_they_lead_with_them() {
    let mut leader = process("sleep 1000 & sleep 1000 & echo ready; wait; wait; wait", None);
    let record = Process::of(leader.id()).unwrap();
    let group = || {
        let pids = procfs::ours().unwrap().into_iter();
        let stats = pids.filter_map(|pid| procfs::Stat::read(pid).ok());
        stats.filter(|stat| stat.group == record.pid && !stat.is_dead()).count()
    };
    assert_eq!(group(), 3);
    let ended = end_all(&epoch(), std::slice::from_ref(&record), LONG, &SystemClock::new()).unwrap();
    assert_eq!((ended, group()), (Ended { processes: 3, killed: 0 }, 0));
    assert_eq!(signal_of(&mut leader), Some(15));
}
