//! Hooks: commands that run for what happens, over kills, stops and new settings, and what they make of faults.

use std::fs;
use std::path::Path;
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock, Tick};
use claude_comms::control::wire::{EventPublish, Request};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{BINARY, Daemon, processes_of, wait_until};

/// An agent, and hooks.
fn settings(hooks: &str) -> String {
    format!("[executor]\ncommand = [\"sh\", \"-c\", \"cat\"]\nkill_grace_seconds = 0.3\n{hooks}")
}

/// A hook that runs a line of shell in the state directory, for what is on the channels `note:*`.
fn hook(name: &str, script: &str, more: &str) -> String {
    let command = json!(["sh", "-c", script]);
    format!("[[hook]]\nname = \"{name}\"\ncommand = {command}\nchannels = [\"note:*\"]\n{more}\n")
}

fn with(hooks: &str) -> Daemon {
    let mut daemon = Daemon::none();
    daemon.configure(&settings(hooks));
    daemon.restart();
    daemon
}

/// Publishes one event and returns its number, once that is stored.
fn publish(daemon: &Daemon, channel: &str, event: &str) -> u64 {
    let (channel, event) = (channel.to_owned(), event.to_owned());
    let published = daemon.call(&Request::EventPublish(EventPublish { channel, event, ..EventPublish::default() }));
    published["seq"].as_u64().unwrap()
}

