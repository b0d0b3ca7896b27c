//! What Prometheus' own checker says of our text.

use crate::telemetry::{Registry, encode};
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// The complaints of `promtool check metrics`, a line each; `None`, and a notice, where there is no promtool.
pub(crate) fn complaints(text: &str) -> Option<Vec<String>> {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(promtool) => promtool,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: promtool is not installed (Debian: apt-get install prometheus)");
            return None;
        }
        Err(error) => panic!("promtool does not start: {error}"),
    };
    // It reads everything before it answers, so neither waits for the other.
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let complaints: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    assert_eq!(output.status.success(), complaints.is_empty(), "{}: {complaints:?}", output.status);
    Some(complaints)
}

#[test]
fn promtool_has_nothing_to_say_about_our_text() {
    let registry = Registry::new();
    let pool = [("pool", "lo\"c\\a\nl \u{1F980}\r\0")];
    registry.counter("claude_comms_pool_tasks_submitted_total", "Tasks \\ given\nto a pool.", &pool).unwrap().add(41);
    registry.counter("claude_comms_busy_seconds_total", "Time.", &[]).unwrap().add_float(0.25);
    for (pool, value) in [("a", f64::NAN), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY), ("d", 1e300), ("e", -2e-9)] {
        registry.gauge("claude_comms_pool_queue_size", "Tasks that wait.", &[("pool", pool)]).unwrap().set(value);
    }
    let run = registry.histogram("claude_comms_task_run_seconds", "Running.", &[1e-9, 0.1, 1.0, 1e18], &pool).unwrap();
    [0.05, 0.5, 5.0, 1e19].into_iter().for_each(|seconds| run.observe(seconds));
    registry.gauge("session_buddy.sessions.active", "Sessions.", &[]).unwrap().set(3.0);

    if let Some(complaints) = complaints(&encode(&registry.snapshot())) {
        assert_eq!(complaints, [""; 0]);
    }
}

/// The check above can fail: both on what cannot be read and on what is against the custom.
#[test]
fn promtool_finds_what_is_wrong() {
    for text in ["a{b=\"c} 1\n", "# HELP a b\n# TYPE a counter\na 1\n"] {
        if let Some(complaints) = complaints(text) {
            assert_ne!(complaints, [""; 0], "{text:?}");
        }
    }
}
