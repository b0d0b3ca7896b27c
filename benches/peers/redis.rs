//! Redis as a queue of lists (Debian package redis-server), its log of commands synced before every answer.
//!
//! A job is pushed; a worker moves it to the list of what is being worked on (BLMOVE, so that a crash loses no job), and
//! takes it from there when it is done (LREM). Redis syncs once for all commands that it has found waiting.

use super::Server;
use super::queue::{Queue, Wire};
use crate::support::scratch;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

pub(crate) struct Redis {
    _server: Server,
    socket: PathBuf,
    /// Whether a worker asks for its next job in one go with saying that the last is done.
    pub(crate) together: bool,
    _dir: tempfile::TempDir,
}

const PUT: &[u8] = b"*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n$32\r\n0123456789abcdef0123456789abcdef\r\n";
const CLAIM: &[u8] = b"*6\r\n$6\r\nBLMOVE\r\n$1\r\nq\r\n$1\r\nw\r\n$4\r\nLEFT\r\n$5\r\nRIGHT\r\n$2\r\n60\r\n";

impl Redis {
    pub(crate) fn start(together: bool) -> Redis {
        let dir = scratch();
        let socket = dir.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        // No port, no snapshots, and no rewriting of the log in the middle of it.
        command.args(["--port", "0", "--save", "", "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--unixsocket"]).arg(&socket);
        command.arg("--dir").arg(dir.path());
        let server = Server::start(&mut command, || UnixStream::connect(&socket).is_ok());
        Redis { _server: server, socket, together, _dir: dir }
    }

    fn done(job: &str) -> Vec<u8> {
        format!("*4\r\n$4\r\nLREM\r\n$1\r\nw\r\n$1\r\n1\r\n${}\r\n{job}\r\n", job.len()).into_bytes()
    }

    fn claimed(wire: &mut Wire) -> String {
        assert_eq!(wire.line(), "$32");
        wire.line().to_owned()
    }
}

impl Queue for Redis {
    fn connect(&self) -> Wire {
        let stream = UnixStream::connect(&self.socket).unwrap();
        Wire::new(stream.try_clone().unwrap(), stream)
    }

    fn puts(&self, count: usize) -> Vec<u8> {
        PUT.repeat(count)
    }

    fn acknowledged(&self, wire: &mut Wire) {
        assert!(wire.line().starts_with(':'));
    }

    fn work_off(&self, wire: &mut Wire) {
        wire.send(CLAIM);
        let job = Redis::claimed(wire);
        wire.send(&Redis::done(&job));
        assert_eq!(wire.line(), ":1");
    }

    fn work(&self, wire: &mut Wire, more: &dyn Fn() -> bool, done: &dyn Fn()) {
        if !self.together {
            while more() {
                self.work_off(wire);
                done();
            }
            return;
        }
        if !more() {
            return;
        }
        wire.send(CLAIM);
        loop {
            let mut words = Redis::done(&Redis::claimed(wire));
            let goes_on = more();
            if goes_on {
                words.extend_from_slice(CLAIM);
            }
            wire.send(&words);
            assert_eq!(wire.line(), ":1");
            done();
            if !goes_on {
                return;
            }
        }
    }
}
