//! `service`: has systemd or launchd keep the daemon of this user running.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use clap::Subcommand;
use rustix::process::getuid;
use serde_json::json;

use super::exit::{Failure, NO_DAEMON, OK, Outcome};
use super::output::Output;
use super::session::Session;
use super::table;
use crate::service::holder;
use crate::service::unit::{AGENT_LABEL, Launch, MARK, Supervisor, UNIT_NAME, absolute_directories};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms service install            keep the daemon running, with the PATH that you have now
  claude-comms service status             0 while it runs, 3 when it does not
  claude-comms service uninstall          stop it, and take the unit away
  journalctl --user -u claude-comms       what it logs (Linux)

On Linux it is a unit of `systemctl --user`, on macOS an agent of launchd. Run install again after the program has been
moved or your PATH has changed. --state-dir, --socket and --config are remembered too.";

/// The directories where programs are when nobody says.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Have the daemon started now and with each login, and again when it fails
    Install {
        /// Only write the file
        #[arg(long)]
        no_start: bool,
    },
    /// Stop the daemon and take away what install has written
    Uninstall,
    /// Say whether the service is installed and runs
    Status,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    let service = Service::of_this_user()?;
    match verb {
        Verb::Install { no_start } => install(&service, no_start, session),
        Verb::Uninstall => uninstall(&service, session),
        Verb::Status => status(&service, session),
    }
}

/// What the supervisor knows of the service.
#[derive(Debug, Default)]
struct Known {
    running: bool,
    enabled: bool,
    pid: Option<u32>,
    /// The file that it goes by, which may be a package's.
    file: Option<PathBuf>,
}

struct Service {
    supervisor: Supervisor,
    /// Where ours is, or would be.
    file: PathBuf,
}

impl Service {
    fn of_this_user() -> Result<Service, Failure> {
        let supervisor = Supervisor::of_this_system();
        let file = supervisor.file(&|name| env::var_os(name));
        let file =
            file.ok_or_else(|| Failure::failed("there is no home directory to install a service in; set HOME"))?;
        Ok(Service { supervisor, file })
    }

    /// Whether the file is there and ours.
    fn is_ours(&self) -> Result<bool, Failure> {
        match fs::read_to_string(&self.file) {
            Ok(text) if text.contains(MARK) => Ok(true),
            Ok(_) => {
                let file = self.file.display();
                Err(Failure::failed(format!("{file} was written by somebody else; move it away, or keep it as it is")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::failed(format!("{} cannot be read: {error}", self.file.display()))),
        }
    }

    fn domain() -> String {
        format!("gui/{}", getuid().as_raw())
    }

    fn target() -> String {
        format!("{}/{AGENT_LABEL}", Service::domain())
    }

    fn start(&self) -> Result<(), Failure> {
        match self.supervisor {
            Supervisor::Systemd => {
                told(&["systemctl", "--user", "daemon-reload"])?;
                told(&["systemctl", "--user", "enable", "--quiet", UNIT_NAME])?;
                // Not only a start: it may run as the file said before.
                told(&["systemctl", "--user", "restart", UNIT_NAME])?;
            }
            Supervisor::Launchd => {
                // It complains when there is none, which is as well.
                let _none = asked(&["launchctl", "bootout", &Service::target()])?;
                told(&["launchctl", "bootstrap", &Service::domain(), &self.file.to_string_lossy()])?;
            }
        }
        Ok(())
    }

    fn stop(&self) -> Result<(), Failure> {
        match self.supervisor {
            Supervisor::Systemd => told(&["systemctl", "--user", "disable", "--now", "--quiet", UNIT_NAME])?,
            Supervisor::Launchd => told(&["launchctl", "bootout", &Service::target()])?,
        };
        Ok(())
    }

    fn known(&self) -> Result<Known, Failure> {
        match self.supervisor {
            Supervisor::Systemd => {
                let properties = "--property=ActiveState,UnitFileState,MainPID,FragmentPath";
                Ok(known_to_systemd(&told(&["systemctl", "--user", "show", properties, UNIT_NAME])?))
            }
            Supervisor::Launchd => {
                let printed = asked(&["launchctl", "print", &Service::target()])?;
                let text = String::from_utf8_lossy(&printed.stdout);
                Ok(Known { enabled: printed.status.success(), ..known_to_launchd(&text) })
            }
        }
    }
}

fn known_to_systemd(text: &str) -> Known {
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    Known {
        running: value("ActiveState") == "active",
        enabled: value("UnitFileState").starts_with("enabled"),
        pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
        file: Some(PathBuf::from(value("FragmentPath"))).filter(|file| file.is_absolute()),
    }
}

fn known_to_launchd(text: &str) -> Known {
    let value = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
    Known {
        running: value("state") == Some("running"),
        enabled: false,
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        file: value("path").map(PathBuf::from),
    }
}

/// Runs a command of the supervisor. It ends by itself: whoever starts a unit that does not answer gives up after the unit's own
/// time to start.
fn asked(words: &[&str]) -> Result<process::Output, Failure> {
    let ran = Command::new(words[0]).args(&words[1..]).output();
    ran.map_err(|error| Failure::failed(format!("{} could not be run: {error}", words[0])))
}

/// As [`asked`], and it must end well. Returns what it printed.
fn told(words: &[&str]) -> Result<String, Failure> {
    let ran = asked(words)?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&ran.stderr);
    let complaint = complaint.lines().next().unwrap_or("it does not say why");
    Err(Failure::failed(format!("`{}` failed: {complaint}", words.join(" "))))
}

fn install(service: &Service, no_start: bool, session: &mut Session) -> Outcome {
    service.is_ours()?;
    let launch = launch(session)?;
    let text = launch.text(service.supervisor).map_err(|error| Failure::failed(error.to_string()))?;
    if !no_start {
        refuse_another(service, session)?;
    }
    write(&service.file, &text)?;
    if no_start {
        let sentence = format!("{} is written; nothing was started", service.file.display());
        return tell(session, &json!({"installed": true, "started": false, "file": service.file}), &sentence);
    }
    service.start()?;
    let program = launch.program.display();
    let sentence =
        format!("the service is installed and runs {program}; its commands are looked for in {}", launch.path);
    tell(session, &json!({"installed": true, "started": true, "file": service.file, "path": launch.path}), &sentence)
}

/// This program as it was called, with the places that it was told.
fn launch(session: &Session) -> Result<Launch, Failure> {
    let program =
        env::current_exe().map_err(|error| Failure::failed(format!("this program cannot be found: {error}")))?;
    let options = &session.options;
    let given = [
        ("--state-dir", &options.state_dir, "CLAUDE_COMMS_STATE_DIR"),
        ("--socket", &options.socket, "CLAUDE_COMMS_SOCKET"),
        ("--config", &options.config, "CLAUDE_COMMS_CONFIG"),
    ];
    let mut flags = Vec::new();
    for (flag, option, variable) in given {
        let variable = || env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = option.clone().or_else(variable) {
            let path = std::path::absolute(&path);
            flags.push((
                flag,
                path.map_err(|error| Failure::usage(format!("{flag} cannot be made absolute: {error}")))?,
            ));
        }
    }
    let path = absolute_directories(&env::var("PATH").unwrap_or_default());
    let path = if path.is_empty() { PATH_DEFAULT.to_owned() } else { path };
    Ok(Launch { program, flags, path, log: session.paths()?.log })
}

/// The lock can be had once: a daemon that somebody else has started is in the way.
fn refuse_another(service: &Service, session: &Session) -> Result<(), Failure> {
    let lock = session.paths()?.lock;
    let failed = |error| Failure::failed(format!("the lock {} cannot be read: {error}", lock.display()));
    let Some(holder) = holder(&lock).map_err(failed)? else { return Ok(()) };
    if holder.pid.is_some() && holder.pid == service.known()?.pid {
        return Ok(());
    }
    let pid = holder.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let sentence = format!("a daemon is running already{pid}; stop it first with: claude-comms poll stop");
    Err(Failure::Told { exit_code: super::exit::FAILED, code: "conflict", sentence })
}

/// Beside its place first, so that nobody ever reads half of it.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let beside = file.with_extension("new");
    let folder = file.parent().unwrap_or(Path::new("/"));
    let written =
        fs::create_dir_all(folder).and_then(|()| fs::write(&beside, text)).and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| Failure::failed(format!("{} cannot be written: {error}", file.display())))
}

