//! Who may speak to us at all: looked at before anything else, because a browser lends its user's machine to every page.

use std::net::IpAddr;

/// Names by which we may be addressed, and pages that may speak to us, besides our own.
#[derive(Clone, Debug, Default)]
pub struct Welcome {
    /// Names of hosts, without ports.
    pub hosts: Vec<String>,
    /// Whole origins, like `https://board.example`.
    pub origins: Vec<String>,
}

impl Welcome {
    /// Whether the request is meant for us. A page that has its own name resolve to this machine is found out by it;
    /// an address cannot be lent like that.
    pub(super) fn is_host(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.hosts.iter().any(|other| other.eq_ignore_ascii_case(&name))
    }

    /// Whether a page of that origin may speak to us: our own, and those that were named.
    pub(super) fn is_origin(&self, origin: &str, host: &str) -> bool {
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        own.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
            || self.origins.iter().any(|other| other.eq_ignore_ascii_case(origin))
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_no_names_of_ours() {
        let welcome = Welcome { hosts: vec!["box.lan".into()], origins: vec!["https://board.example".into()] };
        for host in [
            "localhost",
            "LocalHost:8690",
            "127.0.0.1:8690",
            "[::1]:8690",
            "::1",
            "10.0.0.7",
            "box.lan:1",
            "a.localhost",
        ] {
            assert!(welcome.is_host(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:8690", "127.0.0.1.evil.example", "box.lan.evil", "x:y"]
        {
            assert!(!welcome.is_host(host), "{host}");
        }
    }

    #[test]
    fn pages_of_others_do_not_speak_to_us() {
        let welcome = Welcome { hosts: Vec::new(), origins: vec!["https://board.example".into()] };
        for origin in ["http://localhost:8690", "https://localhost:8690", "HTTPS://board.example"] {
            assert!(welcome.is_origin(origin, "localhost:8690"), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost:3000",
            "http://evil.example",
            "localhost:8690",
            "file://",
            "https://board.example:8443",
        ] {
            assert!(!welcome.is_origin(origin, "localhost:8690"), "{origin}");
        }
    }
}
