//! Hooks: a command for every event that a filter lets through, one at a time, in the order of the log, at least once.
//!
//! A hook is a position in the log like every other reader. It moves on when the command has gone well, or has failed as
//! often as it may. While the command cannot be started at all, and while the hook's circuit breaker is open, the position
//! stays. Running a hook writes no event, so nothing that this room does makes a hook run; and what the command of a hook
//! has published does not make the same one run.

mod board;
mod hook;
mod once;
mod settings;
mod work;

#[cfg(test)]
mod tests;

pub use board::Board;
pub use hook::{Beginning, Hook, Listener};
pub use settings::{HookSettings, Means};

/// What the circuit breaker of a hook is called.
pub fn breaker_name(hook: &str) -> String {
    format!("hook:{hook}")
}
