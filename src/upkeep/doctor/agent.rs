//! The command that answers questions: whether the daemon finds it, and whether it says its version.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Finding, on_path};
use crate::config::Executor;

/// How long it may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);
const VERSION_BYTES_MAX: usize = 256;

/// The command, and where it was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    pub(super) program: String,
    /// With the PATH that the daemon has, or would have when it were started here.
    pub(super) found: Option<PathBuf>,
    /// With the PATH of whoever asks, when the daemon has another.
    pub(super) found_here: Option<PathBuf>,
    /// What it said, or why it said nothing; `None` for a program that may not know the flag.
    pub(super) version: Option<Result<String, String>>,
}

/// `daemon_path`: what the daemon was started with, when it runs.
pub(super) fn find(executor: &Executor, daemon_path: Option<&OsString>, own_path: &OsStr) -> Agent {
    let program = executor.command.first().cloned().unwrap_or_default();
    let configured = executor.environment.get("PATH").map(OsStr::new);
    let path = configured.or(daemon_path.map(OsString::as_os_str)).unwrap_or(own_path);
    // A relative path is another file wherever a task happens to run.
    let is_relative = program.contains('/') && !program.starts_with('/');
    let found = if is_relative { None } else { on_path(&program, path) };
    let found_here = on_path(&program, own_path).and_then(|file| std::path::absolute(file).ok());
    let knows_flag = Path::new(&program).file_name() == Some(OsStr::new("claude"));
    let version = found.as_ref().filter(|_| knows_flag).map(|file| version_of(file, path, VERSION_PATIENCE));
    Agent { program, found, found_here, version }
}

pub(super) fn judge(agent: &Agent) -> Finding {
    const CHECK: &str = "agent";
    let program = &agent.program;
    let Some(found) = &agent.found else {
        return match &agent.found_here {
            _ if program.starts_with('~') => Finding::fault(
                CHECK,
                format!("`{program}` is no path: `~` is not expanded, as no shell reads it"),
                "write the whole path into [executor] command in config.toml",
            ),
            Some(here) if program.contains('/') => Finding::fault(
                CHECK,
                format!("`{program}` is looked for in whatever directory a task runs in, and not in this one"),
                format!("write the whole path: [executor] command = [\"{}\", …] in config.toml", here.display()),
            ),
            None if program.contains('/') && !program.starts_with('/') => Finding::fault(
                CHECK,
                format!("`{program}` is looked for in whatever directory a task runs in"),
                "write the whole path into [executor] command in config.toml",
            ),
            Some(here) => Finding::fault(
                CHECK,
                format!("`{program}` is not on the PATH that the daemon was started with"),
                format!(
                    "restart the daemon from here, set PATH in its unit, or write [executor] command = [\"{}\", …] in \
                     config.toml",
                    here.display()
                ),
            ),
            None if program.contains('/') => Finding::fault(
                CHECK,
                format!("`{program}` does not exist, or may not be executed"),
                "correct [executor] command in config.toml, or make it executable (chmod +x)",
            ),
            None => Finding::fault(
                CHECK,
                format!("`{program}` is not on PATH"),
                "install it, or write its full path into [executor] command in config.toml",
            ),
        };
    };
    match &agent.version {
        None => Finding::ok(CHECK, format!("`{program}` is {}", found.display())),
        Some(Ok(version)) => Finding::ok(CHECK, format!("`{program}` is {}, {version}", found.display())),
        Some(Err(reason)) => Finding::fault(
            CHECK,
            format!("{} --version fails: {reason}", found.display()),
            "install it anew, and try it by hand; every task would fail like this",
        ),
    }
}

