//! Terminal monitors: a client that comes back for each panel, a pure picture of what it tells, and the drawing of it;
//! or lines, where there is no terminal.

mod address;
mod client;
mod crew;
mod decoder;
mod describe;
mod draw;
mod error;
mod frame;
mod glyphs;
mod history;
mod keys;
mod latency;
mod link;
mod once;
mod panel;
mod plain;
mod pool;
mod screen;
mod settings;
mod state;
mod talk;
mod tell;
mod terminal;
mod text;
mod workers;
mod workflow;

#[cfg(test)]
mod tests;

pub(crate) use address::{Address, Find};
pub(crate) use client::Token;
pub(crate) use error::MonitorError;
pub(crate) use glyphs::Glyphs;
pub(crate) use once::{Looked, run as run_once};
pub(crate) use plain::{Sink, run as run_lines};
pub(crate) use screen::{Outside, run as run_screen};
pub(crate) use settings::{Look, PanelSettings, Settings};
