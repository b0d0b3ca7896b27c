//! `pool` and `task`: work that is handed out, and what its processes do.

use std::fs;
use std::time::Duration;

use claude_comms::control::wire::{Request, TaskSubmit};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, processes_of, wait_until};

/// Makes a pool whose tasks run a shell with the prompt as their script.
fn shell(daemon: &Daemon) {
    daemon.run(&["pool", "create", "shell", "--", "sh", "-c", "{prompt}"]).good();
}

/// A fifo: who opens it waits for the other side.
fn gate(daemon: &Daemon, name: &str) -> String {
    let path = daemon.path(name);
    mkfifoat(CWD, &path, Mode::RWXU).unwrap();
    path
}

fn submit(daemon: &Daemon, script: &str) -> String {
    daemon.run(&["pool", "run", "shell", "--no-wait", script]).good().trim().to_owned()
}

#[test]
fn a_task_ends_with_its_result() {
    let daemon = Daemon::start();
    shell(&daemon);
    assert_eq!(daemon.run(&["pool", "run", "shell", "echo one; echo more >&2"]).good(), "one\n");
    let ran = daemon.run(&["pool", "run", "shell", "--json", "pwd"]);
    let document = ran.json();
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["attempt", "error", "exit_code", "pool_id", "result", "status", "task_id", "worker_id"];
    assert!(expected.iter().all(|key| keys.contains(key)) && keys.len() == expected.len(), "{keys:?}");
    assert_eq!(document["status"], "completed");
    // It runs where the caller was.
    let here = fs::canonicalize(daemon.path("frontend")).unwrap();
    assert_eq!(document["result"].as_str().unwrap().trim(), here.to_str().unwrap());

    let failed = daemon.run(&["pool", "run", "shell", "echo because >&2; exit 7"]);
    assert!(failed.stderr.contains("`sh` ended with exit code 7: because"), "{failed:?}");
    failed.bad(1);
    let listed = daemon.json(&["task", "list", "--pool", "shell"]);
    let statuses: Vec<&Value> = listed["tasks"].as_array().unwrap().iter().map(|task| &task["status"]).collect();
    assert_eq!(statuses, ["failed", "completed", "completed"]);
    let pool = daemon.json(&["pool", "status", "shell"]);
    assert_eq!([&pool["tasks_completed"], &pool["tasks_failed"], &pool["workers_count"]], [2, 1, 3]);
    assert_eq!(pool["workers"].as_array().unwrap().len(), 3);
    assert_eq!(daemon.json(&["pool", "list"])["pools"].as_array().unwrap().len(), 2);
}

#[test]
fn a_wait_ends_as_the_process_did() {
    let daemon = Daemon::start();
    shell(&daemon);
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let id = submit(&daemon, script);
        assert_eq!(daemon.run(&["task", "wait", &id]).code, code, "{script}");
    }
    let gate = gate(&daemon, "gate");
    let id = submit(&daemon, &format!("echo out; echo err >&2; read line < {gate}; echo $line"));
    daemon.run(&["task", "wait", &id, "--timeout", "0.1"]).bad(124);
    wait_until("its output", || daemon.run(&["task", "log", &id]).stdout == "out\n");
    assert_eq!(daemon.run(&["task", "log", &id, "--stderr"]).good(), "err\n");
    fs::write(gate, "go\n").unwrap();
    assert_eq!(daemon.run(&["task", "wait", &id]).good(), "out\ngo\n");
    let shown = daemon.json(&["task", "show", &id]);
    assert_eq!([&shown["status"], &shown["exit_code"], &shown["attempt"]], [&json!("completed"), &json!(0), &json!(1)]);
}

#[test]
fn a_task_that_waits_for_its_time_says_when_that_is() {
    let daemon = Daemon::start();
    let submit = TaskSubmit { prompt: "x".to_owned(), dir: Some("/".to_owned()), ..TaskSubmit::default() };
    let later = TaskSubmit { delay_seconds: Some(3600.0), ..submit.clone() };
    let [later, now] = [later, submit].map(|submit| daemon.call(&Request::TaskSubmit(submit))["task_id"].clone());
    let [later, now] = [&later, &now].map(|id| daemon.json(&["task", "show", id.as_str().unwrap()]));
    let due = later["not_before"].as_str().unwrap();
    assert!(later["created_at"].as_str().unwrap() < due, "{later}");
    let shown = daemon.run(&["task", "show", later["task_id"].as_str().unwrap()]).good();
    let due = &due.replace('T', " ")[..19];
    assert!(shown.lines().any(|line| line.starts_with("due ") && line.contains(due)), "{shown}");
    assert_eq!(now["not_before"], Value::Null);
    let keys = now.as_object().unwrap();
    assert_eq!([&keys["context"], &keys["dir"]], [&Value::Null, &json!("/")]);
}

