//! Servers of WebSockets as most programs would write them: Python's `websockets` and npm's `ws`. Each tells every line of its
//! input to whoever is connected; nothing is kept, and nobody can come back for what was missed.

use crate::support::tell_skipped;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Broadcaster {
    child: Child,
    pub(crate) address: String,
}

impl Broadcaster {
    /// Python's `websockets`, of the Python that CLAUDE_COMMS_WEBSOCKETS names.
    pub(crate) fn websockets() -> Option<Broadcaster> {
        let Some(python) = std::env::var_os("CLAUDE_COMMS_WEBSOCKETS") else {
            tell_skipped("Python's websockets", "CLAUDE_COMMS_WEBSOCKETS names a Python that has it");
            return None;
        };
        Some(Broadcaster::start(Command::new(python).arg(script("broadcast.py"))))
    }

    /// npm's `ws`, in the folder that CLAUDE_COMMS_NPM names.
    pub(crate) fn ws() -> Option<Broadcaster> {
        let modules = std::env::var_os("CLAUDE_COMMS_NPM").map(|folder| Path::new(&folder).join("node_modules"));
        let Some(modules) = modules.filter(|modules| modules.join("ws").is_dir()) else {
            tell_skipped("npm's ws", "CLAUDE_COMMS_NPM names a folder into which npm has installed it");
            return None;
        };
        let own = modules.join(".bin/node");
        let mut node = Command::new(if own.exists() { own.into_os_string() } else { OsString::from("node") });
        node.arg(script("broadcast.cjs")).env("NODE_PATH", std::fs::canonicalize(modules).unwrap());
        Some(Broadcaster::start(&mut node))
    }

    fn start(command: &mut Command) -> Broadcaster {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = format!("127.0.0.1:{}", port.trim().parse::<u16>().unwrap());
        Broadcaster { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Each line is told to everybody.
    pub(crate) fn tell(&mut self, lines: &str) {
        self.child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    }
}

impl Drop for Broadcaster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}
