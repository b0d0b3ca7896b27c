//! What a run leaves behind, which is nothing: no process, no zombie, no file descriptor. Nor does it take another's.

use std::fs;

use super::*;
use crate::thread::Joined;

#[test]
fn a_background_child_that_holds_the_output_does_not_hold_the_task() {
    let finished = ran(&shell("sleep 1000 & echo answer"));
    assert_eq!((finished.ending, finished.result.as_str()), (Ending::Succeeded, "answer"));
    assert!(finished.duration < LONG);

    let detached = ran(&shell("setsid sleep 1000 & echo answer"));
    assert_eq!((detached.ending, detached.result.as_str()), (Ending::Succeeded, "answer"));
}

#[test]
fn a_silent_child_that_is_left_behind_is_ended() {
    if !is_alone("leftovers::a_silent_child_that_is_left_behind_is_ended") {
        return;
    }
    become_subreaper().unwrap();
    let job = Job { grace: Duration::from_millis(100), ..shell("(trap '' TERM; sleep 1000) >/dev/null 2>&1 & exit 4") };
    let finished = ran(&job);
    assert_eq!((finished.ending, finished.exit_code), (Ending::Failed, Some(4)));
    assert!(has_no_child());

    // One that ends while its group is still at work: the shell goes on when the output is let go of.
    let orphan = "x=$( (exec sleep 0.05) & )";
    assert_eq!(ran(&shell(orphan)).ending, Ending::Succeeded);
    assert!(has_no_child());
}

fn has_no_child() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, look), Err(rustix::io::Errno::CHILD))
}

#[test]
fn adopted_children_are_reaped_and_nobody_elses() {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    if !is_alone("leftovers::adopted_children_are_reaped_and_nobody_elses") {
        return;
    }
    become_subreaper().unwrap();
    assert_eq!(reap_adopted().unwrap(), 0);
    let mut own = Command::new("true").spawn().unwrap();
    waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    assert_eq!(reap_adopted().unwrap(), 0);
    assert!(own.wait().unwrap().success());

    // The shell goes on once the other one has let go of its output, in a session of its own by then.
    let detached = shell("x=$(setsid sh -c 'exec >/dev/null 2>&1; exec sleep 0.1' &)");
    let wake = Wake::new().unwrap();
    let mut script = silent(&wake);
    let finished = run(&detached, 1, &wake, &SystemClock::new(), &mut script);
    assert_eq!(finished.ending, Ending::Succeeded);
    waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    assert_eq!(reap_adopted().unwrap(), 1);

    let runs = runs_with_codes();
    while !runs.iter().all(Joined::is_finished) {
        assert_eq!(reap_adopted().unwrap(), 0);
    }
    runs.into_iter().for_each(|run| run.join().unwrap());
}

fn runs_with_codes() -> Vec<Joined<()>> {
    let run_all = |worker: i32| {
        for number in 0..20 {
            let code = worker * 50 + number;
            assert_eq!(ran(&shell(&format!("exit {code}"))).exit_code, Some(code));
        }
    };
    (0..3).map(|worker| Joined::spawn("runs", move || run_all(worker)).unwrap()).collect()
}

#[test]
fn three_at_a_time_do_not_take_each_others_children() {
    runs_with_codes().into_iter().for_each(|run| run.join().unwrap());
}

#[test]
fn many_runs_leave_no_file_open() {
    if !is_alone("leftovers::many_runs_leave_no_file_open") {
        return;
    }
    become_subreaper().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = 0;
    for number in 0..200 {
        let script = ["echo out; echo err >&2", "sleep 1000 >/dev/null 2>&1 &", "exit 1", "kill $$"][number % 4];
        let output = task_directory(directory.path(), "task", 1);
        ran(&Job { output_directory: output, prompt: "unread".to_owned(), ..shell(script) });
        ran(&job(&["/nonexistent/program"]));
        if number == 3 {
            before = open_files();
        }
    }
    assert_eq!(open_files(), before);
}
