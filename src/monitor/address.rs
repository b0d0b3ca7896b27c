//! Where a server answers, as a person writes it.

use std::fmt;
use std::sync::Arc;

/// Longest that is taken, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// Where the server is now, if that is known; looked up anew for each connection.
#[derive(Clone)]
pub(crate) struct Find(Arc<dyn Fn() -> Option<Address> + Send + Sync>);

impl Find {
    pub(crate) fn new(find: impl Fn() -> Option<Address> + Send + Sync + 'static) -> Find {
        Find(Arc::new(find))
    }

    pub(crate) fn find(&self) -> Option<Address> {
        (self.0)()
    }
}

impl fmt::Debug for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Find")
    }
}

/// `ws://HOST:PORT/PATH`, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With what follows a `?`; begins with `/`.
    pub(crate) path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("wss:// is not supported; use ws://, and a tunnel where the way needs to be encrypted")]
    Encrypted,
    #[error("{0:?} is no address of a WebSocket server; one is like ws://127.0.0.1:8690")]
    Malformed(String),
}

impl Address {
    pub(crate) fn new(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port, path: "/".to_owned() }
    }

    /// Reads an URL, and the channel that may stand behind a `#`.
    pub(crate) fn parse(url: &str) -> Result<(Address, Option<String>), AddressError> {
        let malformed = || AddressError::Malformed(url.chars().take(80).collect());
        let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
        match scheme.to_ascii_lowercase().as_str() {
            "ws" => {}
            "wss" => return Err(AddressError::Encrypted),
            _ => return Err(malformed()),
        }
        let is_good = |char: char| char.is_ascii_graphic() || (!char.is_ascii() && !char.is_control());
        if url.len() > URL_BYTES_MAX || !url.chars().all(is_good) {
            return Err(malformed());
        }
        let (rest, channel) = rest.split_once('#').map_or((rest, None), |(rest, channel)| (rest, Some(channel)));
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority).ok_or_else(malformed)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        // What cannot stand in the head of a request is refused here, once, and not at each attempt.
        if !path.is_ascii() {
            return Err(malformed());
        }
        let channel = channel.filter(|channel| !channel.is_empty()).map(str::to_owned);
        Ok((Address { host: host.to_owned(), port, path }, channel))
    }

    /// Whether it is the same server, whatever is asked of it.
    pub(crate) fn is_same_server(&self, other: &Address) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Host and port as the `Host` of a request has them.
    pub(crate) fn authority(&self) -> String {
        let brackets = self.host.contains(':');
        if brackets { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    // Who is to be told a name and a password here is told them with every request, in clear: better not at all.
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let is_six = host.parse::<std::net::Ipv6Addr>().is_ok();
            (is_six.then_some(host)?, port.strip_prefix(':').or(port.is_empty().then_some("80"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "80")),
    };
    let is_name = |char: char| char.is_alphanumeric() || matches!(char, '.' | '-' | '_' | ':');
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty() && host.is_ascii() && host.chars().all(is_name)).then_some((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { self.path.as_str() };
        write!(f, "ws://{}{path}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Option<String> {
        let (address, channel) = Address::parse(url).ok()?;
        let (host, port, path) = (&address.host, address.port, &address.path);
        Some(format!("{host} {port} {path} {}", channel.unwrap_or_default()))
    }

    #[test]
    fn an_address_is_read_in_its_parts() {
        for (url, expected) in [
            ("ws://127.0.0.1:8690", "127.0.0.1 8690 / "),
            ("WS://localhost:1/a?b=c#pool:local", "localhost 1 /a?b=c pool:local"),
            ("ws://h", "h 80 / "),
            ("ws://h?x=1#", "h 80 /?x=1 "),
            ("ws://[::1]:8690#insights", "::1 8690 / insights"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "h:1", "http://h", "ws://", "ws://:1", "ws://h:0", "ws://h:x", "ws://u:p@h:1", "ws://h h:1"] {
            assert!(matches!(Address::parse(url), Err(AddressError::Malformed(_))), "{url}");
        }
        for url in ["ws://[::1", "ws://[h]:1", "ws://h:1/\u{1b}[2J", "ws://h/\u{e4}", "ws://\u{e4}"] {
            assert!(matches!(Address::parse(url), Err(AddressError::Malformed(_))), "{url}");
        }
        assert_eq!(Address::parse("wss://h:1"), Err(AddressError::Encrypted));
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        for url in ["ws://127.0.0.1:8690", "ws://h:1/a?b=c", "ws://[::1]:2"] {
            assert_eq!(Address::parse(url).unwrap().0.to_string(), url);
        }
    }
}
