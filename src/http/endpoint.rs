//! Where a server is, checked once.

use crate::endpoint;
use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// Why an address cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    Wrong {
        reason: String,
    },
    /// There is a user in it, perhaps with a password.
    Credentials,
}

/// An address that requests can be sent to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    uri: Uri,
}

impl Endpoint {
    /// # Errors
    /// It is no http or https URL with a host, or has a part that a request cannot have.
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        let wrong = |reason: &str| EndpointError::Wrong { reason: reason.to_owned() };
        let lower = text.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(wrong("it must begin with http:// or https://"));
        }
        let uri: Uri = text.parse().map_err(|error| wrong(&format!("it is not a URL: {error}")))?;
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err(wrong("it names no host"));
        };
        if authority.as_str().contains('@') {
            // What stands in an address ends up in logs.
            return Err(EndpointError::Credentials);
        }
        if text.contains('#') {
            return Err(wrong("it must not contain a #"));
        }
        match endpoint::fault(text) {
            Some(fault) => Err(wrong(&format!("it is a URL {fault}"))),
            None => Ok(Endpoint { uri }),
        }
    }

    pub fn uri(&self) -> Uri {
        self.uri.clone()
    }

    /// Whether it is on this machine, where no proxy leads.
    pub fn is_loopback(&self) -> bool {
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
            ("http://host:99999/mcp", "port is none"),
            ("http://host:0/mcp", "port is none"),
        ];
        for (endpoint, reason) in refused {
            let Err(EndpointError::Wrong { reason: said }) = Endpoint::parse(endpoint) else { panic!("{endpoint}") };
            assert!(said.contains(reason), "{endpoint}: {said}");
        }
        assert_eq!(Endpoint::parse("http://me:secret@host/mcp").err(), Some(EndpointError::Credentials));
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
