//! The room as a whole, against servers that do as a script says.

mod clients;
mod dashboards;
mod lines;
#[allow(dead_code, reason = "the tests of the built binary use all of it")]
mod pty;
mod screens;
mod server;
mod terminal;
mod workflows;
