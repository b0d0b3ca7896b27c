//! Programs that do what ours does, each with a server of its own in a directory of its own.
//!
//! Whatever is compared does equivalent work: a task is acknowledged when it is on the disk, claimed durably, and done
//! durably; three workers. Where a peer does less (most keep no result and no history), it is quicker for that.
#![allow(dead_code, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

pub(crate) mod beanstalkd;
pub(crate) mod broadcaster;
pub(crate) mod mcp;
pub(crate) mod pueue;
pub(crate) mod queue;
pub(crate) mod redis;
pub(crate) mod sqlite;
pub(crate) mod task_spooler;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server, ended with the value.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it, and waits until `answers` says yes.
    pub(crate) fn start(command: &mut Command, answers: impl Fn() -> bool) -> Server {
        let mut server = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while !answers() {
            assert_eq!(server.0.try_wait().unwrap(), None, "{command:?} does not run");
            assert!(start.elapsed() < Duration::from_secs(10), "{command:?} does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
