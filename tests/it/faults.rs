//! What goes wrong around the daemon, and that it loses nothing by it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use claude_comms::thread::Joined;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, Foreign, LIMIT, Mount, ends_within, processes_of, spawn, wait_until};

#[test]
fn a_second_daemon_says_who_holds_the_directory() {
    let daemon = Daemon::start();
    let said = daemon.run(&["daemon"]).bad(1);
    assert!(said.contains(&format!("{}", daemon.pid())), "{said}");
    assert!(daemon.run(&["poll", "status"]).good().contains("is running"));
}

#[test]
fn what_a_killed_daemon_leaves_is_no_obstacle() {
    let mut daemon = Daemon::start();
    daemon.kill9();
    assert!(daemon.socket().exists());
    let said = daemon.run(&["message", "list"]).bad(3);
    assert!(said.contains("claude-comms poll start"), "{said}");
    daemon.restart();
    daemon.run(&["message", "list"]).good();
    daemon.stop();

    // What is no socket is somebody's file.
    fs::write(daemon.socket(), "precious").unwrap();
    let said = daemon.run(&["daemon", "--listen", "none"]).bad(1);
    assert!(said.contains("control.sock"), "{said}");
    assert_eq!(fs::read_to_string(daemon.socket()).unwrap(), "precious");
    fs::remove_file(daemon.socket()).unwrap();
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_early() {
    let daemon = Daemon::none();
    let long = daemon.path(&"x".repeat(110));
    for start in ["poll start", "daemon"] {
        let words: Vec<&str> = start.split(' ').collect();
        let ran = daemon.run(&[&words[..], &["--socket", &long]].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("107") && ran.stderr.contains("--socket"), "{ran:?}");
    }
    assert!(!daemon.database().exists());
}

#[test]
fn a_database_of_another_kind_is_refused_and_left_alone() {
    let daemon = Daemon::none();
    let mut foreign = Foreign::open(&daemon.database());
    foreign.sql("CREATE TABLE t(x)", json!([]));
    foreign.sql("PRAGMA user_version = 9999", json!([]));
    drop(foreign);
    let newer = fs::read(daemon.database()).unwrap();
    for start in [&["daemon", "--listen", "none"][..], &["poll", "start", "--listen", "none"]] {
        let said = daemon.run(start).bad(78);
        assert!(said.contains("9999") && said.contains("newer claude-comms"), "{said}");
    }
    assert_eq!(user_version(&daemon), json!([[9999]]));

    fs::write(daemon.database(), &newer[..100]).unwrap();
    let said = daemon.run(&["poll", "start", "--listen", "none"]).bad(1);
    assert!(said.contains("damaged"), "{said}");
    fs::write(daemon.database(), b"this is no database, and it is long enough to be looked at\n".repeat(100)).unwrap();
    let said = daemon.run(&["poll", "start", "--listen", "none"]).bad(1);
    assert!(said.contains("damaged") && said.contains("restore a backup"), "{said}");
    assert!(fs::read(daemon.database()).unwrap().starts_with(b"this is no database"));

    for file in ["claude-comms.db", "claude-comms.db-wal", "claude-comms.db-shm"] {
        let _ = fs::remove_file(daemon.state_dir().join(file));
    }
    let mut foreign = Foreign::open(&daemon.database());
    foreign.sql("CREATE TABLE messages(message_id TEXT PRIMARY KEY, content TEXT)", json!([]));
    drop(foreign);
    let said = daemon.run(&["poll", "start", "--listen", "none"]).bad(78);
    assert!(said.contains("messages") && said.contains("no column"), "{said}");
}

fn user_version(daemon: &Daemon) -> Value {
    Foreign::open(&daemon.database()).sql("PRAGMA user_version", json!([]))
}

/// Sends this and reads the answers until the daemon closes, or `lines` have come.
fn exchange(daemon: &Daemon, bytes: &[u8], lines: usize) -> Vec<Value> {
    let stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut writing = stream.try_clone().unwrap();
    let bytes = bytes.to_owned();
    // Beside the reading, for the daemon may stop listening before it has heard all.
    let writer = Joined::spawn("writer", move || drop(writing.write_all(&bytes))).unwrap();
    let answers = BufReader::new(stream).lines().map_while(Result::ok).take(lines);
    let answers = answers.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let _ = writer.join();
    answers
}

#[test]
fn whatever_is_written_to_the_socket_gets_a_sentence() {
    let daemon = Daemon::start();
    let good = b"{\"v\":1,\"id\":\"after\",\"command\":\"poll.list\",\"args\":{}}\n";
    for (line, code) in [
        (&b"junk"[..], "bad_request"),
        (b"{}", "bad_request"),
        (b"[1,2", "bad_request"),
        (b"{\"v\":2,\"id\":1,\"command\":\"poll.list\",\"args\":{}}", "bad_request"),
        (b"{\"v\":1,\"id\":1,\"command\":\"poll.dance\",\"args\":{}}", "unknown_command"),
        (b"{\"v\":1,\"id\":1,\"command\":\"poll.list\",\"args\":{\"x\":1}}", "bad_request"),
        (b"{\"v\":1,\"id\":1,\"command\":\"message.show\",\"args\":{\"id\":\"\xff\xfe\"}}", "bad_request"),
        (b"\x00\x01\x02", "bad_request"),
    ] {
        let answers = exchange(&daemon, &[line, b"\n", good].concat(), 2);
        assert_eq!(answers[0]["error"]["code"], code, "{answers:?}");
        assert!(!answers[0]["error"]["message"].as_str().unwrap().is_empty());
        // The connection goes on.
        assert_eq!([&answers[1]["id"], &answers[1]["ok"]], [&json!("after"), &json!(true)], "{answers:?}");
    }
    let answers = exchange(&daemon, &vec![b'x'; (8 << 20) + 2], 9);
    assert_eq!(answers[0]["error"]["code"], "too_large");
    // Half a line, and then the end.
    let mut half = UnixStream::connect(daemon.socket()).unwrap();
    half.write_all(b"{\"v\":1,\"id\":1,").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    half.read_to_string(&mut said).unwrap();
    assert!(said.is_empty() || said.contains("bad_request"), "{said}");
    let answers = exchange(&daemon, &good.repeat(3000), 3000);
    assert!(answers.len() == 3000 && answers.iter().all(|answer| answer["ok"] == true));
    assert_eq!(daemon.log().matches("ERROR").count(), 0, "{}", daemon.log());
}

#[test]
fn a_thousand_connections_are_no_harm() {
    let daemon = Daemon::start();
    let mut inside = daemon.connect();
    let mut crowd = Vec::new();
    for _ in 0..1000 {
        crowd.push(UnixStream::connect(daemon.socket()).unwrap());
    }
    // Who is inside already is served.
    let status: Value =
        inside.call(&claude_comms::control::wire::Request::PollStatus(claude_comms::control::wire::Empty {})).unwrap();
    assert!(status["connections"].as_u64().unwrap() <= 128, "{status}");
    let last = crowd.last().unwrap();
    last.set_read_timeout(Some(LIMIT)).unwrap();
    let mut refusal = String::new();
    BufReader::new(last).read_line(&mut refusal).unwrap();
    assert!(refusal.contains(r#""code":"busy""#) && refusal.contains("retry_after_ms"), "{refusal}");
    daemon.run(&["message", "list"]).bad(75);
    drop(crowd);
    wait_until("room", || daemon.run(&["message", "list"]).code == 0);
    let threads = || fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    wait_until("the threads of those who left have ended", || threads() < 20);
}

#[test]
fn a_locked_database_is_waited_for_and_nothing_is_lost() {
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "shell", "--", "sh", "-c", "{prompt}"]).good();
    let gate = daemon.path("gate");
    mkfifoat(CWD, &gate, Mode::RWXU).unwrap();
    let script = format!("read line < {gate}; echo $line");
    let task = daemon.run(&["pool", "run", "shell", "--no-wait", &script]).good().trim().to_owned();
    wait_until("its process", || !processes_of(&daemon.epoch).is_empty());
    wait_until("its pid", || daemon.json(&["task", "show", &task])["pid"].is_u64());

    let mut foreign = daemon.foreign();
    // Nothing is left to be written then, so that who asks has the whole five seconds before him.
    assert!(!ends_within(daemon.pid(), Duration::from_millis(400)));
    let clock = SystemClock::new();
    let began = clock.tick();
    foreign.sql("BEGIN EXCLUSIVE", json!([]));
    let asked = daemon.spawn(&["message", "send", "--to", ".", "first", "--json"]);
    wait_until("the warning", || daemon.log().contains("holds the database's write lock"));
    // It ends while nothing of it can be written.
    fs::write(&gate, "kept\n").unwrap();
    let refused = asked.wait();
    let waited = clock.tick().since(began);
    assert_eq!(refused.json()["error"]["code"], "busy", "{refused:?}");
    assert!(refused.json()["error"]["retry_after_ms"].is_u64(), "{refused:?}");
    refused.bad(75);
    assert!((Duration::from_secs(4)..Duration::from_secs(7)).contains(&waited), "{waited:?}");
    // From then on there is no waiting, and who only reads is served.
    daemon.run(&["message", "send", "--to", ".", "second"]).bad(75);
    daemon.run(&["poll", "status"]).good();
    daemon.run(&["message", "list"]).good();
    assert_eq!(daemon.json(&["task", "show", &task])["status"], "running");
    wait_until("seven seconds", || clock.tick().since(began) > Duration::from_secs(7));
    foreign.sql("ROLLBACK", json!([]));

    assert_eq!(daemon.run(&["task", "wait", &task]).good(), "kept\n");
    daemon.run(&["message", "send", "--to", ".", "third"]).good();
    let listed = daemon.json(&["message", "list"]);
    let texts: Vec<_> = listed["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(texts, ["third"]);
    assert_eq!(daemon.status()["degraded"], Value::Null);
}

#[test]
fn a_start_does_not_wait_for_ever_for_the_lock() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let mut foreign = daemon.foreign();
    foreign.sql("BEGIN EXCLUSIVE", json!([]));
    let said = daemon.run(&["poll", "start", "--listen", "none"]).bad(75);
    assert!(said.contains("fuser(1)") && said.lines().count() == 1, "{said}");
    assert_eq!(daemon.holder(), None);
    foreign.sql("ROLLBACK", json!([]));
}

#[test]
fn a_stop_is_heard_while_the_database_is_locked() {
    let mut daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.sql("BEGIN EXCLUSIVE", json!([]));
    let asked = daemon.spawn(&["message", "send", "--to", ".", "x"]);
    wait_until("the warning", || daemon.log().contains("holds the database's write lock"));
    daemon.signal(Signal::TERM);
    wait_until("the stop", || daemon.log().lines().any(|line| line.ends_with(" stopping")));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 130);
    assert_ne!(asked.wait().code, 0);
    foreign.sql("ROLLBACK", json!([]));
    foreign.integrity();
}

