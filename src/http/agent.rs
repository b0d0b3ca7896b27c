//! The agent that requests are sent with: one for each endpoint and whoever calls it.
//!
//! While a name is looked up, a short-lived thread of ureq's does it: no system call that does so can be given up.

use super::endpoint::Endpoint;
use super::resolver::Remembering;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

/// Longest that looking up the name may take, and again connecting, the handshake of TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Servers close a connection that has been idle for five seconds; one younger than this is not about to be closed.
const IDLE_AGE_MAX: Duration = Duration::from_secs(4);
/// Connections kept for the next call.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// Largest head of an answer.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What is read at a time: more than a head may have, so that one that is too large is known for it. Every connection that
/// is kept holds one of each.
const INPUT_BYTES: usize = 2 * HEAD_BYTES_MAX;
const OUTPUT_BYTES: usize = 16 * 1024;

/// An agent that takes no status for an error and follows no redirect. Each request must say its own limit.
pub fn agent_for(endpoint: &Endpoint, roots: &RootCerts) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect is shown to whoever configured the endpoint; following it would carry the token elsewhere.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .max_idle_age(IDLE_AGE_MAX)
        .max_idle_connections(IDLE_CONNECTIONS_MAX)
        .max_response_header_size(HEAD_BYTES_MAX)
        .input_buffer_size(INPUT_BYTES)
        .output_buffer_size(OUTPUT_BYTES)
        .user_agent(concat!("claude-comms/", env!("CARGO_PKG_VERSION")));
    let config = if endpoint.is_loopback() { config.proxy(None) } else { config };
    Agent::with_parts(config.build(), DefaultConnector::default(), Remembering::new())
}
