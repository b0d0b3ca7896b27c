//! The server's list of tools, and what of it later calls need.

use super::deadline::Deadline;
use super::error::{CallError, Malformed};
use super::param_headers::{Mirror, headers, mirrors};
use super::transport::Headers;
use super::{Client, method};
use crate::mcp::protocol::{Era, Tool};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most pages that a list is read of.
const PAGES_MAX: usize = 64;
/// Most tools that a list is read of.
const TOOLS_MAX: usize = 4_096;

/// Which arguments each tool wants as headers; an error where its description is invalid. Only what is special is kept.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    special: Mutex<BTreeMap<String, Result<Vec<Mirror>, String>>>,
}

impl Catalogue {
    pub(super) fn headers(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Headers, CallError> {
        match self.special.lock().get(tool) {
            None => Ok(Headers::new()),
            Some(Ok(mirrors)) => Ok(headers(mirrors, arguments)),
            Some(Err(reason)) => Err(CallError::ToolInvalid { tool: tool.to_owned(), reason: reason.clone() }),
        }
    }

    /// Takes a new list. Returns the tools of it that may be called.
    fn replace(&self, tools: Vec<Tool>) -> Vec<Tool> {
        let mut special = BTreeMap::new();
        let callable = tools.into_iter().filter(|tool| {
            let mirrors = mirrors(&tool.input_schema);
            if let Err(reason) = &mirrors {
                log::warn!("tool left out tool={:?} reason={reason:?}", tool.name);
            }
            let valid = mirrors.is_ok();
            if mirrors != Ok(Vec::new()) {
                special.insert(tool.name.clone(), mirrors);
            }
            valid
        });
        let callable = callable.collect();
        *self.special.lock() = special;
        callable
    }
}

impl Client {
    pub(super) fn listed(&self, deadline: Deadline) -> Result<Vec<Tool>, CallError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let (mut page, era) = self.asked(method::TOOLS_LIST, deadline, |_| {
                Ok(self.request(method::TOOLS_LIST, cursor_params(cursor.clone())))
            })?;
            let Some(Value::Array(listed)) = page.get_mut("tools").map(Value::take) else {
                return Err(self.bad_list("it has no tools"));
            };
            // One that cannot be read is no reason to do without the others.
            tools.extend(listed.into_iter().filter_map(|tool| serde_json::from_value::<Tool>(tool).ok()));
            if tools.len() > TOOLS_MAX {
                break;
            }
            cursor = page["nextCursor"].as_str().filter(|cursor| !cursor.is_empty()).map(str::to_owned);
            if cursor.is_none() {
                return Ok(if era == Era::Modern { self.catalogue.replace(tools) } else { tools });
            }
        }
        Err(self.bad_list("it does not end"))
    }

    fn bad_list(&self, reason: &'static str) -> CallError {
        let reason = Malformed::Shape { method: method::TOOLS_LIST, reason };
        CallError::Malformed { endpoint: self.transport.endpoint().to_string(), reason }
    }
}

fn cursor_params(cursor: Option<String>) -> Map<String, Value> {
    cursor.into_iter().map(|cursor| ("cursor".to_owned(), cursor.into())).collect()
}
