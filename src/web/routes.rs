//! Which request goes where, and who may make it. Host and Origin come first, before anything is looked at.

use super::head::Head;
use super::page;
use super::response::Response;
use super::shared::Settings;
use super::token::Rights;
use super::work::Job;
use crate::mcp::server::May;
use bytes::Bytes;
use std::net::IpAddr;
use tungstenite::handshake::server::{create_response, write_response};
use tungstenite::http::{self, header};

/// Of the text that Prometheus reads.
pub(super) const PROMETHEUS: &str = crate::telemetry::CONTENT_TYPE;

pub(super) enum Route {
    Answer(Response),
    Work(Job),
    /// A message of MCP follows, from somebody who may do so much.
    Message(May),
    /// The bytes of the answer after which a WebSocket begins.
    Upgrade(Bytes),
}

pub(super) fn route(head: &Head, peer: IpAddr, settings: &Settings) -> Route {
    if let Some(response) = turned_away(head, settings) {
        return Route::Answer(response);
    }
    if shows_a_wrong_token(head, settings) {
        return Route::Answer(unauthorized("the token is wrong; claude-comms config token prints it"));
    }
    if head.is_upgrade() {
        return upgrade(head);
    }
    let reads = matches!(head.method.as_str(), "GET" | "HEAD");
    let known = matches!(head.path.as_str(), "/" | "/healthz" | "/metrics");
    match head.path.as_str() {
        "/mcp" if settings.open_to_agents => message(head, Rights::Full),
        "/mcp" => message(head, rights(head, peer, settings)),
        _ if !known => Route::Answer(Response::sentence(404, "there is nothing here; the page is at /")),
        _ if !reads => Route::Answer(Response::sentence(405, "this is only to be read").with("Allow", "GET, HEAD")),
        // The page holds nothing that is not public; what it shows it fetches, with a token where one is needed.
        "/" => Route::Answer(page::response()),
        _ if rights(head, peer, settings) < Rights::Events => Route::Answer(no_token()),
        "/metrics" => Route::Work(Job::Metrics),
        _ => Route::Work(Job::Health),
    }
}