#[test]
fn a_task_is_cancelled_waiting_or_running() {
    let daemon = Daemon::start();
    shell(&daemon);
    let gate = gate(&daemon, "gate");
    let running: Vec<String> = (0..3).map(|_| submit(&daemon, &format!("cat {gate}"))).collect();
    wait_until("three processes", || processes_of(&daemon.epoch).len() >= 3);
    let waiting = submit(&daemon, "echo never");
    assert!(daemon.run(&["task", "cancel", &waiting]).good().contains("is cancelled"));
    let said = daemon.run(&["task", "wait", &waiting]).bad(1);
    assert!(said.contains("cancelled before it ran") && !said.contains("task log"), "{said}");
    assert_eq!(daemon.json(&["task", "cancel", &waiting])["error"], "cancelled before it ran");
    for id in &running {
        assert!(daemon.run(&["task", "cancel", id]).good().contains("is being ended"));
    }
    for id in &running {
        let waited = daemon.run(&["task", "wait", id]);
        assert!(waited.stderr.contains("cancelled"), "{waited:?}");
        waited.bad(1);
    }
    assert_eq!(processes_of(&daemon.epoch), [0; 0]);
    // Again is nothing; what is done cannot be undone.
    daemon.run(&["task", "cancel", &running[0]]).good();
    let done = submit(&daemon, "echo done");
    daemon.run(&["task", "wait", &done]).good();
    daemon.run(&["task", "cancel", &done]).bad(1);
}

#[test]
fn a_command_that_does_not_exist_says_what_to_set() {
    let daemon = Daemon::with(&["no-such-agent"], &[]);
    let failed = daemon.run(&["pool", "run", "local", "x"]).bad(1);
    assert!(failed.contains("`no-such-agent`") && failed.contains("[executor] command"), "{failed}");
    assert!(!failed.contains("task log"), "{failed}");
    let asked = daemon.run(&["ask", "--json", "x"]);
    let answer = asked.json();
    assert_eq!([&answer["success"], &answer["final_status"]], [&json!(false), &json!("failed")]);
    assert!(answer["error"].as_str().unwrap().contains("[executor] command"), "{answer}");
    asked.bad(1);
    let question = daemon.json(&["message", "show", answer["question_msg_id"].as_str().unwrap()]);
    assert_eq!(question["status"], "failed");
    assert_eq!(question["error"], answer["error"]);
}

#[test]
fn whatever_ignores_term_or_slips_away_is_ended() {
    let daemon = Daemon::start();
    shell(&daemon);
    let gate = gate(&daemon, "gate");
    // Neither TERM nor leaving the group nor losing its parent helps it.
    let script =
        format!("trap '' TERM; setsid sh -c 'trap \"\" TERM; cat {gate}' & cat {gate}; cat {gate}; cat {gate}");
    let failed = daemon.run(&["pool", "run", "shell", "--timeout", "0.3", &script]).bad(1);
    assert!(failed.contains("had not finished after 300ms"), "{failed}");
    assert_eq!(processes_of(&daemon.epoch), [0; 0]);
    assert_eq!(daemon.run(&["pool", "run", "shell", "echo next"]).good(), "next\n");
}

#[test]
fn a_flood_is_cut_and_the_daemon_stays_small() {
    let daemon = Daemon::start();
    shell(&daemon);
    let id = submit(&daemon, "head -c 100000000 /dev/zero | tr '\\0' x");
    let waited = daemon.run(&["task", "wait", &id, "--json"]);
    let task = waited.json();
    assert_eq!([&task["status"], &task["result_truncated"]], [&json!("completed"), &json!(true)]);
    assert_eq!(task["result"].as_str().unwrap().len(), 1 << 20);
    let memory = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 64 << 10, "the daemon took {kilobytes} kB");
    let log = daemon.json(&["task", "log", &id]);
    let length = log["length"].as_u64().unwrap();
    assert!((64 << 20..65 << 20).contains(&length), "the log has {length} bytes");
}

