//! The client and the server of MCP under the protocol's own conformance suite, where the folder that CLAUDE_COMMS_NPM names
//! has it. It drives `examples/mcp_conformance_client.rs`, and calls `examples/mcp_conformance_server.rs`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Scenario, and the version of the protocol to begin with.
const SCENARIOS: [(&str, &str); 9] = [
    ("initialize", "2025-06-18"),
    ("tools_call", "2025-06-18"),
    ("tools_call", "2025-11-25"),
    ("sse-retry", "2025-11-25"),
    ("tools_call", "2026-07-28"),
    ("request-metadata", "2026-07-28"),
    ("http-standard-headers", "2026-07-28"),
    ("http-custom-headers", "2026-07-28"),
    ("http-invalid-tool-headers", "2026-07-28"),
];

/// Versions that the server speaks, each with all scenarios that it has. What is not to be passed, and why, stands in
/// the file beside each.
const VERSIONS: [(&str, &str); 3] = [
    ("2025-06-18", "mcp_conformance_legacy.yml"),
    ("2025-11-25", "mcp_conformance_legacy.yml"),
    ("2026-07-28", "mcp_conformance_modern.yml"),
];
/// Scenarios of the tasks extension, which no version has.
const OF_TASKS: [&str; 7] = [
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-request-headers",
    "tasks-status-notifications",
    "tasks-required-task-error",
];

/// The suite, and a Node.js that is new enough for it.
struct Suite {
    node: PathBuf,
    script: PathBuf,
    client: PathBuf,
    server: PathBuf,
}

impl Suite {
    fn find() -> Result<Suite, String> {
        let folder = env::var_os("CLAUDE_COMMS_NPM").ok_or("CLAUDE_COMMS_NPM names no folder with the suite")?;
        let folder = fs::canonicalize(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let there =
            |path: PathBuf| if path.exists() { Ok(path) } else { Err(format!("there is no {}", path.display())) };
        // Cargo builds examples along with tests, in the folder beside theirs.
        let tests = env::current_exe().map_err(|error| error.to_string())?;
        let built = tests.parent().and_then(|folder| folder.parent()).ok_or("the test stands in no folder")?;
        Ok(Suite {
            node: there(folder.join("node_modules/.bin/node"))?,
            script: there(folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"))?,
            client: there(built.join("examples/mcp_conformance_client"))?,
            server: there(built.join("examples/mcp_conformance_server"))?,
        })
    }

    fn start(&self, scenario: &str, version: &str) -> Child {
        let mut command = Command::new(&self.node);
        command.arg(&self.script).args(["client", "--scenario", scenario, "--spec-version", version]);
        command.arg("--command").arg(&self.client).args(["--timeout", "20000"]).current_dir(env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Ends with its standard input.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(suite: &Suite) -> Server {
        let mut command = Command::new(&suite.server);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        Server { child, url: url.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn the_server_conforms() {
    let suite = match Suite::find() {
        Ok(suite) => suite,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let server = Server::start(&suite);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/");
    let of_versions = VERSIONS.map(|(version, baseline)| {
        let baseline = format!("{folder}{baseline}");
        ["--suite", "all", "--spec-version", version, "--expected-failures", &baseline].map(str::to_owned).to_vec()
    });
    let of_tasks = OF_TASKS
        .map(|name| ["--scenario", name, "--spec-version", "2026-07-28", "--force"].map(str::to_owned).to_vec());
    let running: Vec<(Vec<String>, Child)> = of_versions
        .into_iter()
        .chain(of_tasks)
        .map(|args| {
            let mut command = Command::new(&suite.node);
            command.arg(&suite.script).args(["server", "--url", &server.url]).args(&args).current_dir(env::temp_dir());
            let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            (args, child)
        })
        .collect();
    let mut failed = Vec::new();
    for (args, child) in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && (said.contains("Passed: ") || said.contains(" passed, ")) {
            println!("{} passed", args.join(" "));
        } else {
            failed.push(format!("{}:\n{said}{}", args.join(" "), String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_client_conforms() {
    let suite = match Suite::find() {
        Ok(suite) => suite,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // Most of their time is Node.js beginning, so they do it together.
    let running = SCENARIOS.map(|(scenario, version)| (scenario, version, suite.start(scenario, version)));
    let mut failed = Vec::new();
    for (scenario, version, child) in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && said.contains("OVERALL: PASSED") {
            println!("{scenario} of {version} passed");
        } else {
            failed.push(format!("{scenario} of {version}:\n{said}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
