//! The command line: starting and stopping, exit codes, and the shapes of `--json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{BINARY, Daemon, Foreign, command, ends_within, pid_of, spawn, wait_until};

/// Every verb of the command line, as its help lists them.
fn verbs() -> BTreeSet<Vec<String>> {
    let listed = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = spawn(command(&path).arg("--help"), b"").wait().good();
        let section = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
        let lines = section.lines().take_while(|line| line.starts_with("  "));
        let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        names.filter(|name| *name != "help").map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    let mut verbs = BTreeSet::new();
    for group in listed(&[]) {
        let inner = listed(std::slice::from_ref(&group));
        verbs.extend(inner.iter().map(|verb| vec![group.clone(), verb.clone()]));
        if inner.is_empty() {
            verbs.insert(vec![group]);
        }
    }
    verbs
}

#[test]
fn every_verb_is_used_by_a_test() {
    let verbs = verbs();
    assert!(verbs.len() > 30, "{verbs:?}");
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")).unwrap();
    let tests: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let said = |verb: &Vec<String>| verb.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let missing: Vec<_> = verbs.iter().filter(|verb| !tests.contains(&format!("&[{}", said(verb)))).collect();
    assert!(missing.is_empty(), "no test uses {missing:?}");
}

#[test]
fn a_daemon_is_started_and_stopped() {
    let mut daemon = Daemon::none();
    assert_eq!(daemon.run(&["poll", "status"]).code, 3);
    let status = daemon.run(&["poll", "status", "--json"]);
    assert_eq!((status.code, status.json()), (3, json!({"running": false})));
    assert_eq!(daemon.run(&["poll", "stop"]).good(), "claude-comms was not running\n");

    let started = daemon.run(&["poll", "start", "--listen", "none", "--json"]);
    let pid = daemon.holder().unwrap();
    assert_eq!((started.code, started.json()), (0, json!({"running": true, "pid": pid})));
    let status = daemon.json(&["poll", "status"]);
    daemon.epoch = status["epoch"].as_str().unwrap().to_owned();
    assert_eq!((&status["running"], &status["pid"]), (&json!(true), &json!(pid)));
    assert!(daemon.run(&["poll", "status"]).good().contains("is running (pid "));

    let again = daemon.run(&["poll", "start"]).bad(1);
    assert!(again.contains(&format!("a daemon is running already (pid {pid})")), "{again}");
    let content = daemon.run(&["poll", "start", "--if-needed"]).good();
    assert_eq!(content, format!("claude-comms is running (pid {pid})\n"));
    assert!(daemon.run(&["poll", "logs"]).good().contains("is running, socket "));

    assert_eq!(daemon.run(&["poll", "stop"]).good(), "claude-comms has stopped\n");
    assert!(!daemon.socket().exists());
    assert_eq!(daemon.run(&["poll", "status"]).code, 3);
}

#[test]
fn a_start_right_after_a_kill_succeeds() {
    let daemon = Daemon::none();
    daemon.run(&["poll", "start", "--listen", "none"]).good();
    for start in ["poll start", "poll start --if-needed", "poll start"] {
        let pid = daemon.holder().unwrap();
        // Its lock is held until the kernel is done with it.
        kill_process(pid_of(pid), Signal::KILL).unwrap();
        let start: Vec<&str> = start.split(' ').chain(["--listen", "none"]).collect();
        daemon.run(&start).good();
        assert!(ends_within(pid, std::time::Duration::ZERO));
        assert_ne!(daemon.holder(), Some(pid));
    }
}

