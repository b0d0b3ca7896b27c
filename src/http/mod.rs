//! What everybody needs who calls a server over HTTP: an address that was checked, an agent with limits, what an error means,
//! the head of an answer, and what the server asks for or says, made short.

mod agent;
mod broken;
mod endpoint;
mod excerpt;
mod head;
mod post;
mod resolver;
mod retry_after;

pub use agent::{HEAD_BYTES_MAX, agent_for};
pub use broken::Broken;
pub use endpoint::{Endpoint, EndpointError};
pub use excerpt::excerpt;
pub use head::Head;
pub use post::{Answer, Interrupter, Poster, header};
pub use retry_after::retry_after;
