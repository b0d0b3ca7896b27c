use super::*;
use crate::config::layers::tests::{load, problems};
use crate::config::{Config, Overrides};

fn alerts(user: &str) -> Vec<Alert> {
    load("", user, &[], &Overrides::default()).unwrap().config.alerts
}

#[test]
fn there_are_no_alerts_by_default() {
    assert_eq!(Config::default().alerts, []);
}

#[test]
fn every_row_is_kept_in_a_field_of_its_own() {
    let user = r#"
        [[alert]]
        name = "busy"
        metric = "session_buddy.performance.cpu_usage"
        labels = { upstream = "session-buddy" }
        above = 90
        clear = 75.5
        hold_seconds = 120
        [[alert]]
        name = "lonely"
        metric = "claude_comms:workers"
        below = 1e-3
        [alert.labels]
        pool = ""
    "#;
    let expected = [
        Alert {
            name: "busy".to_owned(),
            metric: "session_buddy_performance_cpu_usage".to_owned(),
            labels: BTreeMap::from([("upstream".to_owned(), "session-buddy".to_owned())]),
            bound: Bound::Above(90.0),
            clear: 75.5,
            hold: Duration::from_secs(120),
        },
        Alert {
            name: "lonely".to_owned(),
            metric: "claude_comms:workers".to_owned(),
            labels: BTreeMap::from([("pool".to_owned(), String::new())]),
            bound: Bound::Below(0.001),
            clear: 0.001,
            hold: Duration::ZERO,
        },
    ];
    assert_eq!(alerts(user), expected);
}

#[test]
fn an_alert_clears_on_the_other_side_or_at_the_threshold() {
    let one = |rule: &str| format!("[[alert]]\nname = \"a\"\nmetric = \"m\"\n{rule}\n");
    for good in ["above = 5\nclear = 5", "above = 5\nclear = -5", "below = 5\nclear = 5", "below = -5\nclear = 5"] {
        assert_eq!(alerts(&one(good)).len(), 1, "{good}");
    }
    for (bad, told) in [
        ("above = 5\nclear = 5.5", "user.toml:5:9: alert.clear must be at most the threshold 5, not 5.5"),
        ("below = 5\nclear = 4", "user.toml:5:9: alert.clear must be at least the threshold 5, not 4"),
        ("above = 5\nbelow = 4", "user.toml:5:9: [[alert]] takes one of above and below, not both"),
        ("clear = 4", "user.toml:2:8: [[alert]] needs one of above and below"),
        ("above = nan", "user.toml:4:9: alert.above must be a finite number, not NaN"),
        ("below = -inf", "user.toml:4:9: alert.below must be a finite number, not -inf"),
        ("above = 5\nhold = 5", "user.toml:5:1: there is no setting \"hold\" in [[alert]]; did you mean hold_seconds?"),
        ("above = \"5\"", "user.toml:4:9: alert.above must be a finite number, not \"5\""),
    ] {
        problems(&one(bad), &[told]);
    }
}

#[test]
fn everything_that_is_wrong_with_alerts_is_told_with_its_place() {
    problems(
        r#"[[alert]]
name = "a"
metric = "9lives"
abov = 1
hold_seconds = 86401
labels = { "a-b" = "c" }

[[alert]]
name = "a"
labels = { __a = "c" }
above = 1

[[alert]]
name = "b"
metric = "m"
labels = { a = 1 }
interval_seconds = 1
[alerts]
"#,
        &[
            "user.toml:3:10: alert.metric must be the name of a metric, like \"session_buddy.sessions.active\", not \"9lives\"",
            "user.toml:4:1: there is no setting \"abov\" in [[alert]]; did you mean above?",
            "user.toml:5:16: alert.hold_seconds must be a number of seconds from 0 to 86400, not 86401",
            "user.toml:6:10: alert.labels must be a table of label names and texts, not a table with the name \"a-b\"",
            "user.toml:8:1: [[alert]] needs metric, the name of a metric, like \"session_buddy.sessions.active\"",
            "user.toml:9:8: [[alert]] \"a\" is there already, at user.toml:2:8",
            "user.toml:10:10: alert.labels must be a table of label names and texts, not a table with the name \"__a\"",
            "user.toml:16:10: alert.labels must be a table of label names and texts, not a table whose \"a\" is a number",
            "user.toml:17:1: there is no setting \"interval_seconds\" in [[alert]]; it belongs in [daemon]",
            "user.toml:18:2: there is no section \"alerts\"; did you mean [[alert]]?",
        ],
    );
}

#[test]
fn there_is_room_for_256() {
    let one = |number: usize| format!("[[alert]]\nname = \"a{number}\"\nmetric = \"m\"\nabove = 1\n");
    let most: String = (0..256).map(one).collect();
    assert_eq!(alerts(&most).len(), 256);
    problems(&(most + &one(256)), &["user.toml:1025:1: there may be at most 256 of [[alert]]"]);
}