#[test]
fn a_process_may_close_its_output_early() {
    let daemon = Daemon::start();
    shell(&daemon);
    let gate = gate(&daemon, "gate");
    let id = submit(&daemon, &format!("echo said; exec >&- 2>&-; read line < {gate}; exit 3"));
    daemon.run(&["task", "wait", &id, "--timeout", "0.1"]).bad(124);
    fs::write(gate, "go\n").unwrap();
    assert_eq!(daemon.run(&["task", "wait", &id]).code, 3);
    // And one that reads nothing of a long prompt.
    daemon.run(&["pool", "create", "deaf", "--", "true"]).good();
    daemon.run_with_input(&["pool", "run", "deaf", "-"], &vec![b'x'; 1 << 20]).good();
    let long = daemon.run_with_input(&["pool", "run", "deaf", "-"], &vec![b'x'; (1 << 20) + 1]);
    assert!(long.stderr.contains("1048576"), "{long:?}");
    long.bad(2);
}

#[test]
fn a_pool_runs_three_at_a_time_and_refuses_what_does_not_fit() {
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "shell", "--queue-max", "2", "--", "sh", "-c", "{prompt}"]).good();
    let gate = gate(&daemon, "gate");
    let tasks: Vec<String> = (0..5).map(|_| submit(&daemon, &format!("cat {gate}"))).collect();
    let full = daemon.run(&["pool", "run", "shell", "--no-wait", "--json", "true"]);
    assert_eq!(full.json()["error"]["code"], "queue_full");
    full.bad(75);
    wait_until("three of them", || daemon.json(&["pool", "status", "shell"])["tasks_running"] == 3);
    assert_eq!(daemon.json(&["pool", "status", "shell"])["queue_size"], 2);
    for id in tasks.iter().rev() {
        daemon.run(&["task", "cancel", id]).good();
    }
    for id in &tasks {
        assert_eq!(daemon.run(&["task", "wait", id]).code, 1);
    }
}

#[test]
fn the_same_key_is_the_same_task() {
    let daemon = Daemon::start();
    shell(&daemon);
    let runs = daemon.path("runs");
    let script = format!("echo ran >> {runs}");
    let run = || daemon.run(&["pool", "run", "shell", "--key", "once", "--no-wait", &script]);
    let first = run().good();
    daemon.run(&["task", "wait", first.trim()]).good();
    let again = run();
    assert!(again.stderr.contains("there is a task with that key already"), "{again:?}");
    assert_eq!(again.good(), first);
    assert_eq!(fs::read_to_string(runs).unwrap(), "ran\n");
}

