//! Runs with real children: every way to end one, and what must be gone afterwards. Here is what these tests share.

mod agents;
mod leftovers;
mod orphans;
mod output;
mod plain;
mod stopping;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;

/// Longer than any test may take; whatever should be shorter is compared with it.
const LONG: Duration = Duration::from_secs(60);

/// A line that becomes progress: how a child of these tests says that it is ready.
const READY: &str = r#"echo '{"type":"assistant","message":{"content":[{"type":"text","text":"ready"}]}}';"#;

/// A job that nobody has any special wish for.
pub(super) fn job(argv: &[&str]) -> Job {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Job {
        purpose: Purpose::Task,
        task_id: "task".to_owned(),
        marker: format!("epoch-{}-{count}/task/1", std::process::id()),
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        prompt: String::new(),
        context: None,
        system_prompt: None,
        directory: "/".into(),
        environment: Vec::new(),
        timeout: LONG,
        grace: LONG,
        stop_grace: LONG,
        output_directory: "/proc/no-output-is-kept".into(),
        result_bytes_max: Job::RESULT_BYTES_MAX,
        log_bytes_max: Job::LOG_BYTES_MAX,
    }
}

fn shell(script: &str) -> Job {
    job(&["sh", "-c", script])
}

/// A shell script whose output is read as stream-json.
fn agent(script: &str) -> Job {
    job(&["sh", "-c", script, "agent", "--output-format", "stream-json"])
}

/// Remembers what it is told, and asks for a stop at the first progress.
struct Script<'a> {
    wake: &'a Wake,
    at_progress: fn(&Wake),
    process: Option<Process>,
    progress: Vec<String>,
}

impl Observer for Script<'_> {
    fn output(&mut self, _stdout: u64, _stderr: u64) {}

    fn started(&mut self, process: Process) {
        self.process = Some(process);
    }

    fn progress(&mut self, text: &str) {
        self.progress.push(text.to_owned());
        (self.at_progress)(self.wake);
    }
}

fn silent(wake: &Wake) -> Script<'_> {
    Script { wake, at_progress: |_| {}, process: None, progress: Vec::new() }
}

struct Ran {
    finished: Finished,
    progress: Vec<String>,
}

fn run_and(job: &Job, at_progress: fn(&Wake)) -> Ran {
    let wake = Wake::new().unwrap();
    let mut script = Script { at_progress, ..silent(&wake) };
    let finished = run(job, 1, &wake, &SystemClock::new(), &mut script);
    assert_eq!(carriers(&job.marker), [0_u32; 0], "processes of the run are left");
    match &script.process {
        Some(process) => {
            assert!(!Path::new(&format!("/proc/{}", process.pid)).exists(), "a zombie is left")
        }
        None => assert_eq!(finished.exit_code, None),
    }
    Ran { finished, progress: script.progress }
}

fn ran(job: &Job) -> Finished {
    run_and(job, |_| {}).finished
}

/// Who is alive and carries this marker.
fn carriers(marker: &str) -> Vec<u32> {
    let is_alive = |pid: u32| procfs::Stat::read(pid).is_ok_and(|stat| !stat.is_dead());
    let carries = |pid: u32| procfs::marker(pid).is_some_and(|found| found == marker);
    procfs::ours().unwrap().into_iter().filter(|&pid| carries(pid) && is_alive(pid)).collect()
}

/// Whether this is a process in which only the test of that name runs; otherwise starts such a process and checks it.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "CLAUDE_COMMS_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("executor::tests::{test}"), "--exact", "--test-threads=1"])
        .env(ALONE, "1")
        .env("NOTIFY_SOCKET", "/nonexistent/as-if-from-systemd")
        .env("CLAUDECODE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    false
}

fn error(finished: &Finished) -> &str {
    finished.error.as_deref().unwrap_or("no error")
}
