//! Why a monitor ends before it is told to.

use std::io;

#[derive(Debug, thiserror::Error)]
pub(crate) enum MonitorError {
    #[error("could not start the monitor: {0}")]
    Start(#[source] io::Error),
    #[error("could not write: {0}")]
    Output(#[source] io::Error),
    #[error("could not use the terminal: {0}; print lines instead with --json, or into a pipe")]
    Terminal(#[source] io::Error),
    #[error("a part of the monitor has failed; start it anew")]
    Died,
}
