//! `service`: what is written for systemd, what systemd is told, and what is said when it cannot be had. On a machine that is
//! booted for it, `packaging/test-deb` shows the same with systemd itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::support::{BINARY, Daemon, Ran, spawn};

/// Writes down how it was called; says what it is told to say of the unit.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >> "$HOME/told"
case $2 in
show) cat "$HOME/unit" ;;
restart) [ ! -e "$HOME/broken" ] || { echo 'Job for claude-comms.service failed.' >&2; exit 1; } ;;
esac
"#;

/// A home with a systemd of its own.
struct Home {
    daemon: Daemon,
}

impl Home {
    fn new() -> Home {
        let home = Home { daemon: Daemon::none() };
        let (bin, systemctl) = (home.path("bin"), home.path("bin/systemctl"));
        fs::create_dir(bin).unwrap();
        fs::write(&systemctl, SYSTEMCTL).unwrap();
        fs::set_permissions(systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        home.systemd_knows("ActiveState=inactive\nMainPID=0\nUnitFileState=\nFragmentPath=\n");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.daemon.path(name))
    }

    fn systemd_knows(&self, text: &str) {
        fs::write(self.path("unit"), text).unwrap();
    }

    fn unit(&self) -> PathBuf {
        self.path(".config/systemd/user/claude-comms.service")
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.daemon.command(words);
        command.env("HOME", self.path("")).env_remove("XDG_CONFIG_HOME");
        command.env("PATH", format!("{}:.:/usr/bin:/bin", self.path("bin").display()));
        spawn(&mut command, b"").wait()
    }

    /// What systemd was told since it was asked last.
    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.path("told")).unwrap_or_default();
        drop(fs::remove_file(self.path("told")));
        told.lines().map(ToOwned::to_owned).collect()
    }
}

#[test]
fn a_service_is_installed_shown_and_uninstalled() {
    let home = Home::new();
    let said = home.run(&["service", "install"]).good();
    assert!(said.contains(BINARY) && said.contains("looked for in"), "{said}");
    let unit = fs::read_to_string(home.unit()).unwrap();
    let state = home.daemon.state_dir();
    assert!(unit.contains(&format!("\nExecStart={BINARY} --state-dir {} daemon\n", state.display())), "{unit}");
    // Where the commands of tasks are looked for: no directory that depends on where a task runs.
    assert!(unit.contains(&format!("PATH={}:/usr/bin:/bin", home.path("bin").display())), "{unit}");
    let expected =
        ["--user daemon-reload", "--user enable --quiet claude-comms.service", "--user restart claude-comms.service"];
    assert_eq!(home.told(), expected);

    home.systemd_knows("ActiveState=active\nMainPID=12\nUnitFileState=enabled\nFragmentPath=/x/claude-comms.service\n");
    let status = home.run(&["service", "status", "--json"]);
    assert_eq!(status.code, 0);
    let expected = json!({"running": true, "enabled": true, "pid": 12, "file": "/x/claude-comms.service"});
    assert_eq!(status.json(), expected);
    assert!(home.run(&["service", "status"]).good().contains("yes (pid 12)"));
    home.told();

    home.run(&["service", "uninstall"]).good();
    let expected = ["--user disable --now --quiet claude-comms.service", "--user daemon-reload"];
    assert_eq!(home.told(), expected);
    assert!(!home.unit().exists());
    assert_eq!(home.run(&["service", "uninstall"]).good(), "no service was installed\n");
    home.systemd_knows("ActiveState=inactive\nMainPID=0\nUnitFileState=\nFragmentPath=\n");
    assert_eq!(home.run(&["service", "status"]).code, 3);
}

#[test]
fn systemd_takes_the_unit_that_is_written() {
    let home = Home::new();
    home.run(&["service", "install", "--no-start"]).good();
    assert!(home.told().is_empty(), "nothing is to be started");
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--user"])
        .arg(home.unit())
        .env("XDG_RUNTIME_DIR", home.path(""))
        .output();
    let Ok(verified) = verify else {
        println!("skipped: systemd-analyze cannot be run");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stdout) + String::from_utf8_lossy(&verified.stderr);
    let complaints: Vec<&str> = said.lines().filter(|line| !line.contains("Command 'man claude-comms")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn what_is_in_the_way_of_a_service_is_said() {
    let home = Home::new();
    fs::write(home.path("broken"), "").unwrap();
    let said = home.run(&["service", "install"]).bad(1);
    assert!(said.contains("`systemctl --user restart claude-comms.service` failed: Job for"), "{said}");
    fs::remove_file(home.path("broken")).unwrap();

    // A daemon that somebody has started by hand, which the unit could only fail beside.
    home.run(&["poll", "start", "--listen", "none"]).good();
    let refused = home.run(&["service", "install", "--json"]);
    assert_eq!((refused.code, refused.json()["error"]["code"].as_str()), (1, Some("conflict")));
    assert!(refused.stderr.contains("claude-comms poll stop"), "{refused:?}");
    // Unless it is the service's own.
    let pid = home.daemon.holder().unwrap();
    home.systemd_knows(&format!("ActiveState=active\nMainPID={pid}\n"));
    home.run(&["service", "install"]).good();
    home.run(&["poll", "stop"]).good();

    fs::write(home.unit(), "[Service]\nExecStart=/bin/true\n").unwrap();
    for verb in [&["service", "install"], &["service", "uninstall"]] {
        let said = home.run(verb).bad(1);
        assert!(said.contains("was written by somebody else"), "{said}");
    }
    assert_eq!(fs::read_to_string(home.unit()).unwrap(), "[Service]\nExecStart=/bin/true\n");

    fs::remove_file(home.path("bin/systemctl")).unwrap();
    let mut command = home.daemon.command(&["service", "status"]);
    let said = spawn(command.env("PATH", home.path("bin")), b"").wait().bad(1);
    assert!(said.contains("systemctl could not be run"), "{said}");
}

#[test]
fn the_first_who_connects_to_a_socket_of_systemd_starts_the_daemon() {
    let daemon = Daemon::none();
    let socket = daemon.path("from-systemd.sock");
    let mut command = Command::new("systemd-socket-activate");
    if command.arg("--version").output().is_err() {
        println!("skipped: systemd-socket-activate cannot be run");
        return;
    }
    let mut command = Command::new("systemd-socket-activate");
    command
        .args(["--listen", &socket, BINARY, "--state-dir"])
        .arg(daemon.state_dir())
        .args(["daemon", "--listen", "none"]);
    let mut activated = spawn(&mut command, b"");
    activated.wait_for_complaint("Listening on");
    assert_eq!(daemon.holder(), None, "nobody has connected");
    let status = daemon.json(&["--socket", &socket, "poll", "status"]);
    assert_eq!(status["socket"], socket);
    assert_eq!(daemon.holder(), Some(activated.pid()));
    daemon.run(&["--socket", &socket, "poll", "stop"]).good();
    assert_eq!(activated.wait().code, 0);
    // It belongs to systemd, which goes on listening.
    assert!(fs::exists(&socket).unwrap());
}
