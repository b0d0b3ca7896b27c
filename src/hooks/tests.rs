//! Hooks with real commands; what they wait for passes in virtual time.

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock, Tick};
use crate::feed::{Feed, Filter};
use crate::model::event::Severity;
use crate::ports::{HookOutcome, HookState, HookView, Hooks, ReadError, Reader, Readers, StoredEvent};
use crate::resilience::Effects;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longest that anything is waited for.
const LIMIT: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

/// Everything that is read is in memory.
struct NoTable;

impl Readers for NoTable {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        Err(ReadError("it should have been in memory".to_owned()))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Moved(u64),
    Ended,
}

struct ToChannel(Sender<Told>);

impl Listener for ToChannel {
    fn moved(&self, seq: u64) {
        self.0.try_send(Told::Moved(seq)).unwrap();
    }

    fn ended(&self) {
        self.0.try_send(Told::Ended).unwrap();
    }
}

struct Bench {
    directory: TempDir,
    means: Arc<Means>,
    /// By which retries and breakers wait.
    waits: ManualClock,
    board: Board,
    said: Sender<Told>,
    told: Receiver<Told>,
}

impl Bench {
    fn new() -> Bench {
        Bench::behind(0)
    }

    /// So many events are in the table only.
    fn behind(last_seq: u64) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        // By its marker a run finds what it has started, so no two tests may have the same.
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let epoch = format!("{:08x}{:08x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let feed = Arc::new(Feed::new(epoch, last_seq));
        let waits = ManualClock::new();
        let means = Means {
            feed: Arc::clone(&feed),
            readers: Arc::new(NoTable),
            clock: Arc::new(SystemClock::new()),
            effects: Effects::manual(&waits, 7),
            directory: directory.path().to_owned(),
            output_root: directory.path().join("hooks"),
            environment: vec![("MORE".to_owned(), "more".to_owned())],
            grace: Duration::ZERO,
            stop_grace: Duration::ZERO,
        };
        let (said, told) = bounded(10_000);
        Bench { directory, means: Arc::new(means), waits, board: Board::new(&feed), said, told }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the commands have written into `out`, line by line.
    fn out(&self) -> Vec<String> {
        fs::read_to_string(self.path("out")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Publishes events with these names, on the channel `note:x`, each as loud as its name says.
    fn publish(&self, names: &[&str]) {
        let first = self.means.feed.last_seq() + 1;
        let event = |(seq, name): (u64, &&str)| {
            let severity = Severity::parse(name).unwrap_or(Severity::Info).as_str();
            let frame = format!(r#"{{"event":"{name}","data":{{"severity":"{severity}"}},"seq":{seq}}}"#);
            let (name, channel) = ((*name).into(), "note:x".into());
            StoredEvent { seq, channel, name, frame: frame.into_bytes().into() }
        };
        self.means.feed.publish((first..).zip(names).map(event).collect());
    }

    fn start(&self, command: &[&str], before: Option<Hook>) -> Hook {
        self.start_with(command, Filter::default(), MINUTE, before)
    }

    fn start_with(&self, command: &[&str], filter: Filter, timeout: Duration, before: Option<Hook>) -> Hook {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let settings = HookSettings { name: "a-rather-long-name".to_owned(), command, filter, timeout };
        let listener = Arc::new(ToChannel(self.said.clone()));
        let hook = Hook::start(settings, &self.means, Beginning { seq: 0, before }, listener);
        let hook = hook.map_err(|(error, _)| error).unwrap();
        self.board.show([&hook].into_iter());
        hook
    }

    fn shell(&self, script: &str) -> Hook {
        self.start(&["sh", "-c", script], None)
    }

    #[track_caller]
    fn wait_for(&self, wanted: Told) {
        while self.told.recv_timeout(LIMIT).unwrap() != wanted {}
    }

    /// Waits for something that cannot wake us.
    #[track_caller]
    fn wait_until(&self, holds: impl Fn() -> bool) {
        let clock = SystemClock::new();
        let deadline = clock.tick().after(LIMIT);
        while !holds() {
            assert!(clock.tick() < deadline, "waited in vain; out: {:?} {:?}", self.out(), self.view());
            let _ = crossbeam_channel::after(Duration::from_millis(2)).recv();
        }
    }

    fn view(&self) -> HookView {
        self.board.hooks().remove(0)
    }
}

#[test]
fn every_event_is_handed_over_in_order_with_what_it_is() {
    let bench = Bench::new();
    let line = r#"read -r frame; echo "$CLAUDE_COMMS_HOOK $CLAUDE_COMMS_SEQ $CLAUDE_COMMS_EVENT $CLAUDE_COMMS_CHANNEL $CLAUDE_COMMS_SEVERITY $MORE ${CLAUDE_COMMS_TASK#*/} $frame" >> out"#;
    let _hook = bench.shell(line);
    bench.publish(&["a", "error", "c"]);
    bench.wait_for(Told::Moved(3));
    let frame = |seq, name: &str, severity: &str| {
        format!(
            "a-rather-long-name {seq} {name} note:x {severity} more hook-a-rather-long-name/{seq} \
             {{\"event\":\"{name}\",\"data\":{{\"severity\":\"{severity}\"}},\"seq\":{seq}}}"
        )
    };
    assert_eq!(bench.out(), [frame(1, "a", "info"), frame(2, "error", "error"), frame(3, "c", "info")]);
    let view = bench.view();
    assert_eq!((view.state, view.seq, view.behind), (HookState::Ok, 3, 0));
    assert_eq!(view.last.unwrap().outcome, HookOutcome::Succeeded);
}

#[test]
fn only_what_is_wanted_is_handed_over_and_the_rest_is_passed_at_no_cost() {
    let bench = Bench::new();
    let filter = Filter::new(vec!["note:*".to_owned()], vec!["warning".to_owned(), "error".to_owned()]).unwrap();
    let filter = filter.at_least(Severity::Error);
    let mut hook = bench.start_with(&["sh", "-c", "echo $CLAUDE_COMMS_SEQ >> out"], filter, MINUTE, None);
    bench.publish(&["a", "warning", "error", "b", "c"]);
    bench.wait_for(Told::Moved(3));
    bench.wait_until(|| hook.seq() == 5);
    assert_eq!(bench.out(), ["3"]);
    // Nobody was told of the two behind it; at the end somebody is, so that they are not looked at again.
    assert!(bench.told.is_empty());
    hook.end();
    assert_eq!(bench.told.recv_timeout(LIMIT), Ok(Told::Moved(5)));
    assert_eq!(bench.told.recv_timeout(LIMIT), Ok(Told::Ended));
}

#[test]
fn what_its_own_command_has_published_does_not_start_it() {
    let bench = Bench::new();
    let _hook = bench.shell("echo $CLAUDE_COMMS_SEQ >> out");
    let event = |seq: u64, end: &str| StoredEvent {
        seq,
        channel: "note:x".into(),
        name: "a".into(),
        frame: format!(r#"{{"data":{{}},"seq":{seq}{end}}}"#).into_bytes().into(),
    };
    let (own, other) = (r#","hook":"a-rather-long-name""#, r#","hook":"other""#);
    bench.means.feed.publish(vec![event(1, own), event(2, other), event(3, own), event(4, "")]);
    bench.wait_for(Told::Moved(4));
    assert_eq!(bench.out(), ["2", "4"]);
}

#[test]
fn a_failure_is_tried_again_and_then_passed_over() {
    let bench = Bench::new();
    let script = r#"echo "$CLAUDE_COMMS_SEQ" >> out; echo first >&2; echo why >&2; test "$CLAUDE_COMMS_EVENT" != bad"#;
    let _hook = bench.shell(script);
    bench.publish(&["bad"]);
    bench.wait_for(Told::Moved(1));
    assert_eq!(bench.out(), ["1", "1", "1"]);
    let view = bench.view();
    let last = view.last.unwrap();
    assert_eq!((view.state, last.outcome), (HookState::Failing, HookOutcome::Failed));
    assert_eq!(last.error.as_deref(), Some("`sh` ended with exit code 1: why"));
    bench.publish(&["good"]);
    bench.wait_for(Told::Moved(2));
    assert_eq!(bench.out(), ["1", "1", "1", "2"]);
    assert_eq!(bench.view().state, HookState::Ok);
    // What the last run wrote is kept.
    let kept = fs::read_to_string(bench.path("hooks/a-rather-long-name/stderr")).unwrap();
    assert_eq!(kept, "first\nwhy\n");
}

#[test]
fn one_that_hangs_is_ended_when_its_time_is_over() {
    let bench = Bench::new();
    let script = "echo $CLAUDE_COMMS_SEQ >> out; test $CLAUDE_COMMS_SEQ = 2 || exec sleep 600";
    let timeout = Duration::from_millis(200);
    let _hook = bench.start_with(&["sh", "-c", script], Filter::default(), timeout, None);
    bench.publish(&["a", "b"]);
    bench.wait_for(Told::Moved(1));
    assert!(bench.out().starts_with(&["1", "1", "1"].map(str::to_owned)), "{:?}", bench.out());
    bench.wait_for(Told::Moved(2));
    assert_eq!(bench.out().last().map(String::as_str), Some("2"));
}

#[test]
fn what_fails_for_every_event_is_left_alone_for_longer_and_longer() {
    let bench = Bench::new();
    let _hook = bench.shell("echo $CLAUDE_COMMS_SEQ >> out; exit 1");
    bench.publish(&["a", "b", "c"]);
    bench.wait_for(Told::Moved(3));
    let before = bench.waits.tick();
    assert!(before < Tick::ZERO.after(Duration::from_secs(10)));
    assert_eq!(bench.view().state, HookState::Waiting);
    // One is tried after half a minute, and one after a whole one more.
    bench.publish(&["d", "e"]);
    bench.wait_for(Told::Moved(5));
    let waited = bench.waits.tick().since(before);
    assert!((Duration::from_secs(89)..Duration::from_secs(100)).contains(&waited), "{waited:?}");
    assert_eq!(bench.out().len(), 15);
}

#[test]
fn what_cannot_be_started_is_passed_over_by_nothing() {
    let bench = Bench::new();
    let program = bench.path("check");
    let _hook = bench.start(&[program.to_str().unwrap()], None);
    bench.publish(&["a", "b", "c", "d"]);
    bench.wait_until(|| bench.view().last.is_some());
    let last = bench.view().last.unwrap();
    assert_eq!(last.outcome, HookOutcome::NotStarted);
    let complaint = format!("`{}` does not exist; correct the hook's command", program.display());
    assert_eq!(last.error, Some(complaint));
    // However long that takes.
    let since = bench.waits.tick();
    bench.wait_until(|| bench.waits.tick().since(since) > 30 * MINUTE);
    assert_eq!((bench.view().seq, bench.view().behind), (0, 4));
    let prepared = bench.path("prepared");
    fs::write(&prepared, "#!/bin/sh\necho $CLAUDE_COMMS_SEQ >> out\n").unwrap();
    fs::set_permissions(&prepared, fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(&prepared, &program).unwrap();
    bench.wait_for(Told::Moved(4));
    assert_eq!(bench.out(), ["1", "2", "3", "4"]);
}

#[test]
fn what_no_variable_can_carry_does_not_hold_up_the_others() {
    let bench = Bench::new();
    let _hook = bench.shell("echo $CLAUDE_COMMS_SEQ >> out");
    let event = |seq, channel: &str| StoredEvent {
        seq,
        channel: channel.into(),
        name: "a".into(),
        frame: b"{}".as_slice().into(),
    };
    let long = format!("message:{}", "x".repeat(300_000));
    bench.means.feed.publish(vec![event(1, "message:a\0b"), event(2, &long), event(3, "message:c")]);
    bench.wait_for(Told::Moved(3));
    assert_eq!(bench.out(), ["1", "3"]);
}

#[test]
fn the_next_one_waits_for_the_last_and_runs_again_what_that_was_at() {
    let bench = Bench::new();
    let hanging = "echo \"begin $CLAUDE_COMMS_SEQ\" >> out; exec sleep 600";
    let mut first = bench.start(&["sh", "-c", "test $CLAUDE_COMMS_SEQ = 1 || exec sh -c \"$0\"", hanging], None);
    bench.publish(&["a", "b", "c"]);
    bench.wait_until(|| bench.out() == ["begin 2"]);
    first.end();
    let second = bench.start(&["sh", "-c", "echo \"again $CLAUDE_COMMS_SEQ\" >> out"], Some(first));
    bench.wait_for(Told::Moved(3));
    assert_eq!(bench.out(), ["begin 2", "again 2", "again 3"]);
    drop(second);
    bench.wait_for(Told::Ended);
}

#[test]
fn what_cannot_be_read_is_tried_again_and_passed_over_by_nothing() {
    let bench = Bench::behind(5);
    let hook = bench.shell("echo $CLAUDE_COMMS_SEQ >> out");
    bench.publish(&["a"]);
    bench.wait_until(|| bench.waits.tick() > Tick::ZERO.after(MINUTE));
    assert_eq!((hook.seq(), bench.view().behind), (0, 6));
    drop(hook);
    bench.wait_for(Told::Ended);
    assert!(bench.out().is_empty(), "{:?}", bench.out());
}

#[test]
fn an_end_ends_every_wait_at_once() {
    let bench = Bench::new();
    // For events.
    let idle = bench.shell("true");
    drop(idle);
    bench.wait_for(Told::Ended);
    // Within a run.
    let busy = bench.shell("echo begin >> out; exec sleep 600");
    bench.publish(&["a"]);
    bench.wait_until(|| bench.out() == ["begin"]);
    drop(busy);
    bench.wait_for(Told::Ended);
}