#[test]
fn a_full_disk_is_said_and_got_over() {
    let mut daemon = Daemon::none();
    let state_dir = daemon.state_dir();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=100m,mode=700", "tmpfs"], &state_dir) else { return };
    daemon.restart();
    daemon.run(&["pool", "create", "e", "--executor", "echo"]).good();
    let filler = state_dir.join("filler");
    let fill = |bytes: usize| fs::write(&filler, vec![0; bytes]).is_ok();
    // As much as there is. Without the filler there is room for the messages three times: in the log, in the database
    // and in the search index.
    assert!(!fill(128 << 20));

    let text = "x".repeat(500_000);
    let mut kept = BTreeSet::new();
    let refused = loop {
        let sent = daemon.run_with_input(&["message", "send", "--to", ".", "-"], text.as_bytes());
        if sent.code != 0 {
            break sent;
        }
        kept.insert(sent.stdout.trim().to_owned());
        assert!(kept.len() < 200, "the disk does not get full");
    };
    assert!(refused.stderr.contains("the disk is full"), "{refused:?}");
    refused.bad(75);
    // Each second something small is tried; that it succeeds says nothing of what is large.
    wait_until("degradation", || {
        daemon.run_with_input(&["pool", "run", "e", "--no-wait", "-"], text.as_bytes()).bad(75);
        daemon.status()["degraded"] == "the disk is full"
    });
    assert!(daemon.run(&["poll", "status"]).good().contains("disk is full") || daemon.status()["degraded"].is_null());
    // What is there can be read.
    daemon.run(&["message", "list", "--limit", "1"]).good();
    // Waiting for the disk costs nothing.
    wait_until("calm", || {
        let spent = daemon.cpu_ticks();
        assert!(!ends_within(daemon.pid(), Duration::from_millis(500)));
        daemon.cpu_ticks() - spent < 5
    });

    fs::remove_file(&filler).unwrap();
    wait_until("recovery", || daemon.status()["degraded"].is_null());
    kept.insert(daemon.run(&["message", "send", "--to", ".", "after"]).good().trim().to_owned());
    assert_eq!(daemon.run(&["pool", "run", "e", "echoed"]).good(), "echoed\n");
    daemon.kill9();
    daemon.restart();
    let rows = daemon.foreign().sql("SELECT message_id FROM messages", json!([]));
    let found: BTreeSet<String> =
        rows.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, kept);
    daemon.foreign().integrity();
    daemon.stop();
}

