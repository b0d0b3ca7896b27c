//! What a person presses, on a thread of its own that waits for it.

use crate::thread::{Bell, Joined};
use crossbeam_channel::Sender;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use rustix::event::{PollFd, PollFlags, poll as wait};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    BackTab,
}

/// Listening to the keyboard; dropping it ends the thread.
pub(crate) struct Keys {
    stop: Arc<Bell>,
    // Joined when dropped, which comes after `Drop` below has rung the bell.
    _thread: Joined<()>,
}

impl Keys {
    /// Keys that nobody takes in time are lost.
    ///
    /// # Errors
    /// There is no keyboard, or the operating system has no thread left to give.
    pub(crate) fn listen(keys: Sender<Key>) -> io::Result<Keys> {
        let terminal = keyboard()?;
        let stop = Arc::new(Bell::new()?);
        let bell = Arc::clone(&stop);
        let _thread = Joined::spawn("keys", move || listen(&terminal, &bell, &keys))?;
        Ok(Keys { stop, _thread })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.ring();
    }
}

/// Standard input, or the terminal itself where that is something else.
fn keyboard() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return stdin.as_fd().try_clone_to_owned();
    }
    Ok(openat(CWD, "/dev/tty", OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?)
}

fn listen(terminal: &OwnedFd, stop: &Bell, keys: &Sender<Key>) {
    loop {
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(terminal, PollFlags::IN)];
        match wait(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        // The terminal may be gone: then there is nothing to read, and signals are what is left.
        if fds[1].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return;
        }
        loop {
            match poll(Duration::ZERO) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return,
            }
            let Ok(event) = read() else { return };
            if let Some(key) = key_of(&event) {
                let _ = keys.try_send(key);
            }
        }
    }
}

fn key_of(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    Some(match code {
        KeyCode::Char(char) if modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(char.to_ascii_lowercase()),
        KeyCode::Char(char) => Key::Char(*char),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presses_are_told_and_releases_are_not() {
        let pressed = |code, modifiers| key_of(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(pressed(KeyCode::Char('C'), KeyModifiers::CONTROL), Some(Key::Ctrl('c')));
        assert_eq!(pressed(KeyCode::Char('?'), KeyModifiers::SHIFT), Some(Key::Char('?')));
        assert_eq!(pressed(KeyCode::F(1), KeyModifiers::NONE), None);
        assert_eq!(key_of(&Event::Resize(1, 1)), None);
        let mut released = KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(key_of(&Event::Key(released)), None);
    }
}