#[test]
fn every_verb_without_a_daemon_is_3() {
    let daemon = Daemon::none();
    for verb in verbs() {
        let words: Vec<&str> = verb.iter().map(String::as_str).collect();
        let arguments: &[&str] = match words[..] {
            ["daemon" | "demo" | "completions" | "backup" | "restore" | "doctor" | "vacuum"]
            | ["config" | "service", _]
            | ["poll", "start" | "stop" | "logs"] => {
                continue;
            }
            ["message", "send"] => &["--to", ".", "text"],
            ["message", "reply"] => &["id", "text"],
            ["message", "update"] => &["id", "--status", "complete"],
            ["poll", "add"] => &["--task-id", "t"],
            ["pool", "run"] => &["local", "prompt"],
            ["module", "add"] => &["name", "."],
            ["event", "export"] | ["thread", "import"] => &["-"],
            ["event", "publish"] => &["notes:mine", "note.taken"],
            ["ask"] => &["prompt"],
            ["upstream", "add"] => &["name", "http://localhost:1/mcp"],
            ["workflow", "run"] => &["-"],
            ["monitor", "dashboard"] => &["--once", "--port", "1", "--akosha-port", "1"],
            ["monitor", _] => &["id", "--once", "--port", "1"],
            ["mcp"] => &[],
            [_, "list" | "tail" | "metrics"] | ["poll", "status"] => &[],
            _ => &["id"],
        };
        let ran = daemon.run(&[&words[..], arguments, &["--json"]].concat());
        assert_eq!(ran.code, 3, "{words:?}: {ran:?}");
        if words != ["poll", "status"] {
            assert_eq!(ran.json()["error"]["code"], "no_daemon", "{words:?}");
            assert!(ran.stderr.contains("claude-comms poll start") && ran.stderr.lines().count() == 1, "{ran:?}");
        }
    }
}