#[test]
fn a_task_gets_its_context_and_tries_again() {
    let daemon = Daemon::start();
    shell(&daemon);
    let script = r#"test -e tried && printf '%s' "$CLAUDE_COMMS_CONTEXT" && exit 0; touch tried; exit 1"#;
    let context = ["--context", r#"{"a":1}"#, "--retries", "1", "--priority", "-5", "--dir", "../backend"];
    let ran = daemon.run(&[&["pool", "run", "shell", "--json"], &context[..], &[script]].concat());
    let task = ran.json();
    assert_eq!(
        [&task["status"], &task["attempt"], &task["result"]],
        [&json!("completed"), &json!(2), &json!(r#"{"a":1}"#)]
    );
    assert!(fs::exists(daemon.path("backend/tried")).unwrap());
}

#[test]
fn a_place_that_the_context_names_is_taken_or_refused() {
    let daemon = Daemon::start();
    shell(&daemon);
    let run = |repo: &str, more: &[&str]| {
        let context = json!({"repo": repo}).to_string();
        daemon.run(&[&["pool", "run", "shell", "--context", &context], more, &["pwd -P"]].concat())
    };
    let backend = fs::canonicalize(daemon.path("backend")).unwrap().display().to_string();
    assert_eq!(run(&backend, &[]).good().trim(), backend);
    assert_eq!(run("/no/such", &["--dir", "/"]).good().trim(), "/");
    assert!(run("/no/such", &[]).bad(2).contains("context.repo is \"/no/such\", which is no directory"));
    assert!(run("../backend", &[]).bad(2).contains("it must be an absolute path"));
}

#[test]
fn an_orderly_stop_puts_running_tasks_back() {
    let mut daemon = Daemon::start();
    shell(&daemon);
    let runs = daemon.path("runs");
    let gate = gate(&daemon, "gate");
    let id = submit(&daemon, &format!("echo ran >> {runs}; read line < {gate}; echo $line"));
    wait_until("its start", || fs::exists(&runs).unwrap());
    let queued: Vec<String> = (0..4).map(|number| submit(&daemon, &format!("echo {number}"))).collect();
    daemon.stop();
    assert_eq!(processes_of(&daemon.epoch), [0; 0]);
    daemon.restart();
    wait_until("its second start", || fs::read_to_string(&runs).unwrap() == "ran\nran\n");
    fs::write(gate, "go\n").unwrap();
    assert_eq!(daemon.run(&["task", "wait", &id]).good(), "go\n");
    assert_eq!(daemon.json(&["task", "show", &id])["crashes"], 0);
    for (number, id) in queued.iter().enumerate() {
        assert_eq!(daemon.run(&["task", "wait", id]).good(), format!("{number}\n"));
    }
}

#[test]
fn a_second_signal_waits_for_no_task() {
    let mut daemon = Daemon::start();
    daemon.configure("[executor]\nkill_grace_seconds = 60\n");
    daemon.stop();
    daemon.restart();
    shell(&daemon);
    let ready = daemon.path("ready");
    let gate = gate(&daemon, "gate");
    submit(&daemon, &format!("trap '' TERM; touch {ready}; cat {gate}; cat {gate}"));
    wait_until("its start", || fs::exists(&ready).unwrap());
    daemon.signal(Signal::TERM);
    wait_until("the stop", || daemon.log().lines().any(|line| line.ends_with(" stopping")));
    assert!(!crate::support::ends_within(daemon.pid(), Duration::from_millis(300)));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), 130);
    assert_eq!(processes_of(&daemon.epoch), [0; 0]);
    assert!(!daemon.socket().exists());
}

/// `CLAUDE_COMMS_BATCH_TASKS=1000000` makes it as large as anybody may want it.
#[test]
fn a_batch_is_streamed_however_large_it_is() {
    let count: usize = std::env::var("CLAUDE_COMMS_BATCH_TASKS").map_or(3000, |count| count.parse().unwrap());
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "e", "--executor", "echo", "--queue-max", "100"]).good();
    let prompts: String = (0..count).map(|number| format!("{number}\n")).collect();
    let batch = daemon.run_with_input(&["pool", "batch", "e"], prompts.as_bytes());
    assert_eq!((batch.code, batch.stdout == prompts), (0, true), "{}", batch.stderr);
    // The queue was never longer than it may be, and neither side has kept it all.
    let memory = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100_000, "the daemon has used {peak} kB");
}

#[test]
fn a_batch_prints_its_results_in_order() {
    let daemon = Daemon::start();
    shell(&daemon);
    daemon.run(&["pool", "create", "echo", "--executor", "echo", "--queue-max", "5"]).good();
    // More than the queue holds: who is refused is handed in again.
    let prompts: Vec<String> = (0..300).map(|number| format!("prompt {number}")).collect();
    let ran = daemon.run_with_input(&["pool", "batch", "echo"], format!("{}\n", prompts.join("\n\n")).as_bytes());
    assert_eq!(ran.good().lines().collect::<Vec<_>>(), prompts);
    let ran = daemon.run_with_input(&["pool", "batch", "shell", "-0"], b"echo one\necho two\0exit 3\0");
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("--- ") && lines[0].ends_with(" completed"), "{ran:?}");
    assert_eq!(lines[1..3], ["one", "two"]);
    assert!(lines[3].ends_with(" failed") && lines[4].contains("exit code 3"), "{ran:?}");
    assert!(ran.stderr.contains("1 of 2 tasks were not completed"), "{ran:?}");
    let ran = daemon.run_with_input(&["pool", "batch", "shell", "--json", "-"], b"echo a\necho b\n");
    let results: Vec<Value> = ran.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&results[0]["result"], &results[1]["result"]], [&json!("a"), &json!("b")]);
    daemon.run_with_input(&["pool", "batch", "nobody"], b"x\n").bad(5);
}

