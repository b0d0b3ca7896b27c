//! What stands for the thread `otlp` in a program without the feature of that name.

use super::StartError;
use super::inbox::Inbox;
use super::meter::Exposed;
use super::starts::Starts;
use crate::clock::Clock;
use crate::config::Otlp;
use crate::telemetry::Family;
use std::convert::Infallible;
use std::sync::Arc;

/// Never runs.
pub(super) struct Exporting(Infallible);

impl Exporting {
    /// Says so if something should be exported.
    pub(super) fn start(
        config: &Otlp,
        _exposed: &Arc<Exposed>,
        _inbox: &Inbox,
        _clock: &Arc<dyn Clock>,
    ) -> Result<Option<Exporting>, StartError> {
        if let Some(endpoint) = config.target() {
            let endpoint = crate::endpoint::shown(endpoint);
            log::warn!("metrics are not exported endpoint={endpoint}: this program was built without the feature otlp");
        }
        Ok(None)
    }

    pub(super) fn finish(self, _families: Vec<Family>, _starts: Starts) {
        match self.0 {}
    }

    pub(super) fn leave(self) {
        match self.0 {}
    }
}
