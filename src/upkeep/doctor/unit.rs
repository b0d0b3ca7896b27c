//! The unit that starts the daemon, where one is installed: whether it starts a program that exists, and whether that
//! finds the agent.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::agent::Agent;
use super::{Finding, is_executable, on_path};

const NAME: &str = "claude-comms.service";
/// What systemd gives to units that say nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a unit says that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit {
    file: PathBuf,
    is_of_user: bool,
    /// The program of `ExecStart`.
    program: Option<String>,
    /// `PATH` as `Environment` has it.
    path: Option<String>,
}

pub(super) fn examine(environment: &dyn Fn(&str) -> Option<OsString>, agent: &Agent) -> Vec<Finding> {
    let home = environment("HOME").map(PathBuf::from).unwrap_or_default();
    if cfg!(target_os = "macos") {
        return vec![launchd(&home)];
    }
    let config = environment("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let of_user = config.unwrap_or_else(|| home.join(".config")).join("systemd/user");
    let user = ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"].map(PathBuf::from);
    let system = ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"].map(PathBuf::from);
    let user: Vec<PathBuf> = std::iter::once(of_user).chain(user).collect();
    let units = [(&user[..], true), (&system[..], false)];
    let found = units.into_iter().filter_map(|(directories, is_of_user)| {
        let file = directories.iter().map(|directory| directory.join(NAME)).find(|file| file.is_file())?;
        let drop_ins: Vec<PathBuf> = directories.iter().map(|directory| directory.join(format!("{NAME}.d"))).collect();
        Some(read(file, &drop_ins, is_of_user, &home))
    });
    let found: Vec<Finding> = found.map(|unit| judge(&unit, agent)).collect();
    if found.is_empty() {
        return vec![Finding::ok("unit", "no unit of systemd is installed; the daemon is started by hand")];
    }
    found
}

fn launchd(home: &Path) -> Finding {
    let agents = [home.join("Library/LaunchAgents"), PathBuf::from("/Library/LaunchDaemons")];
    let names = ["io.github.claude-comms.agent.plist", "io.github.claude-comms.daemon.plist"];
    let mut files = agents.iter().flat_map(|directory| names.map(|name| directory.join(name)));
    match files.find(|file| file.is_file()) {
        Some(file) => Finding::ok("unit", format!("{} is installed", file.display())),
        None => Finding::ok("unit", "nothing is installed for launchd; the daemon is started by hand"),
    }
}

fn read(file: PathBuf, drop_ins: &[PathBuf], is_of_user: bool, home: &Path) -> Unit {
    let mut texts = vec![fs::read_to_string(&file).unwrap_or_default()];
    let entries = drop_ins.iter().flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
    let mut parts: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    parts.retain(|part| part.extension() == Some(OsStr::new("conf")));
    // By name, whichever directory they are in.
    parts.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    texts.extend(parts.iter().map(|part| fs::read_to_string(part).unwrap_or_default()));
    let home = home.to_string_lossy();
    let mut unit = Unit { file, is_of_user, program: None, path: None };
    for line in texts.iter().flat_map(|text| text.lines()) {
        if let Some(command) = line.trim().strip_prefix("ExecStart=") {
            let command = command.trim_start_matches(['-', '@', ':', '+', '!']);
            // An empty one takes back what was said before.
            unit.program = words(command, &home).into_iter().next();
        } else if let Some(variables) = line.trim().strip_prefix("Environment=") {
            let words = words(variables, &home);
            let path = words.iter().find_map(|word| word.strip_prefix("PATH=").map(ToOwned::to_owned));
            unit.path = path.or(unit.path);
        }
    }
    unit
}

/// The words of a line as systemd reads them: quotes, backslashes, and the percent signs that we may meet.
fn words(line: &str, home: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_word) = (Vec::new(), String::new(), None, false);
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => word.extend(chars.next()),
            '"' | '\'' if quote.is_none() => (quote, is_word) = (Some(char), true),
            char if quote == Some(char) => quote = None,
            char if char.is_whitespace() && quote.is_none() => {
                if is_word || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            '%' => match chars.next() {
                Some('h') => word.push_str(home),
                Some('%') | None => word.push('%'),
                Some(other) => word.extend(['%', other]),
            },
            char => word.push(char),
        }
    }
    if is_word || !word.is_empty() {
        words.push(word);
    }
    words
}