#[test]
fn a_pool_is_paused_resumed_and_deleted() {
    let daemon = Daemon::start();
    shell(&daemon);
    assert!(daemon.run(&["pool", "pause", "shell"]).good().contains("paused"));
    let waiting = submit(&daemon, "echo later");
    assert_eq!(daemon.json(&["task", "show", &waiting])["status"], "pending");
    daemon.run(&["pool", "resume", "shell"]).good();
    assert_eq!(daemon.run(&["task", "wait", &waiting]).good(), "later\n");
    let gate = gate(&daemon, "gate");
    let running = submit(&daemon, &format!("read line < {gate}; echo $line"));
    wait_until("its process", || !processes_of(&daemon.epoch).is_empty());
    let deleting = daemon.spawn(&["pool", "delete", "shell", "--timeout", "1m"]);
    wait_until("draining", || daemon.json(&["pool", "status", "shell"])["status"] == "draining");
    assert!(daemon.run(&["pool", "run", "shell", "echo no"]).bad(1).contains("Pool shell is not running"));
    fs::write(&gate, "done\n").unwrap();
    assert!(deleting.wait().good().contains("pool shell is deleted"));
    assert_eq!(daemon.run(&["task", "wait", &running]).good(), "done\n");
    daemon.run(&["pool", "status", "shell"]).bad(5);
    // Its threads are gone, and its name is free.
    let threads = || {
        let names = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().flatten();
        names.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok()).collect::<String>()
    };
    assert!(!threads().contains("-shell"), "{}", threads());
    shell(&daemon);
    // A thread gives itself its name once it runs.
    wait_until("its threads", || threads().contains("w2-shell"));
    // What ignores its end is ended all the same.
    submit(&daemon, "trap '' TERM; while :; do sleep 1 & wait; done");
    daemon.run(&["pool", "delete", "shell", "--timeout", "0"]).good();
    assert_eq!(processes_of(&daemon.epoch), [0; 0]);
}

#[test]
fn health_is_an_exit_code() {
    let daemon = Daemon::start();
    shell(&daemon);
    daemon.run(&["pool", "health"]).good();
    let whole = daemon.json(&["pool", "health"]);
    assert_eq!([&whole["pools_total"], &whole["pools_healthy"]], [2, 2]);
    // One worker after the other has failed three times in a row.
    while daemon.run(&["pool", "health", "shell"]).code == 0 {
        daemon.run(&["pool", "run", "shell", "exit 1"]).bad(1);
    }
    let one = daemon.run(&["pool", "health", "shell", "--json"]);
    assert_eq!([&one.json()["status"], &one.json()["workers_total"]], [&json!("degraded"), &json!(3)]);
    assert_eq!(daemon.run(&["pool", "health"]).code, 1);
}

#[test]
fn a_task_waits_for_others_and_for_its_lock() {
    let daemon = Daemon::start();
    shell(&daemon);
    let gate = gate(&daemon, "gate");
    let first = submit(&daemon, &format!("read line < {gate}; test $line = go"));
    let args = ["pool", "run", "shell", "--no-wait", "--after", &first, "echo second"];
    let second = daemon.run(&args).good().trim().to_owned();
    let shown = daemon.json(&["task", "show", &second]);
    assert_eq!([&shown["reason"], &shown["after"]], [&json!("blocked"), &json!([first])]);
    fs::write(&gate, "stop\n").unwrap();
    daemon.run(&["task", "wait", &second]).bad(1);
    assert_eq!(daemon.json(&["task", "show", &second])["reason"], "dependency");
    // Both again, in their order.
    assert!(daemon.run(&["task", "retry", &second]).bad(1).contains("retry it first"));
    daemon.run(&["task", "retry", &first]).good();
    daemon.run(&["task", "retry", &second]).good();
    fs::write(&gate, "go\n").unwrap();
    assert_eq!(daemon.run(&["task", "wait", &second]).good(), "second\n");

    // Two with one lock, in two pools: the second begins when the first has ended.
    let held = daemon.path("held");
    daemon.run(&["pool", "create", "other", "--", "sh", "-c", "{prompt}"]).good();
    let script = format!("mkdir {held} && read line < {gate} && rmdir {held}");
    let one = daemon.run(&["pool", "run", "shell", "--no-wait", "--lock", "repo", &script]).good().trim().to_owned();
    let two = daemon.run(&["pool", "run", "other", "--no-wait", "--lock", "repo", &script]).good().trim().to_owned();
    for id in [one, two] {
        fs::write(&gate, "go\n").unwrap();
        daemon.run(&["task", "wait", &id]).good();
    }
}

