//! Sending something to a server, for whoever need not know more of HTTP than that.

use super::agent::agent_for;
use super::broken::Broken;
use super::endpoint::Endpoint;
use super::head::Head;
use crate::clock::Timestamp;
use std::io::Read;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::RootCerts;
use ureq::{Agent, Body};

/// Most of an answer's body that is read; what is beyond is left out.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// Names that a request has anyway.
const OWN_HEADERS: [&str; 6] = ["host", "content-length", "content-type", "accept", "transfer-encoding", "connection"];

/// A header that can be sent with every request, marked as a secret.
///
/// # Errors
/// Why it cannot be sent; without the value.
pub fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name: HeaderName = name.parse().map_err(|_| "this is not a name of a header")?;
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err("the client sets it itself");
    }
    let mut value: HeaderValue = value.parse().map_err(|_| "its value has characters that no header can hold")?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Posts to one endpoint.
#[derive(Debug)]
pub struct Poster {
    endpoint: Endpoint,
    headers: Vec<(HeaderName, HeaderValue)>,
    agent: Agent,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    /// As far as it came, if the status has already decided; otherwise why it did not come whole.
    pub body: Result<Vec<u8>, Broken>,
}

impl Poster {
    pub fn new(endpoint: Endpoint, headers: Vec<(HeaderName, HeaderValue)>) -> Poster {
        let agent = agent_for(&endpoint, &RootCerts::WebPki);
        Poster { endpoint, headers, agent }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Another one to the same endpoint, whether or not this one was interrupted.
    #[must_use]
    pub fn renewed(&self) -> Poster {
        Poster::new(self.endpoint.clone(), self.headers.clone())
    }

    /// What ends the requests of this one from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.agent.clone())
    }

    /// Posts, and waits for the whole answer for as long as `timeout` says.
    ///
    /// # Errors
    /// There was none.
    pub fn post(&self, content_type: &str, body: &[u8], timeout: Duration, now: Timestamp) -> Result<Answer, Broken> {
        let mut request = self.agent.post(self.endpoint.uri()).header("content-type", content_type);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.config().timeout_global(Some(timeout)).build().send(body)?;
        let (parts, body) = response.into_parts();
        let head = Head::new(parts, now);
        let body = read(body, head.is_success());
        Ok(Answer { head, body })
    }
}

fn read(body: Body, must_be_whole: bool) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    match body.into_reader().take(BODY_BYTES_MAX).read_to_end(&mut bytes) {
        Err(error) if must_be_whole => Err(error.into()),
        _ => Ok(bytes),
    }
}

/// See [`Poster::interrupter`].
#[derive(Clone, Debug)]
pub struct Interrupter(Agent);

impl Interrupter {
    /// Ends what is under way at once, as far as it has a connection, and lets nothing begin.
    pub fn interrupt(&self) {
        self.0.clone().shutdown();
    }
}
