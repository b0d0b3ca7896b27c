//! One connection to a server: dialled, read and written so that a bell ends every wait.

use super::address::Address;
use super::frame::MESSAGE_BYTES_MAX;
use super::tell::Why;
use crate::clock::{Clock, Tick};
use crate::thread::Bell;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt::socket_error};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;
use tungstenite::client::client_with_config;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{ClientRequestBuilder, Error, Message, WebSocket};

const READ_BUFFER_BYTES: usize = 4096;
/// What is said to a server is short; one that does not take even that is given up.
const WRITE_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// What every wait is given.
pub(crate) struct Waiting<'a> {
    pub(crate) clock: &'a dyn Clock,
    /// Rings, and goes on ringing, once the client is to end.
    pub(crate) stop: &'a Bell,
}

/// Why a wait or a connection ended.
#[derive(Debug)]
pub(crate) enum Cut {
    /// We are to end.
    Stopped,
    Lost(Why),
}

impl From<Why> for Cut {
    fn from(why: Why) -> Cut {
        Cut::Lost(why)
    }
}

impl Waiting<'_> {
    /// Until `fd` is ready (true) or the deadline has come (false).
    fn on(&self, fd: impl AsFd, flags: PollFlags, deadline: Tick) -> Result<bool, Cut> {
        loop {
            let left = self.clock.tick().until(deadline);
            // A limit beyond what the system counts to is none.
            let limit = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(self.stop, PollFlags::IN), PollFd::new(&fd, flags)];
            match poll(&mut fds, limit.as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Err(Cut::Stopped),
                Ok(0) if self.clock.tick() >= deadline => return Ok(false),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(Why::NotConnected(io::Error::from(error).to_string()).into()),
            }
        }
    }

    /// Whether we are to end, without waiting: a server that never stops talking leaves nothing to wait for.
    fn is_over(&self) -> bool {
        poll(&mut [PollFd::new(self.stop, PollFlags::IN)], Some(&Timespec::default())) == Ok(1)
    }

    /// For so long.
    pub(crate) fn pause(&self, wait: Duration) -> Result<(), Cut> {
        let deadline = self.clock.tick().after(wait);
        // The bell is the only thing to wait for, so it stands in the second place too.
        self.on(self.stop, PollFlags::empty(), deadline).map(drop)
    }
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Message(Vec<u8>),
    /// Something came, but no message yet; or only a ping or pong.
    Sign,
    /// The deadline.
    Nothing,
}

pub(crate) struct Link {
    socket: WebSocket<TcpStream>,
}

impl Link {
    /// Connects within `limit`, handshake included. Looking up a name is the one thing that cannot be cut short.
    pub(crate) fn dial(address: &Address, limit: Duration, waiting: &Waiting<'_>) -> Result<Link, Cut> {
        let found = (address.host.as_str(), address.port).to_socket_addrs().map_err(|error| not_connected(&error))?;
        let deadline = waiting.clock.tick().after(limit);
        let mut failure = Cut::Lost(Why::NobodyAnswers);
        for to in found.take(ADDRESSES_MAX) {
            match reach(to, deadline, waiting) {
                Ok(stream) => return shake_hands(stream, address, deadline, waiting),
                Err(Cut::Stopped) => return Err(Cut::Stopped),
                Err(lost) => failure = lost,
            }
        }
        Err(failure)
    }

