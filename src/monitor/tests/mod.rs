//! The room as a whole, against servers that do as a script says.

mod clients;
mod lines;
mod server;
