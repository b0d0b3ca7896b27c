//! Where everything lives, decided from flags and environment alone, and the making of those directories.

use std::env::home_dir;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directory::{self, Custody, DirectoryError};

/// What the system keeps of a socket's path, without its final NUL.
pub(super) const SOCKET_BYTES_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

const PROGRAM: &str = "claude-comms";
const SYSTEM_CONFIG: &str = "/etc/claude-comms/config.toml";

/// What the command line says about places.
#[derive(Clone, Debug, Default)]
pub struct PathOptions {
    pub state_dir: Option<PathBuf>,
    pub socket: Option<PathBuf>,
    pub config: Option<PathBuf>,
}

/// Where everything lives. All paths are absolute; nothing is known to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    pub state_dir: PathBuf,
    pub database: PathBuf,
    pub lock: PathBuf,
    pub log: PathBuf,
    pub token: PathBuf,
    pub token_read_only: PathBuf,
    pub tasks: PathBuf,
    pub socket: PathBuf,
    /// `None` when a state directory was given: then everything comes from there.
    pub system_config: Option<PathBuf>,
    /// `None` when nobody named one and there is no home to look in.
    pub config_file: Option<PathBuf>,
    /// Whether somebody named `config_file`, so that it must exist.
    pub config_required: bool,
    /// Besides the state directory itself, parents first.
    directories: Vec<(PathBuf, Custody)>,
    state_custody: Custody,
}

/// Why the places cannot be decided.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    #[error("there is no home directory to keep files in; say where with --state-dir or CLAUDE_COMMS_STATE_DIR")]
    NoHome,
    #[error(
        "the socket path {} has {bytes} bytes, but the system allows only {SOCKET_BYTES_MAX}; \
         choose a shorter one with --socket or CLAUDE_COMMS_SOCKET",
        path.display()
    )]
    SocketTooLong { path: PathBuf, bytes: usize },
    #[error("{} cannot be made absolute: {source}", path.display())]
    NotAbsolute { path: PathBuf, source: io::Error },
}

/// How a platform arranges a user's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Custom {
    Xdg,
    Apple,
}

impl Paths {
    /// Decides where everything lives; touches no file.
    ///
    /// # Errors
    /// Nowhere to put files, or a socket path that the system would cut.
    pub fn resolve(options: &PathOptions, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Paths, PathsError> {
        let custom = if cfg!(target_os = "macos") { Custom::Apple } else { Custom::Xdg };
        resolve(options, &Surroundings { env, custom })
    }

    /// Makes the directories, private whatever the umask, before anything is put into them.
    ///
    /// # Errors
    /// A directory cannot be made, or others could have put something into it.
    pub fn prepare(&self) -> Result<(), DirectoryError> {
        directory::make_with_parents(&self.state_dir)?;
        directory::secure(&self.state_dir, self.state_custody)?;
        for (path, custody) in &self.directories {
            directory::make(path)?;
            directory::secure(path, *custody)?;
        }
        Ok(())
    }
}

/// What a start would come to; nothing is made or changed.
impl Paths {
    /// Why the state directory, or what has to be in it, could not be made or used.
    ///
    /// # Errors
    /// As [`Paths::prepare`] has them, and where no file could be made.
    pub fn foresee_state(&self) -> Result<(), DirectoryError> {
        directory::foresee(&self.state_dir, self.state_custody, true)?;
        if !self.state_dir.exists() {
            return Ok(());
        }
        let mut others = self.directories.iter().filter(|(path, _)| Some(path.as_path()) != self.socket.parent());
        others.try_for_each(|(path, custody)| directory::foresee(path, *custody, false))
    }

    /// Why the socket's directory, when it is another, could not be made or used.
    ///
    /// # Errors
    /// As [`Paths::prepare`] has them, and where no file could be made.
    pub fn foresee_socket(&self) -> Result<(), DirectoryError> {
        let of_socket = self.directories.iter().filter(|(path, _)| Some(path.as_path()) == self.socket.parent());
        let mut elsewhere = of_socket.filter(|(path, _)| !path.starts_with(&self.state_dir));
        elsewhere.try_for_each(|(path, custody)| directory::foresee(path, *custody, false))
    }
}

/// The environment, read by the rules of those who set it.
struct Surroundings<'a> {
    env: &'a dyn Fn(&str) -> Option<OsString>,
    custom: Custom,
}

