//! The control socket: a Unix stream with one JSON object a line. The door of the command line and of other programs.

pub mod wire;

mod backlog;
mod client;
mod connection;
mod events;
mod imports;
mod intake;
mod lines;
mod parties;
mod reads;
mod replies;
mod request;
mod server;
mod shown;
#[cfg(test)]
mod tests;
mod translator;
mod upstreams;
mod workflows;
mod writer;

pub use client::{Client, ClientError, Closer, Followed, PATIENCE};
pub use intake::Defaults;
pub use server::{About, HandOver, Means, Server};
pub use translator::{Meaning, Translator};