#[test]
fn a_full_disk_costs_a_task_its_log_and_nothing_else() {
    let mut daemon = Daemon::none();
    let state_dir = daemon.state_dir();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=60m,mode=700", "tmpfs"], &state_dir) else { return };
    daemon.restart();
    daemon.run(&["pool", "create", "shell", "--", "sh", "-c", "{prompt}"]).good();
    let gate = daemon.path("gate");
    mkfifoat(CWD, &gate, Mode::RWXU).unwrap();
    let script = format!("cat {gate}; head -c 3000000 /dev/zero | tr '\\0' x; echo last words >&2");
    let id = daemon.run(&["pool", "run", "shell", "--no-wait", &script]).good().trim().to_owned();
    wait_until("the process", || processes_of(&daemon.epoch).len() >= 2);
    let filler = state_dir.join("filler");
    assert!(fs::write(&filler, vec![0; 80 << 20]).is_err());

    fs::write(&gate, "").unwrap();
    let waited = daemon.run(&["task", "wait", &id]);
    // What is printed is cut as well, and says so.
    assert_eq!((waited.code, waited.stdout.trim().len()), (0, 1 << 20));
    assert!(daemon.log().contains("output was not kept"), "{}", daemon.log());
    fs::remove_file(&filler).unwrap();
    let task = daemon.json(&["task", "show", &id]);
    assert_eq!(
        (&task["status"], &task["attempt"], &task["result_truncated"]),
        (&json!("completed"), &json!(1), &json!(true))
    );
    assert_eq!(daemon.run(&["pool", "run", "shell", "echo again"]).good(), "again\n");
    daemon.stop();
}

