//! What SECURITY.md says that others cannot do: other users of the machine, what a task finds in its process, texts that try
//! to be more than texts, and names that try to be paths.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::monitor::pty::Pty;
use crate::support::{BINARY, Daemon, Ran, command, spawn, wait_until};
use crate::web;

/// Users that nobody has.
const ALICE: u32 = 712_001;
const BOB: u32 = 712_002;

/// Text that would forge a line, command a terminal, and turn the direction of reading.
const EVIL: &str = "evil\n2026-01-01T00:00:00Z ERROR [main] forged\r\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}end";

/// What others have no right to, below a directory: everything with a bit for group or others.
fn open_to_others(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            found.extend(open_to_others(&path));
        }
        if about.mode() & 0o077 != 0 {
            found.push(path);
        }
    }
    found
}

/// The shell command that opens everything that is made to everybody, and then becomes the program.
fn careless(daemon: &Daemon, args: &[&str]) -> Command {
    let careful = daemon.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", BINARY]).args(careful.get_args());
    command.current_dir(daemon.path("frontend"));
    command
}

#[test]
fn no_file_of_a_daemon_is_open_to_others_under_any_umask() {
    let mut daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"sh\", \"-c\", \"umask; cat; echo heard >&2\"]\n");
    fs::set_permissions(daemon.state_dir().join("config.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    // In the background, where it logs to a file of its own, and in the foreground.
    for verb in [&["poll", "start", "--listen", "127.0.0.1:0"][..], &["daemon", "--listen", "127.0.0.1:0"]] {
        let running = spawn(&mut careless(&daemon, verb), b"");
        wait_until("a daemon", || daemon.run(&["poll", "status"]).code == 0);
        daemon.epoch = daemon.status()["epoch"].as_str().unwrap().to_owned();
        daemon.json(&["ask", "--to", ".", "Are you there?"]);
        daemon.run(&["config", "token"]).good();
        daemon.run(&["config", "token", "--read-only"]).good();
        let copy = daemon.state_dir().join("copy.db");
        run(&mut careless(&daemon, &["backup", "--force", copy.to_str().unwrap()])).good();
        let names: Vec<String> = fs::read_dir(daemon.state_dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        for name in
            ["claude-comms.db", "claude-comms.db-wal", "control.sock", "daemon.lock", "token", "token-read-only"]
        {
            assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
        }
        assert_eq!(open_to_others(&daemon.state_dir()), Vec::<PathBuf>::new(), "{verb:?}");
        daemon.run(&["poll", "stop"]).good();
        drop(running);
    }
    daemon.epoch.clear();
}

/// A place where everybody may be, and the program in it; `None`, and a notice, where this test may not play other users.
fn public_place() -> Option<TempDir> {
    if !geteuid().is_root() || !Command::new("setpriv").arg("--version").output().is_ok_and(|ran| ran.status.success())
    {
        println!("skipped: only root with setpriv can play other users");
        return None;
    }
    let place = tempfile::Builder::new().prefix("cc").tempdir_in("/tmp").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let program = place.path().join("claude-comms");
    fs::copy(BINARY, &program).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    Some(place)
}

/// The program, run by somebody else.
fn as_user(user: u32, place: &TempDir, args: &[&str]) -> Command {
    let mut asked = command(&[]);
    let environment: Vec<_> =
        asked.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    asked = Command::new("setpriv");
    asked.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--"]);
    asked.arg(place.path().join("claude-comms")).args(args).current_dir("/");
    for (name, value) in environment {
        match value {
            Some(value) => asked.env(name, value),
            None => asked.env_remove(name),
        };
    }
    asked.env("HOME", "/nonexistent");
    asked
}

fn run(command: &mut Command) -> Ran {
    spawn(command, b"").wait()
}

fn open_socket(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
}

#[test]
fn other_users_are_turned_away_even_from_an_open_socket() {
    let Some(place) = public_place() else { return };
    let socket = place.path().join("c.sock");
    let daemon = Daemon::none();
    let flags = ["--socket", socket.to_str().unwrap(), "daemon", "--listen", "none"];
    let running = spawn(&mut daemon.command(&flags), b"");
    let status = ["--socket", socket.to_str().unwrap(), "poll", "status"];
    wait_until("a daemon", || daemon.run(&status).code == 0);

    let cannot = run(&mut as_user(ALICE, &place, &status)).bad(1);
    assert!(cannot.contains("Permission denied"), "{cannot}");
    open_socket(&socket);
    let turned_away = run(&mut as_user(ALICE, &place, &status)).bad(1);
    assert!(turned_away.contains("only the daemon's own user and root may use this socket"), "{turned_away}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, 0);
}

#[test]
fn a_daemon_of_another_user_is_not_spoken_to() {
    let Some(place) = public_place() else { return };
    let (home, socket) = (place.path().join("alice"), place.path().join("c.sock"));
    fs::create_dir(&home).unwrap();
    chown(&home, Some(ALICE), Some(ALICE)).unwrap();
    let (state, socket_text) = (home.join("s"), socket.to_str().unwrap());
    let flags = ["--state-dir", state.to_str().unwrap(), "--socket", socket_text, "daemon", "--listen", "none"];
    let theirs = spawn(&mut as_user(ALICE, &place, &flags), b"");
    wait_until("a socket", || socket.exists());
    open_socket(&socket);
    let ask = ["--socket", socket_text, "ask", "--to", "backend", "my secret"];
    let refused = run(&mut as_user(BOB, &place, &ask)).bad(1);
    assert!(refused.contains(&format!("it is user {ALICE} who answers there, and this is user {BOB}")), "{refused}");
    theirs.signal(Signal::TERM);
    assert_eq!(theirs.wait().code, 0);
}

#[test]
fn a_directory_that_another_user_prepared_is_refused() {
    let Some(place) = public_place() else { return };
    let (trap, home) = (place.path().join("trap"), place.path().join("bob"));
    fs::create_dir(&home).unwrap();
    chown(&home, Some(BOB), Some(BOB)).unwrap();
    let start = |state: &Path| {
        let flags = ["--state-dir", state.to_str().unwrap(), "daemon", "--listen", "none"];
        run(&mut as_user(BOB, &place, &flags)).bad(1)
    };
    // Sticky and open to all, so that Bob can make a directory in it, which Alice can still put aside.
    fs::create_dir(&trap).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o1777)).unwrap();
    chown(&trap, Some(ALICE), Some(ALICE)).unwrap();
    let refused = start(&trap.join("s"));
    assert!(refused.contains(&format!("belongs to user {ALICE}")), "{refused}");
    assert_eq!(fs::read_dir(trap.join("s")).unwrap().count(), 0);
    fs::remove_dir_all(&trap).unwrap();
    // A link of Alice's that leads into Bob's own home, for as long as she likes.
    std::os::unix::fs::symlink(&home, &trap).unwrap();
    std::os::unix::fs::lchown(&trap, Some(ALICE), Some(ALICE)).unwrap();
    for state in [trap.join("s"), trap.clone()] {
        let refused = start(&state);
        assert!(refused.contains("belongs to user") || refused.contains("Permission denied"), "{refused}");
    }
    assert!(!home.join("s/claude-comms.db").exists() && !home.join("claude-comms.db").exists());
}

#[test]
fn a_configuration_that_everybody_may_write_is_refused() {
    let daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"true\"]\n");
    let file = daemon.state_dir().join("config.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    for verb in [&["config", "check"][..], &["daemon"]] {
        let refused = daemon.run(verb).bad(78);
        assert!(refused.contains("everybody may write to it"), "{refused}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    daemon.run(&["config", "check"]).good();
}

#[test]
fn a_task_finds_no_secret_in_its_environment_or_its_arguments() {
    let mut daemon = Daemon::listening(
        "[executor]\ncommand = [\"sh\", \"-c\", \"cat /proc/$$/environ /proc/$$/cmdline | tr '\\\\0' '\\\\n'\", \"agent\"]\n",
    );
    daemon.stop();
    daemon.environment = vec![
        ("CLAUDE_COMMS_TOKEN", "token-of-another-port".to_owned()),
        ("NOTIFY_SOCKET", "/of/the/daemon".to_owned()),
        ("AN_AGENTS_LOGIN", "kept".to_owned()),
    ];
    daemon.restart();
    let tokens = [&["config", "token"][..], &["config", "token", "--read-only"]].map(|args| daemon.run(args).good());
    let seen = daemon.run(&["pool", "run", "local", "what-is-asked"]).good();
    assert!(
        seen.contains("CLAUDE_COMMS_TASK=") && seen.contains("AN_AGENTS_LOGIN=kept") && seen.contains("\nagent\n"),
        "{seen}"
    );
    for secret in [tokens[0].trim(), tokens[1].trim(), "token-of-another-port", "NOTIFY_SOCKET", "what-is-asked"] {
        assert!(!seen.contains(secret), "{secret} is in {seen}");
    }
    let own = fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    assert!(tokens.iter().all(|token| !String::from_utf8_lossy(&own).contains(token.trim())));
}

#[test]
fn a_variable_of_a_pool_is_in_no_argument_and_shown_to_nobody() {
    let (daemon, address) = web::start("");
    let create = ["pool", "create", "quiet", "--env", "A_LOGIN", "--", "sh", "-c", "echo \"${#A_LOGIN} letters\""];
    assert_eq!(daemon.run(&create).code, 2, "it is not set");
    run(daemon.command(&create).env("A_LOGIN", "hunter-2")).good();
    assert_eq!(daemon.run(&["pool", "run", "quiet", "x"]).good(), "8 letters\n");
    let token = daemon.run(&["config", "token"]).good();
    let metrics =
        web::http(&address, &format!("GET /metrics HTTP/1.1; Host: localhost; Authorization: Bearer {}", token.trim()));
    let shown = [&["pool", "list", "--json"][..], &["pool", "status", "quiet", "--json"], &["task", "list", "--json"]]
        .map(|args| daemon.run(args).good());
    for text in shown.iter().chain([&metrics, &daemon.log()]) {
        assert!(!text.contains("hunter-2"), "{text}");
    }
    let mut events = Pty::open(120, 40);
    let mut tail = events.spawn(&mut daemon.command(&["event", "tail", "--since", "0", "--json"]));
    events.wait_for("task.completed");
    tail.kill().unwrap();
    events.wait(&mut tail);
    assert!(events.has("quiet") && !events.has("hunter-2"));
}

/// Stores and provokes whatever others can put into names, texts, errors and results.
fn evil_day(daemon: &Daemon) -> (String, String) {
    let mut foreign = daemon.foreign();
    foreign.insert(EVIL, "pending");
    foreign.sql("UPDATE messages SET content = ? WHERE message_id = ?", json!([EVIL, EVIL]));
    foreign.sql("UPDATE threads SET title = ?", json!([EVIL]));
    let id =
        daemon.run(&["message", "send", "--from", ".", "--to", &daemon.path("backend"), EVIL]).good().trim().to_owned();
    daemon.run(&["poll", "add", "--message-id", &id]).good();
    foreign.set(EVIL, EVIL);
    let task = daemon.run(&["pool", "run", "local", EVIL, "--no-wait", "--json"]).json()["task_id"].clone();
    let task = task.as_str().unwrap().to_owned();
    daemon.run(&["task", "wait", &task]);
    (id, task)
}

/// Its agent repeats the question as its answer, its complaint and its failure; its hook complains of every message.
fn echoing() -> Daemon {
    let mut daemon = Daemon::none();
    let hook = json!(["sh", "-c", "printf %s \"$CLAUDE_COMMS_CHANNEL\" >&2; exit 1"]);
    daemon.configure(&format!(
        "[executor]\ncommand = [\"sh\", \"-c\", \"tee /dev/stderr; exit 3\"]\n\
         [[hook]]\nname = \"x\"\ncommand = {hook}\nchannels = [\"message:*\"]\n"
    ));
    daemon.environment = vec![("CLAUDE_COMMS_LOG", "trace".to_owned())];
    daemon.restart();
    daemon
}

#[test]
fn nothing_from_others_can_forge_a_line_of_the_log() {
    let mut daemon = echoing();
    evil_day(&daemon);
    let forbid = "CREATE TRIGGER forbid BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'forbidden";
    daemon.foreign().sql(&format!("{forbid} {EVIL}'); END"), json!([]));
    assert_ne!(daemon.run(&["message", "send", "--from", ".", "--to", &daemon.path("backend"), "x"]).code, 0);
    // The hook's last words, and the trigger's.
    for evil in ["exit code 1: 2026-01-01T00:00:00Z ERROR [main] forged\\r", "forbidden evil\\n2026-01-01"] {
        wait_until(evil, || daemon.log().contains(evil));
    }
    let mut client = std::os::unix::net::UnixStream::connect(daemon.socket()).unwrap();
    client
        .write_all(format!("{}\n", json!({"v": 1, "id": EVIL, "command": EVIL, "args": {"a": EVIL}})).as_bytes())
        .unwrap();
    drop(client);
    daemon.stop();
    let log = daemon.log();
    for line in log.lines() {
        let (day, is_plain) = (line.get(..11), !line.chars().any(claude_comms::service::logging::is_treacherous));
        assert!(day.is_some_and(|day| day.ends_with('T')) && is_plain, "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line:?}");
    }
}

#[test]
fn nothing_from_others_commands_a_terminal() {
    let daemon = echoing();
    let (id, task) = evil_day(&daemon);
    let shown = [
        &["message", "list"][..],
        &["message", "show", &id],
        &["message", "show", EVIL],
        &["message", "search", "evil"],
        &["thread", "list"],
        &["thread", "show", "th"],
        &["thread", "export", "th"],
        &["poll", "list"],
        &["poll", "show", &id],
        &["task", "list"],
        &["task", "show", &task],
        &["task", "log", &task],
        &["task", "log", &task, "--stderr"],
        &["message", "list", "--json"],
        &["task", "show", &task, "--json"],
        &["event", "export", "-"],
        &["hook", "list"],
        &["module", "list"],
        &["poll", "status"],
    ];
    let without_end = [&["event", "tail", "--since", "0"][..], &["event", "tail", "--since", "0", "--json"]];
    for args in shown.into_iter().chain(without_end) {
        let mut pty = Pty::open(120, 40);
        let mut child = pty.spawn(daemon.command(args).args(["--color", "never"]));
        if without_end.contains(&args) {
            pty.wait_for("forged");
            child.kill().unwrap();
        }
        pty.wait(&mut child);
        pty.read_for(Duration::from_millis(20));
        let text = String::from_utf8_lossy(&pty.bytes).replace("\r\n", "\n");
        assert!(!text.trim().is_empty(), "{args:?}");
        let treacherous =
            |char: char| !matches!(char, '\n' | '\t') && claude_comms::service::logging::is_treacherous(char);
        assert!(!text.chars().any(treacherous), "{args:?}: {text:?}");
    }
}

#[test]
fn what_a_task_puts_in_the_place_of_its_log_is_not_followed() {
    let daemon = Daemon::with(&["cat"], &[]);
    let secret = daemon.path("secret");
    fs::write(&secret, "of somebody else").unwrap();
    let ran = || {
        let task = daemon.run(&["pool", "run", "local", "x", "--no-wait", "--json"]).json()["task_id"].clone();
        let task = task.as_str().unwrap().to_owned();
        daemon.run(&["task", "wait", &task]).good();
        let log = daemon.state_dir().join(format!("tasks/{task}/1/stdout"));
        fs::remove_file(&log).unwrap();
        (task, log)
    };
    let (linked, log) = ran();
    std::os::unix::fs::symlink(&secret, &log).unwrap();
    let (waiting, log) = ran();
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    for task in [&linked, &waiting] {
        let refused = daemon.run(&["task", "log", task]);
        assert!(!refused.stdout.contains("somebody else"), "{refused:?}");
        assert!(refused.bad(70).contains("stdout: "));
    }
}

fn everything_below(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let below: Vec<PathBuf> =
        found.iter().filter(|path| path.is_dir()).flat_map(|path| everything_below(path)).collect();
    found.extend(below);
    found.sort();
    found
}

#[test]
fn names_that_look_like_paths_lead_nowhere() {
    let (daemon, address) = web::start("[executor]\ncommand = [\"cat\"]\n");
    let secret = daemon.run(&["config", "token"]).good().trim().to_owned();
    daemon.run(&["config", "token", "--read-only"]).good();
    let task = daemon.run(&["pool", "run", "local", "x", "--no-wait", "--json"]).json()["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    daemon.run(&["task", "wait", &task]).good();
    let before = everything_below(daemon.state_dir().parent().unwrap());
    for path in
        ["..", "../token", "../../s/token", "/etc/passwd", &format!("{task}/../../token"), "%2e%2e/token", "token\0"]
    {
        let asked = [
            ("task.show", json!({"task_id": path})),
            ("task.log", json!({"task_id": path, "stream": "stdout"})),
            ("task.log", json!({"task_id": task, "stream": path})),
            ("task.cancel", json!({"task_id": path})),
            ("message.show", json!({"id": path})),
            ("thread.show", json!({"id": path})),
            ("workflow.show", json!({"workflow_id": path})),
            ("pool.create", json!({"id": path, "executor": "echo"})),
            ("pool.status", json!({"pool_id": path})),
            ("module.add", json!({"name": path, "path": "/"})),
            ("upstream.add", json!({"name": path, "endpoint": "http://localhost:1/mcp"})),
            ("upstream.status", json!({"name": path})),
        ];
        for (command, args) in asked {
            let answer = ask(&daemon, command, &args);
            assert_eq!(answer["ok"], false, "{command} {args}: {answer}");
            assert!(!answer.to_string().contains(&secret));
        }
        if !path.contains('\0') {
            for target in [format!("/{path}"), format!("/page/{path}"), format!("/mcp/{path}")] {
                let answer = web::http(&address, &format!("GET {target} HTTP/1.1; Host: localhost"));
                assert!(
                    answer.starts_with("HTTP/1.1 40") && !answer.contains(&secret) && !answer.contains("root:"),
                    "{target}: {answer}"
                );
            }
        }
    }
    assert_eq!(everything_below(daemon.state_dir().parent().unwrap()), before);
}

/// One request of the control socket, as it would be written by hand.
fn ask(daemon: &Daemon, command: &str, args: &Value) -> Value {
    use std::io::{BufRead, BufReader};
    let mut stream = std::os::unix::net::UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(crate::support::LIMIT)).unwrap();
    stream.write_all(format!("{}\n", json!({"v": 1, "id": 1, "command": command, "args": args})).as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_prompt_is_data_on_every_way_to_a_process() {
    let daemon = Daemon::with(&["cat"], &[]);
    let hostile =
        "$(touch owned); `touch owned` && touch owned | touch owned\n--dangerously-skip-permissions {prompt} ${HOME}";
    let there = |daemon: &Daemon| {
        everything_below(Path::new(&daemon.path("frontend"))).len()
            + everything_below(Path::new(&daemon.path("backend"))).len()
    };
    let before = there(&daemon);
    daemon.run(&["module", "add", "backend", &daemon.path("backend")]).good();
    let answer = daemon.json(&["ask", "--to", "backend", hostile]);
    assert!(answer.to_string().contains("$(touch owned)"), "{answer}");
    // As an argument it is one, whatever is in it.
    let count = ["pool", "create", "count", "--", "sh", "-c", "echo \"$#: $1\"", "sh", "{prompt}"];
    daemon.run(&count).good();
    assert_eq!(daemon.run(&["pool", "run", "count", hostile]).good().trim_end(), format!("1: {hostile}"));
    assert_eq!(there(&daemon), before);
}

#[test]
fn a_task_can_be_given_limits_of_the_system() {
    let daemon = Daemon::with(
        &["prlimit", "--nofile=64:64", "--core=0:0", "--", "nice", "-n", "7", "sh", "-c", "ulimit -n; ulimit -c; nice"],
        &[],
    );
    assert_eq!(daemon.run(&["pool", "run", "local", "x"]).good(), "64\n0\n7\n");
}
