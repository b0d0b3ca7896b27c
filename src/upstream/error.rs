//! Why there is no poller.

use crate::mcp::client::SetupError;
use crate::resilience::SettingsError;
use std::io;

/// Why a poller could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// Fields out of their range, all of them.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address or the token can never work.
    #[error(transparent)]
    Client(#[from] SetupError),
    #[error("the thread of a poller could not be started: {0}")]
    Thread(#[source] io::Error),
}