#[test]
fn a_read_only_database_is_named() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let database = daemon.database();
    let whole = database.to_str().unwrap().to_owned();
    let Some(_mount) = Mount::new(&["--bind", &whole], &database) else { return };
    assert!(Command::new("mount").args(["-o", "remount,bind,ro", &whole]).status().unwrap().success());
    let said = daemon.run(&["poll", "start", "--listen", "none"]).bad(1);
    assert!(said.contains("read-only") && said.contains(&whole), "{said}");
}

#[test]
fn an_idle_daemon_stops_at_once() {
    let mut daemon = Daemon::start();
    let _idle = daemon.connect();
    let mut following = daemon.spawn(&["event", "tail", "--since", "0"]);
    daemon.run(&["message", "send", "--to", ".", "x"]).good();
    following.wait_for_output("message.status_changed");
    let clock = SystemClock::new();
    let began = clock.tick();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 0);
    let took = clock.tick().since(began);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!daemon.socket().exists());
    assert_eq!(daemon.holder(), None);
    // Who follows is told by the end, and has seen everything.
    following.wait().good();
}

#[test]
fn threads_have_the_names_of_the_design() {
    let daemon = Daemon::start();
    let _inside = daemon.connect();
    wait_until("the connection", || daemon.status()["connections"].as_u64() >= Some(1));
    let names = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let comm = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let names = tasks.flatten().map(|task| comm(task).trim().to_owned());
        // One that has just ended has none any more.
        names.filter(|name| !name.is_empty()).collect::<Vec<String>>()
    };
    // A thread names itself when it is first scheduled, which may be a moment after it was started.
    for expected in ["signals", "w0-local", "w1-local", "w2-local", "watcher", "control", "web", "web-read"] {
        wait_until(expected, || names().iter().any(|name| name == expected));
    }
    let found = names();
    // The number of a connection, and whether it is the reader or the writer.
    assert!(found.iter().any(|name| name.starts_with("ctl-") && name.ends_with('r')), "{found:?}");
    assert!(found.iter().any(|name| name.starts_with("ctl-") && name.ends_with('w')), "{found:?}");
    let known = |name: &String| {
        ["signals", "watcher", "control", "web", "web-read", "claude-comms"].contains(&name.as_str())
            || name.starts_with("ctl-")
            || name.ends_with("-local")
    };
    assert!(found.iter().all(known), "{found:?}");
}