fn judge(unit: &Unit, agent: &Agent) -> Finding {
    const CHECK: &str = "unit";
    let file = unit.file.display();
    let systemctl = if unit.is_of_user { "systemctl --user" } else { "systemctl" };
    let Some(program) = &unit.program else {
        return Finding::fault(
            CHECK,
            format!("{file} starts nothing: it has no ExecStart"),
            "move it away, and have a new one written by claude-comms service install",
        );
    };
    if !is_executable(Path::new(program)) {
        return Finding::fault(
            CHECK,
            format!("{file} starts {program}, which is not there"),
            format!(
                "install claude-comms there, correct ExecStart with {systemctl} edit --full {NAME}, or have a new unit \
                 written by claude-comms service install"
            ),
        );
    }
    let path = unit.path.as_deref().unwrap_or(DEFAULT_PATH);
    if agent.program.contains('/') {
        // Whether it is there has nothing to do with the unit.
        return Finding::ok(CHECK, format!("{file} is installed, and starts {program}"));
    }
    if on_path(&agent.program, OsStr::new(path)).is_some() {
        return Finding::ok(CHECK, format!("{file} is installed, and finds `{}`", agent.program));
    }
    if let Some(place) = agent.found.as_ref().or(agent.found_here.as_ref()) {
        let directory = place.parent().unwrap_or(Path::new("/")).display();
        return Finding::warning(
            CHECK,
            format!("the PATH of {file} has no `{}`: {path}", agent.program),
            format!(
                "{systemctl} edit {NAME}, and write: [Service] Environment=PATH={directory}:{path}; or write the full \
                 path into [executor] command"
            ),
        );
    }
    // That the agent is nowhere is said by its own check.
    Finding::ok(CHECK, format!("{file} is installed, and starts {program}"))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_unit_is_read_with_what_was_added_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        fs::write(&file, "[Service]\nExecStart=%h/.local/bin/claude-comms daemon\nEnvironment=PATH=%h/bin:/bin\n")
            .unwrap();
        let drop_ins = directory.path().join("claude-comms.service.d");
        let read = || read(file.clone(), std::slice::from_ref(&drop_ins), true, Path::new("/home/me"));
        let unit = read();
        assert_eq!(unit.program.as_deref(), Some("/home/me/.local/bin/claude-comms"));
        assert_eq!(unit.path.as_deref(), Some("/home/me/bin:/bin"));
        fs::create_dir(&drop_ins).unwrap();
        let added =
            "[Service]\nExecStart=\nExecStart=-\"/opt/an agent/100%%/sh\" x\nEnvironment=A=1 \"PATH=/opt/a b\"\n";
        fs::write(drop_ins.join("override.conf"), added).unwrap();
        let unit = read();
        assert_eq!((unit.program.as_deref(), unit.path.as_deref()), (Some("/opt/an agent/100%/sh"), Some("/opt/a b")));
    }

    #[test]
    fn a_unit_has_to_find_its_program_and_the_agent() {
        let unit = |program: &str, path: Option<&str>| Unit {
            file: PathBuf::from("/u"),
            is_of_user: true,
            program: Some(program.to_owned()),
            path: path.map(ToOwned::to_owned),
        };
        let agent = |place: Option<&str>| Agent {
            program: "sh".to_owned(),
            found: place.map(PathBuf::from),
            ..Agent::default()
        };
        for (unit, agent, state, advice) in [
            (unit("/bin/sh", None), agent(Some("/bin/sh")), State::Ok, ""),
            (unit("/none/claude-comms", None), agent(Some("/bin/sh")), State::Fault, "systemctl --user edit --full"),
            (unit("/bin/sh", Some("/none")), agent(Some("/bin/sh")), State::Warning, "PATH=/bin:/none"),
            // That it is nowhere is said once.
            (unit("/bin/sh", Some("/none")), agent(None), State::Ok, ""),
            (Unit { program: None, ..unit("", None) }, agent(Some("/bin/sh")), State::Fault, "service install"),
        ] {
            let finding = judge(&unit, &agent);
            assert_eq!(finding.state, state, "{finding:?}");
            let finds = finding.sentence.contains("finds `sh`");
            assert_eq!(finds, state == State::Ok && unit.path.is_none(), "{finding:?}");
            assert!(finding.advice.as_deref().unwrap_or_default().contains(advice), "{finding:?}");
        }
    }
}
