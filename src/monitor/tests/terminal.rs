//! The terminal: how little goes to it when nothing happens, and that a panic leaves it as it was.

use super::pty::Pty;
use super::screens::{Stage, busy_pool};
use crate::monitor::draw::draw;
use crate::monitor::tell::Why;
use crate::monitor::terminal::{Patient, Taken};
use crate::thread::Bell;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::cell::RefCell;
use std::io::{self, Write};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

/// Counts what is written to it.
#[derive(Clone, Default)]
struct Counter(Rc<RefCell<usize>>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0.borrow_mut() += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes in the seconds that follow, after the picture is there.
fn bytes_within(stage: &mut Stage, seconds: u64) -> usize {
    let written = Counter::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 80, 24)) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(written.clone()), options).unwrap();
    terminal.draw(|frame| draw(&stage.state, frame)).unwrap();
    let first = written.0.replace(0);
    assert!(first > 1_000, "{first}");
    for _ in 0..seconds {
        stage.pass(1_000);
        terminal.draw(|frame| draw(&stage.state, frame)).unwrap();
    }
    written.0.replace(0)
}

#[test]
fn an_idle_screen_costs_next_to_nothing() {
    for seconds in [5, 60] {
        let bytes = bytes_within(&mut busy_pool(), seconds);
        assert!(bytes < 100 * usize::try_from(seconds).unwrap(), "{bytes} bytes in {seconds} s");
    }
    let mut lost = busy_pool();
    lost.lose(0, Why::NobodyAnswers, 9);
    // Here seconds are counted down.
    assert!(bytes_within(&mut lost, 5) < 1_500);
}

#[test]
#[ignore = "run by the test after it, on a terminal of its own"]
fn panics_on_purpose() {
    let stop = Arc::new(Bell::new().unwrap());
    let _taken = Taken::take(&mut Patient::until(stop)).unwrap();
    panic!("on purpose");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_says_a_word() {
    let mut pty = Pty::open(80, 24);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "monitor::tests::terminal::panics_on_purpose"]);
    let mut child = pty.spawn(&mut command);
    assert_eq!(pty.wait(&mut child), Some(101));
    assert!(pty.is_restored());
    let text = String::from_utf8_lossy(&pty.bytes).into_owned();
    assert!(text.find("\x1b[?1049h") < text.find("\x1b[?1049l"), "{text}");
    assert!(text.find("\x1b[?1049l") < text.find("on purpose"), "{text}");
}
