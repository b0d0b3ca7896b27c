//! Servers of MCP as most programs write them, which answer from memory. CLAUDE_COMMS_FASTMCP3 and CLAUDE_COMMS_FASTMCP4 name a
//! Python that has FastMCP of that version, CLAUDE_COMMS_NPM a folder with the SDK of TypeScript.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server, ended with the value.
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: String,
}

impl Peer {
    /// `None` when there is no such Python.
    pub(crate) fn fastmcp(variable: &str, answer: &str) -> Option<Peer> {
        let python = env::var_os(variable).map(PathBuf::from).filter(|python| python.exists())?;
        Some(Peer::start(Command::new(python).arg(script("mcp_fastmcp.py")), answer))
    }

    /// `None` when there is no SDK.
    pub(crate) fn typescript(answer: &str) -> Option<Peer> {
        let modules = Path::new(&env::var_os("CLAUDE_COMMS_NPM")?).join("node_modules");
        let modules = std::fs::canonicalize(modules).ok().filter(|it| it.join("@modelcontextprotocol/sdk").is_dir())?;
        let own = modules.join(".bin/node");
        let mut command = Command::new(if own.exists() { own } else { PathBuf::from("node") });
        command.arg(script("mcp_typescript.cjs")).env("NODE_PATH", &modules).env("NODE_ENV", "production");
        Some(Peer::start(&mut command, answer))
    }

    fn start(command: &mut Command, answer: &str) -> Peer {
        let mut child = command.env("ANSWER", answer).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        Peer { child, address: format!("127.0.0.1:{}", port.trim()) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}
