//! Settings: one table says what there is, and every layer (files, environment, flags) is read and checked against it.
//! All problems are told at once, each with its place, and each value knows where it came from.

mod environment;
mod file;
mod layers;
mod problems;
mod settings;
mod suggest;
mod value;

pub use layers::{Entry, Loaded, Origin, Origins, Overrides, Sources};
pub use problems::{ConfigProblems, Place, Problem};
pub use settings::{Ask, Config, Daemon, Executor, OnCrash, Retention, SETTINGS, Setting, Watch};
pub use value::Value;
