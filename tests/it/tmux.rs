//! A monitor in a real terminal, as people have it: tmux is one that can be asked what it shows.

use std::process::Command;

use crate::support::{BINARY, Daemon, wait_until};
use crate::web::address;

/// A terminal with one program in it. Ends with the value.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None` where there is no tmux.
    fn open(daemon: &Daemon, program: &[&str]) -> Option<Terminal> {
        let terminal = Terminal { socket: daemon.path("tmux.sock") };
        let mut command = terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "30"]);
        command.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env_remove("TMUX").args(program);
        match command.status() {
            Ok(status) => assert!(status.success(), "tmux starts nothing"),
            Err(error) => {
                println!("skipped: tmux cannot be started: {error}");
                return None;
            }
        }
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket, "-f", "/dev/null"]).args(args);
        command
    }

    fn do_it(&self, args: &[&str]) -> bool {
        self.tmux(args).output().unwrap().status.success()
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).output().unwrap().stdout).into_owned()
    }

    #[track_caller]
    fn wait_for(&self, texts: &[&str]) -> String {
        wait_until(&format!("{texts:?} on the screen"), || {
            let shown = self.shown();
            texts.iter().all(|text| shown.contains(text))
        });
        self.shown()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

#[test]
fn a_monitor_stays_through_the_death_of_its_daemon_and_misses_nothing() {
    let mut daemon = Daemon::listening("");
    let address = address(&daemon);
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let url = format!("ws://{address}");
    let Some(terminal) = Terminal::open(&daemon, &[BINARY, "monitor", "pool", "echo", "--url", &url]) else { return };
    terminal.wait_for(&["pool echo", "● live"]);
    daemon.run(&["pool", "run", "echo", "one"]).good();
    terminal.wait_for(&["completed 1", "seen here: 1 assigned, 1 completed"]);

    daemon.kill9();
    // What it shows is still there, and says of itself how old it is.
    let lost = terminal.wait_for(&["✖ lost", "as of ", "reconnecting"]);
    assert!(lost.contains("completed 1"), "{lost}");

    daemon.listen_at(&address);
    daemon.restart();
    daemon.run(&["pool", "run", "echo", "two"]).good();
    let back =
        terminal.wait_for(&["● live", "nothing was missed", "completed 2", "seen here: 2 assigned, 2 completed"]);
    assert!(!back.contains("as of "), "{back}");

    // Any size, and back again.
    for (width, height) in [("20", "5"), ("1", "1"), ("60", "12")] {
        assert!(terminal.do_it(&["resize-window", "-x", width, "-y", height]));
    }
    terminal.wait_for(&["pool echo", "● live"]);
    assert!(terminal.do_it(&["send-keys", "q"]));
    wait_until("its end", || !terminal.do_it(&["has-session"]));
}
