//! What keeps the daemon of one user running: the unit for systemd, or the agent for launchd, that starts this very
//! program with the PATH of whoever installs it. The texts are those in `systemd/` and `launchd/`, with our own values put in.

use std::env::home_dir;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const UNIT: &str = include_str!("../../systemd/claude-comms.user.service");
const AGENT: &str = include_str!("../../launchd/io.github.claude-comms.agent.plist");
/// What each supervisor calls it.
pub const UNIT_NAME: &str = "claude-comms.service";
pub const AGENT_LABEL: &str = "io.github.claude-comms.agent";
/// Stands in each file that was written by us, so that nothing of anybody else is replaced or removed.
pub const MARK: &str = "Written by `claude-comms service install`";

/// Who starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    Systemd,
    Launchd,
}

impl Supervisor {
    pub const fn of_this_system() -> Supervisor {
        if cfg!(target_os = "macos") { Supervisor::Launchd } else { Supervisor::Systemd }
    }

    /// Where it looks for what a user has installed; `None` without a home.
    pub fn file(self, env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").or_else(|| home_dir().filter(|home| home.is_absolute()));
        Some(match self {
            Supervisor::Systemd => {
                let configuration = absolute("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
                configuration?.join("systemd/user").join(UNIT_NAME)
            }
            Supervisor::Launchd => home()?.join("Library/LaunchAgents").join(format!("{AGENT_LABEL}.plist")),
        })
    }
}

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Absolute.
    pub program: PathBuf,
    /// Before the verb.
    pub flags: Vec<(&'static str, PathBuf)>,
    /// For the daemon and the commands that it runs.
    pub path: String,
    /// Where standard error goes when there is no journal.
    pub log: PathBuf,
}

/// What cannot stand in such a file.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be started by a service: its name has a control character, a dollar sign or is not UTF-8", path.display())]
pub struct Unspeakable {
    path: PathBuf,
}

impl Launch {
    /// The text of the file for that supervisor.
    ///
    /// # Errors
    /// A path that the file cannot say.
    pub fn text(&self, supervisor: Supervisor) -> Result<String, Unspeakable> {
        let mut words = vec![speakable(&self.program)?];
        for (flag, path) in &self.flags {
            words.extend([flag, speakable(path)?]);
        }
        words.push("daemon");
        Ok(match supervisor {
            Supervisor::Systemd => self.unit(&words),
            Supervisor::Launchd => self.agent(&words, speakable(&self.log)?),
        })
    }

    fn unit(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let mut text = format!("# {MARK}, and taken away by `claude-comms service uninstall`.\n");
        for line in UNIT.lines().skip_while(|line| line.starts_with('#')) {
            text += &match line.split_once('=') {
                Some(("ExecStart", _)) => format!("ExecStart={}\n", words.join(" ")),
                Some(("Environment", _)) => format!("Environment={}\n", quoted(&format!("PATH={}", self.path))),
                _ => format!("{line}\n"),
            };
        }
        text
    }

    fn agent(&self, words: &[&str], log: &str) -> String {
        let strings = |words: &[&str]| words.iter().map(|word| format!("<string>{}</string>", xml(word))).collect();
        let arguments: Vec<String> = strings(words);
        let mut text =
            replaced(AGENT, "<array>", "</array>", &format!("\n        {}\n    ", arguments.join("\n        ")));
        text = replaced(&text, "<key>PATH</key>\n        <string>", "</string>", &xml(&self.path));
        text =
            replaced(&text, "<!-- ", " -->", &format!("{MARK}, and taken away by `claude-comms service uninstall`."));
        let log = format!("    <key>StandardErrorPath</key>\n    <string>{}</string>\n</dict>\n</plist>", xml(log));
        text.replace("</dict>\n</plist>", &log)
    }
}

/// A directory of the PATH that whoever installs it has: no empty and no relative ones, which would be looked up wherever a
/// task happens to run.
pub fn absolute_directories(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for directory in path.split(':').filter(|directory| directory.starts_with('/')) {
        if !kept.contains(&directory) && !directory.contains(char::is_control) {
            kept.push(directory);
        }
    }
    kept.join(":")
}

fn speakable(path: &Path) -> Result<&str, Unspeakable> {
    let is_good = |text: &&str| !text.contains(|char: char| char.is_control() || char == '$');
    path.to_str().filter(is_good).ok_or_else(|| Unspeakable { path: path.to_owned() })
}

/// One word as systemd reads it: quotes and backslashes are its own, and so is the percent sign.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-=:%".contains(char);
    if escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `text` with `value` in the place of what stands between the first `before` and the `after` that follows it.
fn replaced(text: &str, before: &str, after: &str, value: &str) -> String {
    let parts = text.split_once(before).and_then(|(head, rest)| Some((head, rest.split_once(after)?.1)));
    parts.map_or_else(|| text.to_owned(), |(head, tail)| format!("{head}{before}{value}{after}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            program: PathBuf::from("/home/an agent/100%/claude-comms"),
            flags: vec![("--state-dir", PathBuf::from("/s"))],
            path: "/home/an agent/bin:/usr/bin".to_owned(),
            log: PathBuf::from("/s/daemon.log"),
        }
    }

    #[test]
    fn a_unit_starts_the_program_with_the_path() {
        let text = launch().text(Supervisor::Systemd).unwrap();
        assert!(text.starts_with(&format!("# {MARK}")), "{text}");
        for line in [
            r#"ExecStart="/home/an agent/100%%/claude-comms" --state-dir /s daemon"#,
            r#"Environment="PATH=/home/an agent/bin:/usr/bin""#,
            "Type=notify",
            "WantedBy=default.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
        assert_eq!(text.matches("ExecStart=").count(), 1);
    }

    #[test]
    fn an_agent_starts_the_program_with_the_path() {
        let mut launch = launch();
        launch.path = "/a&b:/usr/bin".to_owned();
        let text = launch.text(Supervisor::Launchd).unwrap();
        for part in [
            "<string>/home/an agent/100%/claude-comms</string>\n        <string>--state-dir</string>\n        <string>/s</string>\n        <string>daemon</string>",
            "<key>PATH</key>\n        <string>/a&amp;b:/usr/bin</string>",
            "<key>StandardErrorPath</key>\n    <string>/s/daemon.log</string>\n</dict>\n</plist>",
            MARK,
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("/usr/local/bin/claude-comms"), "{text}");
    }

    #[test]
    fn what_no_file_can_say_is_refused() {
        for program in ["/a\nExecStartPost=/bin/true", "/a$HOME/claude-comms"] {
            let launch = Launch { program: PathBuf::from(program), ..launch() };
            assert!(launch.text(Supervisor::Systemd).is_err() && launch.text(Supervisor::Launchd).is_err());
        }
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }

    #[test]
    fn only_absolute_directories_are_remembered_and_each_once() {
        assert_eq!(absolute_directories("/a::.:bin:/b:/a:/c\n:/d"), "/a:/b:/d");
        assert_eq!(absolute_directories(""), "");
    }

    #[test]
    fn each_supervisor_has_its_place() {
        let env = |name: &str| (name == "HOME").then(|| OsString::from("/h"));
        let unit = Supervisor::Systemd.file(&env).unwrap();
        assert_eq!(unit, Path::new("/h/.config/systemd/user/claude-comms.service"));
        let agent = Supervisor::Launchd.file(&env).unwrap();
        assert_eq!(agent, Path::new("/h/Library/LaunchAgents/io.github.claude-comms.agent.plist"));
    }
}
