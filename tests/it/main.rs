//! The built binary from outside: its command line, socket, signals, children, and what it makes of faults.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

mod support;

mod alerts;
mod asks;
mod backup;
mod breakers;
mod browser;
mod cli;
mod completions;
mod doctor;
mod fastmcp;
mod faults;
mod foreign;
mod hooks;
mod kill9;
mod library;
mod mcp;
mod mcp_clients;
mod messages;
mod monitor;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
mod poll;
mod scaling;
mod security;
mod service;
mod tasks;
mod tmux;
mod transfer;
mod upstreams;
mod watchdog;
mod web;
mod web_catching_up;
mod web_floods;
mod web_resume;
#[cfg(not(feature = "otlp"))]
mod without_otlp;
mod workflows;
