//! Running one task, or a hook, as a supervised child process, on the thread that asks for it: bounded in time, memory and disk, and
//! never outlived by anything that it has started. Only Linux (5.4 or newer) can do this: pidfds, /proc, subreaper.
//!
//! [`run()`] is the whole of it; [`Wake`] ends a run from another thread; [`orphans`] ends what a daemon that was killed
//! has left behind.

mod job;
mod run;
mod wake;

mod finished;
mod limits;
mod start;

mod announce;
mod answer;
mod lines;
mod output;
mod pipes;
mod stream_json;

mod leader;
pub mod orphans;
mod poll;
mod procfs;
mod sweep;

#[cfg(test)]
mod tests;

pub use finished::{Ending, Finished, Standing, Usage};
pub use job::{Job, Purpose};
pub use leader::{become_subreaper, reap_adopted};
pub use output::{remove_output, task_directory};
pub use procfs::Process;
pub use run::{Observer, run};
pub use wake::{Stop, Wake};