    /// Sends as much as the server takes now; the rest goes with the next call of [`Link::next`].
    pub(crate) fn send(&mut self, message: Message) -> Result<(), Why> {
        match self.socket.send(message) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map_err(why),
        }
    }

    /// Waits for something to come.
    pub(crate) fn next(&mut self, deadline: Tick, waiting: &Waiting<'_>) -> Result<Next, Cut> {
        if waiting.is_over() {
            return Err(Cut::Stopped);
        }
        match self.take()? {
            Next::Nothing => {}
            next => return Ok(next),
        }
        let interest = self.interest();
        if !waiting.on(self.socket.get_ref(), interest, deadline)? {
            return Ok(Next::Nothing);
        }
        match self.take()? {
            Next::Nothing => Ok(Next::Sign),
            next => Ok(next),
        }
    }

    /// What is there already.
    fn take(&mut self) -> Result<Next, Why> {
        match self.socket.read() {
            Ok(Message::Text(text)) => Ok(Next::Message(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => Ok(Next::Message(bytes.to_vec())),
            Ok(Message::Close(frame)) => Err(closed(frame)),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Next::Sign),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(Next::Nothing),
            Err(error) => Err(why(error)),
        }
    }

    fn interest(&mut self) -> PollFlags {
        // A flush that would block says that there is something left.
        match self.socket.flush() {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => PollFlags::IN | PollFlags::OUT,
            _ => PollFlags::IN,
        }
    }

    /// Takes leave: says 1000, and gives the server until the deadline to say the same.
    pub(crate) fn close(mut self, clock: &dyn Clock, limit: Duration) {
        let deadline = clock.tick().after(limit);
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if self.socket.close(Some(frame)).is_err_and(|error| !is_blocked(&error)) {
            return;
        }
        // The bell rings already, so this wait has none; it is short.
        while clock.tick() < deadline {
            let Ok(limit) = Timespec::try_from(clock.tick().until(deadline)) else { return };
            let flags = self.interest();
            if !matches!(poll(&mut [PollFd::new(self.socket.get_ref(), flags)], Some(&limit)), Ok(1) | Err(Errno::INTR))
            {
                return;
            }
            // Events that are still under way are read over.
            if self.socket.read().is_err_and(|error| !is_blocked(&error)) {
                return;
            }
        }
    }
}

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn reach(to: SocketAddr, deadline: Tick, waiting: &Waiting<'_>) -> Result<TcpStream, Cut> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(|error| not_connected(&error.into()))?;
    match connect(&socket, &to) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => {
            if !waiting.on(&socket, PollFlags::OUT, deadline)? {
                return Err(not_connected(&io::ErrorKind::TimedOut.into()).into());
            }
            let outcome = socket_error(&socket).and_then(|outcome| outcome);
            outcome.map_err(|error| not_connected(&error.into()))?;
        }
        Err(error) => return Err(not_connected(&error.into()).into()),
    }
    let stream = TcpStream::from(socket);
    // What we say is short, and waits for an answer.
    drop(stream.set_nodelay(true));
    Ok(stream)
}

fn not_connected(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Why::NobodyAnswers,
        _ => Why::NotConnected(error.to_string()),
    }
}

fn shake_hands(stream: TcpStream, address: &Address, deadline: Tick, waiting: &Waiting<'_>) -> Result<Link, Cut> {
    let uri = format!("ws://{}{}", address.authority(), address.path);
    let uri = uri.parse().map_err(|_| Why::NotConnected(format!("{address} cannot be asked for")))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut shaking = client_with_config(ClientRequestBuilder::new(uri), stream, Some(config));
    loop {
        match shaking {
            Ok((socket, _)) => return Ok(Link { socket }),
            Err(HandshakeError::Failure(error)) => return Err(why(error).into()),
            Err(HandshakeError::Interrupted(unfinished)) => {
                let ready = waiting.on(unfinished.get_ref().get_ref(), PollFlags::IN, deadline)?;
                if !ready {
                    return Err(Why::NotConnected("it does not answer as a WebSocket server".to_owned()).into());
                }
                shaking = unfinished.handshake();
            }
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Why {
    let Some(frame) = frame else { return Why::Closed(String::new()) };
    let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
    let said = format!("{code}{}{reason}", if reason.is_empty() { "" } else { " " });
    if frame.code == CloseCode::Policy { Why::WantsToken(said) } else { Why::Closed(said) }
}

fn why(error: Error) -> Why {
    match error {
        Error::Http(response) if matches!(response.status().as_u16(), 401 | 403) => {
            Why::WantsToken(format!("HTTP status {}", response.status().as_u16()))
        }
        Error::Http(response) => Why::HttpStatus(response.status().as_u16()),
        Error::ConnectionClosed | Error::AlreadyClosed => Why::Closed(String::new()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            Why::Closed(String::new())
        }
        Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                Why::Closed(String::new())
            }
            _ => Why::Closed(error.to_string()),
        },
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => {
            Why::Misbehaved(format!("a message of {size} bytes, more than {MESSAGE_BYTES_MAX}"))
        }
        Error::Utf8(_) => Why::Misbehaved("text that is not UTF-8".to_owned()),
        error => Why::Misbehaved(error.to_string()),
    }
}
