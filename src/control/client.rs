//! The other end: connects to the daemon, asks, and follows events. Blocking, one connection, for one thread.

use super::lines::{Line, Lines};
use super::wire::{self, EventFollow, Following, Request, Response};
use crate::model::command::Code;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the daemon may take over anything that is not a wait.
pub const PATIENCE: Duration = Duration::from_secs(5);
const ROOT: u32 = 0;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no daemon is running (nobody answers at {socket}); start it with: claude-comms poll start{options}")]
    NoDaemon {
        socket: String,
        /// Where it is looked for if not where it is by default, as words of a command line, each behind a space.
        options: String,
    },
    #[error("the daemon's socket {socket} cannot be used: {source}")]
    Unusable { socket: String, source: io::Error },
    #[error("the daemon took the request but did not answer in time; see what it does with: claude-comms poll logs")]
    NoAnswer,
    #[error("the daemon went away before it answered; see why with: claude-comms poll logs")]
    Gone,
    #[error("{message}")]
    Refused { code: Code, message: String, retry_after_ms: Option<u64> },
    #[error("what the daemon said is not understood ({0}); are both of the same version?")]
    Malformed(String),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::NoAnswer,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ClientError::Gone,
            _ => ClientError::Broken(error),
        }
    }
}

/// One connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    lines: Lines<UnixStream>,
    next_id: u64,
    /// The daemon has said that it stops.
    is_left: bool,
}

/// Ends a connection from another thread: whoever waits on it is woken.
#[derive(Clone, Debug)]
pub struct Closer {
    stream: Arc<Mutex<Option<UnixStream>>>,
}

