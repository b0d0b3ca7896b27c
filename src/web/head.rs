//! The head of an HTTP/1.1 request: parsed once, whole, within limits.

use crate::mcp::protocol::header::{METHOD, NAME, PROTOCOL_VERSION};
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, header};

/// More than any client sends; beyond it the request is refused.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// What may be there once: said twice, it would be read differently by whoever stands in between.
const ONCE: [&str; 7] = ["host", "origin", "content-length", "authorization", PROTOCOL_VERSION, METHOD, NAME];

/// What a request begins with.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// HTTP/1.1, not 1.0.
    pub(super) is_new: bool,
    /// Whether the connection may be used again.
    pub(super) keep_alive: bool,
    /// A body follows, of whatever length.
    pub(super) has_body: bool,
}

/// What the bytes so far are.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Not yet a whole head.
    Partial,
    Whole {
        head: Box<Head>,
        bytes: usize,
    },
    /// Never will be one: the status to answer with, and why.
    Bad(u16, &'static str),
}

pub(super) fn parse(input: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Partial) if input.len() >= HEAD_BYTES_MAX => Parsed::Bad(431, "the head is too long"),
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Ok(httparse::Status::Complete(bytes)) if bytes > HEAD_BYTES_MAX => Parsed::Bad(431, "the head is too long"),
        Ok(httparse::Status::Complete(bytes)) => match read(&request) {
            Ok(head) => Parsed::Whole { head: Box::new(head), bytes },
            Err(why) => Parsed::Bad(400, why),
        },
        Err(httparse::Error::TooManyHeaders) => Parsed::Bad(431, "there are too many headers"),
        Err(_) => Parsed::Bad(400, "this is no HTTP/1.1 request"),
    }
}

fn read(request: &httparse::Request<'_, '_>) -> Result<Head, &'static str> {
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for given in request.headers.iter() {
        let name = HeaderName::from_bytes(given.name.as_bytes()).map_err(|_| "a header has no valid name")?;
        let value = HeaderValue::from_bytes(given.value).map_err(|_| "a header has no valid value")?;
        headers.append(name, value);
    }
    let is_twice = |name: &str| headers.get_all(name).iter().nth(1).is_some();
    if ONCE.into_iter().any(is_twice) {
        return Err("a header is there twice that may be there once");
    }
    let is_new = request.version == Some(1);
    if is_new && !headers.contains_key(header::HOST) {
        return Err("there is no Host header");
    }
    if headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err("the body has two lengths");
    }
    let length = match headers.get(header::CONTENT_LENGTH) {
        None => 0,
        Some(value) => digits(value).ok_or("the Content-Length is no number")?,
    };
    let has_body = length > 0 || headers.contains_key(header::TRANSFER_ENCODING);
    let target = request.path.unwrap_or("/");
    let path = target.split(['?', '#']).next().unwrap_or("/");
    Ok(Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        is_new,
        keep_alive: is_new && !has_word(&headers, &header::CONNECTION, "close"),
        has_body,
        headers,
    })
}

/// A length is digits and nothing else: a sign or a list would be read differently by whoever stands in between.
fn digits(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// Whether a header, which may be a list, has that word.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let mut words = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    words.any(|other| other.trim().eq_ignore_ascii_case(word))
}

impl Head {
    /// The text of a header; `None` when it is not there, or no text.
    pub(super) fn text(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether it asks for a WebSocket.
    pub(super) fn is_upgrade(&self) -> bool {
        has_word(&self.headers, &header::UPGRADE, "websocket")
    }

    /// What stands behind `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.text(header::AUTHORIZATION)?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        match parse(text.as_bytes()) {
            Parsed::Whole { head, bytes } if bytes == text.len() => *head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_is_read_whole_or_not_at_all() {
        let text = "GET /a?b=c HTTP/1.1\r\nHost: localhost:1\r\nAuthorization: bearer t \r\n\r\n";
        let head = whole(text);
        assert_eq!((&*head.method, &*head.path, head.bearer()), ("GET", "/a", Some("t")));
        assert!(head.keep_alive && !head.has_body && !head.is_upgrade());
        for end in 0..text.len() {
            assert!(matches!(parse(&text.as_bytes()[..end]), Parsed::Partial), "{end}");
        }
        assert!(whole("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: a, Close\r\n\r\n").has_body);
        assert!(whole("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\r\n").is_upgrade());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (headers, status) in [
            ("", 400),
            ("Host: a\r\nHost: b", 400),
            ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1", 400),
            ("Host: a\r\nMcp-Method: a\r\nMcp-Method: b", 400),
            ("Host: a\r\nContent-Length: +1", 400),
            ("Host: a\r\nContent-Length: 1, 1", 400),
            ("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
            ("Host: a\r\n folded: x", 400),
        ] {
            let parsed = parse(format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes());
            assert!(matches!(parsed, Parsed::Bad(found, _) if found == status), "{headers:?} {parsed:?}");
        }
        assert!(matches!(parse(b"\x16\x03\x01\x02\x00"), Parsed::Bad(400, _)));
    }

    #[test]
    fn a_head_has_an_end() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        assert!(matches!(parse(long.as_bytes()), Parsed::Bad(431, _)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(parse(many.as_bytes()), Parsed::Bad(431, _)));
    }
}
