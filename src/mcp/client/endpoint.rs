//! Where a server is, checked once.

use super::settings::SetupError;
use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// An address that requests can be sent to.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    uri: Uri,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Endpoint, SetupError> {
        let wrong = |reason: &str| SetupError::Endpoint { endpoint: text.to_owned(), reason: reason.to_owned() };
        let lower = text.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(wrong("it must begin with http:// or https://, for example http://localhost:8678/mcp"));
        }
        let uri: Uri = text.parse().map_err(|error| wrong(&format!("it is not a URL: {error}")))?;
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err(wrong("it names no host"));
        };
        if authority.as_str().contains('@') {
            // What stands in an address ends up in logs.
            return Err(SetupError::Credentials);
        }
        if text.contains('#') {
            return Err(wrong("it must not contain a #"));
        }
        Ok(Endpoint { uri })
    }

    pub(super) fn uri(&self) -> Uri {
        self.uri.clone()
    }

    /// Whether it is on this machine, where no proxy leads.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// Without the query, which may hold a key.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_called_is_refused_with_a_reason() {
        let refused = [
            ("localhost:8678/mcp", "must begin with http://"),
            ("/mcp", "must begin with http://"),
            ("ftp://host/mcp", "must begin with http://"),
            ("http://", "not a URL"),
            ("", "must begin with http://"),
            ("http://a b/mcp", "not a URL"),
            ("http://host/mcp#part", "must not contain a #"),
        ];
        for (endpoint, reason) in refused {
            let said = Endpoint::parse(endpoint).unwrap_err().to_string();
            assert!(said.contains(reason) && said.contains(endpoint), "{endpoint}: {said}");
        }
        let said = Endpoint::parse("http://me:secret@host/mcp").unwrap_err().to_string();
        assert!(said.contains("bearer") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        let local = |endpoint: &str| Endpoint::parse(endpoint).unwrap().is_loopback();
        assert!(
            [
                "http://localhost:1/",
                "http://LOCALHOST./",
                "http://127.9.9.9/",
                "https://[::1]:3/",
                "http://a.localhost/"
            ]
            .into_iter()
            .all(local)
        );
        assert!(!["http://localhost.example/", "http://10.0.0.1/", "http://[::2]/"].into_iter().any(local));
    }

    #[test]
    fn a_query_is_not_shown() {
        let endpoint = Endpoint::parse("https://host:99/mcp?key=secret").unwrap();
        assert_eq!(endpoint.to_string(), "https://host:99/mcp");
    }
}