impl Closer {
    pub fn close(&self) {
        if let Some(stream) = self.stream.lock().take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From here on ends another connection.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when it was closed meanwhile.
    pub fn replace(&self, client: &Client) -> Result<(), ClientError> {
        let mut stream = self.stream.lock();
        if stream.is_none() {
            return Err(ClientError::Gone);
        }
        *stream = Some(client.stream.try_clone().map_err(ClientError::Broken)?);
        Ok(())
    }
}

/// What came over the connection.
#[derive(Debug)]
pub enum Followed {
    /// The answer to an earlier request.
    Answer { id: u64, result: Result<Box<RawValue>, ClientError> },
    /// An event's frame, as JSON.
    Frame(String),
}

/// To wait for the daemon's next word and for something else at the same time.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Client {
    /// # Errors
    /// [`ClientError::NoDaemon`] when nobody listens there, [`ClientError::Unusable`] when it is somebody whom this user
    /// has no reason to trust: where a socket is in a directory that all share, anybody may have been there first.
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(socket).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NoDaemon { socket: socket.display().to_string(), options: String::new() }
            }
            _ => ClientError::Unusable { socket: socket.display().to_string(), source },
        })?;
        check_owner(&stream)
            .map_err(|source| ClientError::Unusable { socket: socket.display().to_string(), source })?;
        let lines = Lines::new(stream.try_clone().map_err(ClientError::Broken)?, wire::LINE_BYTES_MAX);
        stream.set_write_timeout(Some(PATIENCE)).map_err(ClientError::Broken)?;
        Ok(Client { stream, lines, next_id: 1, is_left: false })
    }

    /// For another thread, to end this connection with.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn closer(&self) -> Result<Closer, ClientError> {
        let stream = self.stream.try_clone().map_err(ClientError::Broken)?;
        Ok(Closer { stream: Arc::new(Mutex::new(Some(stream))) })
    }

    /// Asks, and waits for the answer for as long as a working daemon needs.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn call<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        self.call_within(request, Some(PATIENCE))
    }

    /// As [`Client::call`], for requests whose answer may take long; `None` waits until the daemon ends.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn call_within<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        patience: Option<Duration>,
    ) -> Result<T, ClientError> {
        let result = self.call_raw(request, patience)?;
        serde_json::from_str(result.get()).map_err(|error| ClientError::Malformed(error.to_string()))
    }

    /// As [`Client::call_within`], with the answer as the daemon wrote it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn call_raw(&mut self, request: &Request, patience: Option<Duration>) -> Result<Box<RawValue>, ClientError> {
        let asked = self.send(request)?;
        loop {
            if let Followed::Answer { id, result } = self.receive(patience)?
                && id == asked
            {
                return result;
            }
        }
    }

    /// Has the daemon send events; they come with [`Client::receive`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn follow(&mut self, what: EventFollow) -> Result<Following, ClientError> {
        self.call(&Request::EventFollow(what))
    }

    /// Sends a request and returns its id; answers come in any order.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn send(&mut self, request: &Request) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let args = request.args().map_err(|error| ClientError::Malformed(error.to_string()))?;
        let command = request.command();
        let line = format!("{{\"v\":{},\"id\":{id},\"command\":\"{command}\",\"args\":{args}}}\n", wire::VERSION);
        // A daemon that turns us away says why before it closes; that is worth reading.
        if let Err(error) = self.stream.write_all(line.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error.into());
        }
        Ok(id)
    }

    /// Has the daemon take messages of MCP on this connection, one a line, and gives the connection away with what came on it
    /// meanwhile.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn into_mcp(mut self) -> Result<(UnixStream, Vec<u8>), ClientError> {
        let _: wire::Empty = self.call(&Request::McpOpen(wire::Empty {}))?;
        self.stream.set_read_timeout(None).map_err(ClientError::Broken)?;
        self.stream.set_write_timeout(None).map_err(ClientError::Broken)?;
        Ok((self.stream, self.lines.into_rest()))
    }

    /// Sends a request that is already one line of JSON, its id chosen by the caller. For load generators.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn send_lines(&mut self, lines: &[u8]) -> Result<(), ClientError> {
        Ok(self.stream.write_all(lines)?)
    }

    /// Whether [`Client::receive`] has something without waiting. If not, there will be something to read here first.
    pub fn has_received(&self) -> bool {
        self.lines.has_line()
    }

    /// Whether the daemon has said that it stops: then its end was in order, and all of its events were told.
    pub fn was_taken_leave_of(&self) -> bool {
        self.is_left
    }

    /// The next answer or event. `None` waits until the daemon ends.
    ///
    /// # Errors
    /// See [`ClientError`]; after [`ClientError::NoAnswer`] the connection can still be used.
    pub fn receive(&mut self, patience: Option<Duration>) -> Result<Followed, ClientError> {
        if !self.lines.has_line() {
            let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
            self.stream.set_read_timeout(patience).map_err(ClientError::Broken)?;
        }
        let line = match self.lines.next()? {
            Line::Text(line) => line,
            Line::TooLong => return Err(ClientError::Malformed("a line that is too long".to_owned())),
            Line::End => return Err(ClientError::Gone),
        };
        let text = std::str::from_utf8(line).map_err(|error| ClientError::Malformed(error.to_string()))?;
        if !text.starts_with("{\"v\":") {
            return Ok(Followed::Frame(text.to_owned()));
        }
        let response: Response<'_, Box<RawValue>> =
            serde_json::from_str(text).map_err(|error| ClientError::Malformed(error.to_string()))?;
        let id = response.id.and_then(|id| id.get().parse().ok());
        let result = match (response.result, response.error) {
            (Some(result), None) => Ok(result),
            (_, Some(error)) => Err(ClientError::Refused {
                code: Code::parse(&error.code).unwrap_or(Code::Internal),
                message: error.message,
                retry_after_ms: error.retry_after_ms,
            }),
            (None, None) => Err(ClientError::Malformed("neither result nor error".to_owned())),
        };
        match (id, result) {
            (Some(id), result) => Ok(Followed::Answer { id, result }),
            (None, Err(ClientError::Refused { code: Code::NotRunning, .. })) => {
                self.is_left = true;
                Err(ClientError::Gone)
            }
            // Turned away at the door: no request of ours was read.
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(ClientError::Malformed("an answer to nothing".to_owned())),
        }
    }
}

/// Whoever listens gets to see prompts, and is believed.
fn check_owner(stream: &UnixStream) -> io::Result<()> {
    let owner = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
    let us = rustix::process::geteuid().as_raw();
    if is_believed(owner, us) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it is user {owner} who answers there, and this is user {us}; say where your own is with --socket"),
    ))
}

/// Root may speak with every daemon: those of the system have users of their own.
fn is_believed(owner: u32, us: u32) -> bool {
    owner == us || owner == ROOT || us == ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_somebody_else_is_not_believed() {
        assert!(is_believed(1000, 1000) && is_believed(ROOT, 1000) && is_believed(1001, ROOT));
        assert!(!is_believed(1001, 1000));
    }
}
