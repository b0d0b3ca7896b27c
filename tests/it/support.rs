//! The daemon of one test, in a directory of its own, and the means to look at it from outside: its command line, its
//! socket, and a foreign program that writes to its database. Whatever happens, nothing of it is left running.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use claude_comms::control::wire::{self, EventFollow, PollAdd, Request, Wait};
use claude_comms::control::{Client, Followed};
use claude_comms::service::holder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_claude-comms");
/// Longest that anything is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at something that cannot wake us.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Ran {
    /// Its output, if it ended well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// Its one-line complaint, if it ended with this code.
    #[track_caller]
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.stderr
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command that runs beside the test. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ran {
        if !ends_within(self.child.id(), LIMIT) {
            let (so_far, complaints) = (self.so_far(), text_of(&mut self.stderr));
            panic!("it does not end; so far: {so_far} {complaints}");
        }
        let status = self.child.wait().unwrap();
        let code = status.code().unwrap_or(-1);
        Ran { stdout: text_of(&mut self.stdout), stderr: text_of(&mut self.stderr), code }
    }

    /// What it has printed until now.
    pub(crate) fn so_far(&mut self) -> String {
        text_of(&mut self.stdout)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    #[track_caller]
    pub(crate) fn wait_for_output(&mut self, text: &str) {
        wait_until(&format!("the output {text:?}"), || self.so_far().contains(text));
    }

    /// What it has written to standard error until now.
    pub(crate) fn complaints(&mut self) -> String {
        text_of(&mut self.stderr)
    }

    #[track_caller]
    pub(crate) fn wait_for_complaint(&mut self, text: &str) {
        wait_until(&format!("the complaint {text:?}"), || self.complaints().contains(text));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid_of(self.child.id()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(file: &mut File) -> String {
    // The position is shared with the writer, so another description of the same file is read.
    let mut file = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The program without anything that the environment of the tests may say to it.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in env::vars_os() {
        let named = name.to_string_lossy();
        let ours = ["CLAUDE_COMMS_", "OTEL_", "LISTEN_", "WATCHDOG_"].iter().any(|prefix| named.starts_with(prefix));
        if ours || ["NOTIFY_SOCKET", "JOURNAL_STREAM", "LOGURU_LEVEL", "NO_COLOR"].contains(&&*named) {
            command.env_remove(&name);
        }
    }
    command.args(args);
    command
}

pub(crate) fn spawn(command: &mut Command, input: &[u8]) -> Running {
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(input).unwrap();
    stdin.seek(SeekFrom::Start(0)).unwrap();
    command.stdin(stdin).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    Running { child: command.spawn().unwrap(), stdout, stderr }
}

/// Waits for something that cannot wake us.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let deadline = clock.tick().after(LIMIT);
    while !holds() {
        assert!(clock.tick() < deadline, "waited for {what} in vain");
        let _ = crossbeam_channel::after(LOOK_INTERVAL).recv();
    }
}

pub(crate) fn pid_of(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

/// Whether that process ends, or has ended, in time.
pub(crate) fn ends_within(pid: u32, limit: Duration) -> bool {
    let Ok(process) = pidfd_open(pid_of(pid), PidfdFlags::empty()) else { return true };
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

/// Processes whose environment says that they belong to a task of this database.
pub(crate) fn processes_of(epoch: &str) -> Vec<u32> {
    let marker = format!("CLAUDE_COMMS_TASK={epoch}/");
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_ours = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(marker.as_bytes()))
    };
    numbers.filter(is_ours).collect()
}

/// A state directory, with or without a daemon.
pub(crate) struct Daemon {
    dir: TempDir,
    child: Option<Child>,
    /// Given to the daemon when it is started.
    flags: Vec<String>,
    /// As well.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) epoch: String,
}

impl Daemon {
    /// One whose agent answers with the question.
    pub(crate) fn start() -> Daemon {
        Daemon::with(&["sh", "-c", "cat"], &[])
    }

    /// One with this agent and these flags.
    pub(crate) fn with(agent: &[&str], flags: &[&str]) -> Daemon {
        let mut daemon = Daemon::none();
        daemon.configure(&format!("[executor]\ncommand = {}\nkill_grace_seconds = 0.3\n", json!(agent)));
        daemon.flags = flags.iter().map(ToString::to_string).collect();
        daemon.restart();
        daemon
    }

    /// Only the directory.
    pub(crate) fn none() -> Daemon {
        let dir = tempfile::Builder::new().prefix("cc").tempdir().unwrap();
        fs::create_dir(dir.path().join("s")).unwrap();
        for module in ["frontend", "backend"] {
            fs::create_dir(dir.path().join(module)).unwrap();
        }
        Daemon { dir, child: None, flags: Vec::new(), environment: Vec::new(), epoch: String::new() }
    }

    /// One with these settings, that listens on a port of its own.
    pub(crate) fn listening(settings: &str) -> Daemon {
        let mut daemon = Daemon::none();
        daemon.configure(settings);
        daemon.flags = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        daemon.restart();
        daemon
    }

    /// From its next start on it listens there.
    pub(crate) fn listen_at(&mut self, address: &str) {
        self.flags = vec!["--listen".to_owned(), address.to_owned()];
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.state_dir().join("config.toml"), text).unwrap();
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.state_dir().join("control.sock")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state_dir().join("claude-comms.db")
    }

    /// A path beside the state directory; `frontend` and `backend` are directories.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or_else(|| self.holder().unwrap(), Child::id)
    }

    /// Who has the lock.
    pub(crate) fn holder(&self) -> Option<u32> {
        holder(&self.state_dir().join("daemon.lock")).ok().flatten().and_then(|holder| holder.pid)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&[]);
        command.arg("--state-dir").arg(self.state_dir()).args(args).current_dir(self.path("frontend"));
        command
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        spawn(&mut self.command(args), b"")
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.spawn(args).wait()
    }

    #[track_caller]
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        spawn(&mut self.command(args), input).wait()
    }

    /// Runs it with --json; it must end well.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    /// Follows these channels from the beginning.
    pub(crate) fn follow(&self, channels: &[&str]) -> Events {
        let mut client = self.connect();
        let channels = channels.iter().map(ToString::to_string).collect();
        client.follow(EventFollow { since: Some(0), channels, ..EventFollow::default() }).unwrap();
        Events { client }
    }

    #[track_caller]
    pub(crate) fn call(&self, request: &Request) -> Value {
        self.connect().call(request).unwrap()
    }

    /// Starts it in the foreground, and waits until it says that it is ready.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let path = self.dir.path().join("notify");
        let _ = fs::remove_file(&path);
        let supervisor = UnixDatagram::bind(&path).unwrap();
        supervisor.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let deaf: &[&str] = if flags.contains(&"--listen") { &[] } else { &["--listen", "none"] };
        let mut command = self.command(&[&["daemon"], deaf, &flags[..]].concat());
        command.envs(self.environment.iter().cloned());
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = self.child.insert(command.spawn().unwrap());
        let mut message = [0; 256];
        let mut said = 0;
        wait_until("READY=1", || {
            said = supervisor.recv(&mut message).unwrap_or(0);
            said > 0 || child.try_wait().unwrap().is_some()
        });
        let log = fs::read_to_string(self.path("log")).unwrap();
        assert!(message[..said].starts_with(b"READY=1\n"), "it did not start: {log}");
        let status = self.status();
        self.epoch = status["epoch"].as_str().unwrap().to_owned();
    }

    pub(crate) fn status(&self) -> Value {
        self.call(&Request::PollStatus(wire::Empty {}))
    }

    /// Processor time that the daemon has used, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// What it logged, all starts together.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid_of(self.pid()), signal).unwrap();
    }

    /// Waits for its end; returns the exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        if !ends_within(child.id(), LIMIT) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the daemon did not end: {}", self.log());
        }
        child.wait().unwrap().code().unwrap_or(-1)
    }

    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait(), 0, "{}", self.log());
    }

    /// Watches a message and waits for it over the socket; returns when the daemon has both.
    pub(crate) fn waiter(&self, id: &str) -> Waiter {
        let mut client = self.connect();
        let add = PollAdd { message_id: Some(id.to_owned()), ..PollAdd::default() };
        let _: Value = client.call(&Request::PollAdd(add.clone())).unwrap();
        client.follow(EventFollow { channels: vec![format!("message:{id}")], ..EventFollow::default() }).unwrap();
        let asked = client.send(&Request::PollWait(Wait { id: id.to_owned(), timeout_seconds: None })).unwrap();
        // Decisions are made in the order in which they are asked for.
        let _: Value = client.call(&Request::PollAdd(add)).unwrap();
        Waiter { client, asked }
    }

    /// Another program that uses the database.
    pub(crate) fn foreign(&self) -> Foreign {
        Foreign::open(&self.database())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if panicking {
            println!("the daemon's log:\n{}", self.log());
        }
        let orderly = self.child.is_some() || self.holder().is_some();
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(pid) = self.child.as_ref().map(Child::id).or_else(|| self.holder()) {
                let _ = kill_process(pid_of(pid), signal);
                let limit = if panicking { Duration::from_secs(1) } else { Duration::from_secs(15) };
                if ends_within(pid, limit) {
                    break;
                }
            }
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        if self.epoch.is_empty() {
            return;
        }
        let left = processes_of(&self.epoch);
        for pid in &left {
            let _ = kill_process(pid_of(*pid), Signal::KILL);
        }
        assert!(panicking || !orderly || left.is_empty(), "left running: {left:?}");
    }
}

