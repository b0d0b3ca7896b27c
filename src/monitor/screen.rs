//! A monitor on a screen: one loop over news, keys, signals and time, that draws when there is something to draw.

use super::crew::Crew;
use super::draw::draw;
use super::error::MonitorError;
use super::keys::Keys;
use super::settings::Settings;
use super::state::{Msg, State, Wish, update};
use super::terminal::{Patient, Taken};
use crate::clock::{Clock, Tick};
use crate::service::Signal;
use crate::thread::Bell;
use crossbeam_channel::{Receiver, bounded, never, select};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::{Terminal, TerminalOptions};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Between two drawings, however much happens.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// Between two drawings when nothing happens but that things grow older.
const AGE_INTERVAL: Duration = Duration::from_secs(1);
/// Keys that may wait.
const KEYS_MAX: usize = 64;
/// News that are taken before the next drawing is thought of.
const NEWS_AT_ONCE_MAX: usize = 1_000;

/// What a person outside wants of a screen.
pub(crate) struct Outside {
    pub(crate) signals: Receiver<Signal>,
    /// Rings as soon as the first signal to stop has come, to end a wait for the terminal.
    pub(crate) stop: Arc<Bell>,
}

/// Shows the screen until the person leaves.
pub(crate) fn run(settings: &Settings, clock: &Arc<dyn Clock>, outside: &Outside) -> Result<(), MonitorError> {
    let mut out = Patient::until(Arc::clone(&outside.stop));
    let taken = Taken::take(&mut out).map_err(MonitorError::Terminal)?;
    let (pressed, keys) = bounded(KEYS_MAX);
    // Without a keyboard there are still signals.
    let listening = Keys::listen(pressed).ok();
    let backend = CrosstermBackend::new(out);
    let terminal = Terminal::with_options(backend, TerminalOptions::default()).map_err(MonitorError::Terminal)?;
    let crew = Crew::start(settings, clock).map_err(MonitorError::Start)?;
    let owner = Some((&taken, &outside.stop));
    let mut screen = Screen { terminal, state: State::new(settings, clock.now()), drawn: None, clock, owner };
    let shown = screen.show(&crew, &keys, outside);
    drop(listening);
    // It shows the cursor, for which the terminal must still be ours. One that is gone is found out here: the screen's own
    // end would complain on a standard error that may be gone with it.
    let _ = screen.terminal.show_cursor();
    drop(screen);
    // The person sees the shell again while leave is taken.
    drop(taken);
    crew.finish(Some(&outside.signals));
    shown
}

struct Screen<'a, B: Backend> {
    terminal: Terminal<B>,
    state: State,
    /// When it was drawn last.
    drawn: Option<Tick>,
    clock: &'a Arc<dyn Clock>,
    /// Nobody, where the terminal is none.
    owner: Option<(&'a Taken, &'a Arc<Bell>)>,
}

impl<B: Backend<Error = io::Error>> Screen<'_, B> {
    fn show(&mut self, crew: &Crew, keys: &Receiver<super::keys::Key>, outside: &Outside) -> Result<(), MonitorError> {
        let none = never();
        let mut keys = keys;
        let mut due = Tick::ZERO;
        loop {
            let now = self.clock.tick();
            if now >= due {
                match self.draw() {
                    Ok(()) => due = now.after(AGE_INTERVAL),
                    // We are to end, and the terminal takes nothing.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                    // A panic elsewhere has given the terminal back.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => return Err(MonitorError::Died),
                    Err(error) => return Err(MonitorError::Terminal(error)),
                }
            }
            let mut came = true;
            select! {
                recv(crew.told()) -> told => {
                    let Ok(told) = told else { return Err(MonitorError::Died) };
                    self.update(Msg::Told(Box::new(told)));
                    for told in crew.told().try_iter().take(NEWS_AT_ONCE_MAX) {
                        self.update(Msg::Told(Box::new(told)));
                    }
                }
                recv(keys) -> key => match key {
                    Ok(key) => self.update(Msg::Key(key)),
                    Err(_) => keys = &none,
                },
                recv(outside.signals) -> signal => match signal {
                    Ok(Signal::Resized) => self.update(Msg::Tick),
                    Ok(Signal::Continued) => self.with_terminal(Taken::retake)?,
                    Ok(_) | Err(_) => return Ok(()),
                },
                default(self.clock.tick().until(due)) => {
                    came = false;
                    self.update(Msg::Tick);
                }
            }
            match self.state.wish.take() {
                Some(Wish::Quit) => return Ok(()),
                Some(Wish::GiveUp) => return Err(MonitorError::Died),
                Some(Wish::Suspend) => self.with_terminal(Taken::suspend)?,
                None => {}
            }
            if came {
                due = due.min(self.drawn.map_or(Tick::ZERO, |drawn| drawn.after(DRAW_INTERVAL)));
            }
        }
    }

    /// Has something done with the terminal that leaves nothing of the picture.
    fn with_terminal(&mut self, act: fn(&Taken, &mut Patient) -> io::Result<()>) -> Result<(), MonitorError> {
        let Some((taken, stop)) = self.owner else { return Ok(()) };
        let acted = act(taken, &mut Patient::until(Arc::clone(stop)));
        let redrawn = acted.and_then(|()| self.terminal.resize(self.terminal.size()?.into()));
        redrawn.map_err(MonitorError::Terminal)?;
        self.drawn = None;
        Ok(())
    }

    fn update(&mut self, msg: Msg) {
        update(&mut self.state, self.clock.now(), msg);
    }

    fn draw(&mut self) -> io::Result<()> {
        self.drawn = Some(self.clock.tick());
        self.state.now = self.clock.now();
        self.terminal.draw(|frame| draw(&self.state, frame)).map(drop)
    }
}