#[test]
fn a_bad_file_keeps_the_old_configuration() {
    let daemon = Daemon::start();
    assert_eq!(daemon.status()["log_level"], "info");
    daemon.configure("[daemon]\nlog_level = \"debug\"\nmax_messages = 7\n");
    daemon.signal(Signal::HUP);
    wait_until("the level", || daemon.status()["log_level"] == "debug");
    assert_eq!(daemon.status()["max_messages"], 1000);
    for said in [
        "INFO  [main] daemon.log_level was \"info\", is \"debug\"\n",
        "WARN  [main] daemon.max_messages was 1000, is 7: this needs a restart\n",
    ] {
        assert!(daemon.log().contains(said), "{}", daemon.log());
    }
    daemon.configure("[daemon]\nlog_level = \"loud\"\n");
    daemon.signal(Signal::HUP);
    wait_until("the complaint", || daemon.log().contains("the configuration was not read again"));
    assert!(daemon.log().contains("config.toml:2:"), "{}", daemon.log());
    assert_eq!(daemon.status()["log_level"], "debug");
}

#[test]
fn a_supervisor_is_told_only_once_the_socket_answers() {
    let daemon = Daemon::none();
    let path = daemon.path("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(LIMIT)).unwrap();
    let mut message = [0; 256];
    let mut heard = || {
        let length = supervisor.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    for _ in 0..3 {
        let mut command = daemon.command(&["daemon", "--listen", "none"]);
        let running = spawn(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000"), b"");
        assert!(heard().starts_with("READY=1\n"));
        // At the first try.
        assert_eq!(daemon.status()["running"], true);
        assert_eq!(heard(), "WATCHDOG=1\n");
        assert_eq!(heard(), "WATCHDOG=1\n");
        running.signal(Signal::TERM);
        while heard() != "STOPPING=1\n" {}
        assert_eq!(running.wait().code, 0);
        while supervisor.set_nonblocking(true).is_ok() && supervisor.recv(&mut [0; 256]).is_ok() {}
        supervisor.set_nonblocking(false).unwrap();
    }
}

#[test]
fn a_daemon_that_talks_nonsense_is_70_and_one_that_breaks_off_is_3() {
    let daemon = Daemon::none();
    for (answer, code) in [("{\"v\":nonsense\n", 70), ("{\"v\":1,\"id\":1,\"ok\":true}\n", 70), ("", 3)] {
        let listener = UnixListener::bind(daemon.socket()).unwrap();
        let serving = Joined::spawn("nonsense", move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        })
        .unwrap();
        daemon.run(&["pool", "list"]).bad(code);
        drop(serving);
        fs::remove_file(daemon.socket()).unwrap();
    }
}

#[test]
fn a_database_that_was_removed_is_not_written_to_any_more() {
    let daemon = Daemon::start();
    daemon.run(&["module", "add", "m", "/tmp"]).good();
    let database = daemon.socket().with_file_name("claude-comms.db");
    let aside = database.with_extension("aside");
    fs::rename(&database, &aside).unwrap();
    let refused = daemon.run(&["message", "send", "--from", "m", "--to", "m", "lost?"]);
    assert_eq!(refused.code, 75, "{refused:?}");
    assert!(refused.stderr.contains("was removed or replaced"), "{refused:?}");
    assert!(daemon.status()["degraded"].as_str().unwrap().contains("was removed or replaced"));
    fs::rename(&aside, &database).unwrap();
    wait_until("writing works again", || {
        daemon.run(&["message", "send", "--from", "m", "--to", "m", "kept"]).code == 0
    });
}
