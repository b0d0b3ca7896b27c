//! The head of an answer, and its body, of which never more than a limit is read.

use super::deadline::Deadline;
use super::error::CallError;
use super::transport::failure;
use crate::clock::Timestamp;
use crate::http::{Endpoint, Head};
use crate::mcp::protocol::header;
use std::io::Read;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Body, BodyReader};

/// Largest body that is read.
pub(super) const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest body that is read when only its text is of interest, because the status says the rest.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;

/// An answer whose body has yet to be read.
pub(super) struct Reply {
    pub(super) status: u16,
    /// In small letters, without parameters.
    pub(super) content_type: String,
    pub(super) session_id: Option<String>,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Incoming,
}

impl Reply {
    pub(super) fn new(response: Response<Body>, endpoint: &Endpoint, deadline: Deadline, now: Timestamp) -> Reply {
        let (parts, body) = response.into_parts();
        let head = Head::new(parts, now);
        Reply {
            session_id: head.text(header::SESSION_ID).filter(|id| !id.is_empty()).map(str::to_owned),
            status: head.status,
            content_type: head.content_type,
            location: head.location,
            retry_after: head.retry_after,
            body: Incoming { reader: body.into_reader(), endpoint: endpoint.to_string(), deadline, bytes: 0 },
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.content_type == "text/event-stream"
    }
}

/// A body on its way.
pub(super) struct Incoming {
    reader: BodyReader<'static>,
    endpoint: String,
    deadline: Deadline,
    bytes: usize,
}

impl Incoming {
    /// Counts what an earlier body of the same answer had.
    pub(super) fn after(mut self, bytes: usize) -> Incoming {
        self.bytes = bytes;
        self
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next bytes; none at the end.
    pub(super) fn chunk(&mut self) -> Result<Vec<u8>, CallError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = self.reader.read(&mut chunk).map_err(|error| failure(&self.endpoint, error, self.deadline))?;
        chunk.truncate(read);
        self.bytes += read;
        if self.bytes > BODY_BYTES_MAX {
            return Err(CallError::TooLarge { endpoint: self.endpoint.clone(), bytes_max: BODY_BYTES_MAX });
        }
        Ok(chunk)
    }

    pub(super) fn whole(mut self) -> Result<Vec<u8>, CallError> {
        let mut whole = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(whole);
            }
            whole.extend(chunk);
        }
    }

    /// What there is of the text, for a message: the status has already decided, so that no fault matters any more.
    pub(super) fn some_text(mut self) -> String {
        let mut text = Vec::new();
        while text.len() < REFUSAL_BYTES_MAX {
            match self.chunk() {
                Ok(chunk) if !chunk.is_empty() => text.extend(chunk),
                _ => break,
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
