//! What kept a request from being answered.

use std::io;
use ureq::{Error, Timeout};

/// Why there is no answer, or not all of one. The sentence does not name the endpoint; whoever knows it does.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nobody listens there, or the way there is closed.
    #[error("could not connect: {0}")]
    Connect(io::Error),
    #[error("the host could not be found: {0}")]
    Resolve(String),
    #[error("there was no answer in time")]
    Timeout,
    #[error("the connection was closed before the answer had come: {0}")]
    Disconnected(String),
    #[error("the head of the answer is too large")]
    HeadTooLarge,
    #[error("the body of the answer is too large")]
    BodyTooLarge,
    #[error("the answer breaks HTTP: {0}")]
    Protocol(String),
    #[error("it cannot be reached safely: {0}; check its certificate and the scheme of the address")]
    Insecure(String),
    #[error("the request could not be sent: {0}")]
    Unsendable(String),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        match error {
            Error::Timeout(Timeout::Connect) => Broken::Connect(io::ErrorKind::TimedOut.into()),
            Error::Timeout(Timeout::Resolve) | Error::HostNotFound => Broken::Resolve(error.to_string()),
            Error::Timeout(_) => Broken::Timeout,
            Error::Io(error) => of_connection(error),
            Error::ConnectionFailed => Broken::Connect(io::ErrorKind::ConnectionRefused.into()),
            Error::LargeResponseHeader(..) => Broken::HeadTooLarge,
            Error::BodyExceedsLimit(_) => Broken::BodyTooLarge,
            Error::Protocol(_) | Error::BodyStalled => Broken::Protocol(error.to_string()),
            Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) | Error::TlsRequired => {
                Broken::Insecure(error.to_string())
            }
            _ => Broken::Unsendable(error.to_string()),
        }
    }
}

/// Of a body that is being read: an error of the agent's is in it.
impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::from(Error::from(error))
    }
}

fn of_connection(error: io::Error) -> Broken {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Broken::Timeout,
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => Broken::Connect(error),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Broken::Disconnected(error.to_string()),
        // TLS reports what it cannot accept this way.
        ErrorKind::InvalidData => Broken::Insecure(error.to_string()),
        // The resolver of the C library has numbers of its own.
        _ if error.raw_os_error().is_none() => Broken::Resolve(error.to_string()),
        _ => Broken::Disconnected(error.to_string()),
    }
}
