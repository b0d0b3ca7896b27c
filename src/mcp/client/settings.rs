//! What a client is made with.

use crate::http::header;
use crate::mcp::protocol::Era;
use std::fmt;
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Why no client could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("{endpoint:?} cannot be the address of an MCP server: {reason}")]
    Endpoint { endpoint: String, reason: String },
    #[error("an address must not contain a user and a password: use a bearer token or a header instead")]
    Credentials,
    /// Without the value, which may be a secret.
    #[error("the header {name:?} cannot be sent: {reason}")]
    Header { name: String, reason: &'static str },
    #[error("the root certificates cannot be used: {0}")]
    Certificates(String),
}

/// Settings of a client; the default ones fit a server that asks for no authentication.
#[derive(Clone, Default)]
pub struct ClientSettings {
    headers: Vec<(String, String)>,
    first_era: Era,
    root_certificates: Option<String>,
}

impl ClientSettings {
    /// Sends `Authorization: Bearer TOKEN` with every request.
    #[must_use]
    pub fn bearer_token(self, token: &str) -> ClientSettings {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends a header with every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> ClientSettings {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Trusts these authorities, in PEM, instead of the public ones: for a server whose certificate is of one's own.
    #[must_use]
    pub fn root_certificates(mut self, pem: &str) -> ClientSettings {
        self.root_certificates = Some(pem.to_owned());
        self
    }

    /// The era to try first, for example the one that [`era`](super::Client::era) said in an earlier life. The other is
    /// tried when the server does not speak this one.
    #[must_use]
    pub fn first_era(mut self, era: Era) -> ClientSettings {
        self.first_era = era;
        self
    }

    pub(super) fn era(&self) -> Era {
        self.first_era
    }

    pub(super) fn checked_roots(&self) -> Result<RootCerts, SetupError> {
        let Some(pem) = &self.root_certificates else { return Ok(RootCerts::WebPki) };
        let items: Result<Vec<PemItem>, _> = parse_pem(pem.as_bytes()).collect();
        let items = items.map_err(|error| SetupError::Certificates(error.to_string()))?;
        let certificate = |item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        };
        let certificates: Vec<Certificate> = items.into_iter().filter_map(certificate).collect();
        if certificates.is_empty() {
            return Err(SetupError::Certificates("there is none among them".to_owned()));
        }
        Ok(RootCerts::new_with_certs(&certificates))
    }

    pub(super) fn checked_headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, SetupError> {
        self.headers.iter().map(|(name, value)| checked(name, value)).collect()
    }
}

fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), SetupError> {
    let wrong = |reason| SetupError::Header { name: name.to_owned(), reason };
    let (known, value) = header(name, value).map_err(wrong)?;
    if known.as_str().starts_with("mcp-") {
        return Err(wrong("the client sets it itself"));
    }
    Ok((known, value))
}

/// The names of the headers without their values.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ClientSettings").field("headers", &names).field("first_era", &self.first_era).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked_before_they_are_needed() {
        let check = |name: &str, value: &str| {
            ClientSettings::default().header(name, value).checked_headers().err().map(|error| error.to_string())
        };
        assert_eq!(check("x-team", "blue"), None);
        assert!(check("x team", "blue").unwrap().contains("not a name"));
        assert!(check("x-team", "a\r\nb: c").unwrap().contains("no header can hold"));
        assert!(check("Mcp-Session-Id", "x").unwrap().contains("sets it itself"));
    }

    #[test]
    fn certificates_are_checked_before_they_are_needed() {
        let said =
            |pem: &str| ClientSettings::default().root_certificates(pem).checked_roots().unwrap_err().to_string();
        assert!(said("").ends_with("there is none among them"));
        assert!(said("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n").contains("cannot be used"));
    }

    #[test]
    fn a_token_is_not_shown() {
        let settings = ClientSettings::default().bearer_token("secret");
        assert!(!format!("{settings:?}").contains("secret"));
        let said = ClientSettings::default().bearer_token("sec\nret").checked_headers().unwrap_err().to_string();
        assert!(!said.contains("ret\""), "{said}");
    }
}