#[test]
fn a_log_is_followed_to_its_end_over_attempts() {
    let daemon = Daemon::start();
    shell(&daemon);
    let gates = ["one", "two"].map(|name| gate(&daemon, name));
    // Fails the first time, and says in between what it is at.
    let script = format!(
        "echo begin; if test -e again; then read line < {}; echo $line; else touch again; read line < {}; exit 1; fi",
        gates[1], gates[0]
    );
    let dir = daemon.path("frontend");
    let args = ["pool", "run", "shell", "--no-wait", "--retries", "1", "--dir", &dir, &script];
    let id = daemon.run(&args).good().trim().to_owned();
    let mut following = daemon.spawn(&["task", "log", &id, "--follow"]);
    following.wait_for_output("begin\n");
    fs::write(&gates[0], "x\n").unwrap();
    following.wait_for_output("begin\nbegin\n");
    fs::write(&gates[1], "end\n").unwrap();
    let followed = following.wait();
    assert!(followed.stderr.contains("attempt 2 begins"), "{followed:?}");
    assert_eq!(followed.good(), "begin\nbegin\nend\n");
}

#[test]
fn a_task_goes_where_the_selector_says() {
    let daemon = Daemon::start();
    for id in ["a", "b"] {
        daemon.run(&["pool", "create", id, "--executor", "echo", "--group", "echoes"]).good();
    }
    let mut went = Vec::new();
    for _ in 0..4 {
        let args = ["pool", "route", "--group", "echoes", "--selector", "round_robin", "x"];
        went.push(daemon.json(&args)["pool_id"].clone());
    }
    assert_eq!(went, ["a", "b", "a", "b"]);
    let said = daemon.run(&["pool", "route", "--selector", "best", "x"]).bad(2);
    assert!(said.contains("Unknown selector strategy: best"), "{said}");
    daemon.run(&["pool", "route", "--group", "none", "x"]).bad(5);
}

#[test]
fn a_task_of_which_nothing_is_heard_is_reported_or_ended() {
    let daemon = Daemon::none();
    daemon.configure(
        "[executor]\ncommand = [\"sh\", \"-c\", \"{prompt}\"]\nkill_grace_seconds = 0.3\nstuck_after_seconds = 1\n",
    );
    let mut daemon = daemon;
    daemon.restart();
    daemon.run(&["pool", "create", "strict", "--on-stuck", "kill"]).good();
    let gate = gate(&daemon, "gate");
    let silent = format!("read line < {gate}");
    let id = daemon.run(&["pool", "run", "local", "--no-wait", &silent]).good().trim().to_owned();
    wait_until("it is stuck", || daemon.run(&["pool", "health", "local"]).code == 1);
    fs::write(&gate, "go\n").unwrap();
    daemon.run(&["task", "wait", &id]).good();
    daemon.run(&["pool", "health", "local"]).good();
    let said = daemon.run(&["pool", "run", "strict", &silent]).bad(1);
    assert!(said.contains("had written nothing for too long"), "{said}");
    assert_eq!(daemon.json(&["task", "list", "--pool", "strict"])["tasks"][0]["reason"], "stuck");
}

#[test]
fn tasks_that_ended_long_ago_are_forgotten_with_their_logs() {
    let mut daemon = Daemon::none();
    daemon.configure("[executor]\ncommand = [\"sh\", \"-c\", \"cat\"]\n[retention]\ntasks_days = 1\n");
    daemon.restart();
    let run = |prompt: &str| daemon.json(&["pool", "run", "local", prompt])["task_id"].as_str().unwrap().to_owned();
    let [old, young, newest] = ["old", "young", "newest"].map(run);
    let log = |id: &str| daemon.state_dir().join("tasks").join(id);
    assert!(log(&old).exists() && log(&young).exists());
    daemon.stop();
    // All of them were made long ago; one of them has ended only now.
    let mut foreign = daemon.foreign();
    foreign.sql("UPDATE tasks SET created_at = created_at - 200000", json!([]));
    foreign.sql("UPDATE tasks SET completed_at = completed_at - 200000 WHERE task_id <> ?", json!([young]));
    drop(foreign);
    daemon.restart();
    daemon.run(&["message", "send", "--to", ".", "wakes the housekeeping"]).good();
    wait_until("the old task to be forgotten", || daemon.run(&["task", "show", &old]).code == 5);
    assert!(!daemon.state_dir().join("tasks").join(&old).exists());
    for kept in [&young, &newest] {
        assert_eq!(daemon.json(&["task", "show", kept])["status"], "completed");
        assert!(daemon.state_dir().join("tasks").join(kept).exists());
    }
    let rows =
        daemon.foreign().sql("SELECT count(*) FROM task_inputs UNION ALL SELECT count(*) FROM task_results", json!([]));
    assert_eq!(rows, json!([[2], [2]]));
}
