//! How the collector fares, told when it changes: a line at the first failure of each kind and one at the recovery, however
//! many exports lie between them.

use super::outcome::{ExportError, Taken};
use crate::http::Endpoint;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Well,
    /// It takes the numbers, but not all of them.
    Partly,
    Failing {
        /// In a row.
        exports: u64,
        /// The kinds of these that were told.
        told: Vec<&'static str>,
    },
}

impl State {
    pub(super) fn failed(&mut self, endpoint: &Endpoint, error: &ExportError) {
        let (exports, mut told) = match std::mem::take(self) {
            State::Failing { exports, told } => (exports, told),
            State::Well | State::Partly => (0, Vec::new()),
        };
        if told.contains(&error.kind()) {
            log::debug!("the numbers were not exported endpoint={endpoint} error={error}");
        } else {
            told.push(error.kind());
            log::warn!(
                "the numbers were not exported; it is tried again, and told when it works endpoint={endpoint} error={error}"
            );
        }
        *self = State::Failing { exports: exports + 1, told };
    }

    pub(super) fn taken(&mut self, endpoint: &Endpoint, taken: &Taken) {
        let before = std::mem::take(self);
        if let State::Failing { exports, .. } = before {
            log::info!("the numbers are exported again endpoint={endpoint} failed={exports}");
        }
        let Taken { rejected, said } = taken;
        if *rejected == 0 && said.is_none() {
            if before == State::Partly {
                log::info!("the collector takes all numbers again endpoint={endpoint}");
            }
            return;
        }
        *self = State::Partly;
        let said = said.as_deref().unwrap_or("it said nothing");
        if before == State::Partly {
            log::debug!("the collector complained again endpoint={endpoint} rejected={rejected} said={said}");
        } else {
            log::warn!("the collector does not take all numbers endpoint={endpoint} rejected={rejected} said={said}");
        }
    }
}
