//! The WebSocket layer under the fuzzing client of Autobahn's test suite, behind the echo that only tests switch on.
//! CLAUDE_COMMS_AUTOBAHN names its `wstest`, a program of CPython 2.7:
//! `python2.7 -m virtualenv target/autobahn && target/autobahn/bin/pip install autobahntestsuite`.
//! Where it is missing, that is said and skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

use claude_comms::clock::SystemClock;
use claude_comms::feed::Feed;
use claude_comms::model::command::{Code, Command as Asked, Refusal};
use claude_comms::model::pool::PoolView;
use claude_comms::ports::{Answer, Asker, Exposition, ReadError, Reader, Readers};
use claude_comms::telemetry::Registry;
use claude_comms::web::{Means, Settings, Tokens, Web};
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// All but the measurements of speed (9), and compression (12, 13), which is not offered.
const CASES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];
/// How many they are, so that a suite that runs none is found out.
const CASES_MIN: usize = 240;

/// Nobody is behind the door: an echo asks for nothing.
struct Nobody;

impl Asker for Nobody {
    fn ask(&self, _client: u64, _command: Asked, _answer: Box<dyn Answer>) -> Result<(), Refusal> {
        Err(Refusal::new(Code::NotRunning, "there is no hub"))
    }

    fn forget(&self, _client: u64) {}
}

impl Readers for Nobody {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        Err(ReadError("there is no store".to_owned()))
    }
}

impl Exposition for Nobody {
    fn text(&self, _pools: &[PoolView]) -> String {
        String::new()
    }
}

fn echo() -> Web {
    let tokens = Tokens { full: "full".to_owned(), read_only: "read-only".to_owned() };
    let means = Means {
        offer: Arc::new(()),
        asker: Arc::new(Nobody),
        readers: Arc::new(Nobody),
        exposition: Arc::new(Nobody),
        feed: Arc::new(Feed::new("0123456789abcdef".to_owned(), 0)),
        clock: Arc::new(SystemClock::new()),
        registry: Registry::new(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Web::start(Some(listener), Settings { echo: true, ..Settings::new(tokens) }, means, [(), ()]).unwrap()
}

#[test]
fn no_case_of_the_fuzzing_client_fails() {
    let Some(wstest) = env::var_os("CLAUDE_COMMS_AUTOBAHN") else {
        println!("skipped: CLAUDE_COMMS_AUTOBAHN does not name the wstest of Autobahn's test suite");
        return;
    };
    let web = echo();
    let dir = tempfile::tempdir().unwrap();
    let spec = json!({
        "outdir": dir.path(),
        "servers": [{"agent": "claude-comms", "url": format!("ws://{}", web.address().unwrap())}],
        "cases": CASES,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let spec_file = dir.path().join("spec.json");
    fs::write(&spec_file, spec.to_string()).unwrap();
    let mut command = Command::new(wstest);
    command.args(["--mode", "fuzzingclient", "--spec"]).arg(&spec_file).current_dir(dir.path());
    assert!(command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    let report: Value = serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
    let outcomes = report["claude-comms"].as_object().unwrap();
    assert!(outcomes.len() >= CASES_MIN, "{} cases were run", outcomes.len());
    // Not strict: closed all the same, but not as early as possible. Informational: there is no right and wrong.
    let is_well = |outcome: &Value| matches!(outcome.as_str(), Some("OK" | "NON-STRICT" | "INFORMATIONAL"));
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|(_, case)| !is_well(&case["behavior"]) || !is_well(&case["behaviorClose"]))
        .map(|(name, case)| format!("{name}: {} {}", case["behavior"], case["behaviorClose"]))
        .collect();
    let strict = outcomes.values().filter(|case| case["behavior"] == "OK").count();
    println!("{} cases, {strict} of them OK in the strict sense, {} failed", outcomes.len(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}
