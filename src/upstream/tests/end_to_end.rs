//! The client included, over real sockets.

use super::super::{CycleOutcome, Poller, PollerSettings, ToolState};
use super::{Heard, states};
use crate::mcp::faulty::{FaultyServer, Reaction, Seen};
use crate::mcp::protocol::Era;
use crate::resilience::Effects;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn polling(server: &FaultyServer) -> PollerSettings {
    PollerSettings { retry_delay: Duration::from_secs(1), ..PollerSettings::new("e2e", &server.endpoint()) }
}

fn structured(seen: &Seen, data: Value) -> Reaction {
    Reaction::json(&seen.result(&json!({"content": [], "structuredContent": data})))
}

fn text(seen: &Seen, text: &str) -> Reaction {
    Reaction::json(&seen.result(&json!({"content": [{"type": "text", "text": text}]})))
}

/// As documented, each tool in another shape.
fn documented(seen: &Seen) -> Reaction {
    match seen.body["params"]["name"].as_str().unwrap_or_default() {
        "get_activity_summary" => structured(seen, json!({"active_sessions": 3, "total_sessions": 41})),
        "get_workflow_metrics" => {
            structured(seen, json!({"result": {"workflows_completed": 5, "workflows_failed": 1, "avg_duration": 2.5}}))
        }
        "get_session_analytics" => text(seen, r#"{"total_checkpoints": 9, "avg_session_duration": NaN}"#),
        _ => structured(seen, json!({"cpu_usage": 12.5, "memory_usage": 80, "response_time": 0.2})),
    }
}

#[test]
fn all_tools_of_a_server_are_collected_in_both_eras() {
    for (server, era) in
        [(FaultyServer::legacy(documented), Era::Legacy), (FaultyServer::modern(documented), Era::Modern)]
    {
        let heard = Arc::new(Heard::default());
        let poller = Poller::new(polling(&server), &Effects::system(), heard.clone()).unwrap();
        let report = poller.poll_once();
        assert_eq!(report.outcome, CycleOutcome::Ok, "{:?}", report.errors);
        assert_eq!(states(&report), [ToolState::Ok; 4]);
        assert_eq!(report.metrics_collected, poller.settings().tools);
        assert_eq!(report.errors, ["get_session_analytics: avg_session_duration was left out: NaN is no number"]);
        let total = report.samples.iter().find(|sample| sample.metric == "session_buddy.sessions.total").unwrap();
        assert_eq!(total.value, 41.0);
        assert_eq!((report.samples.len(), report.era, report.poll_cycle), (9, Some(era), 1));
        assert_eq!(*heard.reports.lock(), [report]);
        let status = poller.status();
        assert_eq!((status.poll_cycles, status.errors, status.running, status.era), (1, 0, false, Some(era)));
        drop(poller);
        assert_eq!(server.count("initialize"), 1);
        assert_eq!(server.count("DELETE"), usize::from(era == Era::Legacy), "sessions are not leaked");
    }
}
