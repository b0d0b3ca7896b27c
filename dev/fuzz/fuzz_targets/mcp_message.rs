//! A message of MCP, as a line and over HTTP: an answer is JSON with the id of its request, and nothing panics. The first byte
//! says what the headers claim.
#![no_main]

use claude_comms::clock::SystemClock;
use claude_comms::control::Defaults;
use claude_comms::mcp::server::{Engine, May, Taken, Via};
use claude_comms::model::id::PoolId;
use claude_comms::tools::Toolbox;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let defaults = Defaults {
        ask_timeout: Duration::from_secs(1),
        watch_timeout: Duration::from_secs(1),
        task_timeout: Duration::from_secs(1),
        queue_max: 10,
        pool: PoolId::new("local"),
    };
    Engine::new(Arc::new(Toolbox::new(defaults, Arc::new(SystemClock::new()))))
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, message)) = bytes.split_first() else { return };
    let may = if first & 1 == 0 { May::Act } else { May::Read };
    let headers = |name: &str| match name {
        "mcp-protocol-version" if first & 2 != 0 => Some("2026-07-28".to_owned()),
        "mcp-method" if first & 4 != 0 => Some("tools/call".to_owned()),
        "mcp-name" if first & 8 != 0 => Some("=?base64?bGlzdF9wb29scw==?=".to_owned()),
        _ => None,
    };
    let via = if first & 16 == 0 { Via::Lines } else { Via::Http(&headers) };
    match ENGINE.take(message, via, may) {
        Taken::Answer(answer) => {
            let shown: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
            assert_eq!(shown["jsonrpc"], "2.0");
            assert!(shown.get("result").is_some() != shown.get("error").is_some());
            assert!(!answer.body.contains(&b'\n'), "an answer is one line");
        }
        Taken::Listen(listening) => {
            serde_json::from_slice::<Value>(&listening.opening).expect("an opening is JSON");
        }
        // What an order says is checked where it begins; it must not panic there either.
        Taken::Order(_, order) => drop(ENGINE.offer().begin(order)),
        Taken::Nothing | Taken::Cancel(_) => {}
    }
});
