//! task-spooler, `tsp` (Debian package task-spooler): a server in memory that keeps nothing over a crash.

use crate::support::scratch;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(crate) struct TaskSpooler {
    dir: tempfile::TempDir,
}

impl TaskSpooler {
    /// With three slots.
    pub(crate) fn start() -> TaskSpooler {
        let spooler = TaskSpooler { dir: scratch() };
        spooler.run(&["-S", "3"]);
        spooler
    }

    /// Tasks per second, from the first process that submits one until the last task has ended.
    pub(crate) fn submits(&self, tasks: usize) -> f64 {
        let start = Instant::now();
        let mut last = String::new();
        for _ in 0..tasks {
            last = self.run(&["true"]);
        }
        self.run(&["-w", last.trim()]);
        let seconds = start.elapsed().as_secs_f64();
        self.run(&["-C"]);
        tasks as f64 / seconds
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut tsp = Command::new("tsp");
        // What the tasks write goes into files there, as it does by default.
        tsp.env("TMPDIR", self.dir.path()).env("TS_SOCKET", self.dir.path().join("socket"));
        let output = tsp.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "tsp {arguments:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for TaskSpooler {
    fn drop(&mut self) {
        self.run(&["-K"]);
    }
}
