//! What the supervisor is told of the daemon's life: nothing, as soon as one of its loops is stuck, so that it is started anew.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use rustix::process::{Signal, kill_process};

use crate::support::{Daemon, LIMIT, Running, pid_of, spawn, wait_until};

/// Stops one thread and no other, as a debugger does, until its standard input is closed.
const HOLD: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
ATTACH, DETACH, WALL = 16, 17, 0x40000000
tasks = f'/proc/{sys.argv[1]}/task'
name = lambda thread: open(f'{tasks}/{thread}/comm').read().strip()
thread = next(int(thread) for thread in os.listdir(tasks) if name(thread) == sys.argv[2])
if libc.ptrace(ATTACH, thread, 0, 0) != 0:
    print('may not', os.strerror(ctypes.get_errno()), flush=True)
    sys.exit()
os.waitpid(thread, WALL)
print('held', flush=True)
sys.stdin.read()
libc.ptrace(DETACH, thread, 0, 0)
"#;

/// In microseconds, so that the daemon has to say that it lives ten times a second.
const WATCHDOG: &str = "200000";
/// Ten of which none came.
const SILENCE: Duration = Duration::from_secs(1);

struct Supervised {
    daemon: Daemon,
    supervisor: UnixDatagram,
    running: Running,
}

impl Supervised {
    fn start(daemon: Daemon) -> Supervised {
        let path = daemon.path("notify");
        drop(std::fs::remove_file(&path));
        let supervisor = UnixDatagram::bind(&path).unwrap();
        let mut command = daemon.command(&["daemon", "--listen", "none"]);
        let running = spawn(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG), b"");
        let supervised = Supervised { daemon, supervisor, running };
        supervised.wait_for_life();
        supervised
    }

    /// What it says next; `None` when it says nothing for so long.
    fn hear(&self, patience: Duration) -> Option<String> {
        self.supervisor.set_read_timeout(Some(patience)).unwrap();
        let mut message = [0; 256];
        let length = self.supervisor.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    }

    #[track_caller]
    fn wait_for_life(&self) {
        while self.hear(LIMIT).expect("it says nothing") != "WATCHDOG=1\n" {}
    }

    /// Waits until it has said nothing ten times in a row.
    #[track_caller]
    fn wait_for_silence(&self) {
        let clock = SystemClock::new();
        let deadline = clock.tick().after(LIMIT);
        while self.hear(SILENCE).is_some() {
            assert!(clock.tick() < deadline, "it goes on saying that all is well");
        }
    }

    /// Stops a thread; `None` where that is not allowed.
    fn hold(&self, thread: &str) -> Option<Held> {
        let mut python = Command::new("python3");
        python.args(["-c", HOLD, &self.running.pid().to_string(), thread]);
        let mut child = match python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: python3 cannot be run: {error}");
                return None;
            }
        };
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let held = Held { child };
        if said.starts_with("may not") {
            println!("skipped: a thread cannot be stopped here: {said}");
            return None;
        }
        assert_eq!(said, "held\n");
        Some(held)
    }
}

/// A thread that is stopped for as long as this is there.
struct Held {
    child: Child,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

#[test]
fn a_stuck_hub_is_not_said_to_live_and_the_next_start_has_its_data() {
    let supervised = Supervised::start(Daemon::none());
    supervised.daemon.run(&["module", "add", "everything", "."]).good();
    let Some(held) = supervised.hold("claude-comms") else { return };
    supervised.wait_for_silence();
    // What systemd does then.
    kill_process(pid_of(supervised.running.pid()), Signal::ABORT).unwrap();
    drop(held);
    let Supervised { daemon, running, supervisor } = supervised;
    assert_eq!(running.wait().code, -1);
    drop(supervisor);
    let supervised = Supervised::start(daemon);
    assert!(supervised.daemon.run(&["module", "list"]).good().contains("everything"));
}

#[test]
fn a_stuck_loop_is_named_and_the_daemon_said_to_live_once_it_turns_again() {
    let mut supervised = Supervised::start(Daemon::none());
    for thread in ["web", "control", "watcher"] {
        let Some(held) = supervised.hold(thread) else { return };
        supervised.wait_for_silence();
        supervised.running.wait_for_complaint(&format!("the thread {thread} does not answer"));
        drop(held);
        supervised.wait_for_life();
    }
    wait_until("the last word", || supervised.running.complaints().matches("all threads answer again").count() == 3);
    supervised.running.signal(Signal::TERM);
    assert_eq!(supervised.running.wait().code, 0);
}

#[test]
fn a_worker_that_is_busy_is_alive() {
    let daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"sh\", \"-c\", \"exec cat ../gate\"]\nkill_grace_seconds = 0.1\n");
    rustix::fs::mkfifoat(rustix::fs::CWD, daemon.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    let supervised = Supervised::start(daemon);
    supervised.daemon.run(&["pool", "run", "local", "--no-wait", "x"]).good();
    wait_until("the task", || supervised.daemon.status()["tasks_running"] == 1);
    supervised.wait_for_life();
    supervised.wait_for_life();
    supervised.wait_for_life();
}
