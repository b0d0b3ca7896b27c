//! pueue with three slots (crate pueue): a daemon that runs commands through a shell and keeps its state in one file.
//!
//! When its tasks began and ended is taken from its own record, so that asking costs it nothing.

use super::Server;
use crate::support::scratch;
use jiff::Timestamp;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) struct Pueue {
    dir: tempfile::TempDir,
    _server: Server,
}

impl Pueue {
    pub(crate) fn start() -> Pueue {
        let dir = scratch();
        let path = dir.path().to_str().unwrap();
        let settings = format!(
            "shared:\n  pueue_directory: {path}\n  runtime_directory: {path}\n  use_unix_socket: true\n  \
             unix_socket_path: {path}/pueue.sock\nclient: {{}}\ndaemon: {{}}\n"
        );
        std::fs::write(dir.path().join("pueue.yml"), settings).unwrap();
        let mut command = Command::new("pueued");
        command.arg("-c").arg(dir.path().join("pueue.yml")).stderr(Stdio::null());
        let server = Server::start(&mut command, || client(&dir, &["status"]).is_some());
        let pueue = Pueue { dir, _server: server };
        pueue.run(&["parallel", "3"]);
        pueue
    }

    /// Tasks per second, from the first start until the last end: they wait in the queue before that.
    pub(crate) fn throughput(&self, tasks: usize) -> f64 {
        self.run(&["pause"]);
        (0..tasks).for_each(|_| drop(self.run(&["add", "true"])));
        self.run(&["start"]);
        let times = self.times_when_done(tasks);
        let first = times.iter().map(|(start, _)| *start).min().unwrap();
        tasks as f64 / self.last_end(&times).duration_since(first).as_secs_f64()
    }

    /// Tasks per second, from the first process that submits one until the last task has ended.
    pub(crate) fn submits(&self, tasks: usize) -> f64 {
        let first = Timestamp::now();
        (0..tasks).for_each(|_| drop(self.run(&["add", "true"])));
        let times = self.times_when_done(tasks);
        tasks as f64 / self.last_end(&times).duration_since(first).as_secs_f64()
    }

    fn last_end(&self, times: &[(Timestamp, Timestamp)]) -> Timestamp {
        self.run(&["clean"]);
        times.iter().map(|(_, end)| *end).max().unwrap()
    }

    /// Start and end of each task, once all have ended.
    fn times_when_done(&self, tasks: usize) -> Vec<(Timestamp, Timestamp)> {
        loop {
            let status: Value = serde_json::from_str(&self.run(&["status", "--json"])).unwrap();
            let ended: Vec<_> = status["tasks"].as_object().unwrap().values().filter_map(times).collect();
            if ended.len() == tasks {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn run(&self, arguments: &[&str]) -> String {
        client(&self.dir, arguments).unwrap()
    }
}

fn times(task: &Value) -> Option<(Timestamp, Timestamp)> {
    let done = &task["status"]["Done"];
    Some((done["start"].as_str()?.parse().unwrap(), done["end"].as_str()?.parse().unwrap()))
}

fn client(dir: &tempfile::TempDir, arguments: &[&str]) -> Option<String> {
    let mut pueue = Command::new("pueue");
    pueue.arg("-c").arg(dir.path().join("pueue.yml")).args(arguments).stdin(Stdio::null());
    let output = pueue.output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}
