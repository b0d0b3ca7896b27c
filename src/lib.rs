//! Dependable messages and tasks between AI coding agents on one machine.
//!
//! The program is the binary `claude-comms`; what other Rust programs can use of it is [`comms`], the way to a running
//! daemon, [`pools`], worker pools without one, [`resilience`], circuit breakers and retries, [`mcp::client`], which calls
//! the tools of MCP servers, and [`upstream`], which polls one for metrics. The other modules are the rooms that the binary
//! is made of: see ARCHITECTURE.md for what each is and which may know which.

pub mod clock;
pub mod config;
pub mod endpoint;
pub mod thread;

pub mod resilience;
pub mod telemetry;

pub mod http;
pub mod mcp;
pub mod upstream;

#[cfg(feature = "otlp")]
pub mod otlp;

pub mod model;
pub mod ports;

pub mod comms;
pub mod pools;

pub mod control;
pub mod daemon;
pub mod executor;
pub mod feed;
pub mod hooks;
pub mod service;
pub mod store;
pub mod tools;
pub mod upkeep;
pub mod web;
pub mod workflow_file;

mod monitor;

pub mod cli;

// What tests of the library and of the binary have in common speaks of the library by its name.
#[cfg(test)]
extern crate self as claude_comms;