impl Surroundings<'_> {
    fn set(&self, name: &str) -> Option<PathBuf> {
        (self.env)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The XDG rules have relative paths ignored.
    fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.set(name).filter(|path| path.is_absolute())
    }

    /// systemd lists several directories with colons; the first is the unit's main one.
    fn first_of_list(&self, name: &str) -> Option<PathBuf> {
        let list = self.set(name)?;
        let first = list.as_os_str().as_bytes().split(|&byte| byte == b':').next()?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(first))).filter(|path| path.is_absolute())
    }

    fn home(&self) -> Option<PathBuf> {
        // Without HOME, what the user database says.
        self.absolute("HOME").or_else(|| home_dir().filter(|home| home.is_absolute()))
    }

    /// A directory of this program below the one of this kind that the platform has.
    fn of_user(&self, xdg_name: &str, xdg_default: &str) -> Option<PathBuf> {
        let base = match self.custom {
            Custom::Xdg => self.absolute(xdg_name).or_else(|| Some(self.home()?.join(xdg_default))),
            Custom::Apple => Some(self.home()?.join("Library/Application Support")),
        };
        Some(base?.join(PROGRAM))
    }
}

fn resolve(options: &PathOptions, around: &Surroundings<'_>) -> Result<Paths, PathsError> {
    let chosen_dir = options.state_dir.clone().or_else(|| around.set("CLAUDE_COMMS_STATE_DIR"));
    let mut paths = match chosen_dir {
        Some(dir) => under_one_directory(&absolute(dir)?),
        None => by_custom(around)?,
    };
    if let Some(config) = options.config.clone().or_else(|| around.set("CLAUDE_COMMS_CONFIG")) {
        paths.config_file = Some(absolute(config)?);
        paths.config_required = true;
    }
    if let Some(socket) = options.socket.clone().or_else(|| around.set("CLAUDE_COMMS_SOCKET")) {
        paths.put_socket(absolute(socket)?, Custody::Chosen);
    }
    let bytes = paths.socket.as_os_str().len();
    if bytes > SOCKET_BYTES_MAX {
        return Err(PathsError::SocketTooLong { path: paths.socket, bytes });
    }
    Ok(paths)
}

fn absolute(path: PathBuf) -> Result<PathBuf, PathsError> {
    std::path::absolute(&path).map_err(|source| PathsError::NotAbsolute { path, source })
}

fn under_one_directory(dir: &Path) -> Paths {
    Paths {
        state_dir: dir.to_owned(),
        database: dir.join("claude-comms.db"),
        lock: dir.join("daemon.lock"),
        log: dir.join("daemon.log"),
        token: dir.join("token"),
        token_read_only: dir.join("token-read-only"),
        tasks: dir.join("tasks"),
        socket: dir.join("control.sock"),
        system_config: None,
        config_file: Some(dir.join("config.toml")),
        config_required: false,
        directories: vec![(dir.join("tasks"), Custody::Ours)],
        state_custody: Custody::Ours,
    }
}

/// Nobody gave a state directory: the supervisor's directories, else the platform's.
fn by_custom(around: &Surroundings<'_>) -> Result<Paths, PathsError> {
    let supervised = around.first_of_list("STATE_DIRECTORY");
    let state_custody = if supervised.is_some() { Custody::Supervisor } else { Custody::Ours };
    let state_dir = supervised.or_else(|| around.of_user("XDG_STATE_HOME", ".local/state"));
    let mut paths = under_one_directory(&state_dir.ok_or(PathsError::NoHome)?);
    paths.state_custody = state_custody;
    paths.system_config = Some(PathBuf::from(SYSTEM_CONFIG));
    let config_dir = around.first_of_list("CONFIGURATION_DIRECTORY");
    let config_dir = config_dir.or_else(|| around.of_user("XDG_CONFIG_HOME", ".config"));
    paths.config_file = config_dir.map(|dir| dir.join("config.toml"));
    if let Some(logs) = around.first_of_list("LOGS_DIRECTORY") {
        paths.log = logs.join("daemon.log");
        paths.directories.push((logs, Custody::Supervisor));
    }
    if let Some(runtime) = around.first_of_list("RUNTIME_DIRECTORY") {
        paths.put_socket(runtime.join("control.sock"), Custody::Supervisor);
    } else if let Some(runtime) = around.absolute("XDG_RUNTIME_DIR").filter(|_| around.custom == Custom::Xdg) {
        paths.put_socket(runtime.join(PROGRAM).join("control.sock"), Custody::Ours);
    }
    Ok(paths)
}

impl Paths {
    /// Moves the socket; the directory that it was to be in before is no longer needed.
    fn put_socket(&mut self, socket: PathBuf, custody: Custody) {
        let is_before = |path: &Path| self.socket.parent() == Some(path) && self.log.parent() != Some(path);
        self.directories.retain(|(path, _)| !is_before(path));
        if let Some(parent) = socket.parent()
            && parent != self.state_dir
            && self.directories.iter().all(|(path, _)| path != parent)
        {
            self.directories.push((parent.to_owned(), custody));
        }
        self.socket = socket;
    }
}

#[cfg(test)]
mod tests;
