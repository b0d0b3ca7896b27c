//! Faults that are made on purpose, each of which the doctor has to find, and to say how it is mended.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use claude_comms::thread::Joined;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, Foreign, Mount, Ran, spawn};

/// What `doctor` with these words in this environment comes to.
fn examine_with(daemon: &Daemon, words: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = daemon.command(&[&["doctor", "--json"], words].concat());
    command.envs(environment.iter().copied());
    spawn(&mut command, b"").wait()
}

fn examine(daemon: &Daemon) -> Ran {
    examine_with(daemon, &[], &[])
}

/// The first thing that is wrong with that; it must be of this state and say these words, and how to mend it.
#[track_caller]
fn has(ran: &Ran, check: &str, state: &str, said: &str, advice: &str) {
    let found = ran.json();
    let findings = found["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == check && finding["state"] != "ok");
    let finding = finding.unwrap_or_else(|| panic!("{check} is found to be well: {ran:?}"));
    assert_eq!(finding["state"], state, "{finding}");
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    assert!(text("message").contains(said), "{said:?} is not in {finding}");
    assert!(text("advice").contains(advice), "{advice:?} is not in {finding}");
    let has_fault = findings.iter().any(|finding| finding["state"] == "fault");
    assert_eq!((ran.code, &found["ok"]), (i32::from(has_fault), &json!(!has_fault)), "{ran:?}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_is_well_is_told_so() {
    let daemon = Daemon::start();
    let ran = examine(&daemon);
    let found = ran.json();
    for finding in found["findings"].as_array().unwrap() {
        // What the machine gives is not ours.
        let given = ["disk", "inotify", "open_files", "unit"].contains(&finding["check"].as_str().unwrap());
        assert!(given || finding["state"] == "ok", "{finding}");
    }
    let ran = daemon.run(&["doctor", "--thorough"]);
    assert!(ran.stdout.contains("every page and index of it is good"), "{ran:?}");
    assert!(ran.stdout.contains("ok       socket: "), "{ran:?}");
}

#[test]
fn files_that_others_can_open_are_found() {
    let mut daemon = Daemon::none();
    daemon.listen_at("127.0.0.1:0");
    daemon.restart();
    let token = daemon.state_dir().join("token");
    set_mode(&token, 0o644);
    has(&examine(&daemon), "tokens", "fault", "others can read the token file", "poll stop, rm ");
    set_mode(&token, 0o600);
    set_mode(&daemon.database(), 0o644);
    has(&examine(&daemon), "files", "fault", "others can open", "chmod 600");
    set_mode(&daemon.database(), 0o600);
    set_mode(&daemon.socket(), 0o666);
    has(&examine(&daemon), "socket", "fault", "others can connect", "chmod 600");
    set_mode(&daemon.socket(), 0o600);
    set_mode(&daemon.state_dir(), 0o755);
    has(&examine(&daemon), "state_directory", "fault", "everybody can look into", "chmod 700");
    set_mode(&daemon.state_dir(), 0o700);
}

#[test]
fn a_socket_that_is_no_way_to_the_daemon_is_found() {
    let mut daemon = Daemon::start();
    let elsewhere = daemon.path("elsewhere.sock");
    let ran = examine_with(&daemon, &["--socket", &elsewhere], &[]);
    has(&ran, "socket", "fault", &format!("(process {}) has the lock", daemon.pid()), "XDG_RUNTIME_DIR");
    let long = daemon.path(&"x".repeat(110));
    has(&examine_with(&daemon, &["--socket", &long], &[]), "socket", "fault", "allows only 107", "--socket");
    daemon.signal(Signal::STOP);
    let stopped = examine(&daemon);
    daemon.signal(Signal::CONT);
    has(&stopped, "socket", "fault", &format!("(process {}) does not answer", daemon.pid()), "poll stop --force");
    daemon.kill9();
    has(&examine(&daemon), "socket", "warning", "was left by a daemon that was killed", "poll start");
    fs::remove_file(daemon.socket()).unwrap();
    fs::write(daemon.socket(), "somebody's").unwrap();
    has(&examine(&daemon), "socket", "fault", "is no socket", "move it away");
}

#[test]
fn a_database_that_does_not_serve_is_found() {
    let mut daemon = Daemon::start();
    daemon.run(&["message", "send", "--to", ".", "x"]).good();
    let mut foreign = daemon.foreign();
    foreign.sql("BEGIN IMMEDIATE", json!([]));
    let held = examine(&daemon);
    foreign.sql("ROLLBACK", json!([]));
    has(&held, "foreign_processes", "fault", "python3 (process ", "kill ");
    daemon.stop();
    foreign.sql("UPDATE events SET at = at + 7200", json!([]));
    has(&examine(&daemon), "clock", "fault", "the last event is of", "timedatectl");
    foreign.sql("UPDATE events SET at = at - 7200", json!([]));
    foreign.sql("PRAGMA user_version = 9999", json!([]));
    let copy = daemon.database().with_file_name("claude-comms.db.v2");
    fs::write(&copy, "").unwrap();
    let advice = format!("claude-comms restore {}", copy.display());
    has(&examine(&daemon), "schema", "fault", "is of version 9999", &advice);
    foreign.sql("PRAGMA user_version = 5", json!([]));
    foreign.sql("PRAGMA wal_checkpoint(TRUNCATE)", json!([]));
    let log = File::options().write(true).open(daemon.state_dir().join("claude-comms.db-wal")).unwrap();
    log.set_len(300 << 20).unwrap();
    has(&examine(&daemon), "write_ahead_log", "warning", "300 MiB", "python3 (process ");
    log.set_len(0).unwrap();
    foreign.sql("CREATE TABLE ballast AS SELECT zeroblob(80000000) AS bytes", json!([]));
    foreign.sql("DROP TABLE ballast", json!([]));
    has(&examine(&daemon), "unused_space", "warning", " MiB of the database are not in use", "claude-comms vacuum");
    drop(foreign);
    daemon.run(&["vacuum"]).good();

    let mut bytes = fs::read(daemon.database()).unwrap();
    bytes[4096..4096 * 3].fill(0xa5);
    fs::write(daemon.database(), &bytes).unwrap();
    has(&examine(&daemon), "integrity", "fault", "damaged", "claude-comms restore FILE");
    fs::write(daemon.database(), b"this is no database, and it is long enough to be looked at\n".repeat(100)).unwrap();
    has(&examine(&daemon), "integrity", "fault", "cannot be read", "claude-comms restore FILE");
}

#[test]
fn a_configuration_that_leads_nowhere_is_found() {
    let daemon = Daemon::none();
    daemon.configure("[daemon]\nintervall_seconds = 1\n");
    has(&examine(&daemon), "configuration", "fault", "config.toml:2:1", "claude-comms config check");
    daemon.configure("[executor]\ncommand = [\"no-such-agent\", \"-p\"]\n");
    has(&examine(&daemon), "agent", "fault", "`no-such-agent` is not on PATH", "[executor] command");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let agent = "[executor]\ncommand = [\"sh\"]\n";
    daemon.configure(&format!("[daemon]\nlisten = \"{address}\"\n{agent}"));
    let us = format!("{address} is taken by ");
    let ran = examine(&daemon);
    has(&ran, "port", "fault", &us, "[daemon] listen");
    assert!(ran.stdout.contains(&format!("(process {})", std::process::id())), "{ran:?}");

    // Nobody listens there any more.
    drop(taken);
    daemon.configure(&format!(
        "[daemon]\nlisten = \"none\"\n{agent}[[upstream]]\nname = \"away\"\nendpoint = \"http://{address}/mcp\"\n"
    ));
    let ran = examine(&daemon);
    has(&ran, "upstreams", "warning", "away at http://", "enabled = false");
}

#[test]
fn an_agent_that_only_the_shell_finds_is_found() {
    let mut daemon = Daemon::none();
    let bin = daemon.path("bin");
    fs::create_dir(&bin).unwrap();
    let agent = PathBuf::from(&bin).join("claude");
    fs::write(&agent, "#!/bin/sh\necho '2.1.0 (Claude Code)'\n").unwrap();
    set_mode(&agent, 0o755);
    let system = "/usr/local/bin:/usr/bin:/bin";
    daemon.environment = vec![("PATH", system.to_owned())];
    daemon.restart();
    let path = format!("{bin}:{system}");
    let ran = examine_with(&daemon, &[], &[("PATH", &path)]);
    has(&ran, "agent", "fault", "not on the PATH that the daemon was started with", agent.to_str().unwrap());
    daemon.stop();
    let ran = examine_with(&daemon, &[], &[("PATH", &path)]);
    assert!(ran.stdout.contains("2.1.0 (Claude Code)"), "{ran:?}");
}

#[test]
fn a_unit_that_starts_nothing_is_found() {
    let daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"sh\"]\n");
    let home = daemon.path("home");
    let units = PathBuf::from(&home).join(".config/systemd/user");
    fs::create_dir_all(&units).unwrap();
    // Wherever packages have the program, here it is nowhere.
    let unit = include_str!("../../systemd/claude-comms.user.service");
    let unit = unit.replace("ExecStart=/usr/bin/", "ExecStart=%h/.local/bin/");
    fs::write(units.join("claude-comms.service"), unit).unwrap();
    let surroundings = [("HOME", home.as_str()), ("XDG_CONFIG_HOME", "")];
    let ran = examine_with(&daemon, &[], &surroundings);
    has(&ran, "unit", "fault", &format!("{home}/.local/bin/claude-comms, which is not there"), "systemctl --user edit");
    let drop_in = units.join("claude-comms.service.d");
    fs::create_dir(&drop_in).unwrap();
    fs::write(drop_in.join("x.conf"), "[Service]\nExecStart=\nExecStart=/bin/sh\nEnvironment=PATH=/none\n").unwrap();
    let ran = examine_with(&daemon, &[], &surroundings);
    has(&ran, "unit", "warning", "has no `sh`: /none", "Environment=PATH=");
}

#[test]
fn a_machine_that_gives_too_little_is_found() {
    let daemon = Daemon::none();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(crate::support::BINARY);
    limited.arg("--state-dir").arg(daemon.state_dir()).args(["doctor", "--json"]);
    let ran = spawn(&mut limited, b"").wait();
    has(&ran, "open_files", "fault", "only 64 files", "LimitNOFILE");
    let state_dir = daemon.state_dir();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs"], &state_dir) else { return };
    has(&examine(&daemon), "disk", "fault", "MiB are free on the disk", "--state-dir");
}

#[test]
fn a_daemon_of_another_version_is_found() {
    let mut daemon = Daemon::start();
    let mut status = daemon.status();
    daemon.stop();
    status["version"] = json!("0.0.1");
    let listener = UnixListener::bind(daemon.socket()).unwrap();
    set_mode(&daemon.socket(), 0o600);
    let serving = Joined::spawn("older", move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        let asked: Value = serde_json::from_str(&line).unwrap();
        let answer = format!("{{\"v\":1,\"id\":{},\"ok\":true,\"result\":{status}}}\n", asked["id"]);
        stream.write_all(answer.as_bytes()).unwrap();
    })
    .unwrap();
    let ran = examine(&daemon);
    assert!(serving.join().is_some());
    has(&ran, "daemon", "warning", "the daemon is of version 0.0.1", "poll stop");
}

