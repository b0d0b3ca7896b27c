//! What the daemon knows and decides: messages, watches, tasks, pools, workflows, events, and the [`hub`] that steps them.
//! Pure and deterministic: no input or output, no clock, no threads; time and rows are arguments.

pub mod id;
pub mod limits;

pub mod measure;
pub mod message;
pub mod upstream;
pub mod watch;

pub mod pool;
pub mod queue;
pub mod routing;
pub mod scaling;
pub mod task;
pub mod template;
pub mod workflow;

pub mod alert;
pub mod breaker;
pub mod command;
pub mod event;
pub mod rows;

pub mod hub;