fn uninstall(service: &Service, session: &mut Session) -> Outcome {
    if !service.is_ours()? {
        return tell(session, &json!({"installed": false, "removed": false}), "no service was installed");
    }
    let stopped = service.stop();
    fs::remove_file(&service.file)
        .map_err(|error| Failure::failed(format!("{} cannot be removed: {error}", service.file.display())))?;
    if service.supervisor == Supervisor::Systemd && stopped.is_ok() {
        told(&["systemctl", "--user", "daemon-reload"])?;
    }
    // The file is gone either way; what could not be told to the supervisor is to be known.
    stopped?;
    tell(session, &json!({"installed": false, "removed": true}), "the service has stopped and is removed")
}

fn status(service: &Service, session: &mut Session) -> Outcome {
    let known = service.known()?;
    let exit_code = if known.running { OK } else { NO_DAEMON };
    let output = &mut session.output;
    if output.json {
        let Known { running, enabled, pid, file } = known;
        output.json(&json!({"running": running, "enabled": enabled, "pid": pid, "file": file}))?;
    } else {
        show(&known, output)?;
    }
    Ok(exit_code)
}

fn show(known: &Known, output: &mut Output) -> Result<(), Failure> {
    let yes_no = |is: bool| if is { "yes" } else { "no" };
    let pid = known.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let running = format!("{}{pid}", yes_no(known.running));
    let file = known
        .file
        .as_ref()
        .map_or_else(|| "none; see claude-comms service install --help".to_owned(), |file| file.display().to_string());
    let rows = table::Details::default().add("running", running).add("with each login", yes_no(known.enabled));
    rows.foreign("file", &file).print(output)
}

fn tell(session: &mut Session, document: &serde_json::Value, sentence: &str) -> Outcome {
    if session.output.json {
        session.output.json(document)?;
    } else {
        session.output.line(sentence)?;
    }
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_is_understood() {
        let known = known_to_systemd(
            "ActiveState=active\nUnitFileState=enabled\nMainPID=7\nFragmentPath=/usr/lib/systemd/user/claude-comms.service\n",
        );
        assert!(known.running && known.enabled);
        assert_eq!(known.pid, Some(7));
        let none = known_to_systemd("MainPID=0\nActiveState=inactive\nUnitFileState=\nFragmentPath=\n");
        assert!(!none.running && !none.enabled && none.pid.is_none() && none.file.is_none());
    }

    #[test]
    fn what_launchd_says_is_understood() {
        let text = "gui/501/io.github.claude-comms.agent = {\n\tpath = /Users/a b/Library/x.plist\n\tstate = running\n\n\tpid = 812\n}\n";
        let known = known_to_launchd(text);
        assert!(known.running);
        assert_eq!((known.pid, known.file), (Some(812), Some(PathBuf::from("/Users/a b/Library/x.plist"))));
        assert!(!known_to_launchd("").running);
    }
}
