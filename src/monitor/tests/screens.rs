//! Screens as a person sees them, at several sizes, after what was told and pressed. The pictures stand in files of plain
//! text; with `CLAUDE_COMMS_BLESS` set they are written anew, to be looked at before they are kept.

use super::server::frame;
use crate::clock::{Now, Tick, Timestamp};
use crate::monitor::address::Address;
use crate::monitor::draw::{draw, paint};
use crate::monitor::frame::Frame;
use crate::monitor::glyphs::Glyphs;
use crate::monitor::keys::Key;
use crate::monitor::settings::{Look, Settings};
use crate::monitor::state::{Msg, State, update};
use crate::monitor::tell::{Continuity, Lost, Tell, Told, Why};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

pub(super) const LOOK: Look = Look { glyphs: Glyphs::Unicode, has_colour: false };

/// A state, and the time in it.
pub(super) struct Stage {
    pub(super) state: State,
    now: Now,
}

impl Stage {
    pub(super) fn new(settings: &Settings) -> Stage {
        let now = Now {
            tick: Tick::ZERO.after(Duration::from_secs(1_000_000)),
            wall: Timestamp::parse("2026-11-03T10:20:31+00:00").unwrap(),
        };
        Stage { state: State::new(settings, now), now }
    }

    pub(super) fn pool() -> Stage {
        Stage::new(&Settings::pool("local".to_owned(), Address::new("127.0.0.1", 8690), LOOK))
    }

    pub(super) fn pass(&mut self, millis: u64) {
        let wait = Duration::from_millis(millis);
        self.now = Now { tick: self.now.tick.after(wait), wall: self.now.wall.after(wait) };
        update(&mut self.state, self.now, Msg::Tick);
    }

    pub(super) fn tell(&mut self, panel: usize, tell: Tell) {
        update(&mut self.state, self.now, Msg::Told(Box::new(Told { panel, at: self.now, tell })));
    }

    pub(super) fn connect(&mut self, panel: usize, continuity: Continuity) {
        self.tell(panel, Tell::Welcomed);
        self.tell(panel, Tell::Subscribed(continuity));
    }

    pub(super) fn status(&mut self, data: &Value) {
        self.tell(0, Tell::Status(data.as_object().unwrap().clone()));
    }

    pub(super) fn event(&mut self, panel: usize, event: &str, data: Value) {
        self.event_in(panel, "pool:local", event, data);
    }

    pub(super) fn event_in(&mut self, panel: usize, room: &str, event: &str, data: Value) {
        let mut sent = frame("event", event, data);
        sent["room"] = room.into();
        // It has taken 12 ms.
        let sent_at = self.now.wall.as_micros() - 12_000;
        sent["timestamp"] = Timestamp::from_micros(sent_at).to_string().into();
        let frame = Frame::parse(sent.to_string().as_bytes()).unwrap();
        self.tell(panel, Tell::Event { frame, is_live: true });
    }

    pub(super) fn lose(&mut self, panel: usize, why: Why, attempt: u32) {
        self.tell(panel, Tell::Lost(Lost { why, attempt, retry_in: Duration::from_secs(4) }));
    }

    pub(super) fn press(&mut self, keys: &[Key]) {
        for key in keys {
            update(&mut self.state, self.now, Msg::Key(*key));
        }
    }

    pub(super) fn write(&mut self, text: &str) {
        text.chars().for_each(|char| self.press(&[Key::Char(char)]));
    }

    /// Only that it can be drawn.
    pub(super) fn paint(&self, width: u16, height: u16) {
        let area = Rect::new(0, 0, width, height);
        paint(&self.state, area, &mut Buffer::empty(area));
    }

    pub(super) fn screen(&self, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(&self.state, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned() + "\n"
        };
        (0..height).map(row).collect()
    }

    /// Compares a screen with the picture in its file.
    #[track_caller]
    pub(super) fn shows(&self, name: &str, width: u16, height: u16) {
        let screen = self.screen(width, height);
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("src/monitor/tests/screens/{name}_{width}x{height}.txt"));
        if std::env::var_os("CLAUDE_COMMS_BLESS").is_some() {
            fs::write(&file, &screen).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert!(screen == expected, "{} should be\n{expected}but is\n{screen}", file.display());
    }
}

