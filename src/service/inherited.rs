//! The listening socket that systemd opened for us, if it did: the only place where a bare descriptor becomes owned.

use std::os::unix::net::UnixListener;

/// What was handed over is not what we can use.
#[derive(Debug)]
pub(super) struct Unusable;

/// Takes over the socket, once; later calls find nothing.
#[cfg(target_os = "linux")]
pub(super) fn listener() -> Result<Option<UnixListener>, Unusable> {
    use std::os::fd::{OwnedFd, RawFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    // The descriptors are there once; a second owner would close what belongs to the first.
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let numbers: Vec<RawFd> = sd_notify::listen_fds().map_err(|_| Unusable)?.collect();
    if numbers.is_empty() || TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(None);
    }
    let mut sockets: Vec<OwnedFd> = numbers.into_iter().map(own).collect();
    match (sockets.pop(), sockets.is_empty()) {
        (Some(socket), true) if is_listening_stream(&socket) => {
            let listener = UnixListener::from(socket);
            listener.set_nonblocking(false).map_err(|_| Unusable)?;
            Ok(Some(listener))
        }
        _ => Err(Unusable),
    }
}

/// Only systemd hands sockets over in this way.
#[cfg(not(target_os = "linux"))]
pub(super) fn listener() -> Result<Option<UnixListener>, Unusable> {
    Ok(None)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a descriptor that was inherited has no other way to become owned")]
fn own(number: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::{FromRawFd, OwnedFd};

    // SAFETY: sd_notify has seen from LISTEN_PID that this process was handed the descriptor and has found it open, and
    // `listener` lets only its first caller come here, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[cfg(target_os = "linux")]
fn is_listening_stream(socket: &std::os::fd::OwnedFd) -> bool {
    use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
    use rustix::net::{AddressFamily, SocketType};

    socket_domain(socket).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && socket_type(socket).is_ok_and(|kind| kind == SocketType::STREAM)
        && socket_acceptconn(socket).is_ok_and(|listening| listening)
}
