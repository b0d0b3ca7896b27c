//! Looks at everything that goes wrong in practice, and says how to mend it. Changes nothing.
//!
//! Each file looks at one side of the installation: what it finds there it puts into facts, and a pure function judges
//! them, so that every judgement can be tested without breaking a machine.

mod agent;
mod database;
mod files;
mod finding;
mod network;
mod processes;
mod system;
mod unit;

pub use finding::{Finding, State};

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::config::{ConfigProblems, Loaded};
use crate::service::{Paths, PathsError};

/// What is to be examined.
pub struct Case<'a> {
    pub paths: Paths,
    /// Why the paths are not as they were asked for; then `paths` has no socket that could be used.
    pub misplaced: Option<PathsError>,
    pub config: Result<Loaded, ConfigProblems>,
    pub daemon: Daemon,
    /// Compare every index of the database with its table as well, which takes longer.
    pub whole: bool,
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    pub clock: &'a dyn Clock,
}

/// What came of asking the daemon how it is.
#[derive(Clone, Debug)]
pub enum Daemon {
    Answers(Answer),
    /// Why there is no answer.
    Silent(String),
    /// Nobody listens.
    Absent,
}

/// What the daemon says of itself.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub pid: u32,
    pub version: String,
    pub listen: Option<String>,
    pub listen_error: Option<String>,
    pub degraded: Option<String>,
    /// Upstreams that are polled by schedule: their names and endpoints.
    pub polled: Vec<(String, String)>,
}

impl Daemon {
    fn answer(&self) -> Option<&Answer> {
        match self {
            Daemon::Answers(answer) => Some(answer),
            Daemon::Silent(_) | Daemon::Absent => None,
        }
    }
}

/// All findings, in the order in which things depend on each other.
pub fn examine(case: &Case<'_>) -> Vec<Finding> {
    let (of_state, is_usable) = files::examine(&case.paths);
    let mut findings = if is_usable || !is_config_within(case) { configuration(case) } else { Vec::new() };
    findings.extend(of_state);
    let holder = crate::service::holder(&case.paths.lock).ok().flatten();
    // One that cannot be made or entered has nothing in it to be looked at, and is one fault.
    let is_socket_of_interest = is_usable || !case.paths.socket.starts_with(&case.paths.state_dir);
    if is_usable {
        findings.extend(files::examine_tokens(&case.paths));
    }
    match &case.misplaced {
        Some(error) => findings.push(Finding::fault(
            "socket",
            error.to_string(),
            "give a shorter one, with --socket or CLAUDE_COMMS_SOCKET",
        )),
        None if is_socket_of_interest => {
            findings.push(files::examine_socket(&case.paths, holder.as_ref(), &case.daemon));
        }
        None => {}
    }
    findings.push(system::daemon(&case.daemon, env!("CARGO_PKG_VERSION")));
    let lock_pid = holder.and_then(|holder| holder.pid);
    let pid = case.daemon.answer().map(|answer| answer.pid).or(lock_pid);
    if is_usable {
        findings.push(system::disk(&case.paths.state_dir));
        let (last_event_at, of_database) = database::examine(&case.paths.database, case.whole, pid);
        findings.extend(of_database);
        findings.push(system::clock(case.clock.wall(), last_event_at));
    }
    findings.push(system::open_files(pid));
    findings.push(system::inotify());
    if let Ok(loaded) = &case.config {
        let config = &loaded.config;
        let path = processes::variable_of(case.daemon.answer().map(|answer| answer.pid), "PATH");
        let own_path = (case.environment)("PATH").unwrap_or_default();
        let agent = agent::find(&config.executor, path.as_ref(), &own_path);
        findings.push(agent::judge(&agent));
        findings.extend(unit::examine(case.environment, &agent));
        findings.push(network::port(&config.daemon, &case.daemon, lock_pid));
        findings.extend(network::upstreams(&config.upstreams, &case.daemon, case.clock));
    }
    findings
}

/// Whether the configuration would be read from the state directory.
fn is_config_within(case: &Case<'_>) -> bool {
    case.paths.config_file.as_ref().is_some_and(|file| file.starts_with(&case.paths.state_dir))
}

fn configuration(case: &Case<'_>) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    const ADVICE: &str = "correct it; claude-comms config check looks again";
    let loaded = match &case.config {
        Err(problems) => {
            return problems.0.iter().map(|problem| Finding::fault(CHECK, problem.to_string(), ADVICE)).collect();
        }
        Ok(loaded) => loaded,
    };
    let doubtful = loaded.warnings.iter().chain(&loaded.ignored);
    let warnings: Vec<Finding> = doubtful.map(|problem| Finding::warning(CHECK, problem.to_string(), ADVICE)).collect();
    if warnings.is_empty() { vec![Finding::ok(CHECK, "every setting is good")] } else { warnings }
}

/// The program of that name in a list of directories as `PATH` is one, or at its own path.
fn on_path(program: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        return is_executable(Path::new(program)).then(|| PathBuf::from(program));
    }
    std::env::split_paths(path).map(|directory| directory.join(program)).find(|file| is_executable(file))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