pub(super) fn pool_status() -> Value {
    json!({"pool_id": "local", "status": "running", "worker_count": 3, "active_workers": 1, "idle_workers": 1,
    "queue_size": 2, "tasks_completed": 12, "tasks_failed": 1, "workers": [
        {"worker_id": "local-worker-0", "status": "busy", "task_id": "0199a0b1-7c2d-7e3f-8a4b-1234567890ab"},
        {"worker_id": "local-worker-1", "status": "idle"},
        {"worker_id": "local-worker-2", "status": "error"},
    ]})
}

/// A pool in which something goes on.
pub(super) fn busy_pool() -> Stage {
    let mut stage = Stage::pool();
    stage.connect(0, Continuity::First);
    stage.status(&pool_status());
    let task = |number: u32, more: Value| {
        let mut data = json!({"pool_id": "local", "worker_id": "local-worker-1", "severity": "info",
            "task_id": format!("0199a0b1-7c2d-7e3f-8a4b-{number:012}")});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    for number in 0..4 {
        stage.pass(2_000);
        stage.event(0, "task.assigned", task(number, json!({"task": {"attempt": 1}})));
        stage.pass(500);
        let result = json!({"result": {"success": true, "exit_code": 0, "duration_ms": 1500}});
        match number {
            2 => {
                let error = json!({"error": "timeout", "exit_code": 1, "severity": "error"});
                stage.event(0, "task.failed", task(number, error));
            }
            3 => {
                let again = json!({"error": "exit", "attempt": 2, "delay_seconds": 5.0, "severity": "warning"});
                stage.event(0, "task.retrying", task(number, again));
            }
            _ => stage.event(0, "task.completed", task(number, result)),
        }
    }
    stage.pass(14_000);
    stage
}

#[test]
fn a_pool_before_anything_is_known() {
    let mut stage = Stage::pool();
    stage.shows("pool_empty", 80, 24);
    stage.lose(0, Why::NobodyAnswers, 2);
    stage.pass(1_000);
    stage.shows("pool_away", 80, 24);
    stage.tell(0, Tell::NoWelcome);
    stage.shows("pool_ungreeted", 80, 24);
}

#[test]
fn a_pool_in_which_something_goes_on() {
    let stage = busy_pool();
    for (width, height) in [(80, 24), (120, 40), (40, 15)] {
        stage.shows("pool_busy", width, height);
    }
}

#[test]
fn what_may_be_wrong_by_now_says_so_itself() {
    let mut stage = busy_pool();
    stage.lose(0, Why::Closed(String::new()), 3);
    stage.pass(12_000);
    // The time to the next attempt is over, so it is tried.
    stage.lose(0, Why::NobodyAnswers, 3);
    for (width, height) in [(80, 24), (40, 15)] {
        stage.shows("pool_stale", width, height);
    }
    stage.connect(0, Continuity::Whole);
    assert!(!stage.screen(80, 24).contains("as of"));
    stage.lose(0, Why::Silent(Duration::from_secs(30)), 2);
    assert!(stage.screen(80, 24).contains(" Pool ▲ as of 30 s ago"), "{}", stage.screen(80, 24));
    // A server that cannot say what was missed has to say how things are first.
    stage.connect(0, Continuity::Broken);
    assert!(stage.screen(80, 24).contains("as of 30 s ago"));
    stage.status(&pool_status());
    assert!(!stage.screen(80, 24).contains("as of"));
}

#[test]
fn a_pool_that_nobody_knows_is_waited_for() {
    let mut stage = Stage::pool();
    stage.connect(0, Continuity::First);
    stage.tell(0, Tell::Unknown { known: ["web", "review", "night\u{1b}[2Jly"].map(str::to_owned).to_vec() });
    stage.shows("pool_unknown", 80, 24);
    stage.event(0, "pool.spawned", json!({"pool_id": "local", "config": {"executor": "echo"}}));
    stage.status(&pool_status());
    assert!(!stage.screen(80, 24).contains("knows none"));
}

#[test]
fn a_terminal_without_unicode_or_colour_says_the_same() {
    let mut stage = busy_pool();
    stage.state.look = Look { glyphs: Glyphs::Ascii, has_colour: true };
    stage.event(0, "x", json!({"a": "grün"}));
    stage.shows("pool_ascii", 80, 24);
    assert!(stage.screen(200, 60).is_ascii());
}

#[test]
fn keys_pause_filter_scroll_and_help() {
    let mut stage = busy_pool();
    stage.press(&[Key::Char(' ')]);
    stage.event(0, "task.assigned", json!({"task_id": "new-task", "worker_id": "local-worker-0"}));
    let paused = stage.screen(80, 24);
    assert!(paused.contains("paused, 1 came since") && !paused.contains("new-task"), "{paused}");
    // Filters also work on what stands still.
    stage.press(&[Key::Char('/')]);
    stage.write("FAILED?q");
    stage.press(&[Key::Backspace, Key::Backspace]);
    stage.shows("pool_filtering", 80, 24);
    stage.press(&[Key::Enter, Key::Char(' ')]);
    let filtered = stage.screen(80, 24);
    assert!(filtered.contains("filter: FAILED  q quit") && !filtered.contains("task.assigned"), "{filtered}");
    stage.press(&[Key::Escape, Key::Char('?')]);
    stage.shows("help", 80, 24);
    stage.shows("help", 40, 15);
    stage.press(&[Key::Char('x'), Key::Char('?')]);
    assert!(stage.screen(80, 24).contains("new-task"));
    assert_eq!(stage.state.wish, None);
}

#[test]
fn scrolling_stops_to_follow_and_the_end_goes_on() {
    let mut stage = Stage::pool();
    stage.connect(0, Continuity::First);
    let say = |stage: &mut Stage, number: u32| stage.event(0, "x", json!({"number": format!("n{number:03}")}));
    (0..100).for_each(|number| say(&mut stage, number));
    let sees = |stage: &Stage, text: &str| stage.screen(80, 24).contains(text);
    assert!(sees(&stage, "n099") && sees(&stage, "(following)"));
    stage.press(&[Key::Up]);
    assert!(!sees(&stage, "n099") && sees(&stage, "n098") && sees(&stage, "(scrolled, End follows)"));
    (100..1500).for_each(|number| say(&mut stage, number));
    // What it stood at is forgotten by now; the oldest that is kept is as near as it gets.
    assert!(sees(&stage, "n500") && !sees(&stage, "n1499"), "{}", stage.screen(80, 24));
    stage.press(&[Key::Home, Key::PageDown, Key::Up, Key::Down]);
    assert!(sees(&stage, "n510") && !sees(&stage, "n520"), "{}", stage.screen(80, 24));
    stage.press(&[Key::End]);
    assert!(sees(&stage, "n1499") && sees(&stage, "(following)"));
    stage.press(&[Key::Up, Key::Down]);
    assert!(sees(&stage, "(following)"));
}

#[test]
fn whatever_comes_from_a_server_commands_nothing() {
    let evil = "\u{1b}[2J\u{9b}31m\u{202e}\u{7}\n\r\t";
    let mut stage = Stage::new(&Settings::pool(evil.to_owned(), Address::new("127.0.0.1", 8690), LOOK));
    stage.connect(0, Continuity::First);
    stage.status(&json!({"status": evil, "workers": [{"worker_id": evil, "status": evil, "task_id": evil}]}));
    for event in ["pool.scaling", "task.failed", evil] {
        let data = json!({"task_id": evil, "worker_id": evil, "error": evil, "reason": evil, "event_type": evil});
        stage.event(0, event, data);
    }
    stage.tell(0, Tell::Refused { code: evil.to_owned(), message: evil.to_owned() });
    stage.lose(0, Why::Closed(evil.to_owned()), 2);
    let screen = stage.screen(200, 60);
    assert!(screen.chars().all(|char| char == '\n' || !crate::service::logging::is_treacherous(char)), "{screen:?}");
    stage.tell(0, Tell::Unknown { known: vec![evil.to_owned()] });
    let screen = stage.screen(200, 60);
    assert!(screen.chars().all(|char| char == '\n' || !crate::service::logging::is_treacherous(char)), "{screen:?}");
}

#[test]
fn every_size_has_a_picture() {
    let mut stage = busy_pool();
    let wide = "宽".repeat(100);
    stage.event(0, &wide, json!({"a": wide}));
    let mut stale = busy_pool();
    stale.tell(0, Tell::Unknown { known: vec!["a".repeat(64); 64] });
    stale.lose(0, Why::NobodyAnswers, 7);
    stale.press(&[Key::Char('/'), Key::Char('t'), Key::Up]);
    let mut helping = busy_pool();
    helping.press(&[Key::Char('?')]);
    for height in 1..=60 {
        for width in 1..=200 {
            stage.paint(width, height);
            if width % 13 == 1 || width < 8 {
                stale.paint(width, height);
                helping.paint(width, height);
            }
        }
    }
}
