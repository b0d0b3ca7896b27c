//! Runs that are ended: by the deadline, by request, in a hurry, by a panic.

use super::*;
use crate::thread::Joined;

#[test]
fn a_timeout_ends_the_group_and_who_ignores_it() {
    let job = Job {
        timeout: Duration::from_millis(300),
        grace: Duration::from_millis(300),
        stop_grace: Duration::from_millis(300),
        ..shell(
            "trap '' TERM; sleep 1000 & (trap '' TERM; sleep 1000; sleep 1000) & echo begun; wait; wait; sleep 1000",
        )
    };
    let finished = ran(&job);
    assert_eq!(finished.ending, Ending::TimedOut);
    assert!(finished.duration >= job.timeout && finished.duration < LONG, "{:?}", finished.duration);
    assert!(error(&finished).starts_with("`sh` had not finished after 300ms and was ended"), "{}", error(&finished));
}

#[test]
fn a_polite_process_is_not_killed() {
    let job = agent(&format!("trap 'echo bye >&2; exit 7' TERM; {READY} while :; do sleep 0.01; done"));
    let finished = run_and(&job, |wake| wake.ask(1, Stop::Cancel)).finished;
    assert_eq!((finished.ending, finished.exit_code), (Ending::Cancelled, Some(7)));
    assert!(finished.duration < LONG);
    assert_eq!(error(&finished), "cancelled while `sh` was running");
}

#[test]
fn who_ignores_the_request_is_killed_after_the_grace() {
    let job = Job {
        grace: Duration::from_millis(100),
        stop_grace: Duration::from_millis(100),
        ..agent(&format!("trap '' TERM; {READY} while :; do sleep 0.01; done"))
    };
    let finished = run_and(&job, |wake| wake.ask(1, Stop::Shutdown)).finished;
    assert_eq!((finished.ending, finished.exit_signal), (Ending::Shutdown, Some(9)));
    assert!(finished.duration >= job.grace && finished.duration < LONG);
    assert_eq!(finished.result, "ready");
}

#[test]
fn nobody_waits_for_the_grace_when_told_to_hurry() {
    let job = agent(&format!("trap '' TERM; {READY} while :; do sleep 0.01; done"));
    let finished = run_and(&job, Wake::kill_now).finished;
    assert_eq!((finished.ending, finished.exit_signal), (Ending::Shutdown, Some(9)));
    assert!(finished.duration < LONG);
}

#[test]
fn a_process_that_left_for_a_session_of_its_own_is_ended_too() {
    let escape = r#"setsid sh -c 'trap "" TERM; eval "$READY"; exec > /dev/null 2>&1; sleep 1000'"#;
    let job = Job {
        grace: Duration::from_millis(200),
        stop_grace: Duration::from_millis(200),
        environment: vec![("READY".to_owned(), READY.to_owned())],
        ..agent(&format!("{escape} & wait; sleep 1000"))
    };
    let finished = run_and(&job, |wake| wake.ask(1, Stop::Cancel)).finished;
    // The one that stayed goes when it is asked, the other one only when it is killed.
    assert_eq!((finished.ending, finished.exit_signal), (Ending::Cancelled, Some(15)));
    assert!(finished.duration >= job.grace && finished.duration < LONG);
}

#[test]
fn a_run_that_was_cancelled_before_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let job = Job { directory: directory.path().to_owned(), ..shell("touch started") };
    let wake = Wake::new().unwrap();
    let mut script = silent(&wake);
    wake.ask(4, Stop::Shutdown);
    wake.ask(5, Stop::Cancel);
    let clock = SystemClock::new();
    assert_eq!(run(&job, 5, &wake, &clock, &mut script).ending, Ending::Cancelled);
    assert!(script.process.is_none() && !directory.path().join("started").exists());
    assert_eq!(run(&job, 6, &wake, &clock, &mut script).ending, Ending::Succeeded);
    assert!(directory.path().join("started").exists());
}

#[test]
fn a_panic_of_who_observes_leaves_nothing_behind() {
    struct Panics;
    impl Observer for Panics {
        fn output(&mut self, _stdout: u64, _stderr: u64) {}

        fn started(&mut self, _: Process) {}
        fn progress(&mut self, _: &str) {
            panic!("on purpose");
        }
    }
    let job = agent(&format!("{READY} sleep 1000"));
    let marker = job.marker.clone();
    let thread = Joined::spawn("panics", move || {
        run(&job, 1, &Wake::new().unwrap(), &SystemClock::new(), &mut Panics);
    });
    assert_eq!(thread.unwrap().join(), None);
    assert_eq!(carriers(&marker), [0_u32; 0]);
}