/// Somebody who waits for a message.
pub(crate) struct Waiter {
    client: Client,
    asked: u64,
}

impl Waiter {
    /// How it ended, and the changes that were told until then.
    #[track_caller]
    pub(crate) fn end(mut self) -> (String, Vec<(Value, Value)>) {
        let mut changes: Vec<(u64, Value, Value)> = Vec::new();
        let (mut end, mut last) = (None, None);
        // The answer may overtake the events that led to it.
        while end.is_none() || last.is_some_and(|last| changes.iter().all(|(seq, ..)| *seq != last)) {
            match self.client.receive(Some(LIMIT)).unwrap() {
                Followed::Answer { id, result } if id == self.asked => {
                    let waited: wire::Waited = serde_json::from_str(result.unwrap().get()).unwrap();
                    (end, last) = (Some(waited.status), waited.seq);
                }
                Followed::Answer { .. } => {}
                Followed::Frame(frame) => {
                    let frame: Value = serde_json::from_str(&frame).unwrap();
                    let data = &frame["data"];
                    if frame["event"] == "message.status_changed" {
                        let seq = frame["seq"].as_u64().unwrap();
                        changes.push((seq, data["previous_status"].clone(), data["current_status"].clone()));
                    }
                }
            }
        }
        (end.unwrap(), changes.into_iter().map(|(_, from, to)| (from, to)).collect())
    }
}