/// The first line of what `--version` prints.
fn version_of(program: &Path, path: &OsStr, patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    // What it starts in turn is ended with it.
    command.process_group(0);
    command.arg("--version").env("PATH", path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let said = child.stdout.take().map_or(Ok(String::new()), |mut output| first_line(&mut output, patience));
    if said.is_err() {
        // One that does not come to an end; killed, it has. It was not waited for, so the number is still its own.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let said = said?;
    if !status.success() {
        return Err(status.to_string());
    }
    if said.is_empty() { Err("it says nothing".to_owned()) } else { Ok(said) }
}

/// Reads to the end, which has to come in time.
fn first_line(output: &mut std::process::ChildStdout, patience: Duration) -> Result<String, String> {
    let limit = Timespec::try_from(patience).ok();
    let mut said = Vec::new();
    loop {
        let ready = poll(&mut [PollFd::new(&*output, PollFlags::IN)], limit.as_ref());
        match ready.map_err(io::Error::from) {
            Ok(0) => return Err(format!("no answer within {} s", patience.as_secs())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        let mut bytes = [0; VERSION_BYTES_MAX];
        match output.read(&mut bytes).map_err(|error| error.to_string())? {
            0 => break,
            read => {
                let room = VERSION_BYTES_MAX - said.len();
                said.extend_from_slice(&bytes[..read.min(room)]);
            }
        }
    }
    let text = String::from_utf8_lossy(&said);
    Ok(text.lines().next().unwrap_or_default().trim().escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use std::fs;
    use std::os::unix::fs::OpenOptionsExt;

    fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        let draft = directory.join("draft");
        fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
        // Written by another process: what a test beside this one starts may have our open files for a moment, and a file
        // that is open for writing cannot be executed.
        assert!(Command::new("install").args(["-m", "755"]).args([&draft, &path]).status().unwrap().success());
        path
    }

    fn executor(program: &str) -> Executor {
        Executor { command: vec![program.to_owned()], ..Executor::default() }
    }

    #[test]
    fn an_agent_is_looked_for_where_the_daemon_looks() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        script(here.path(), "claude", "echo 2.0.1 '(Claude Code)'; echo more");
        let own = here.path().as_os_str();
        let agent = find(&executor("claude"), None, own);
        assert_eq!(agent.version, Some(Ok("2.0.1 (Claude Code)".to_owned())));
        assert_eq!(judge(&agent).state, State::Ok);

        let daemon_path = there.path().as_os_str().to_owned();
        let finding = judge(&find(&executor("claude"), Some(&daemon_path), own));
        assert!(finding.sentence.contains("the PATH that the daemon was started with"), "{finding:?}");
        assert!(finding.advice.unwrap().contains(&*here.path().join("claude").to_string_lossy()));

        let finding = judge(&find(&executor("none"), None, own));
        assert!(finding.state == State::Fault && finding.advice.unwrap().contains("[executor] command"));
        let finding = judge(&find(&executor("/none/agent"), None, own));
        assert!(finding.sentence.contains("/none/agent` does not exist"), "{finding:?}");
        script(here.path(), "other", "exit 1");
        assert_eq!(judge(&find(&executor("other"), None, own)).state, State::Ok, "it need not know the flag");
        script(there.path(), "claude", "exit 3");
        let finding = judge(&find(&executor("claude"), Some(&daemon_path), own));
        assert!(finding.state == State::Fault && finding.sentence.contains("exit status: 3"), "{finding:?}");
    }

    #[test]
    fn an_agent_that_is_found_only_from_here_is_a_fault() {
        let here = tempfile::tempdir_in(".").unwrap();
        let file = script(here.path(), "agent", "true");
        let program = format!("./{}/agent", here.path().file_name().unwrap().to_string_lossy());
        let finding = judge(&find(&executor(&program), None, OsStr::new("")));
        assert!(finding.state == State::Fault && finding.sentence.contains("a task runs in, and not"), "{finding:?}");
        let whole = std::path::absolute(&file).unwrap();
        let advice = finding.advice.unwrap();
        assert!(advice.contains("command = [\"/") && advice.contains(&*whole.file_name().unwrap().to_string_lossy()));
        for (program, said) in [("./none/agent", "a task runs in"), ("~/bin/agent", "`~` is not expanded")] {
            let finding = judge(&find(&executor(program), None, OsStr::new("")));
            assert!(finding.state == State::Fault && finding.sentence.contains(said), "{finding:?}");
        }
    }

    #[test]
    fn an_agent_that_hangs_is_ended_with_all_that_it_started() {
        let here = tempfile::tempdir().unwrap();
        let fifo = here.path().join("alive");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut alive = fs::OpenOptions::new().read(true).custom_flags(flags).open(&fifo).unwrap();
        let file = script(here.path(), "claude", &format!("exec 3> {}; sleep 1000 & wait", fifo.display()));
        let path = std::env::var_os("PATH").unwrap();
        let said = version_of(&file, &path, Duration::from_secs(2));
        assert!(said.unwrap_err().contains("no answer within 2 s"));
        // Its end is reached when nobody has it open any more: neither the script, nor what that left behind.
        while let Err(error) = alive.read(&mut [0]) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let limit = Timespec::try_from(Duration::from_secs(30)).unwrap();
            assert!(poll(&mut [PollFd::new(&alive, PollFlags::IN)], Some(&limit)).unwrap() > 0, "something survives");
        }
    }
}
