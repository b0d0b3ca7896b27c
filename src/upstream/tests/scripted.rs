//! Tools that do what a test says, in virtual time.

use super::super::report::CycleReport;
use super::super::tools::Tools;
use super::super::{Listener, Poller, PollerSettings};
use crate::clock::{Clock, ManualClock};
use crate::mcp::client::{CallError, Malformed, ToolAnswer};
use crate::mcp::protocol::Era;
use crate::resilience::Effects;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;

type Script = dyn FnMut(&str, Duration) -> Result<ToolAnswer, CallError> + Send;

/// What was called, when, and with which limit, in seconds.
pub(super) type Calls = Arc<Mutex<Vec<(String, f64, f64)>>>;

/// One poller over scripted tools.
pub(super) struct Stage {
    pub(super) clock: ManualClock,
    pub(super) calls: Calls,
    pub(super) poller: Poller,
}

impl Stage {
    pub(super) fn new(
        settings: PollerSettings,
        script: impl FnMut(&str, Duration) -> Result<ToolAnswer, CallError> + Send + 'static,
    ) -> Stage {
        Stage::told(settings, Arc::new(()), script)
    }

    pub(super) fn told(
        settings: PollerSettings,
        listener: Arc<dyn Listener>,
        script: impl FnMut(&str, Duration) -> Result<ToolAnswer, CallError> + Send + 'static,
    ) -> Stage {
        let (clock, calls) = (ManualClock::new(), Calls::default());
        Stage::on(&clock, calls, settings, listener, Box::new(script))
    }

    /// With a clock that the script knows.
    pub(super) fn on(
        clock: &ManualClock,
        calls: Calls,
        settings: PollerSettings,
        listener: Arc<dyn Listener>,
        script: Box<Script>,
    ) -> Stage {
        let tools = Scripted { clock: clock.clone(), calls: Arc::clone(&calls), script: Mutex::new(script) };
        let poller = Poller::with_tools(settings, &Effects::manual(clock, 7), listener, Box::new(tools)).unwrap();
        Stage { clock: clock.clone(), calls, poller }
    }

    pub(super) fn poll(&self) -> CycleReport {
        self.poller.poll_once()
    }

    /// The tools that were called since this was last asked, in order.
    pub(super) fn called(&self) -> Vec<String> {
        self.calls.lock().drain(..).map(|(tool, ..)| tool).collect()
    }
}

struct Scripted {
    clock: ManualClock,
    calls: Calls,
    script: Mutex<Box<Script>>,
}

impl Tools for Scripted {
    fn call(&self, tool: &str, timeout: Duration) -> Result<ToolAnswer, CallError> {
        let at = Duration::from_nanos(self.clock.tick().as_nanos()).as_secs_f64();
        self.calls.lock().push((tool.to_owned(), at, timeout.as_secs_f64()));
        (self.script.lock())(tool, timeout)
    }

    /// Known only while the first call is the last one.
    fn era(&self) -> Option<Era> {
        (self.calls.lock().len() == 1).then_some(Era::Legacy)
    }

    fn interrupt(&self) {}

    fn close(&self, _: Duration) {}
}

pub(super) fn answer(value: Value) -> Result<ToolAnswer, CallError> {
    let Value::Object(object) = value else { unreachable!("tests answer with objects") };
    Ok(ToolAnswer::Object(object))
}

/// An answer of a tool that the table does not know.
pub(super) fn well() -> Result<ToolAnswer, CallError> {
    answer(json!({"x": 1}))
}

fn endpoint() -> String {
    "http://127.0.0.1:9/mcp".to_owned()
}

/// A tool that hangs: it takes all the time that it has.
pub(super) fn hangs(clock: &ManualClock, timeout: Duration) -> Result<ToolAnswer, CallError> {
    clock.advance(timeout);
    Err(timed_out())
}

pub(super) fn timed_out() -> CallError {
    CallError::Timeout { endpoint: endpoint(), after: Duration::from_secs(10) }
}

pub(super) fn refused() -> CallError {
    CallError::Connect { endpoint: endpoint(), source: io::ErrorKind::ConnectionRefused.into() }
}

pub(super) fn resolve() -> CallError {
    CallError::Resolve { endpoint: endpoint(), reason: "unknown".to_owned() }
}

pub(super) fn unavailable(retry_after: Option<u64>) -> CallError {
    let retry_after = retry_after.map(Duration::from_secs);
    CallError::Unavailable { endpoint: endpoint(), status: 503, said: "later".to_owned(), retry_after }
}

pub(super) fn throttled(retry_after: Option<u64>) -> CallError {
    let retry_after = retry_after.map(Duration::from_secs);
    CallError::Throttled { endpoint: endpoint(), said: "slower".to_owned(), retry_after }
}

pub(super) fn malformed() -> CallError {
    CallError::Malformed { endpoint: endpoint(), reason: Malformed::Empty }
}

pub(super) fn internal() -> CallError {
    CallError::Internal { endpoint: endpoint(), code: -32603, said: "oops".to_owned() }
}

pub(super) fn unauthorized() -> CallError {
    CallError::Refused { endpoint: endpoint(), status: 401, said: "who?".to_owned() }
}

pub(super) fn tool_failed() -> CallError {
    CallError::ToolFailed { tool: "a".to_owned(), said: "no".to_owned() }
}

pub(super) fn missing() -> CallError {
    CallError::ToolMissing { tool: "a".to_owned(), said: "Unknown tool".to_owned() }
}

pub(super) fn unreadable() -> CallError {
    CallError::ToolUnreadable { tool: "a".to_owned(), reason: "it has no text either" }
}