fn lines(daemon: &Daemon, file: &str) -> Vec<String> {
    let text = fs::read_to_string(daemon.state_dir().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn numbers(daemon: &Daemon, file: &str) -> Vec<u64> {
    lines(daemon, file).iter().map(|line| line.parse().unwrap()).collect()
}

fn listed(daemon: &Daemon, name: &str) -> Value {
    let hooks = daemon.json(&["hook", "list"]);
    let one = hooks["hooks"].as_array().unwrap().iter().find(|hook| hook["name"] == name);
    one.unwrap_or_else(|| panic!("{hooks}")).clone()
}

/// How far a hook has come, as it is stored.
fn stored(daemon: &Daemon) -> Value {
    daemon.foreign().sql("SELECT name, seq FROM hook_cursors ORDER BY name", json!([]))
}

#[test]
fn without_hooks_none_is_listed() {
    let mut daemon = Daemon::start();
    assert!(daemon.run(&["hook", "list"]).stderr.contains("no hook is configured"));
    assert_eq!(daemon.json(&["hook", "list"]), json!({"hooks": []}));
    daemon.stop();
}

#[test]
fn every_event_is_handed_over_in_order_whatever_becomes_of_the_daemon() {
    let mut daemon = with(&hook("log", "echo $CLAUDE_COMMS_SEQ >> seen", ""));
    let mut wanted = Vec::new();
    for round in 0..3 {
        for _ in 0..15 {
            wanted.push(publish(&daemon, "note:a", "note.taken"));
        }
        // In the middle of them.
        wait_until("some to be seen", || numbers(&daemon, "seen").len() > round * 15 + 2);
        daemon.kill9();
        daemon.restart();
    }
    wait_until("the last", || numbers(&daemon, "seen").last() == wanted.last());
    let seen = numbers(&daemon, "seen");
    // What was not written down before a kill is seen again, from there on; nothing is left out.
    let mut first: Vec<u64> = Vec::new();
    for seq in &seen {
        if first.last().is_none_or(|last| seq > last) {
            first.push(*seq);
        }
    }
    assert_eq!(first, wanted, "{seen:?}");
    // One cut off by each kill, and those whose end was on its way.
    assert!(seen.len() < wanted.len() + 15, "{seen:?}");
    daemon.stop();
}

#[test]
fn a_full_stop_leaves_nothing_to_be_seen_again() {
    let mut daemon = with(&hook("log", "echo $CLAUDE_COMMS_SEQ >> seen", ""));
    let first = publish(&daemon, "note:a", "note.taken");
    // Neither is for the hook.
    publish(&daemon, "other:a", "note.taken");
    let last = publish(&daemon, "other:a", "note.taken");
    wait_until("it to come to the last", || listed(&daemon, "log")["seq"].as_u64() >= Some(last));
    daemon.stop();
    let cursor = stored(&daemon)[0][1].as_u64().unwrap();
    assert!(cursor >= last, "{cursor} {last}");
    // Nothing is waited for after the next start: what was seen is behind it.
    daemon.restart();
    let next = publish(&daemon, "note:a", "note.taken");
    wait_until("the next one", || numbers(&daemon, "seen") == [first, next]);
    daemon.stop();
}

#[test]
fn a_hook_that_is_new_begins_with_what_happens_next() {
    let mut daemon = with("");
    publish(&daemon, "note:a", "note.taken");
    daemon.stop();
    assert_eq!(stored(&daemon), json!([]));
    daemon.configure(&settings(&hook("log", "echo $CLAUDE_COMMS_SEQ >> seen", "")));
    daemon.restart();
    // That it is known is written before anything is handed over.
    assert_eq!(stored(&daemon)[0][0], "log");
    let next = publish(&daemon, "note:a", "note.taken");
    wait_until("the next one", || numbers(&daemon, "seen") == [next]);
    // One that is gone from the configuration is forgotten, and new again when it comes back.
    daemon.stop();
    daemon.configure(&settings(""));
    daemon.restart();
    publish(&daemon, "note:a", "note.taken");
    assert_eq!(stored(&daemon), json!([]));
    daemon.stop();
    daemon.configure(&settings(&hook("log", "echo $CLAUDE_COMMS_SEQ >> seen", "")));
    daemon.restart();
    let third = publish(&daemon, "note:a", "note.taken");
    wait_until("the third one", || numbers(&daemon, "seen") == [next, third]);
    daemon.stop();
}

#[test]
fn a_hook_gets_what_it_asks_for_and_knows_what_it_got() {
    let line = r#"read -r frame; echo "$CLAUDE_COMMS_HOOK $CLAUDE_COMMS_EVENT $CLAUDE_COMMS_CHANNEL $CLAUDE_COMMS_SEVERITY $CLAUDE_COMMS_SEQ"; echo "$frame""#;
    let all = json!(["sh", "-c", format!("{{ {line}; }} >> failed")]);
    let notes = hook("notes", "echo $CLAUDE_COMMS_EVENT >> notes", "events = [\"note.taken\"]");
    let mut daemon = Daemon::none();
    daemon.configure(&format!(
        "[executor]\ncommand = [\"sh\", \"-c\", \"cat; exit 3\"]\n\
         [[hook]]\nname = \"failures\"\ncommand = {all}\nmin_severity = \"error\"\n{notes}"
    ));
    daemon.restart();
    daemon.run(&["event", "publish", "note:a", "note.lost"]).good();
    daemon.run(&["event", "publish", "note:a", "note.taken"]).good();
    daemon.run(&["event", "publish", "other:a", "note.taken"]).good();
    daemon.run(&["pool", "run", "local", "go"]).bad(1);
    wait_until("the failure", || lines(&daemon, "failed").len() == 2);
    let failed = lines(&daemon, "failed");
    let frame: Value = serde_json::from_str(&failed[1]).unwrap();
    assert_eq!(failed[0], format!("failures task.failed pool:local error {}", frame["seq"]));
    assert_eq!((&frame["event"], &frame["data"]["exit_code"]), (&json!("task.failed"), &json!(3)));
    wait_until("the note", || lines(&daemon, "notes") == ["note.taken"]);
    daemon.stop();
    assert_eq!(lines(&daemon, "notes"), ["note.taken"]);
}

#[test]
fn what_hangs_is_ended_and_holds_up_nobody_else() {
    let stuck = hook("stuck", "echo $CLAUDE_COMMS_SEQ >> stuck; exec sleep 600", "timeout_seconds = 0.5");
    let mut daemon = with(&format!("{stuck}{}", hook("well", "echo $CLAUDE_COMMS_SEQ >> well", "")));
    let mut events = daemon.follow(&["note:*"]);
    let seqs = [1, 2].map(|_| publish(&daemon, "note:a", "note.taken"));
    wait_until("the first to hang", || !lines(&daemon, "stuck").is_empty());
    // The others go on.
    wait_until("the other hook", || numbers(&daemon, "well") == seqs);
    assert_eq!(daemon.run(&["pool", "run", "local", "hello"]).good().trim(), "hello");
    for seq in seqs {
        assert_eq!(events.wait_for(|_| true)["seq"], json!(seq));
    }
    assert_eq!(daemon.json(&["poll", "status"])["tasks_running"], 0);
    assert_eq!((&listed(&daemon, "well")["state"], &listed(&daemon, "well")["behind"]), (&json!("ok"), &json!(0)));
    wait_until("the first to be given up", || {
        daemon.log().contains(&format!("hook stuck failed at event {} (note.taken): `sh` had not finished", seqs[0]))
    });
    let stuck = listed(&daemon, "stuck");
    assert_eq!((&stuck["state"], &stuck["last_run"]["outcome"]), (&json!("failing"), &json!("timed_out")), "{stuck}");
    let shown = daemon.run(&["hook", "list"]).good();
    assert!(shown.contains("HOOK") && shown.contains("timed_out") && shown.contains("sh -c echo"), "{shown}");
    daemon.stop();
}

#[test]
fn what_always_fails_is_left_alone_until_it_is_mended() {
    let script = |end: &str| hook("check", &format!("echo $CLAUDE_COMMS_SEQ >> seen; echo no luck >&2; {end}"), "");
    let mut daemon = with(&script("exit 4"));
    let seqs: Vec<u64> = (0..5).map(|_| publish(&daemon, "note:a", "note.taken")).collect();
    wait_until("it to be left alone", || listed(&daemon, "check")["state"] == "waiting");
    let check = listed(&daemon, "check");
    assert_eq!((check["seq"].as_u64(), check["behind"].as_u64()), (Some(seqs[2]), Some(2)), "{check}");
    assert_eq!(check["last_run"]["error"], "`sh` ended with exit code 4: no luck");
    // Three tries for each of three events.
    assert_eq!(numbers(&daemon, "seen").len(), 9);
    let log = daemon.log();
    for seq in &seqs[..3] {
        let told = format!("hook check failed at event {seq} (note.taken): `sh` ended with exit code 4: no luck");
        assert_eq!(log.matches(&told).count(), 1, "{log}");
    }
    let numbers_shown = daemon.run(&["upstream", "metrics"]).good();
    assert!(numbers_shown.contains(r#"circuit_breaker_state{breaker_name="hook:check",state="open"} 1"#));
    // It goes on where it was, at once.
    daemon.configure(&settings(&script("exit 0")));
    daemon.signal(Signal::HUP);
    wait_until("the rest", || numbers(&daemon, "seen")[9..] == seqs[3..]);
    wait_until("it to be well", || listed(&daemon, "check")["state"] == "ok");
    let numbers_shown = daemon.run(&["upstream", "metrics"]).good();
    assert!(numbers_shown.contains(r#"circuit_breaker_state{breaker_name="hook:check",state="open"} 0"#));
    daemon.stop();
}

#[test]
fn a_command_that_is_not_there_is_waited_for() {
    let mut daemon = Daemon::none();
    let program = daemon.path("check");
    let config = format!("[[hook]]\nname = \"check\"\ncommand = [{program:?}]\nevents = [\"note.taken\"]\n");
    daemon.configure(&settings(&config));
    daemon.restart();
    let seqs = [1, 2].map(|_| publish(&daemon, "note:a", "note.taken"));
    let told = format!(
        "hook check waits at event {} (note.taken): `{program}` does not exist; correct the hook's command",
        seqs[0]
    );
    wait_until("the complaint", || daemon.log().contains(&told));
    wait_until("it to be seen as failing", || listed(&daemon, "check")["last_run"]["outcome"] == "not_started");
    assert_eq!(listed(&daemon, "check")["behind"], 2);
    let script = daemon.path("script");
    fs::write(&script, "#!/bin/sh\necho $CLAUDE_COMMS_SEQ >> seen\n").unwrap();
    make_executable(Path::new(&script));
    fs::rename(&script, &program).unwrap();
    // By itself, should it still be trying; else with the next start.
    daemon.stop();
    daemon.restart();
    wait_until("both", || numbers(&daemon, "seen") == seqs);
    assert_eq!(daemon.log().matches(&told).count(), 1);
    daemon.stop();
}

#[test]
fn a_run_that_a_stop_cuts_off_is_made_again() {
    let script = "echo begin >> seen; trap 'echo asked >> seen; exit 1' TERM; \
                  test -e go || { sleep 600 & wait; }; echo end >> seen";
    let mut daemon = with(&hook("slow", script, ""));
    publish(&daemon, "note:a", "note.taken");
    wait_until("it to begin", || lines(&daemon, "seen") == ["begin"]);
    daemon.stop();
    assert_eq!(lines(&daemon, "seen"), ["begin", "asked"]);
    assert!(processes_of(&daemon.epoch).is_empty());
    fs::write(daemon.state_dir().join("go"), "").unwrap();
    daemon.restart();
    wait_until("it to end", || lines(&daemon, "seen") == ["begin", "asked", "begin", "end"]);
    assert!(!daemon.log().contains("hook slow failed"), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn a_run_is_ended_by_the_next_daemon_when_its_own_was_killed() {
    let mut daemon = with(&hook("slow", "echo begin >> seen; test -e go || exec sleep 600", ""));
    publish(&daemon, "note:a", "note.taken");
    wait_until("it to begin", || lines(&daemon, "seen") == ["begin"]);
    daemon.kill9();
    assert_eq!(processes_of(&daemon.epoch).len(), 1);
    fs::write(daemon.state_dir().join("go"), "").unwrap();
    daemon.restart();
    assert!(daemon.log().contains("ended 1 processes that an earlier daemon had left running"), "{}", daemon.log());
    wait_until("it to be run again", || lines(&daemon, "seen") == ["begin", "begin"]);
    wait_until("it to be done", || listed(&daemon, "slow")["behind"] == 0);
    assert!(processes_of(&daemon.epoch).is_empty());
    daemon.stop();
}

#[test]
fn new_settings_hold_at_once_and_leave_the_others_alone() {
    let first = hook("first", "echo one >> first; exec sleep 600", "");
    let other = hook("other", "echo begin >> other; test -e go || exec sleep 600", "timeout_seconds = 30");
    let mut daemon = with(&format!("{first}{other}"));
    publish(&daemon, "note:a", "note.taken");
    wait_until("both", || lines(&daemon, "first") == ["one"] && lines(&daemon, "other") == ["begin"]);
    // The first runs another command, for the same event; the other stays at its own.
    let first = hook("first", "echo two >> first", "");
    let third = hook("third", "echo $CLAUDE_COMMS_SEQ >> third", "");
    daemon.configure(&settings(&format!("{first}{other}{third}")));
    daemon.signal(Signal::HUP);
    wait_until("the new command", || lines(&daemon, "first") == ["one", "two"]);
    assert!(daemon.log().contains("the configuration was read again"), "{}", daemon.log());
    assert!(!daemon.log().contains("restart"), "{}", daemon.log());
    assert_eq!(lines(&daemon, "other"), ["begin"]);
    let next = publish(&daemon, "note:a", "note.taken");
    wait_until("the third", || numbers(&daemon, "third") == [next]);
    wait_until("all of them to be stored", || stored(&daemon).as_array().unwrap().len() == 3);
    // Nobody waits for the one that is taken out.
    daemon.configure(&settings(&third));
    daemon.signal(Signal::HUP);
    wait_until("one to be left", || daemon.json(&["hook", "list"])["hooks"].as_array().unwrap().len() == 1);
    wait_until("its run to be ended", || processes_of(&daemon.epoch).is_empty());
    wait_until("one to be stored", || stored(&daemon) == json!([["third", next]]));
    daemon.stop();
}

#[test]
fn a_second_signal_grants_no_grace() {
    let deaf = |more: &str| hook("deaf", "trap '' TERM; echo begin >> seen; sleep 600", more);
    let mut daemon = with(&deaf(""));
    publish(&daemon, "note:a", "note.taken");
    wait_until("it to begin", || lines(&daemon, "seen") == ["begin"]);
    // Another one waits for its end by now.
    daemon.configure(&settings(&deaf("timeout_seconds = 30")));
    daemon.signal(Signal::HUP);
    wait_until("that to be read", || daemon.log().contains("the configuration was read again"));
    let clock = SystemClock::new();
    daemon.signal(Signal::TERM);
    wait_until("it to be stopping", || daemon.log().contains("] stopping\n"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 130);
    assert!(clock.tick() < Tick::ZERO.after(Duration::from_secs(8)), "{:?}", clock.tick());
    assert!(processes_of(&daemon.epoch).is_empty());
    assert_eq!(lines(&daemon, "seen"), ["begin"]);
}

#[test]
fn events_that_are_kept_no_longer_are_named() {
    let mut daemon = with(&hook("log", "echo $CLAUDE_COMMS_SEQ >> seen", ""));
    let first = publish(&daemon, "note:a", "note.taken");
    wait_until("the first", || numbers(&daemon, "seen") == [first]);
    wait_until("it to be stored", || stored(&daemon)[0][1] == json!(first));
    daemon.kill9();
    {
        // As if a week had passed, with the hook as far as it was.
        let mut foreign = daemon.foreign();
        let event = "SELECT MAX(seq) + 1, MAX(at), 'note:a', 'note.taken', CAST('{}' AS BLOB) FROM events";
        for _ in 0..5 {
            foreign.sql(&format!("INSERT INTO events {event}"), json!([]));
        }
        foreign.sql("DELETE FROM events WHERE seq <= ?", json!([first + 3]));
    }
    daemon.restart();
    wait_until("those that are left", || numbers(&daemon, "seen") == [first, first + 4, first + 5]);
    let told = format!("events {} to {} are kept no longer, hook log did not see them", first + 1, first + 3);
    assert!(daemon.log().contains(&told), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn a_hook_does_not_start_itself() {
    let publish_more = "claude-comms event publish note:echo note.taken && echo $CLAUDE_COMMS_SEQ >> first";
    let echo = hook("echo", publish_more, "");
    let mut daemon = Daemon::none();
    daemon.configure(&settings(&format!("{echo}{}", hook("other", "echo $CLAUDE_COMMS_CHANNEL >> other", ""))));
    daemon.environment.push(("PATH", path_with(&[])));
    daemon.restart();
    let first = publish(&daemon, "note:a", "note.taken");
    // It has published, for everybody else.
    wait_until("the other to see both", || lines(&daemon, "other") == ["note:a", "note:echo"]);
    let second = publish(&daemon, "note:b", "note.taken");
    wait_until("both", || numbers(&daemon, "first") == [first, second]);
    wait_until("it to be done", || listed(&daemon, "echo")["behind"] == 0);
    assert_eq!(numbers(&daemon, "first"), [first, second]);
    // A hook on everything, whose runs are told nobody, runs once for each.
    daemon.stop();
    daemon.configure(&settings(
        "[[hook]]\nname = \"all\"\ncommand = [\"sh\", \"-c\", \"echo $CLAUDE_COMMS_SEQ >> all\"]\n",
    ));
    daemon.restart();
    let last = publish(&daemon, "note:c", "note.taken");
    wait_until("the last", || numbers(&daemon, "all").last() == Some(&last));
    wait_until("it to be done", || listed(&daemon, "all")["behind"] == 0);
    assert_eq!(daemon.status()["seq"], json!(last));
    daemon.stop();
}

#[test]
fn a_bad_hook_keeps_the_daemon_from_starting_and_changes_nothing_later() {
    let mut daemon = with(&hook("log", "echo $CLAUDE_COMMS_SEQ >> seen", ""));
    daemon.configure("[[hook]]\nname = \"log\"\ncommand = \"echo\"\nchanels = []\n");
    let checked = daemon.run(&["config", "check"]);
    assert_eq!(checked.code, 78, "{checked:?}");
    let all = format!("{}{}", checked.stdout, checked.stderr);
    for told in [
        "config.toml:3:11: hook.command must be a list of texts, the first of them a program, not a text",
        "config.toml:4:1: there is no setting \"chanels\" in [[hook]]; did you mean channels?",
    ] {
        assert!(all.contains(told), "{all}");
    }
    daemon.signal(Signal::HUP);
    wait_until("the complaint", || daemon.log().contains("the configuration was not read again"));
    let seq = publish(&daemon, "note:a", "note.taken");
    wait_until("the old one", || numbers(&daemon, "seen") == [seq]);
    daemon.stop();
    assert_eq!(daemon.run(&["daemon", "--listen", "none"]).code, 78);
}

#[test]
fn nothing_is_done_while_nothing_happens() {
    let hooks: String = (0..8).map(|number| hook(&format!("h{number}"), "true", "")).collect();
    let mut daemon = with(&hooks);
    let seq = publish(&daemon, "other:a", "note.taken");
    wait_until("all", || (0..8).all(|number| listed(&daemon, &format!("h{number}"))["seq"].as_u64() >= Some(seq)));
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let names = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default());
    assert_eq!(names.filter(|name| name.starts_with("hook-h")).count(), 8);
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let of_hook = |path: &Path| fs::read_to_string(path.join("comm")).unwrap_or_default().starts_with("hook-");
        let status = tasks.map(|task| task.unwrap().path()).filter(|path| of_hook(path));
        status.map(|path| fs::read_to_string(path.join("status")).unwrap_or_default()).collect::<String>()
    };
    let voluntary = |text: &str| -> u64 {
        let lines = text.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        lines.map(|count| count.trim().parse::<u64>().unwrap()).sum()
    };
    let before = voluntary(&switches());
    let _ = crossbeam_channel::after(Duration::from_millis(1500)).recv();
    assert_eq!(voluntary(&switches()), before);
    daemon.stop();
}

/// These directories, that of the built binary, and where everything else is.
fn path_with(first: &[&Path]) -> String {
    let own = Path::new(BINARY).parent().unwrap();
    let directories = first.iter().copied().chain([own]).map(|path| path.to_str().unwrap().to_owned());
    directories.chain(std::env::var("PATH")).collect::<Vec<_>>().join(":")
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks").join(name).to_str().unwrap().to_owned()
}

#[test]
fn the_example_of_a_quality_check_tells_its_verdict() {
    let mut daemon = Daemon::none();
    let script = example("quality-check.sh");
    let config = format!(
        "[[hook]]\nname = \"quality\"\ncommand = [{script:?}, \"test\", \"!\", \"-e\", \"broken\"]\n\
         channels = [\"pool:*\"]\nevents = [\"task.completed\"]\n"
    );
    daemon.configure(&settings(&config));
    daemon.environment.push(("PATH", path_with(&[])));
    daemon.restart();
    let mut events = daemon.follow(&["quality:*"]);
    let run = |module: &str| {
        let directory = daemon.path(module);
        daemon.json(&["pool", "run", "local", "--dir", &directory, "hello"])["task_id"].as_str().unwrap().to_owned()
    };
    let good = run("frontend");
    let verdict = events.wait_for(|_| true);
    assert_eq!((&verdict["event"], &verdict["room"]), (&json!("quality.passed"), &json!(format!("quality:{good}"))));
    assert_eq!((&verdict["data"]["severity"], &verdict["hook"]), (&json!("info"), &json!("quality")));
    fs::write(Path::new(&daemon.path("backend")).join("broken"), "").unwrap();
    let bad = run("backend");
    let verdict = events.wait_for(|_| true);
    assert_eq!((&verdict["event"], &verdict["room"]), (&json!("quality.failed"), &json!(format!("quality:{bad}"))));
    assert_eq!((&verdict["data"]["severity"], &verdict["data"]["task_id"]), (&json!("error"), &json!(bad)));
    wait_until("it to be done", || listed(&daemon, "quality")["behind"] == 0);
    assert_eq!(listed(&daemon, "quality")["state"], "ok");
    daemon.stop();
}

#[test]
fn the_example_of_a_notification_shows_what_has_failed() {
    let mut daemon = Daemon::none();
    let bin = daemon.path("bin");
    fs::create_dir(&bin).unwrap();
    let fake = Path::new(&bin).join("notify-send");
    let shown = daemon.path("shown");
    fs::write(&fake, format!("#!/bin/sh\nfor word; do echo \"$word\" >> {shown}; done\n")).unwrap();
    make_executable(&fake);
    let script = example("notify.sh");
    let hook =
        format!("[[hook]]\nname = \"notify\"\ncommand = [{script:?}]\nevents = [\"alert.raised\", \"task.failed\"]\n");
    let alert = "[[alert]]\nname = \"awake\"\nmetric = \"claude_comms_threads\"\nabove = 0\n";
    daemon.configure(&format!("[executor]\ncommand = [\"false\"]\n{hook}{alert}"));
    daemon.environment.push(("PATH", path_with(&[Path::new(&bin)])));
    daemon.restart();
    let text = || fs::read_to_string(&shown).unwrap_or_default();
    let notification = |about: &str| format!("--app-name=claude-comms\n--urgency=critical\nclaude-comms\n{about}\n");
    wait_until("the alert", || text() == notification("the alert awake is raised"));
    let ran = daemon.run(&["pool", "run", "local", "go", "--json"]);
    let id = ran.json()["task_id"]
        .as_str()
        .map(str::to_owned)
        .unwrap_or_else(|| daemon.json(&["task", "list"])["tasks"][0]["task_id"].as_str().unwrap().to_owned());
    let failure = notification(&format!("the task {id} in local has failed"));
    wait_until("the failure", || text().ends_with(&failure));
    daemon.stop();
}