#[test]
fn the_doctor_changes_nothing() {
    let mut daemon = Daemon::start();
    daemon.run(&["message", "send", "--to", ".", "x"]).good();
    let look = |daemon: &Daemon| {
        let entries = fs::read_dir(daemon.state_dir()).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> = entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        names.sort();
        // Something that was made and removed again is seen by the time of the directory.
        let changed = fs::metadata(daemon.state_dir()).unwrap().modified().unwrap();
        (names, changed, fs::read(daemon.database()).unwrap())
    };
    daemon.kill9();
    let before = look(&daemon);
    examine(&daemon);
    assert!(look(&daemon) == before, "{:?} became {:?}", before.0, look(&daemon).0);
    daemon.restart();
    daemon.stop();
    let before = look(&daemon);
    examine(&daemon);
    assert!(look(&daemon) == before, "{:?} became {:?}", before.0, look(&daemon).0);
    set_mode(&daemon.database(), 0o400);
    has(&examine(&daemon), "files", "fault", "you cannot read and write", "chmod 600");
    assert!(look(&daemon) == before, "{:?} became {:?}", before.0, look(&daemon).0);
    set_mode(&daemon.database(), 0o600);
    Foreign::open(&daemon.database()).integrity();
}

#[test]
fn a_place_that_the_first_start_refuses_is_one_fault() {
    let daemon = Daemon::none();
    let root = PathBuf::from(daemon.path("places"));
    fs::create_dir_all(root.join("open")).unwrap();
    set_mode(&root.join("open"), 0o777);
    fs::write(root.join("file"), "").unwrap();
    let examine = |state_dir: &Path, runtime: Option<&Path>| {
        let mut command = std::process::Command::new(crate::support::BINARY);
        // The machine's own faults are not looked for here.
        command.env_remove("XDG_RUNTIME_DIR").env("CLAUDE_COMMS_LISTEN", "none").env("HOME", &root);
        match runtime {
            Some(runtime) => command.env("XDG_RUNTIME_DIR", runtime).env("XDG_STATE_HOME", state_dir),
            None => command.arg("--state-dir").arg(state_dir),
        };
        spawn(command.args(["doctor", "--json"]), b"").wait()
    };
    let faults = |ran: &Ran| {
        let found = ran.json();
        let findings = found["findings"].as_array().unwrap().clone();
        let ours =
            |finding: &Value| !["agent", "unit", "open_files", "port"].contains(&finding["check"].as_str().unwrap());
        findings.into_iter().filter(|finding| finding["state"] == "fault" && ours(finding)).count()
    };
    for (state_dir, said) in [
        ("open", "everybody may write"),
        ("open/s", "everybody may write"),
        ("open/s/t", "everybody may write"),
        ("file", "is not a directory"),
        ("file/s", "is not a directory"),
    ] {
        let ran = examine(&root.join(state_dir), None);
        has(&ran, "state_directory", "fault", said, "--state-dir");
        assert_eq!(faults(&ran), 1, "{ran:?}");
    }
    let ran = examine(&root.join("state"), Some(&root.join("none")));
    has(&ran, "socket", "fault", "could not make", "XDG_RUNTIME_DIR");
    assert_eq!(faults(&ran), 1, "{ran:?}");
    assert!(!root.join("state").exists() && !root.join("none").exists() && !root.join("open/s").exists());
    if cfg!(target_os = "linux") {
        let ran = examine(Path::new("/proc/nope"), None);
        has(&ran, "state_directory", "fault", "could not make", "--state-dir");
        assert_eq!(faults(&ran), 1, "{ran:?}");
    }
}
