//! What can only be seen from outside of a process: detaching, locks and sockets between processes, umasks, and talking
//! to a supervisor. The binary starts itself again as the process to be looked at; it is its own harness, because that
//! of `cargo test` has threads, and a process with threads cannot detach.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio, id};
use std::time::Duration;

use claude_comms::service::logging::{self, Filter, Style};
use claude_comms::service::{
    ControlSocket, DetachError, Detached, Holder, Lock, LockError, PathOptions, Paths, Report, detach, holder, notify,
};
use claude_comms::thread::Joined;
use log::LevelFilter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, pidfd_open, umask};
use tempfile::TempDir;

/// Longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [helper, role, dir] = args.as_slice()
        && helper == "helper"
    {
        return play(role, Path::new(dir));
    }
    let tests: &[(&str, fn())] = &[
        ("a_detached_daemon_lives_on_alone", a_detached_daemon_lives_on_alone),
        ("a_start_that_fails_is_told_to_the_command", a_start_that_fails_is_told_to_the_command),
        ("a_daemon_that_dies_leaves_its_last_words", a_daemon_that_dies_leaves_its_last_words),
        ("a_process_with_two_threads_does_not_detach", a_process_with_two_threads_does_not_detach),
        ("a_killed_daemon_is_replaced", a_killed_daemon_is_replaced),
        ("nothing_is_open_to_others_whatever_the_umask", nothing_is_open_to_others_whatever_the_umask),
        ("the_supervisor_is_told", the_supervisor_is_told),
        ("without_a_supervisor_nothing_happens", without_a_supervisor_nothing_happens),
        ("the_log_level_can_be_changed_unless_it_is_fixed", the_log_level_can_be_changed_unless_it_is_fixed),
        ("a_socket_from_systemd_is_used_and_left", a_socket_from_systemd_is_used_and_left),
        ("another_kind_of_socket_from_systemd_is_refused", another_kind_of_socket_from_systemd_is_refused),
    ];
    for (name, test) in tests {
        // A failing test panics, which ends this process with 101.
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

// The processes to be looked at.

fn play(role: &str, dir: &Path) -> ExitCode {
    match role {
        "detach" => play_detach(dir),
        "fail" => become_daemon(dir, |reporter| reporter.failed(78, "bad configuration\nin two lines")),
        "die" => become_daemon(dir, |_reporter| panic!("on purpose")),
        "threads" => play_threads(dir),
        "hold" => play_hold(dir),
        "modes" => play_modes(dir),
        "notify" => play_notify(),
        "inherit" => play_inherit(dir),
        "log" => play_log(),
        other => panic!("no role {other}"),
    }
}

/// Detaches; the command prints what it hears, the daemon does `act`.
fn become_daemon(dir: &Path, act: impl FnOnce(claude_comms::service::Reporter)) -> ExitCode {
    match detach(&dir.join("daemon.log")).unwrap() {
        Detached::Parent(report) => println!("{report:?}"),
        Detached::Child(reporter) => act(reporter),
    }
    ExitCode::SUCCESS
}

fn play_detach(dir: &Path) -> ExitCode {
    print!("printed once; ");
    become_daemon(dir, |reporter| {
        let _lock = Lock::take(&dir.join("daemon.lock")).unwrap();
        reporter.ready(id());
        eprintln!("now in the background");
        println!("with both streams");
        fs::write(dir.join("made"), "").unwrap();
        // The test looks at us until it closes this connection.
        let mut visitor = UnixStream::connect(dir.join("visit.sock")).unwrap();
        let session = session();
        let input = fs::read_link("/proc/self/fd/0").unwrap();
        writeln!(visitor, "{} {session} {} {}", id(), env::current_dir().unwrap().display(), input.display()).unwrap();
        visitor.set_read_timeout(Some(LIMIT)).unwrap();
        drop(visitor.read(&mut [0]));
    })
}

/// The session of this process, from /proc/self/stat: 0 when its leader is outside of our PID namespace, for which
/// getsid(2) has no number either.
fn session() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which may contain anything: state, parent, group, session.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned()
}

fn play_threads(dir: &Path) -> ExitCode {
    let (end, ended) = crossbeam_channel::bounded::<()>(0);
    let other = Joined::spawn("other", move || ended.recv().is_err()).unwrap();
    let refused = matches!(detach(&dir.join("daemon.log")), Err(DetachError::Threads { count: 2 }));
    drop(end);
    println!("{refused} {:?}", other.join());
    ExitCode::SUCCESS
}

/// A daemon as others see it: holds lock and socket until its standard input ends.
fn play_hold(dir: &Path) -> ExitCode {
    let lock = Lock::take(&dir.join("daemon.lock")).unwrap();
    let _socket = ControlSocket::open(&dir.join("control.sock"), &lock).unwrap();
    println!("holding");
    drop(io::stdin().read(&mut [0]));
    ExitCode::SUCCESS
}

