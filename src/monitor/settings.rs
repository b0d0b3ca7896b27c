//! What a monitor shows, and of which servers.

use super::address::{Address, Find};
use super::client::{Timing, Token};
use super::glyphs::Glyphs;
use super::talk::Question;

/// Channels of the kinds of monitors.
const GLOBAL: &str = "global";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pool(String),
    Workflow(String),
    Dashboard,
}

#[derive(Clone, Debug)]
pub(crate) struct PanelSettings {
    pub(crate) name: String,
    pub(crate) address: Address,
    /// Where nobody has said where the server is.
    pub(crate) find: Option<Find>,
    pub(crate) channel: String,
}

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) glyphs: Glyphs,
    pub(crate) has_colour: bool,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    /// At least one; exactly one but for a dashboard.
    pub(crate) panels: Vec<PanelSettings>,
    pub(crate) token: Option<Token>,
    pub(crate) look: Look,
    pub(crate) timing: Timing,
}

impl Settings {
    pub(crate) fn pool(id: String, address: Address, look: Look) -> Settings {
        let panel = PanelSettings::new("pool", address, Some(format!("pool:{id}")));
        Settings::new(Kind::Pool(id), vec![panel], look)
    }

    pub(crate) fn workflow(id: String, address: Address, look: Look) -> Settings {
        let panel = PanelSettings::new("workflow", address, Some(format!("workflow:{id}")));
        Settings::new(Kind::Workflow(id), vec![panel], look)
    }

    pub(crate) fn dashboard(panels: Vec<PanelSettings>, look: Look) -> Settings {
        Settings::new(Kind::Dashboard, panels, look)
    }

    fn new(kind: Kind, panels: Vec<PanelSettings>, look: Look) -> Settings {
        Settings { kind, panels, token: None, look, timing: Timing::USUAL }
    }

    /// What is asked of the server besides events.
    pub(crate) fn question(&self) -> Option<Question> {
        match &self.kind {
            Kind::Pool(id) => Some(Question::Pool(id.clone())),
            Kind::Workflow(id) => Some(Question::Workflow(id.clone())),
            Kind::Dashboard => None,
        }
    }
}

impl PanelSettings {
    pub(crate) fn new(name: &str, address: Address, channel: Option<String>) -> PanelSettings {
        let channel = channel.unwrap_or_else(|| GLOBAL.to_owned());
        PanelSettings { name: name.to_owned(), address, find: None, channel }
    }
}
