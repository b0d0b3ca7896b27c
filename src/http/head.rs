//! The head of an answer.

use super::retry_after::retry_after;
use crate::clock::Timestamp;
use std::time::Duration;
use ureq::http::HeaderMap;
use ureq::http::response::Parts;

/// What is read of it whoever asked.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    /// In small letters, without parameters.
    pub content_type: String,
    pub location: Option<String>,
    pub retry_after: Option<Duration>,
    headers: HeaderMap,
}

impl Head {
    pub fn new(parts: Parts, now: Timestamp) -> Head {
        let text = |name| text_of(&parts.headers, name);
        let content_type = text("content-type").unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Head {
            status: parts.status.as_u16(),
            content_type,
            location: text("location").map(str::to_owned),
            retry_after: text("retry-after").and_then(|value| retry_after(value, now)),
            headers: parts.headers,
        }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Any other header; `None` also for one that is no text.
    pub fn text(&self, name: &str) -> Option<&str> {
        text_of(&self.headers, name)
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
