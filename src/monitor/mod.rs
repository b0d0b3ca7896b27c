//! Terminal monitors: a client that comes back for each panel, a pure picture of what it tells, and the drawing of it;
//! or lines, where there is no terminal.

mod address;
mod client;
mod crew;
mod describe;
mod error;
mod frame;
mod glyphs;
mod link;
mod plain;
mod settings;
mod talk;
mod tell;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use address::Address;
pub(crate) use client::Token;
pub(crate) use error::MonitorError;
pub(crate) use glyphs::Glyphs;
pub(crate) use plain::{Sink, run as run_lines};
pub(crate) use settings::{Look, PanelSettings, Settings};
