//! The screen of several services.

use super::screens::{LOOK, Stage};
use crate::monitor::address::Address;
use crate::monitor::keys::Key;
use crate::monitor::settings::{PanelSettings, Settings};
use crate::monitor::tell::{Continuity, Tell, Why};
use serde_json::json;

fn dashboard(names: &[&str]) -> Stage {
    let panel = |name: &&str| {
        let port = if *name == "Akosha" { 8692 } else { 8690 };
        let channel = match *name {
            "Pool" => Some("pool:local".to_owned()),
            "Akosha" => Some("insights".to_owned()),
            _ => None,
        };
        PanelSettings::new(name, Address::new("127.0.0.1", port), channel)
    };
    Stage::new(&Settings::dashboard(names.iter().map(panel).collect(), LOOK))
}

fn busy() -> Stage {
    let mut stage = dashboard(&["Mahavishnu", "Pool", "Akosha"]);
    stage.connect(0, Continuity::First);
    stage.connect(1, Continuity::First);
    stage.lose(2, Why::NobodyAnswers, 2);
    for number in 0..30 {
        stage.pass(200);
        let task = json!({"task_id": format!("task-{number:03}"), "worker_id": "local-worker-1", "severity": "info"});
        stage.event(1, "task.assigned", task.clone());
        stage.event(0, "task.assigned", task);
    }
    let failed =
        json!({"workflow_id": "w", "stages_completed": 1, "total_stages": 4, "error": "test", "severity": "error"});
    stage.event_in(0, "workflow:w", "workflow.failed", failed);
    stage.pass(1_000);
    stage
}

#[test]
fn three_services_beside_each_other() {
    let stage = busy();
    for (width, height) in [(120, 40), (80, 24), (40, 15)] {
        stage.shows("dashboard_busy", width, height);
    }
}

#[test]
fn each_panel_has_its_own_connection_and_place() {
    let mut stage = busy();
    stage.connect(2, Continuity::First);
    stage.event_in(2, "insights", "insight.generated", json!({"insight_type": "trend", "description": "more of it"}));
    stage.lose(1, Why::Closed("1001".to_owned()), 2);
    stage.pass(3_000);
    stage.press(&[Key::Tab, Key::Up, Key::Up]);
    stage.shows("dashboard_stale", 120, 40);
    let screen = stage.screen(120, 40);
    assert!(screen.contains("> ✖ Pool") && screen.contains("2 of 3 live"), "{screen}");
    stage.connect(1, Continuity::Whole);
    assert!(!stage.screen(120, 40).contains("as of"));
    stage.press(&[Key::BackTab, Key::BackTab]);
    assert!(stage.screen(120, 40).contains("> ● Akosha"));
    // Where there is room for one panel only it is the chosen one.
    assert!(stage.screen(38, 8).contains("Akosha") && !stage.screen(38, 8).contains("Pool"));
}

#[test]
fn a_pause_and_a_filter_are_for_all_panels() {
    let mut stage = busy();
    stage.press(&[Key::Char(' '), Key::Char('/')]);
    stage.write("workflow");
    stage.press(&[Key::Enter]);
    stage.event_in(0, "workflow:x", "workflow.started", json!({"metadata": {"name": "unseen"}}));
    let screen = stage.screen(120, 40);
    assert!(screen.contains("workflow.failed") && screen.contains("paused, 1 came since"), "{screen}");
    assert!(!screen.contains("task.assigned") && !screen.contains("unseen"), "{screen}");
}

#[test]
fn every_size_has_a_picture() {
    let names: Vec<String> = (0..7).map(|number| format!("service {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut many = dashboard(&names);
    (0..7).for_each(|panel| many.connect(panel, Continuity::First));
    (0..7).for_each(|panel| many.event(panel, "event", json!({"a": "宽".repeat(60)})));
    many.lose(3, Why::WantsToken("1008".to_owned()), 9);
    many.tell(4, Tell::NoWelcome);
    many.press(&[Key::Tab, Key::Up]);
    for height in 1..=60 {
        for width in 1..=200 {
            many.paint(width, height);
        }
    }
}
