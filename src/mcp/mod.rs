//! The Model Context Protocol over HTTP: what both sides of it agree on, and the [`client`].

pub mod client;
#[cfg(test)]
pub(crate) mod faulty;
pub mod protocol;
pub mod server;