fn play_modes(dir: &Path) -> ExitCode {
    for mask in [0, 0o022, 0o177] {
        umask(Mode::from_raw_mode(mask));
        let state_dir = Some(dir.join(format!("{mask:o}")));
        let options = PathOptions { state_dir, ..PathOptions::default() };
        let paths = Paths::resolve(&options, &|_| None::<OsString>).unwrap();
        paths.prepare().unwrap();
        let lock = Lock::take(&paths.lock).unwrap();
        let socket = ControlSocket::open(&paths.socket, &lock).unwrap();
        let mode = |path: &PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
        let modes = [&paths.state_dir, &paths.tasks, &paths.lock, &paths.socket].map(mode);
        println!("{mask:o}: {:o} {:o} {:o} {:o}", modes[0], modes[1], modes[2], modes[3]);
        drop(socket);
    }
    ExitCode::SUCCESS
}

fn play_notify() -> ExitCode {
    notify::ready("open\nMAINPID=1");
    notify::watchdog();
    notify::status("busy");
    notify::stopping();
    println!("{:?} {}", notify::watchdog_interval(), notify::journal_stream());
    ExitCode::SUCCESS
}

fn play_log() -> ExitCode {
    let filter = Filter::choose(&|name| env::var_os(name), 0, Some(LevelFilter::Warn));
    logging::start(filter.clone(), Style::Journal).unwrap();
    log::info!("hidden");
    log::warn!("shown");
    println!("{} {:?}", logging::set_level(LevelFilter::Debug), logging::fixed_by());
    log::debug!("later");
    println!("{}", logging::start(filter, Style::Timed).is_err());
    ExitCode::SUCCESS
}

fn play_inherit(dir: &Path) -> ExitCode {
    let lock = Lock::take(&dir.join("daemon.lock")).unwrap();
    match ControlSocket::open(&dir.join("control.sock"), &lock) {
        Ok(socket) => {
            let (mut client, _) = socket.listener().accept().unwrap();
            client.write_all(b"hello").unwrap();
            println!("answered");
        }
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}

// The tests.

fn helper(role: &str, dir: &TempDir) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["helper", role]).arg(dir.path());
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
        "LISTEN_PID",
        "LISTEN_FDS",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end, which must be a good one, and returns what it printed.
fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {complaints}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for something to read, or for the end of a process.
fn wait_for(what: impl Into<OwnedFd>) -> OwnedFd {
    let fd = what.into();
    let limit = Timespec::try_from(LIMIT).unwrap();
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "nothing happened in {LIMIT:?}");
    fd
}

fn a_detached_daemon_lives_on_alone() {
    let dir = TempDir::new().unwrap();
    let visit = UnixListener::bind(dir.path().join("visit.sock")).unwrap();
    // Returns although the daemon lives: it holds none of the command's streams.
    let printed = output(helper("detach", &dir));

    let visit = UnixListener::from(wait_for(visit));
    let mut visitor = BufReader::new(visit.accept().unwrap().0);
    let mut facts = String::new();
    visitor.read_line(&mut facts).unwrap();
    let facts: Vec<&str> = facts.split_whitespace().collect();
    let [pid, session, directory, input] = facts[..] else { panic!("{facts:?}") };
    let pid: u32 = pid.parse().unwrap();

    assert_eq!(printed, format!("printed once; {:?}\n", Report::Ready { pid }));
    assert_eq!((directory, input), ("/", "/dev/null"));
    assert_ne!(session, pid.to_string(), "a leader of its session could be given a terminal again");
    assert_ne!(session, self::session());
    assert_eq!(fs::metadata(dir.path().join("made")).unwrap().mode() & 0o7777, 0o600);
    let log = dir.path().join("daemon.log");
    assert_eq!(fs::read_to_string(&log).unwrap(), "now in the background\nwith both streams\n");
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o7777, 0o600);

    let lock = dir.path().join("daemon.lock");
    assert_eq!(holder(&lock).unwrap(), Some(Holder { pid: Some(pid), epoch: None }));
    assert!(matches!(Lock::take(&lock), Err(LockError::Held { pid: Some(held) }) if held == pid));

    let process = pidfd_open(Pid::from_raw(pid.try_into().unwrap()).unwrap(), PidfdFlags::empty()).unwrap();
    drop(visitor);
    wait_for(process);
    assert_eq!(holder(&lock).unwrap(), None);
}

fn a_start_that_fails_is_told_to_the_command() {
    let dir = TempDir::new().unwrap();
    let report = Report::Failed { exit_code: 78, sentence: "bad configuration\\nin two lines".to_owned() };
    assert_eq!(output(helper("fail", &dir)), format!("{report:?}\n"));
}