/// MCP shows contents and acts, so it always needs a token.
fn message(head: &Head, rights: Rights) -> Route {
    let json = head.text(header::CONTENT_TYPE).is_none_or(|text| {
        text.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    let may = match rights {
        Rights::Full => May::Act,
        Rights::Read => May::Read,
        Rights::None | Rights::Events => return Route::Answer(no_token()),
    };
    match head.method.as_str() {
        "POST" if json => Route::Message(may),
        "POST" => Route::Answer(Response::sentence(415, "a message is application/json")),
        _ => Route::Answer(Response::sentence(405, "messages are posted here").with("Allow", "POST")),
    }
}

/// Whoever shows one means to be somebody, and is not to be taken for anybody. Agents may have one for another server.
fn shows_a_wrong_token(head: &Head, settings: &Settings) -> bool {
    let is_open = settings.open_to_agents && head.path == "/mcp";
    !is_open && head.bearer().is_some_and(|token| settings.tokens.rights(token).is_none())
}

fn no_token() -> Response {
    unauthorized("this needs a token: Authorization: Bearer TOKEN, as claude-comms config token prints it")
}

fn unauthorized(sentence: &str) -> Response {
    Response::sentence(401, sentence).with("WWW-Authenticate", "Bearer")
}

/// What somebody may do who has just come.
pub(super) fn rights(head: &Head, peer: IpAddr, settings: &Settings) -> Rights {
    let shown = head.bearer().and_then(|token| settings.tokens.rights(token));
    let open = !settings.require_auth && peer.to_canonical().is_loopback();
    shown.unwrap_or(if open { Rights::Events } else { Rights::None })
}

fn turned_away(head: &Head, settings: &Settings) -> Option<Response> {
    // One that is no text is no name of ours; only who speaks HTTP/1.0 may leave it out.
    let is_given = head.headers.contains_key(header::HOST);
    let host = head.text(header::HOST).unwrap_or(if is_given { "" } else { "localhost" });
    if !settings.welcome.is_host(host) {
        let sentence = "this is no name of this machine; name it in [web] allowed_hosts if it is";
        return Some(Response::sentence(403, sentence));
    }
    if !head.headers.contains_key(header::ORIGIN) {
        return None;
    }
    let origin = head.text(header::ORIGIN).unwrap_or_default();
    let sentence =
        "pages of other origins may not speak to this daemon; name them in [web] allowed_origins if they may";
    (!settings.welcome.is_origin(origin, host)).then(|| Response::sentence(403, sentence))
}

fn upgrade(head: &Head) -> Route {
    let mut request = http::Request::new(());
    *request.headers_mut() = head.headers.clone();
    if let Ok(method) = http::Method::from_bytes(head.method.as_bytes()) {
        *request.method_mut() = method;
    }
    let mut bytes = Vec::new();
    let written = create_response(&request).and_then(|response| write_response(&mut bytes, &response));
    match written {
        Ok(()) => Route::Upgrade(bytes.into()),
        Err(error) => {
            let sentence = format!("this is no WebSocket handshake: {error}");
            Route::Answer(Response::sentence(426, &sentence).with("Sec-WebSocket-Version", "13"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::{Parsed, parse};
    use super::super::token::Tokens;
    use super::*;

    fn ask(request: &str, peer: [u8; 4], require_auth: bool) -> String {
        let text = format!("{}\r\n\r\n", request.trim().replace("; ", "\r\n"));
        let Parsed::Whole { head, .. } = parse(text.as_bytes()) else { panic!("{text:?}") };
        let tokens = Tokens { full: "full".into(), read_only: "read".into() };
        let settings = Settings { require_auth, ..Settings::new(tokens) };
        match route(&head, peer.into(), &settings) {
            Route::Answer(response) => response.status.to_string(),
            Route::Work(Job::Metrics) => "metrics".into(),
            Route::Work(_) => "work".into(),
            Route::Message(may) => format!("{may:?}"),
            Route::Upgrade(_) => "upgrade".into(),
        }
    }

    const HANDSHAKE: &str = "Connection: Upgrade; Upgrade: websocket; Sec-WebSocket-Version: 13; \
                             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";

    #[test]
    fn whoever_is_turned_away_is_so_before_anything_else() {
        let here = [127, 0, 0, 1];
        for (request, outcome) in [
            ("GET / HTTP/1.1; Host: localhost:8690", "200"),
            ("HEAD / HTTP/1.1; Host: 127.0.0.1", "200"),
            ("GET / HTTP/1.1; Host: evil.example", "403"),
            ("GET / HTTP/1.1; Host: évil.example", "403"),
            ("GET /metrics HTTP/1.1; Host: localhost", "metrics"),
            ("GET /metrics HTTP/1.1; Host: localhost; Origin: http://evil.example", "403"),
            ("GET /metrics HTTP/1.1; Host: localhost; Origin: null", "403"),
            ("GET /healthz?x HTTP/1.1; Host: localhost", "work"),
            ("POST /metrics HTTP/1.1; Host: localhost", "405"),
            ("GET /etc/passwd HTTP/1.1; Host: localhost", "404"),
            ("GET /x HTTP/1.1; Host: localhost; Upgrade: websocket", "426"),
        ] {
            assert_eq!(ask(request, here, false), outcome, "{request}");
        }
        for (extra, outcome) in [
            ("Host: localhost", "upgrade"),
            ("Host: evil.example", "403"),
            ("Host: localhost; Origin: http://evil.example", "403"),
            ("Host: localhost:8690; Origin: http://localhost:8690", "upgrade"),
        ] {
            assert_eq!(ask(&format!("GET /any HTTP/1.1; {extra}; {HANDSHAKE}"), here, true), outcome, "{extra}");
        }
    }

    #[test]
    fn numbers_are_for_this_machine_or_for_a_token() {
        let request = "GET /metrics HTTP/1.1; Host: localhost";
        let with = |token: &str| format!("{request}; Authorization: Bearer {token}");
        for (request, peer, require_auth, outcome) in [
            (request.to_owned(), [127, 0, 0, 1], true, "401"),
            (request.to_owned(), [10, 0, 0, 7], false, "401"),
            (with("read"), [10, 0, 0, 7], true, "metrics"),
            (with("full"), [127, 0, 0, 1], true, "metrics"),
            (with("wrong"), [127, 0, 0, 1], true, "401"),
            (with("wrong"), [127, 0, 0, 1], false, "401"),
            (with("wrong").replace("/metrics", "/healthz"), [127, 0, 0, 1], false, "401"),
            (format!("{}; {HANDSHAKE}", with("wrong")), [127, 0, 0, 1], false, "401"),
            (format!("{}; {HANDSHAKE}", with("read")), [127, 0, 0, 1], false, "upgrade"),
        ] {
            assert_eq!(ask(&request, peer, require_auth), outcome, "{request} {peer:?}");
        }
    }
}
