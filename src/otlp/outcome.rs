//! What a collector's answer means: all taken, some of it, or nothing, and why.

use super::wire::{Unreadable, Value, fields};
use crate::http::{Answer, Broken, excerpt};
use std::time::Duration;

pub(super) const CONTENT_TYPE: &str = "application/x-protobuf";

/// What became of a request that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Points that the collector did not want.
    pub(super) rejected: u64,
    /// What it says about that, or about something else that it does not like.
    pub(super) said: Option<String>,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("it is not available (HTTP {status}): {said}")]
    Unavailable { status: u16, said: String, retry_after: Option<Duration> },
    #[error("it asks for fewer exports (HTTP 429): {said}")]
    Throttled { said: String, retry_after: Option<Duration> },
    #[error("it failed (HTTP {status}): {said}")]
    Failed { status: u16, said: String },
    #[error("it refused the numbers (HTTP {status}): {said}; {}", advice(*status))]
    Refused { status: u16, said: String },
    #[error("it points to {} (HTTP {status}); if that is right, make it the endpoint", location.as_deref().unwrap_or("nowhere"))]
    Redirected { status: u16, location: Option<String> },
    #[error(
        "its answer is not that of a collector: {said}; is the path of the endpoint right? It mostly ends in /v1/metrics"
    )]
    NoCollector { said: String },
    /// The time for the whole export was over before this request.
    #[error("there was no time left")]
    Late,
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "a header that it wants is missing or wrong",
        404 | 405 => "is the path of the endpoint right? It mostly ends in /v1/metrics",
        413 => "it takes less at once than is sent",
        415 => "it does not speak OTLP as Protocol Buffers over HTTP",
        _ => "its own log may say more",
    }
}

impl ExportError {
    /// A word for it, of which there are few.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            ExportError::Broken(Broken::Connect(_)) => "connect",
            ExportError::Broken(Broken::Resolve(_)) => "resolve",
            ExportError::Broken(Broken::Timeout) | ExportError::Late => "timeout",
            ExportError::Broken(Broken::Disconnected(_)) => "disconnected",
            ExportError::Broken(Broken::HeadTooLarge | Broken::BodyTooLarge | Broken::Protocol(_)) => "malformed",
            ExportError::Broken(Broken::Insecure(_)) => "insecure",
            ExportError::Broken(Broken::Unsendable(_)) => "unsendable",
            ExportError::Unavailable { .. } => "unavailable",
            ExportError::Throttled { .. } => "throttled",
            ExportError::Failed { .. } => "failed",
            ExportError::Refused { .. } => "refused",
            ExportError::Redirected { .. } => "redirected",
            ExportError::NoCollector { .. } => "no_collector",
        }
    }

    /// When the collector wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            ExportError::Unavailable { retry_after, .. } | ExportError::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Reads an answer.
pub(super) fn outcome(answer: Answer) -> Result<Taken, ExportError> {
    let Answer { head, body } = answer;
    if head.is_success() {
        return taken(&head.content_type, &body?);
    }
    let status = head.status;
    let said = said(&head.content_type, &body.unwrap_or_default());
    Err(match status {
        300..=399 => ExportError::Redirected { status, location: head.location },
        429 => ExportError::Throttled { said, retry_after: head.retry_after },
        502..=504 => ExportError::Unavailable { status, said, retry_after: head.retry_after },
        400..=499 => ExportError::Refused { status, said },
        _ => ExportError::Failed { status, said },
    })
}

/// `ExportMetricsServiceResponse`. Some receivers say nothing, or `{}`, or `ok`; a web page shows that this is none.
fn taken(content_type: &str, body: &[u8]) -> Result<Taken, ExportError> {
    let no_collector = |said: &str| ExportError::NoCollector { said: excerpt(said) };
    match content_type {
        CONTENT_TYPE => partial(body).map_err(|Unreadable| no_collector("its body is no Protocol Buffers")),
        "text/html" => Err(no_collector(&String::from_utf8_lossy(body))),
        _ => Ok(Taken::default()),
    }
}

fn partial(body: &[u8]) -> Result<Taken, Unreadable> {
    let mut taken = Taken::default();
    for field in fields(body) {
        if let (1, Value::Bytes(partial)) = field? {
            for field in fields(partial) {
                match field? {
                    // Signed, and nothing that is less than 0 can be meant.
                    (1, Value::Number(rejected)) => taken.rejected = i64::max(0, rejected as i64) as u64,
                    (2, Value::Bytes(text)) if !text.is_empty() => {
                        taken.said = Some(excerpt(&String::from_utf8_lossy(text)));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(taken)
}

/// The message of a `Status`, if it is one, or the text.
fn said(content_type: &str, body: &[u8]) -> String {
    let message = |field: Result<(u64, Value<'_>), Unreadable>| match field {
        Ok((2, Value::Bytes(text))) => Some(excerpt(&String::from_utf8_lossy(text))),
        _ => None,
    };
    let message = (content_type == CONTENT_TYPE).then(|| fields(body).find_map(message)).flatten();
    message.unwrap_or_else(|| excerpt(&String::from_utf8_lossy(body)))
}
