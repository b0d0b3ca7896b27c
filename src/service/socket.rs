//! The control socket: made so that nobody else can ever connect to it, removed when done; or taken over from systemd.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::inherited;
use super::lock::Lock;

const OWNER_ONLY: u32 = 0o600;
/// How many connections may wait to be accepted; more are refused by the kernel.
#[cfg(target_os = "linux")]
const BACKLOG_MAX: i32 = 128;

/// A listening socket. The file is removed when it is dropped, if it is the one that we made.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    /// What we made, by path, device and inode; `None` when systemd made it.
    made: Option<(PathBuf, u64, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("{} is in the way of the control socket and is not a socket; move it, or choose another with --socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("another program answers at {}; stop it, or choose another with --socket", path.display())]
    InUse { path: PathBuf },
    #[error("could not make the control socket {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "what systemd handed over is not one listening Unix stream socket, one TCP socket, or both; mend the socket unit"
    )]
    HandedOver,
}

impl ControlSocket {
    /// Takes what systemd handed over, else makes a socket at `path`. The lock proves that a socket which nobody answers
    /// is a dead daemon's and not one of a daemon about to listen.
    ///
    /// # Errors
    /// Something else is at `path`, or the system refuses.
    pub fn open(path: &Path, lock: &Lock) -> Result<ControlSocket, SocketError> {
        match inherited::control().map_err(|_| SocketError::HandedOver)? {
            Some(listener) => Ok(ControlSocket { listener, made: None }),
            None => ControlSocket::bind(path, lock),
        }
    }

    fn bind(path: &Path, _lock: &Lock) -> Result<ControlSocket, SocketError> {
        remove_stale(path)?;
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        let listener = bind_private(path).map_err(failed)?;
        let found = fs::symlink_metadata(path).map_err(failed)?;
        let made = Some((path.to_owned(), found.dev(), found.ino()));
        // Built before anything else may fail, so that failing removes the file.
        let socket = ControlSocket { listener, made };
        // A strict umask may have taken even the owner's rights.
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY)).map_err(failed)?;
        Ok(socket)
    }

    /// Where it is; `None` when systemd made one that has no path.
    pub fn path(&self) -> Option<PathBuf> {
        self.listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned))
    }

    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let Some((path, dev, ino)) = &self.made else { return };
        if fs::symlink_metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (*dev, *ino)) {
            // Should it stay, the next start finds it stale.
            drop(fs::remove_file(path));
        }
    }
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => Err(SocketError::NotASocket { path: path.to_owned() }),
        // Our lock says nothing about a daemon of another state directory, which may have been given the same socket.
        Ok(_) if is_answered(path).map_err(failed)? => Err(SocketError::InUse { path: path.to_owned() }),
        Ok(_) => fs::remove_file(path).map_err(failed),
    }
}

/// Whether a process listens there; never waits for it to accept.
#[cfg(target_os = "linux")]
fn is_answered(path: &Path) -> io::Result<bool> {
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        // AGAIN: its queue is full. PROTOTYPE: it listens for something else than streams.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn is_answered(path: &Path) -> io::Result<bool> {
    Ok(std::os::unix::net::UnixStream::connect(path).is_ok())
}

/// Linux gives the file the mode that the socket has before it is bound, so there is no moment in which it is wider.
#[cfg(target_os = "linux")]
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    use rustix::fs::{Mode, fchmod};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG_MAX)?;
    Ok(UnixListener::from(socket))
}

/// Elsewhere only the umask decides; it belongs to the whole process, which is just starting.
#[cfg(not(target_os = "linux"))]
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    use rustix::fs::Mode;
    use rustix::process::umask;

    let before = umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use tempfile::TempDir;

    fn place() -> (TempDir, Lock, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(&dir.path().join("daemon.lock")).unwrap();
        let path = dir.path().join("control.sock");
        (dir, lock, path)
    }

    #[test]
    fn it_can_be_connected_to_until_it_is_dropped() {
        let (_dir, lock, path) = place();
        let socket = ControlSocket::open(&path, &lock).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, OWNER_ONLY);
        assert_eq!(socket.path().as_ref(), Some(&path));
        let client = UnixStream::connect(&path).unwrap();
        drop(socket.listener().accept().unwrap());
        drop((client, socket));
        assert!(!path.exists());
    }

    #[test]
    fn there_is_no_moment_in_which_others_may_connect() {
        let (_dir, _lock, path) = place();
        // Before any chmod, and with whatever umask the tests run.
        let _listener = bind_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o177, 0);
    }

    #[test]
    fn what_a_killed_daemon_left_is_replaced() {
        let (_dir, lock, path) = place();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = ControlSocket::open(&path, &lock).unwrap();
        drop(UnixStream::connect(&path).unwrap());
        drop(socket);
    }

    #[test]
    fn what_is_no_socket_is_not_removed() {
        let (dir, lock, path) = place();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::open(&path, &lock), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        // A link is not looked through.
        let other = dir.path().join("other.sock");
        drop(UnixListener::bind(&other).unwrap());
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(matches!(ControlSocket::open(&path, &lock), Err(SocketError::NotASocket { .. })));
        assert!(other.exists());
    }

    #[test]
    fn a_socket_that_is_answered_is_left_to_its_owner() {
        let (dir, lock, path) = place();
        let busy = UnixListener::bind(&path).unwrap();
        assert!(matches!(ControlSocket::open(&path, &lock), Err(SocketError::InUse { .. })));
        drop(busy);
        let datagrams = dir.path().join("datagrams.sock");
        let _other = UnixDatagram::bind(&datagrams).unwrap();
        assert!(matches!(ControlSocket::open(&datagrams, &lock), Err(SocketError::InUse { .. })));
        assert!(datagrams.exists());
    }

    #[test]
    fn a_file_that_replaced_ours_is_not_removed() {
        let (_dir, lock, path) = place();
        let socket = ControlSocket::open(&path, &lock).unwrap();
        // Kept under another name, so that its inode cannot be given to the next file.
        fs::rename(&path, path.with_extension("old")).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_does_not_fit_is_an_error_not_a_cut() {
        let (dir, lock, _) = place();
        let path = dir.path().join("x".repeat(120));
        assert!(matches!(ControlSocket::open(&path, &lock), Err(SocketError::Io { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
