//! Whether a text is the URL of a server that can be called, and how much of it is shown.

use std::net::Ipv6Addr;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// What is wrong with it, as it stands behind "a URL"; `None`: it will do.
pub fn fault(text: &str) -> Option<&'static str> {
    if text.len() > URL_BYTES_MAX {
        return Some("longer than 2048 bytes");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("with a character in it that must be escaped");
    }
    if text.contains('#') {
        return Some("with a # in it");
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Some("without http:// or https://") };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Some("of another scheme");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("with a user in it");
    }
    let (host, port) = split(authority);
    if host.is_empty() {
        return Some("without a host");
    }
    if !is_host(host) {
        return Some("whose host is none");
    }
    // Zero is a port that nobody can listen at.
    let is_port = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|number| number > 0);
    if port.is_some_and(|port| !is_port(port)) { Some("whose port is none") } else { None }
}

/// As it may stand in lists and in the log: without a user and without a query, which may hold a password or a key.
pub fn shown(text: &str) -> String {
    let (rest, query) = text.split_once('?').map_or((text, ""), |(rest, _)| (rest, "?…"));
    let (scheme, rest) = rest.split_once("://").map_or(("", rest), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("…@{host}"));
    let colon = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{colon}{host}{path}{query}")
}

/// Host and port; an IPv6 address stands in brackets because it has colons of its own.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_a_known_scheme_and_a_host() {
        for good in [
            "http://localhost:8678/mcp",
            "HTTPS://a.example",
            "http://[::1]:1/",
            "http://[::1]",
            "http://127.0.0.1:65535?a=b",
            "http://h/@x:y",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for (bad, expected) in [
            ("", "without http:// or https://"),
            ("localhost:8678/mcp", "without http:// or https://"),
            ("http:/localhost", "without http:// or https://"),
            ("ws://localhost", "of another scheme"),
            ("://localhost", "of another scheme"),
            ("http://", "without a host"),
            ("http:///mcp", "without a host"),
            ("http://:8678/mcp", "without a host"),
            ("http://a:b@localhost", "with a user in it"),
            ("http://a,b", "whose host is none"),
            ("http://::1/", "whose host is none"),
            ("http://[::g]/", "whose host is none"),
            ("http://h:/", "whose port is none"),
            ("http://h:0/", "whose port is none"),
            ("http://h:+1/", "whose port is none"),
            ("http://h:65536/", "whose port is none"),
            ("http://h/mcp#part", "with a # in it"),
            ("http://h/a b", "with a character in it that must be escaped"),
            ("http://ä/", "with a character in it that must be escaped"),
        ] {
            assert_eq!(fault(bad), Some(expected), "{bad}");
        }
        assert_eq!(fault(&format!("http://h/{}", "x".repeat(2048))), Some("longer than 2048 bytes"));
    }
    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (text, expected) in [
            ("http://localhost:8678/mcp", "http://localhost:8678/mcp"),
            ("https://h/mcp?key=hunter2", "https://h/mcp?…"),
            ("http://me:hunter2@h:1/mcp", "http://…@h:1/mcp"),
            ("http://h/@x?a/b@c", "http://h/@x?…"),
            ("me:hunter2@h", "…@h"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
