//! Golden answers: documented shapes, and those of real servers.

use super::super::{Mapped, OTHER_KEYS_MAX, map};
use crate::mcp::client::ToolAnswer;
use serde_json::{Map, Value, json};

/// `metric kind value`, one a line, then what was left out, or why nothing could be mapped.
fn mapped(tool: &str, answer: &ToolAnswer) -> Vec<String> {
    match map(tool, answer) {
        Mapped::Samples { samples, bad } => samples
            .iter()
            .map(|sample| format!("{} {} {}", sample.metric, sample.kind.as_str(), sample.value))
            .chain(bad.into_iter().map(|bad| format!("! {bad}")))
            .collect(),
        Mapped::Unmapped(reason) => vec![format!("unmapped: {reason}")],
    }
}

fn object(tool: &str, value: Value) -> Vec<String> {
    let Value::Object(object) = value else { panic!("no object") };
    mapped(tool, &ToolAnswer::Object(object))
}

#[test]
fn the_documented_keys() {
    assert_eq!(
        object("get_activity_summary", json!({"active_sessions": 3, "total_sessions": 41, "note": "x"})),
        ["session_buddy.sessions.active gauge 3", "session_buddy.sessions.total counter 41"]
    );
    assert_eq!(
        object("get_workflow_metrics", json!({"workflows_completed": 5, "workflows_failed": 0, "avg_duration": 2.5})),
        [
            "session_buddy.workflows.completed counter 5",
            "session_buddy.workflows.failed counter 0",
            "session_buddy.workflow.duration histogram 2.5"
        ]
    );
    let analytics = json!({"total_checkpoints": 9, "avg_checkpoint_size": 1024, "avg_session_duration": 90.5});
    assert_eq!(
        object("get_session_analytics", analytics),
        [
            "session_buddy.checkpoints.total counter 9",
            "session_buddy.checkpoint.size histogram 1024",
            "session_buddy.session.duration histogram 90.5"
        ]
    );
    assert_eq!(
        object("get_performance_metrics", json!({"cpu_usage": 12.5, "memory_usage": 1e9, "response_time": 0.25})),
        [
            "session_buddy.performance.cpu_usage gauge 12.5",
            "session_buddy.performance.memory_usage gauge 1000000000",
            "session_buddy.performance.response_time histogram 0.25"
        ]
    );
}

#[test]
fn what_session_buddy_0_23_answers() {
    let activity = ToolAnswer::TextOnly("# Activity\n\n- 3 sessions today".to_owned());
    assert_eq!(mapped("get_activity_summary", &activity), ["unmapped: it answered with text only"]);

    let workflow = json!({
        "total_sessions": 12, "avg_session_duration_minutes": 42.5, "avg_checkpoints_per_session": 2.25,
        "avg_commits_per_session": 3, "avg_quality_score": 81.5, "quality_trend": "stable",
        "most_productive_time_of_day": "morning", "most_used_tools": [{"tool": "Edit", "count": 9}],
        "total_files_modified": 120, "avg_velocity_commits_per_hour": 1.5, "active_projects": ["a"],
        "period_start": "2026-01-01T00:00:00", "period_end": "2026-01-31T00:00:00", "success": true
    });
    assert_eq!(
        object("get_workflow_metrics", workflow),
        [
            "session_buddy.workflow.sessions gauge 12",
            "session_buddy.session.duration histogram 2550",
            "session_buddy.workflow.checkpoints_per_session gauge 2.25",
            "session_buddy.workflow.commits_per_session gauge 3",
            "session_buddy.workflow.commits_per_hour gauge 1.5",
            "session_buddy.workflow.quality_score gauge 81.5",
            "session_buddy.workflow.files_modified gauge 120"
        ]
    );
    let analytics = json!({"success": true, "sessions": [{"session_id": "a"}], "total_analyzed": 7, "insights": []});
    assert_eq!(object("get_session_analytics", analytics), ["session_buddy.sessions.analyzed gauge 7"]);
}

