//! Which numbers of tools that the table does not know are kept, and under which names.

use super::super::{OTHER_METRICS_MAX, ToolState};
use super::scripted::{Stage, answer};
use super::settings;
use serde_json::{Map, Value, json};
use std::time::Duration;

fn names(report: &super::CycleReport) -> Vec<&str> {
    report.samples.iter().map(|sample| sample.metric.as_str()).collect()
}

#[test]
fn two_tools_do_not_share_a_name() {
    let stage = Stage::new(settings(&["get", "get_x", "other"]), |tool: &str, _: Duration| match tool {
        "get" => answer(json!({"x_y": 1})),
        "get_x" => answer(json!({"y": 2, "z": 3})),
        _ => answer(json!({"y": 4})),
    });
    for _ in 0..2 {
        let report = stage.poll();
        assert_eq!(names(&report), ["upstream.get.x_y", "upstream.get_x.z", "upstream.other.y"]);
        let said = report.tools[1].error.as_deref().unwrap();
        assert!(said.contains("upstream.get_x.y was left out: the tool get has a number of that name"), "{said}");
        assert_eq!((report.tools[1].state, &report.tools[0].error), (ToolState::Ok, &None));
    }
}

/// A tool with these many numbers, all of them new in each round.
fn changing(
    keys: usize,
) -> impl FnMut(&str, Duration) -> Result<crate::mcp::client::ToolAnswer, crate::mcp::client::CallError> {
    let mut round = 0;
    move |_, _| {
        round += 1;
        let key = |number| (format!("r{round:03}_{number:02}"), Value::from(number));
        answer(Value::Object((0..keys).map(key).collect::<Map<_, _>>()))
    }
}

#[test]
fn what_a_tool_does_not_tell_any_more_makes_room_the_oldest_first() {
    let stage = Stage::new(settings(&["t"]), changing(32));
    for round in 1..=4 {
        let report = stage.poll();
        assert_eq!((report.samples.len(), report.forgotten.len()), (32, 0), "round {round}");
    }
    let report = stage.poll();
    assert_eq!((report.samples.len(), report.forgotten.len()), (32, 32));
    assert!(report.forgotten.iter().all(|metric| metric.starts_with("upstream.t.r001_")), "{:?}", report.forgotten);
    let said = report.tools[0].error.as_deref().unwrap();
    assert!(
        said.contains(&format!(
            "32 numbers that it does not tell any more were forgotten: at most {OTHER_METRICS_MAX}"
        )),
        "{said}"
    );
}

#[test]
fn what_is_still_told_is_kept() {
    let tools: Vec<String> = (0..5).map(|tool| format!("t{tool}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let stage = Stage::new(settings(&tools), |_: &str, _: Duration| {
        answer(Value::Object((0..32).map(|number| (format!("k{number}"), Value::from(number))).collect()))
    });
    for _ in 0..3 {
        let report = stage.poll();
        assert_eq!((report.samples.len(), report.forgotten.len()), (OTHER_METRICS_MAX, 0));
        let said = report.tools[4].error.as_deref().unwrap();
        assert!(said.contains("32 numbers were left out"), "{said}");
        assert_eq!(report.tools[4].state, ToolState::Unmapped);
    }
}
