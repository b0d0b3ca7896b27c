//! Settings: one table says what there is, and every layer (files, environment, flags) is read and checked against it.
//! All problems are told at once, each with its place, and each value knows where it came from.

mod alert;
mod changes;
mod environment;
mod file;
mod headers;
mod hook;
mod kind;
mod layers;
mod misspelt;
mod opentelemetry;
mod problems;
mod record;
mod sections;
mod settings;
mod suggest;
mod upstream;
mod value;

pub use alert::{Alert, Bound};
pub use changes::Change;
pub use hook::{Hook, MinSeverity};
pub use layers::{Loaded, Origins, Overrides, Sources};
pub use problems::{ConfigProblems, Place, Problem};
pub use record::{Entry, Origin, Record};
pub use sections::{Row, SECTIONS, Section, Setting, settings};
pub use settings::{Ask, Config, Daemon, Executor, OnCrash, Otlp, Retention, Watch};
pub use upstream::{SESSION_BUDDY, Upstream};
pub use value::{Secret, Value};
