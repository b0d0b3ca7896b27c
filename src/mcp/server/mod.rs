//! The server's side of MCP, in both eras: from a message to what is to be done, and from what came of it to the answer.
//! Pure: it holds no connection, waits for nothing and keeps nothing between two messages.
//!
//! [`Engine::take`] says what to do about a message. An [`Order`] is carried out by its [`Offer`], one [`Step`] after the
//! other, each of which whoever serves connections takes.

mod answer;
mod context;
mod engine;
mod message;
mod mirror;
mod offer;
mod step;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Done, Outcome};
pub use context::{Context, May, Via};
pub use engine::{Engine, FOLLOWED_MAX, Listening, Request, Taken, fleeting};
pub use message::Id;
pub use offer::{Argument, Card, Effect, Offer, Prompt, Template, Tool};
pub use step::{After, Look, Order, Progress, Question, Step, tool_failure, tool_result};
