//! The way to the tools, so that cycles can be tested in virtual time.

use crate::mcp::client::{CallError, Client, ToolAnswer};
use crate::mcp::protocol::Era;
use serde_json::Map;
use std::time::Duration;

/// What a poller needs of a client.
pub(super) trait Tools: Send + Sync {
    /// Calls a tool without arguments, once.
    fn call(&self, tool: &str, timeout: Duration) -> Result<ToolAnswer, CallError>;
    fn era(&self) -> Option<Era>;
    /// Ends what is under way, at once, and lets nothing begin any more.
    fn interrupt(&self);
    /// The same, and ends the session.
    fn close(&self, timeout: Duration);
}

impl Tools for Client {
    fn call(&self, tool: &str, timeout: Duration) -> Result<ToolAnswer, CallError> {
        self.call_tool(tool, &Map::new(), timeout)
    }

    fn era(&self) -> Option<Era> {
        Client::era(self)
    }

    fn interrupt(&self) {
        Client::interrupt(self);
    }

    fn close(&self, timeout: Duration) {
        Client::close(self, timeout);
    }
}