/// Events, as they come.
pub(crate) struct Events {
    client: Client,
}

impl Events {
    /// The next one that is wanted.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let clock = SystemClock::new();
        let deadline = clock.tick().after(LIMIT);
        loop {
            let left = clock.tick().until(deadline);
            assert!(!left.is_zero(), "there was no such event");
            let Followed::Frame(frame) = self.client.receive(Some(left)).unwrap() else { continue };
            let frame: Value = serde_json::from_str(&frame).unwrap();
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// The next change of a message to that status.
    #[track_caller]
    pub(crate) fn wait_for_status(&mut self, status: &str) -> Value {
        self.wait_for(|frame| frame["data"]["current_status"] == status)
    }
}

/// A file system of its own, unmounted when dropped.
pub(crate) struct Mount<'a>(&'a Path);

impl Mount<'_> {
    /// `None` where this may not be done.
    pub(crate) fn new<'a>(options: &[&str], at: &'a Path) -> Option<Mount<'a>> {
        let mounted = Command::new("mount").args(options).arg(at).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Mount(at));
        }
        println!("skipped: nothing can be mounted here");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// Python with its own SQLite, as any other program may have it.
pub(crate) struct Foreign {
    child: Child,
    statements: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

const FOREIGN: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
db.text_factory = lambda text: text.decode("utf-8", "replace")
for line in sys.stdin:
    sql, values = json.loads(line)
    try:
        answer = [list(row) for row in db.execute(sql, values)]
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer, default=str), flush=True)
"#;

impl Foreign {
    pub(crate) fn open(database: &Path) -> Foreign {
        let mut child = Command::new("python3")
            .args(["-c", FOREIGN])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut foreign = Foreign { statements: child.stdin.take(), child, answers };
        assert_eq!(foreign.ask("SELECT 1", json!([])), json!([[1]]));
        foreign
    }

    /// Executes one statement; a text says why it failed.
    pub(crate) fn ask(&mut self, sql: &str, values: Value) -> Value {
        writeln!(self.statements.as_mut().unwrap(), "{}", json!([sql, values])).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Executes one statement that must succeed.
    #[track_caller]
    pub(crate) fn sql(&mut self, sql: &str, values: Value) -> Value {
        let answer = self.ask(sql, values);
        assert!(answer.is_array(), "{sql}: {answer}");
        answer
    }

    /// Inserts a message into the thread `th`, which comes into being with it.
    #[track_caller]
    pub(crate) fn insert(&mut self, id: &str, status: &str) {
        self.insert_with(id, status, "{}");
    }

    #[track_caller]
    pub(crate) fn insert_with(&mut self, id: &str, status: &str, metadata: &str) {
        self.sql(
            "INSERT OR IGNORE INTO threads VALUES ('th', 'Foreign', '[\"frontend\",\"backend\"]', '{}', 1.0)",
            json!([]),
        );
        self.sql(
            "INSERT INTO messages VALUES (?, 'th', 'frontend', 'a foreign question', 'question', 2.0, ?, ?)",
            json!([id, status, metadata]),
        );
    }

    #[track_caller]
    pub(crate) fn set(&mut self, id: &str, status: &str) {
        self.sql("UPDATE messages SET status = ? WHERE message_id = ?", json!([status, id]));
    }

    #[track_caller]
    pub(crate) fn integrity(&mut self) {
        assert_eq!(self.sql("PRAGMA integrity_check", json!([])), json!([["ok"]]));
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.statements = None;
        let _ = self.child.wait();
    }
}
