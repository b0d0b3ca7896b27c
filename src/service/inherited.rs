//! The listening sockets that systemd opened for us, if it did: the only place where a bare descriptor becomes owned.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

/// What was handed over is not what we can use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unusable;

/// One of each kind at most.
#[derive(Debug, Default)]
struct Sockets {
    control: Option<UnixListener>,
    port: Option<TcpListener>,
}

/// Takes over the control socket, once; later calls find nothing.
pub(super) fn control() -> Result<Option<UnixListener>, Unusable> {
    with(|sockets| sockets.control.take())
}

/// Takes over the TCP port, once; later calls find nothing.
pub(super) fn port() -> Result<Option<TcpListener>, Unusable> {
    with(|sockets| sockets.port.take())
}

/// The descriptors are there once; a second owner would close what belongs to the first.
#[cfg(target_os = "linux")]
fn with<T>(take: impl FnOnce(&mut Sockets) -> T) -> Result<T, Unusable> {
    use std::sync::{Mutex, OnceLock, PoisonError};

    static SOCKETS: OnceLock<Mutex<Result<Sockets, Unusable>>> = OnceLock::new();
    let mut sockets = SOCKETS.get_or_init(|| Mutex::new(inherit())).lock().unwrap_or_else(PoisonError::into_inner);
    sockets.as_mut().map(take).map_err(|unusable| *unusable)
}

/// Only systemd hands sockets over in this way.
#[cfg(not(target_os = "linux"))]
fn with<T>(take: impl FnOnce(&mut Sockets) -> T) -> Result<T, Unusable> {
    Ok(take(&mut Sockets::default()))
}

#[cfg(target_os = "linux")]
fn inherit() -> Result<Sockets, Unusable> {
    use rustix::net::AddressFamily;
    use rustix::net::sockopt::socket_domain;
    use std::os::fd::{OwnedFd, RawFd};

    let numbers: Vec<RawFd> = sd_notify::listen_fds().map_err(|_| Unusable)?.collect();
    let handed: Vec<OwnedFd> = numbers.into_iter().map(own).collect();
    let mut sockets = Sockets::default();
    for socket in handed {
        if !is_listening_stream(&socket) {
            return Err(Unusable);
        }
        let domain = socket_domain(&socket).map_err(|_| Unusable)?;
        let is_second = if domain == AddressFamily::UNIX {
            sockets.control.replace(UnixListener::from(socket)).is_some()
        } else if domain == AddressFamily::INET || domain == AddressFamily::INET6 {
            sockets.port.replace(TcpListener::from(socket)).is_some()
        } else {
            true
        };
        if is_second {
            return Err(Unusable);
        }
    }
    if let Some(control) = &sockets.control {
        control.set_nonblocking(false).map_err(|_| Unusable)?;
    }
    Ok(sockets)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a descriptor that was inherited has no other way to become owned")]
fn own(number: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::{FromRawFd, OwnedFd};

    // SAFETY: sd_notify has seen from LISTEN_PID that this process was handed the descriptor and has found it open, and
    // `with` has this done once in the life of the process, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[cfg(target_os = "linux")]
fn is_listening_stream(socket: &std::os::fd::OwnedFd) -> bool {
    use rustix::net::SocketType;
    use rustix::net::sockopt::{socket_acceptconn, socket_type};

    socket_type(socket).is_ok_and(|kind| kind == SocketType::STREAM)
        && socket_acceptconn(socket).is_ok_and(|listening| listening)
}
