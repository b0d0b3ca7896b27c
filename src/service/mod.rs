//! What makes the program a system service: where its files live, one daemon per state directory, its socket,
//! signals, the supervisor's notifications and units, detaching and logging.

mod detach;
mod directory;
mod inherited;
mod lock;
pub mod logging;
pub mod notify;
mod paths;
mod port;
mod signals;
mod socket;
mod tokens;
pub mod unit;

pub use detach::{DetachError, Detached, Report, Reporter, detach};
pub use directory::DirectoryError;
pub use lock::{Holder, Lock, LockError, holder};
pub use paths::{PathOptions, Paths, PathsError};
pub use port::{open_port, port_holder};
pub use signals::{Signal, Signals};
pub use socket::{ControlSocket, SocketError};
pub use tokens::{TokenError, existing_token, token};
