//! Where hosts are: an address needs no looking up, and a name is remembered for a while.
//!
//! ureq asks before every request, also for one that goes over a connection it has kept, and starts a thread for each
//! look-up because no system call that does one can be given up.

use crate::clock::{Clock, SystemClock, Tick};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A host that has moved is found again after this.
const REMEMBERED: Duration = Duration::from_secs(30);

/// Of one endpoint's agent.
#[derive(Debug)]
pub(super) struct Remembering {
    clock: SystemClock,
    last: Mutex<Option<LookedUp>>,
}

/// What the last look-up found, and when.
#[derive(Clone, Debug)]
struct LookedUp {
    host_and_port: (String, Option<u16>),
    at: Tick,
    addresses: Vec<SocketAddr>,
}

impl LookedUp {
    fn answers(&self, uri: &Uri, now: Tick) -> bool {
        self.host_and_port == host_and_port(uri) && now.since(self.at) < REMEMBERED
    }
}

impl Resolver for Remembering {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if let Some(address) = numeric(uri) {
            return Ok(self.listed(&[address]));
        }
        let now = self.clock.tick();
        if let Some(last) = self.last.lock().as_ref().filter(|last| last.answers(uri, now)) {
            return Ok(self.listed(&last.addresses));
        }
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let looked_up = LookedUp { host_and_port: host_and_port(uri), at: now, addresses: found.to_vec() };
        *self.last.lock() = Some(looked_up);
        Ok(found)
    }
}

impl Remembering {
    pub(super) fn new() -> Remembering {
        Remembering { clock: SystemClock::new(), last: Mutex::new(None) }
    }

    fn listed(&self, addresses: &[SocketAddr]) -> ResolvedSocketAddrs {
        let mut listed = self.empty();
        for &address in addresses {
            // They come from such a list, or are one.
            let _ = listed.try_push(address);
        }
        listed
    }
}

/// Of a host that is given by its address.
fn numeric(uri: &Uri) -> Option<SocketAddr> {
    let (host, port) = host_and_port(uri);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(address, port?))
}

fn host_and_port(uri: &Uri) -> (String, Option<u16>) {
    let of_scheme = match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    (uri.host().unwrap_or_default().to_owned(), uri.port_u16().or(of_scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_own_answer() {
        let of = |uri: &str| numeric(&uri.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(of("http://127.0.0.1:8678/mcp").as_deref(), Some("127.0.0.1:8678"));
        assert_eq!(of("https://[::1]/mcp").as_deref(), Some("[::1]:443"));
        assert_eq!(of("http://10.0.0.1/").as_deref(), Some("10.0.0.1:80"));
        assert_eq!(of("http://localhost:1/"), None);
    }

    #[test]
    fn a_name_is_looked_up_again_when_that_is_long_ago() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let resolver = Remembering::new();
        let agent = ureq::Agent::new_with_defaults();
        let within = NextTimeout { after: Duration::from_secs(5).into(), ..NextTimeout::default() };
        let found = resolver.resolve(&uri("http://localhost:8678/mcp"), agent.config(), within).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 8678), "{found:?}");

        let last = resolver.last.lock().clone().unwrap();
        let later = |wait: Duration| last.at.after(wait);
        let just_before = REMEMBERED.saturating_sub(Duration::from_nanos(1));
        assert!(last.answers(&uri("http://localhost:8678/other"), later(just_before)));
        assert!(!last.answers(&uri("http://localhost:8678/mcp"), later(REMEMBERED)));
        assert!(!last.answers(&uri("http://localhost:8679/mcp"), last.at));
        assert!(!last.answers(&uri("http://local:8678/mcp"), last.at));
        let again = resolver.resolve(&uri("http://localhost:8678/mcp"), agent.config(), within).unwrap();
        assert_eq!(again.to_vec(), found.to_vec());
    }
}
