//! beanstalkd with a log on disk (Debian package beanstalkd).
//!
//! `-f0` syncs its log with every command that changes something: a job is acknowledged after a sync, and deleted with
//! another. A reservation is kept in memory only. `-f50` syncs every 50 ms and may lose what it has acknowledged.

use super::Server;
use super::queue::{Queue, Wire};
use crate::support::scratch;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

pub(crate) struct Beanstalkd {
    _server: Server,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Beanstalkd {
    pub(crate) fn start(sync: &str) -> Beanstalkd {
        let dir = scratch();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("beanstalkd");
        command.args(["-l", "127.0.0.1", "-p", &port.to_string(), sync, "-b"]).arg(dir.path());
        let server = Server::start(&mut command, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Beanstalkd { _server: server, port, _dir: dir }
    }
}

impl Queue for Beanstalkd {
    fn connect(&self) -> Wire {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::new(stream.try_clone().unwrap(), stream)
    }

    fn puts(&self, count: usize) -> Vec<u8> {
        b"put 0 0 60 32\r\n0123456789abcdef0123456789abcdef\r\n".repeat(count)
    }

    fn acknowledged(&self, wire: &mut Wire) {
        assert!(wire.line().starts_with("INSERTED"));
    }

    fn work_off(&self, wire: &mut Wire) {
        wire.send(b"reserve\r\n");
        let id = wire.line().split_whitespace().nth(1).unwrap().to_owned();
        wire.line();
        wire.send(format!("delete {id}\r\n").as_bytes());
        assert_eq!(wire.line(), "DELETED");
    }
}