#[test]
fn mistakes_are_one_line_that_says_what_to_do() {
    let daemon = Daemon::start();
    for (line, code, expected) in [
        ("poll lst", 2, "--help"),
        ("poll list --limit 0", 2, "1..=1000"),
        ("poll show none", 5, "none"),
        ("message show none", 5, "none"),
        ("message send --to nobody text", 5, "claude-comms module add nobody"),
        ("thread show none", 5, "none"),
        ("task show none", 5, "none"),
        ("task wait none", 5, "none"),
        ("task cancel none", 5, "none"),
        ("task log none", 5, "none"),
        ("pool status none", 5, "none"),
        ("pool run none text", 5, "Pool none not found"),
        ("module remove none", 5, "none"),
        ("module add no:name .", 2, "letters, digits"),
        ("pool create local", 1, "already exists"),
        ("pool run local --timeout 0.01 text", 2, "timeout_seconds is 0.01"),
        ("pool run local --dir /none text", 5, "/none"),
        ("ask --to nobody text", 5, "claude-comms module add nobody"),
        ("ask --pool none text", 5, "Pool none not found"),
        ("poll start --interval 0.01", 2, "--interval"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = daemon.run(&words);
        assert_eq!((ran.code, ran.stderr.lines().count()), (code, 1), "{line}: {ran:?}");
        assert!(ran.stderr.starts_with("claude-comms: ") && ran.stderr.contains(expected), "{line}: {ran:?}");
        let ran = daemon.run(&[&words[..], &["--json"]].concat());
        let document = ran.json();
        assert!(ran.code == code && document["error"]["code"].is_string(), "{line}: {ran:?}");
        assert!(document["error"]["message"].is_string(), "{line}: {document}");
    }
}

#[test]
fn a_bad_configuration_is_78_and_names_the_place() {
    let daemon = Daemon::none();
    daemon.configure("[daemon]\nintervall_seconds = 1\nlog_level = \"loud\"\n");
    for start in [&["poll", "start"][..], &["daemon"], &["config", "check"]] {
        let said = daemon.run(start).bad(78);
        assert!(said.contains("config.toml:2:1") && said.contains("interval_seconds"), "{said}");
        assert!(said.contains("config.toml:3:"), "{said}");
        // Only what looks for mistakes lists them.
        assert_eq!(said.lines().count(), if start[0] == "config" { 2 } else { 1 }, "{said}");
        let message = daemon.run(&[start, &["--json"]].concat()).json()["error"]["message"].clone();
        assert!(!message.as_str().unwrap().contains('\n'), "{message}");
    }
    daemon.configure("[daemon]\ninterval_seconds = 2.0\n");
    daemon.run(&["config", "check"]).good();
    let shown = daemon.json(&["config", "show", "--origin"]);
    assert_eq!(shown["daemon"]["interval_seconds"]["value"], 2.0);
    assert!(daemon.run(&["config", "show"]).good().contains("interval_seconds = 2"));
}

#[test]
fn a_configuration_that_may_not_be_meant_is_warned_of_and_good() {
    let daemon = Daemon::none();
    daemon.configure(
        "session_buddy_polling_enabled = true\n[[upstream]]\nname = \"a\"\nendpoint = \"http://h\"\ntoken = \"hunter2\"\n",
    );
    let ran = daemon.run(&["config", "check"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("the configuration is good"), "{ran:?}");
    let places: Vec<bool> = ran.stderr.lines().map(|line| line.starts_with("warning: ")).collect();
    assert_eq!(places, [true, true], "{ran:?}");
    assert!(ran.stderr.contains("config.toml:1:33: session-buddy may need 4 tools"), "{ran:?}");
    let warnings = daemon.json(&["config", "check"])["warnings"].clone();
    assert!(warnings[1].as_str().unwrap().contains("config.toml:2:1: a may need 4 tools"), "{warnings}");
    for show in [&["config", "show", "--origin"][..], &["config", "show", "--json"]] {
        let shown = daemon.run(show).good();
        assert!(shown.contains("\"(set)\"") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn one_that_does_not_answer_is_4() {
    let mut daemon = Daemon::start();
    daemon.signal(Signal::STOP);
    let asking: Vec<_> =
        [&["poll", "status"][..], &["message", "list"], &["pool", "list"]].map(|verb| daemon.spawn(verb)).into();
    for asked in asking {
        let said = asked.wait().bad(4);
        assert!(said.contains("claude-comms poll logs"), "{said}");
    }
    daemon.run(&["poll", "stop", "--timeout", "0.2"]).bad(124);
    daemon.signal(Signal::CONT);
    // It was asked, and now it can hear.
    assert_eq!(daemon.wait(), 0);
}

#[test]
fn a_daemon_that_does_not_stop_is_killed_with_its_tasks() {
    let mut daemon = Daemon::start();
    daemon.run(&["pool", "create", "long", "--", "sh", "-c", "trap '' TERM; echo on; exec cat ../gate"]).good();
    rustix::fs::mkfifoat(rustix::fs::CWD, daemon.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    daemon.run(&["pool", "run", "long", "--no-wait", "x"]).good();
    wait_until("the task's process", || !crate::support::processes_of(&daemon.epoch).is_empty());
    daemon.signal(Signal::STOP);
    let stopping = daemon.spawn(&["poll", "stop", "--force", "--timeout", "0.1"]);
    // TERM does not reach who is stopped, so KILL has to.
    assert_eq!(daemon.wait(), -1);
    let stopped = stopping.wait();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(stopped.stdout, "claude-comms was killed\n");
    assert_eq!(crate::support::processes_of(&daemon.epoch), [0; 0]);
}

#[test]
fn events_are_printed_as_they_come() {
    let daemon = Daemon::start();
    let mut tail = daemon.spawn(&["event", "tail", "--channel", "pool:local", "--json", "--since", "0"]);
    daemon.run(&["pool", "run", "local", "hello"]).good();
    tail.wait_for_output("\"task.completed\"");
    // Not INT: whoever starts the tests in the background has that ignored, and we would inherit it.
    tail.signal(Signal::TERM);
    let printed = tail.wait().stdout;
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<&str> = events[0].as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["id", "correlation_id", "type", "event", "data", "timestamp", "room", "error_code", "error_message"] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert!(events.iter().all(|event| event["room"] == "pool:local" && event["data"]["severity"].is_string()));
    assert!(!printed.contains("hello"), "an event carries contents: {printed}");
}

#[test]
fn what_is_published_is_numbered_and_kept_like_all_that_happens() {
    let daemon = Daemon::start();
    let publish = |words: &[&str]| daemon.run(&[&["event", "publish"], words].concat());
    let seq = publish(&["insights", "insight.generated", r#"{"type":"cost","severity":"warning"}"#, "--json"]).json();
    let mut tail = daemon.spawn(&["event", "tail", "--channel", "insights", "--json", "--since", "0"]);
    publish(&["insights", "insight.generated", "--severity", "error"]).good();
    tail.wait_for_output("\"error\"");
    tail.signal(Signal::TERM);
    let printed = tail.wait().stdout;
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["seq"], seq["seq"]);
    assert_eq!(events[0]["data"], serde_json::json!({"type": "cost", "severity": "warning"}));
    assert_eq!(events[1]["data"], serde_json::json!({"severity": "error"}));
    assert!(publish(&["pool:local", "task.completed"]).bad(2).contains("tells what happens here"));
    assert!(publish(&["notes:mine", "x", "[1]"]).bad(2).contains("must be a JSON object"));
    assert!(publish(&["notes:mine", "x", "{"]).bad(2).contains("JSON is not valid"));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(16 << 10));
    publish(&["notes:mine", "x", &large]).bad(2);
}

#[test]
fn an_export_is_gone_on_with_and_has_every_event_once() {
    let daemon = Daemon::start();
    let publish = |data: &str| daemon.run(&["event", "publish", "notes:mine", "note.taken", data]).good();
    let (file, database) = (daemon.path("events.jsonl"), daemon.path("events.db"));
    publish(r#"{"n":1}"#);
    let all = ["event", "export", &file];
    assert!(daemon.run(&all).good().is_empty());
    daemon.run(&["event", "export", "--sqlite", &database]).good();
    publish(r#"{"n":2}"#);
    daemon.run(&all).good();
    let mut following = daemon.spawn(&["event", "export", &file, "--follow"]);
    publish(r#"{"n":3}"#);
    wait_until("the third note", || fs::read_to_string(&file).unwrap().contains(r#""n":3"#));
    assert!(daemon.run(&all).bad(1).contains("another export writes to"));
    assert!(!following.has_ended());
    let last = daemon.status()["seq"].as_u64().unwrap();
    daemon.run(&["poll", "stop"]).good();
    assert_eq!(following.wait().code, 0);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["event"], &lines[0]["data"]["epoch"]), (&json!("export.begun"), &json!(daemon.epoch)));
    let seqs: Vec<u64> = lines[1..].iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64) && seqs.len() as u64 >= last, "{seqs:?}");
    let mut archive = Foreign::open(Path::new(&database));
    let found = archive.ask("SELECT count(*) FROM events WHERE event = 'note.taken'", json!([]));
    assert_eq!(found, json!([[1]]));
}

#[test]
fn an_export_does_not_go_back_behind_what_its_file_has() {
    let daemon = Daemon::start();
    let file = daemon.path("events.jsonl");
    (0..3).for_each(|_| drop(daemon.run(&["event", "publish", "notes:mine", "note.taken"]).good()));
    daemon.run(&["event", "export", &file]).good();
    let before = fs::read_to_string(&file).unwrap();
    let refused = daemon.run(&["event", "export", &file, "--since", "1"]).bad(2);
    assert!(refused.contains("leave out --since"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let last = daemon.status()["seq"].to_string();
    daemon.run(&["event", "publish", "notes:mine", "note.taken"]).good();
    daemon.run(&["event", "export", &file, "--since", &last]).good();
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), before.lines().count() + 1);
}

#[test]
fn a_reader_of_an_export_that_goes_away_is_no_failure_of_the_disk() {
    let daemon = Daemon::start();
    let publish = |_| {
        drop(
            daemon
                .run(&["event", "publish", "notes:mine", "x", &format!(r#"{{"a":"{}"}}"#, "x".repeat(16_000))])
                .good(),
        )
    };
    (0..8).for_each(publish);
    let mut child = daemon.command(&["event", "export", "-"]);
    let mut child = child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(141), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn who_follows_is_told_whether_the_end_was_one_in_order() {
    let mut daemon = Daemon::start();
    let file = daemon.path("events.jsonl");
    let follow = |daemon: &Daemon| {
        let mut both =
            [&["event", "tail"][..], &["event", "export", &file, "--follow"]].map(|words| daemon.spawn(words));
        wait_until("both to follow", || {
            daemon.run(&["event", "publish", "notes:mine", "note.taken"]).good();
            both[0].so_far().contains("note.taken")
                && fs::read_to_string(&file).is_ok_and(|text| text.contains("note.taken"))
        });
        // The first may have been read with what was there already; what comes after it is followed.
        daemon.run(&["event", "publish", "notes:mine", "note.followed"]).good();
        wait_until("both to have followed", || {
            both[0].so_far().contains("note.followed")
                && fs::read_to_string(&file).is_ok_and(|text| text.contains("note.followed"))
        });
        assert!(both.iter_mut().all(|running| !running.has_ended()));
        both
    };
    let both = follow(&daemon);
    daemon.kill9();
    for running in both {
        let said = running.wait().bad(3);
        assert!(said.contains("went away without a word"), "{said}");
    }
    daemon.restart();
    let both = follow(&daemon);
    daemon.run(&["poll", "stop"]).good();
    for running in both {
        running.wait().good();
    }
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let ran = spawn(command(&["demo"]).env("TMPDIR", scratch.path()), b"").wait();
    let printed = ran.good();
    assert!(printed.contains("kill -9") && printed.contains("its answer is recorded 1 time(s)"), "{printed}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert!(fs::metadata(BINARY).unwrap().is_file());
}