#[test]
fn a_bad_value_costs_its_own_key_only() {
    let activity =
        |value: Value| object("get_activity_summary", json!({"active_sessions": 3, "total_sessions": value}));
    for (value, reason) in [
        (json!(-1), "-1 is negative, which a total cannot be"),
        (json!("41"), "it is a text, not a number"),
        (json!("NaN"), "NaN is no number"),
        (json!(true), "it is true or false, not a number"),
        (json!([41]), "it is a list, not a number"),
        (json!({"n": 41}), "it is an object, not a number"),
    ] {
        let left_out = format!("! total_sessions was left out: {reason}");
        assert_eq!(activity(value), ["session_buddy.sessions.active gauge 3".to_owned(), left_out]);
    }
    assert_eq!(activity(Value::Null), ["session_buddy.sessions.active gauge 3"]);
    assert_eq!(
        object("get_workflow_metrics", json!({"avg_session_duration_minutes": 1e308, "total_sessions": 1})),
        ["session_buddy.workflow.sessions gauge 1", "! avg_session_duration_minutes was left out: it is not finite"]
    );
    let python =
        ToolAnswer::TextOnly(r#"{"cpu_usage": NaN, "memory_usage": -Infinity, "response_time": 1}"#.to_owned());
    assert_eq!(
        mapped("get_performance_metrics", &python),
        [
            "session_buddy.performance.response_time histogram 1",
            "! cpu_usage was left out: NaN is no number",
            "! memory_usage was left out: -Infinity is no number"
        ]
    );
}

#[test]
fn an_answer_without_one_usable_number_is_unmapped() {
    assert_eq!(
        object("get_activity_summary", json!({"active_sessions": "3", "total_sessions": [41]})),
        [
            "unmapped: active_sessions was left out: it is a text, not a number; total_sessions was left out: it is a list, \
          not a number"
        ]
    );
    let long = object("t", json!({"x".repeat(300): 1}));
    assert_eq!(long, ["unmapped: a key of 300 bytes was left out: its name is too long for a metric"]);
    // There is nothing yet that an average could be of.
    assert!(object("get_workflow_metrics", json!({"avg_duration": null})).is_empty());
}

/// Its sum would fall, which looks like a restart.
#[test]
fn an_observation_is_not_negative() {
    assert_eq!(
        object("get_performance_metrics", json!({"cpu_usage": 1, "response_time": -0.5})),
        [
            "session_buddy.performance.cpu_usage gauge 1",
            "! response_time was left out: -0.5 is negative, which a duration or a size cannot be"
        ]
    );
}

#[test]
fn gauges_may_be_negative() {
    assert_eq!(
        object("get_activity_summary", json!({"active_sessions": -2})),
        ["session_buddy.sessions.active gauge -2"]
    );
}

#[test]
fn an_unknown_shape_is_named() {
    assert_eq!(
        object("get_activity_summary", json!({"sessions": 3, "other": 1})),
        ["unmapped: none of the keys that are known is in its answer, which has other, sessions"]
    );
    assert_eq!(
        object("get_activity_summary", json!({})),
        ["unmapped: none of the keys that are known is in its answer, which has no keys"]
    );
    assert_eq!(
        mapped("get_activity_summary", &ToolAnswer::Value(json!([1, 2]))),
        ["unmapped: it answered with a list or a bare value, not with named numbers"]
    );
    assert_eq!(
        object("weather", json!({"sky": "blue"})),
        ["unmapped: there is no number at the top of its answer, which has sky"]
    );
}

#[test]
fn numbers_of_other_tools_become_gauges() {
    assert_eq!(
        object("get-weather", json!({"temp.c": -3.5, "wind": 7, "sky": "blue", "rain": null, "hit_count": 2})),
        [
            "upstream.get_weather.hit_count_value gauge 2",
            "upstream.get_weather.temp_c gauge -3.5",
            "upstream.get_weather.wind gauge 7"
        ]
    );
    assert_eq!(
        object("t", json!({"sum": 1, "größe": 2})),
        ["upstream.t.gr__e gauge 2", "upstream.t.sum_value gauge 1"]
    );
    assert_eq!(object("t", json!({"requests_total": 1})), ["upstream.t.requests_total_value gauge 1"]);
    assert_eq!(
        object("t", json!({"a b": 1, "a-b": 2})),
        ["upstream.t.a_b gauge 1", "! a-b was left out: another key is called upstream.t.a_b already"]
    );
}

#[test]
fn other_tools_are_kept_within_limits() {
    let many: Map<String, Value> = (0..40).map(|number| (format!("k{number:02}"), json!(number))).collect();
    let shown = mapped("t", &ToolAnswer::Object(many));
    assert_eq!(shown.len(), OTHER_KEYS_MAX + 1);
    assert_eq!(shown.last().unwrap(), "! 8 numbers were left out: at most 32 are taken");
    let long = object("t", json!({"x".repeat(300): 1, "y": 2}));
    assert_eq!(long, ["upstream.t.y gauge 2", "! a key of 300 bytes was left out: its name is too long for a metric"]);
}

/// Whatever is mapped, the registry takes it.
#[test]
fn every_metric_has_a_name_that_prometheus_knows() {
    for name in ["session_buddy.sessions.total", "upstream.t.count_value", "upstream.get_weather.temp_c"] {
        assert!(crate::telemetry::Name::new(name).is_ok(), "{name}");
    }
    for key in ["count", "a_sum", "bucket", "", "1", "é", ".", "_"] {
        let lines = object("t", json!({key: 1}));
        let name = lines[0].split(' ').next().unwrap();
        assert!(crate::telemetry::Name::new(name).is_ok(), "{key}: {name}");
    }
}
