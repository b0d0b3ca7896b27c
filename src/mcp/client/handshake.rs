//! Coming to an agreement with a server, whichever era it speaks.

use super::Client;
use super::deadline::Deadline;
use super::error::{CallError, Malformed};
use super::exchange::Answered;
use super::link::{Link, Request, client_info};
use super::refusal::Refusal;
use crate::http::excerpt;
use crate::mcp::protocol::{Era, LEGACY_VERSIONS, MODERN_VERSION, method};
use serde_json::{Map, Value, json};

/// How one era's way of beginning ended.
enum Begun {
    Agreed(Link),
    /// The server speaks the other era. The error is for the case that it does not, either.
    OtherEra(CallError),
}

impl Client {
    /// Begins in the one era, and goes over to the other if the server wants to.
    pub(super) fn agree(&self, begin: Era, deadline: Deadline) -> Result<Link, CallError> {
        let first = match begin {
            Era::Legacy => self.initialize(deadline)?,
            Era::Modern => self.discover(deadline)?,
        };
        let error = match first {
            Begun::Agreed(link) => return Ok(link),
            Begun::OtherEra(error) => error,
        };
        log::debug!("trying the other era endpoint={} begun={begin} error={error}", self.transport.endpoint());
        let second = match begin {
            Era::Legacy => self.discover(deadline)?,
            Era::Modern => self.initialize(deadline)?,
        };
        match second {
            Begun::Agreed(link) => Ok(link),
            Begun::OtherEra(_) => Err(error),
        }
    }

    fn initialize(&self, deadline: Deadline) -> Result<Begun, CallError> {
        let params = json!({
            "protocolVersion": LEGACY_VERSIONS[0],
            "capabilities": {},
            "clientInfo": client_info(),
        });
        let opening = Link::OPENING;
        let exchange = self.exchange(&opening, method::INITIALIZE, deadline);
        let Answered { result, session } = match exchange.ask(&self.request(method::INITIALIZE, object(params))) {
            Ok(answered) => answered,
            Err(Refusal::Lost { begin: Era::Modern, error }) => return Ok(Begun::OtherEra(error)),
            Err(refusal) => return Err(refusal.into_error()),
        };
        let Some(version) = result["protocolVersion"].as_str() else {
            let reason = "it has no protocolVersion";
            return Err(exchange.malformed(Malformed::Shape { method: method::INITIALIZE, reason }));
        };
        if LEGACY_VERSIONS.contains(&version) {
            return self.announce(Link::legacy(version, session), deadline).map(Begun::Agreed);
        }
        let error = self.no_common_version(version);
        if version == MODERN_VERSION { Ok(Begun::OtherEra(error)) } else { Err(error) }
    }

    /// Tells the server that the session begins. If that fails, the session is given back at once: nobody would use it.
    fn announce(&self, link: Link, deadline: Deadline) -> Result<Link, CallError> {
        let exchange = self.exchange(&link, method::INITIALIZED, deadline);
        let Err(refusal) = exchange.tell(&Request::new(None, method::INITIALIZED, Map::new())) else {
            return Ok(link);
        };
        self.end_session(&link, deadline);
        Err(refusal.into_error())
    }

    fn discover(&self, deadline: Deadline) -> Result<Begun, CallError> {
        let link = Link::modern();
        let exchange = self.exchange(&link, method::DISCOVER, deadline);
        let ask = || exchange.ask(&self.request(method::DISCOVER, Map::new()));
        let answered = match ask() {
            // It names our version as one that it supports, and is asked once more.
            Err(Refusal::Lost { begin: Era::Modern, .. }) => ask(),
            answered => answered,
        };
        match answered {
            Ok(Answered { result, .. }) => Ok(self.discovered(&result["supportedVersions"])),
            Err(Refusal::Lost { error, .. }) => Ok(Begun::OtherEra(error)),
            // An older server does not know what to make of the question, each in its own way.
            Err(Refusal::Error(error)) if error.is_configuration() => Ok(Begun::OtherEra(error)),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    fn discovered(&self, supported: &Value) -> Begun {
        let ours = |version: &Value| version.as_str() == Some(MODERN_VERSION);
        if supported.as_array().is_some_and(|versions| versions.iter().any(ours)) {
            return Begun::Agreed(Link::modern());
        }
        Begun::OtherEra(self.no_common_version(&supported.to_string()))
    }

    fn no_common_version(&self, offered: &str) -> CallError {
        CallError::NoCommonVersion { endpoint: self.transport.endpoint().to_string(), offered: excerpt(offered) }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
