//! The Model Context Protocol over HTTP: what both sides of it agree on, and the [`client`].

pub mod client;
pub mod protocol;
