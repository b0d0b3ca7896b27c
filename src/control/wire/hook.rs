//! Hooks, as `hook.list` shows them.

use serde::{Deserialize, Serialize};

/// Result of `hook.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hooks {
    pub hooks: Vec<Hook>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hook {
    pub name: String,
    pub command: Vec<String>,
    /// ok, failing or waiting.
    pub state: String,
    /// The last event that it is done with.
    pub seq: u64,
    /// How many events there are behind that one.
    pub behind: u64,
    /// The last run that has ended, since the daemon began.
    pub last_run: Option<HookRun>,
}

/// What came of one run of a hook's command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HookRun {
    pub started_at: String,
    pub duration_ms: u64,
    /// succeeded, failed, timed_out, not_started or interrupted.
    pub outcome: String,
    /// A sentence, unless it went well.
    pub error: Option<String>,
}