fn a_daemon_that_dies_leaves_its_last_words() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("daemon.log"), "of an earlier daemon\n").unwrap();
    let printed = output(helper("die", &dir));
    assert!(printed.starts_with("Died { log_end: ") && printed.contains("on purpose"), "{printed}");
    assert!(!printed.contains("earlier"), "{printed}");
}

fn a_process_with_two_threads_does_not_detach() {
    let dir = TempDir::new().unwrap();
    assert_eq!(output(helper("threads", &dir)), "true Some(true)\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Starts one that holds lock and socket, and waits until it does.
fn hold(dir: &TempDir) -> Child {
    let mut child = helper("hold", dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "holding\n");
    child
}

fn a_killed_daemon_is_replaced() {
    let dir = TempDir::new().unwrap();
    let (lock, socket) = (dir.path().join("daemon.lock"), dir.path().join("control.sock"));
    let mut killed = hold(&dir);
    assert!(matches!(Lock::take(&lock), Err(LockError::Held { pid }) if pid == Some(killed.id())));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(socket.exists());
    assert_eq!(holder(&lock).unwrap(), None);

    let mut next = hold(&dir);
    drop(UnixStream::connect(&socket).unwrap());
    drop(next.stdin.take());
    assert!(next.wait().unwrap().success());
    assert!(!socket.exists());
}

fn nothing_is_open_to_others_whatever_the_umask() {
    let dir = TempDir::new().unwrap();
    let modes = output(helper("modes", &dir));
    assert_eq!(modes, "0: 700 700 600 600\n22: 700 700 600 600\n177: 700 700 600 600\n");
}

fn the_supervisor_is_told() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify.sock");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    let mut command = helper("notify", &dir);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000000");
    // Standard error really goes to this file, and the variable names it.
    let journal = fs::File::create(dir.path().join("journal")).unwrap();
    let found = journal.metadata().unwrap();
    command.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
    let told = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(journal).spawn().unwrap();
    let printed = told.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(printed).unwrap(), "Some(15s) true\n");

    supervisor.set_read_timeout(Some(LIMIT)).unwrap();
    for expected in ["READY=1\nSTATUS=open MAINPID=1\n", "WATCHDOG=1\n", "STATUS=busy\n", "STOPPING=1\n"] {
        let mut message = [0; 128];
        let length = supervisor.recv(&mut message).unwrap();
        assert_eq!(String::from_utf8_lossy(&message[..length]), expected);
    }
}

fn without_a_supervisor_nothing_happens() {
    let dir = TempDir::new().unwrap();
    assert_eq!(output(helper("notify", &dir)), "None false\n");
}

fn the_log_level_can_be_changed_unless_it_is_fixed() {
    let dir = TempDir::new().unwrap();
    for (variable, logged, printed) in [
        ("", "<4>[main] shown\n<7>[main] later\n", "true None\ntrue\n"),
        ("error", "", "false Some(\"CLAUDE_COMMS_LOG\")\ntrue\n"),
    ] {
        let mut command = helper("log", &dir);
        command.env("CLAUDE_COMMS_LOG", variable).env_remove("LOGURU_LEVEL").stdin(Stdio::null());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), logged);
        assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    }
}

/// Runs the helper as systemd would, with `socket` as its descriptor 3.
fn hand_over(socket: impl Into<OwnedFd>, dir: &TempDir) -> Child {
    // The shell's process id becomes that of the helper.
    let script = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" helper inherit "$1""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(env::current_exe().unwrap()).arg(dir.path());
    command.stdin(Stdio::from(socket.into())).stdout(Stdio::piped()).spawn().unwrap()
}

fn a_socket_from_systemd_is_used_and_left() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("from-systemd.sock");
    let child = hand_over(UnixListener::bind(&path).unwrap(), &dir);
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    assert_eq!(child.wait_with_output().unwrap().stdout, b"answered\n");
    assert!(path.exists() && !dir.path().join("control.sock").exists());
}

fn another_kind_of_socket_from_systemd_is_refused() {
    let dir = TempDir::new().unwrap();
    let refusal = "what systemd handed over is not one listening Unix stream socket, one TCP socket, or both; mend the socket unit\n";
    let datagrams: OwnedFd = UnixDatagram::bind(dir.path().join("d.sock")).unwrap().into();
    let udp: OwnedFd = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
    let connected: OwnedFd = UnixStream::pair().unwrap().0.into();
    for socket in [datagrams, udp, connected] {
        let printed = hand_over(socket, &dir).wait_with_output().unwrap().stdout;
        assert_eq!(String::from_utf8(printed).unwrap(), refusal);
    }
}
