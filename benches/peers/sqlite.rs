//! Task queues for Python on SQLite: huey and litequeue, both from PyPI, with synchronous=FULL. The work is in
//! `sqlite_queues.py`, which says what is compared.

use crate::support::scratch;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/sqlite_queues.py");

pub(crate) fn is_installed(library: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("import {library}")]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// Tasks per second of the library, from the first put until the last is done.
pub(crate) fn throughput(library: &str, tasks: usize) -> f64 {
    let dir = scratch();
    let mut python = Command::new("python3");
    python.args([SCRIPT, library]).arg(dir.path()).arg(tasks.to_string());
    let output = python.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{library}: {}", output.status);
    let seconds: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    tasks as f64 / seconds
}
