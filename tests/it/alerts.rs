//! Alerts: a number crosses a threshold, the daemon dies, and the number comes back.

use serde_json::json;

use crate::support::Daemon;

#[test]
fn without_rules_nothing_is_raised() {
    let mut daemon = Daemon::start();
    assert!(daemon.run(&["alert", "list"]).stderr.contains("no alert is raised"));
    assert_eq!(daemon.json(&["alert", "list"]), json!({"alerts": []}));
    assert_eq!(daemon.json(&["poll", "status"])["alerts"], json!([]));
    daemon.stop();
}
