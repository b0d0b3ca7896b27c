//! All that a screen shows, and how it changes: a pure function of what it was and what came.

use super::keys::Key;
use super::panel::Panel;
use super::settings::{Kind, Look, Settings};
use super::tell::{Tell, Told};
use super::text::{NAME_CHARS_MAX, safe};
use crate::clock::Now;

/// Longest filter, in characters.
const FILTER_CHARS_MAX: usize = 64;
/// Entries that a page of history is taken to have.
const PAGE: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) kind: Kind,
    pub(crate) look: Look,
    pub(crate) now: Now,
    pub(crate) panels: Vec<Panel>,
    /// As they were when the person asked for a pause.
    pub(crate) paused: Option<Vec<Panel>>,
    /// The panel that keys are for.
    pub(crate) focus: usize,
    /// For each panel the number of the last entry that is shown; `None` follows the newest.
    pub(crate) places: Vec<Option<u64>>,
    pub(crate) filter: String,
    /// The filter is being typed.
    pub(crate) is_typing: bool,
    pub(crate) has_help: bool,
    /// Shown once on paper: without keys, and without frames that end where a screen does.
    pub(crate) is_printed: bool,
    pub(crate) wish: Option<Wish>,
}

/// What the loop around the screen is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Quit,
    Suspend,
    /// A part of the program has failed.
    GiveUp,
}

#[derive(Clone, Debug)]
pub(crate) enum Msg {
    Told(Box<Told>),
    Key(Key),
    /// Time has passed, or the screen has another size.
    Tick,
}

impl State {
    pub(crate) fn new(settings: &Settings, now: Now) -> State {
        let panels: Vec<Panel> = settings.panels.iter().map(|panel| Panel::new(panel, &settings.kind)).collect();
        State {
            kind: settings.kind.clone(),
            look: settings.look,
            now,
            places: vec![None; panels.len()],
            panels,
            paused: None,
            focus: 0,
            filter: String::new(),
            is_typing: false,
            has_help: false,
            is_printed: false,
            wish: None,
        }
    }

    /// What is shown of a panel's data; its connection is always as it is.
    pub(crate) fn shown(&self, panel: usize) -> Option<&Panel> {
        self.paused.as_ref().unwrap_or(&self.panels).get(panel)
    }

    /// What the screen is about, in two words.
    pub(crate) fn subject(&self) -> String {
        match &self.kind {
            Kind::Pool(id) => format!("pool {}", safe(id, NAME_CHARS_MAX)),
            Kind::Workflow(id) => format!("workflow {}", safe(id, NAME_CHARS_MAX)),
            Kind::Dashboard => "dashboard".to_owned(),
        }
    }

    /// How many messages have come since the pause.
    pub(crate) fn unseen(&self) -> Option<u64> {
        let count = |panels: &[Panel]| panels.iter().map(|panel| panel.messages).sum::<u64>();
        self.paused.as_ref().map(|paused| count(&self.panels) - count(paused))
    }
}

pub(crate) fn update(state: &mut State, now: Now, msg: Msg) {
    state.now = now;
    match msg {
        Msg::Told(told) if told.tell == Tell::Died => state.wish = Some(Wish::GiveUp),
        Msg::Told(told) => {
            if let Some(panel) = state.panels.get_mut(told.panel) {
                panel.hear(told.at, &told.tell);
            }
        }
        Msg::Key(Key::Ctrl('c')) => state.wish = Some(Wish::Quit),
        Msg::Key(Key::Ctrl('z')) => state.wish = Some(Wish::Suspend),
        Msg::Key(key) if state.is_typing => edit(state, key),
        Msg::Key(key) if state.has_help => leave_help(state, key),
        Msg::Key(key) => press(state, key),
        Msg::Tick => {}
    }
}

fn edit(state: &mut State, key: Key) {
    match key {
        Key::Char(char) if state.filter.chars().count() < FILTER_CHARS_MAX && !char.is_control() => {
            state.filter.push(char);
        }
        Key::Backspace => drop(state.filter.pop()),
        Key::Enter => state.is_typing = false,
        Key::Escape => {
            state.is_typing = false;
            state.filter.clear();
        }
        Key::Up | Key::Down | Key::PageUp | Key::PageDown => press(state, key),
        _ => {}
    }
}

fn leave_help(state: &mut State, key: Key) {
    match key {
        Key::Char('q') => state.wish = Some(Wish::Quit),
        Key::Char('?') | Key::Escape | Key::Enter => state.has_help = false,
        _ => {}
    }
}

fn press(state: &mut State, key: Key) {
    match key {
        Key::Char('q') => state.wish = Some(Wish::Quit),
        Key::Char('?') => state.has_help = true,
        Key::Char(' ') => pause(state),
        Key::Char('/') => state.is_typing = true,
        Key::Escape => state.filter.clear(),
        Key::Up | Key::Char('k') => scroll(state, -1),
        Key::Down | Key::Char('j') => scroll(state, 1),
        Key::PageUp => scroll(state, -(PAGE as isize)),
        Key::PageDown => scroll(state, PAGE as isize),
        Key::Home | Key::Char('g') => scroll(state, isize::MIN),
        Key::End | Key::Char('G' | 'f') => follow(state),
        Key::Tab | Key::Right => turn(state, 1),
        Key::BackTab | Key::Left => turn(state, state.panels.len().saturating_sub(1)),
        _ => {}
    }
}

fn pause(state: &mut State) {
    state.paused = match state.paused.take() {
        Some(_) => None,
        None => Some(state.panels.clone()),
    };
}

fn follow(state: &mut State) {
    if let Some(place) = state.places.get_mut(state.focus) {
        *place = None;
    }
}

fn turn(state: &mut State, by: usize) {
    state.focus = (state.focus + by).checked_rem(state.panels.len()).unwrap_or(0);
}

/// Moves the last entry that is shown; behind the newest, new ones are followed again.
fn scroll(state: &mut State, by: isize) {
    let Some(panel) = state.shown(state.focus) else { return };
    let numbers: Vec<u64> = panel.history.matching(&state.filter).map(|(number, _)| number).collect();
    let Some(newest) = numbers.len().checked_sub(1) else { return };
    let place = state.places.get(state.focus).copied().flatten();
    let current = place.map_or(newest, |place| numbers.partition_point(|number| *number < place).min(newest));
    let moved = current.saturating_add_signed(by);
    // One that goes up from the newest stops following even if there is nowhere to go.
    let is_back = by > 0 && moved >= newest;
    if let Some(place) = state.places.get_mut(state.focus) {
        *place = (!is_back).then(|| numbers[moved.min(newest)]);
    }
}
