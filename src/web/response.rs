//! What a request is answered with: a status, a few headers, and a body that is known whole.

use crate::clock::Timestamp;
use bytes::Bytes;
use std::fmt::Write as _;

#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Beside those that every response has.
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Bytes,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response {
        Response { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// Nothing but the status.
    pub(super) fn empty(status: u16) -> Response {
        Response::new(status, "", Bytes::new())
    }

    /// A sentence, for whoever reads it.
    pub(super) fn sentence(status: u16, sentence: &str) -> Response {
        Response::new(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Response {
        self.headers.push((name, value));
        self
    }

    /// As it goes over the wire; of an answer to HEAD only the head.
    pub(super) fn encode(&self, at: Timestamp, keep_alive: bool, head_only: bool) -> Bytes {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n",
            self.status,
            reason(self.status),
            at.http_date(),
            self.body.len(),
        );
        if !self.content_type.is_empty() {
            let _ = write!(head, "Content-Type: {}\r\n", self.content_type);
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes.into()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_how_long_it_is() {
        let response = Response::sentence(405, "only GET").with("Allow", "GET, HEAD");
        let text = String::from_utf8(response.encode(Timestamp::from_micros(0), false, false).to_vec()).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Content-Length: 9\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Content-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\n\
             Connection: close\r\n\r\nonly GET\n"
        );
        let head = response.encode(Timestamp::from_micros(0), true, true);
        assert!(head.ends_with(b"GET, HEAD\r\n\r\n"));
    }
}
