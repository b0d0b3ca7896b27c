//! Completion on the command line: what each shell makes of its script, and ids from a daemon that runs.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{BINARY, Daemon, Ran, spawn};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

fn script(shell: &str) -> String {
    Daemon::none().run(&["completions", shell]).good()
}

/// Runs a shell with our program on its PATH; `None`, and a word about it, where there is no such shell.
fn run(daemon: &Daemon, shell: &str, arguments: &[&str]) -> Option<Ran> {
    let mut command = Command::new(shell);
    let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    command.args(arguments).env("PATH", path).env("HOME", daemon.path("")).current_dir(daemon.path(""));
    if Command::new(shell).arg("--version").output().is_err() {
        println!("skipped: {shell} is not installed");
        return None;
    }
    Some(spawn(&mut command, b"").wait())
}

#[test]
fn each_shell_takes_its_script() {
    let daemon = Daemon::none();
    for shell in SHELLS {
        let file = daemon.path(&format!("script.{shell}"));
        std::fs::write(&file, script(shell)).unwrap();
        let check = if shell == "fish" { "--no-execute" } else { "-n" };
        let Some(ran) = run(&daemon, shell, &[check, &file]) else { continue };
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{shell}: {ran:?}");
    }
}

/// What the shell offers for a line; the last word is the one at the cursor.
fn offered(daemon: &Daemon, shell: &str, words: &[&str]) -> Option<Vec<String>> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (script, words) = (script(shell), quoted.join(" "));
    let program = match shell {
        "bash" => format!(
            "{script}\nCOMP_WORDS=(claude-comms {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _claude_comms\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
        ),
        // What the completion system of an interactive zsh is given, is printed.
        "zsh" => format!(
            "compdef() {{ : }}\n_describe() {{ print -rl -- \"${{described[@]}}\" }}\n_files() {{ print :files }}\n{script}\n\
             words=(claude-comms {words}); CURRENT=$#words\n_claude-comms"
        ),
        _ => format!("{script}\ncomplete --do-complete 'claude-comms {}'", words.replace('\'', "")),
    };
    let ran = run(daemon, shell, &["-c", &program])?;
    assert!(ran.code == 0 && ran.stderr.is_empty(), "{shell} {words}: {ran:?}");
    let value = |line: &str| match shell {
        "zsh" => line.replace("\\:", "\u{0}").split(':').next().unwrap_or_default().replace('\u{0}', ":"),
        _ => line.split('\t').next().unwrap_or_default().to_owned(),
    };
    Some(ran.stdout.lines().map(value).filter(|value| !value.is_empty()).collect())
}

#[test]
fn each_shell_offers_verbs_flags_and_what_the_daemon_knows() {
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "review", "--", "cat"]).good();
    let state = daemon.state_dir();
    let state = state.to_str().unwrap();
    for shell in SHELLS {
        let offer = |words: &[&str]| offered(&daemon, shell, &[&["--state-dir", state], words].concat());
        let Some(verbs) = offer(&["pool", "sta"]) else { continue };
        assert_eq!(verbs, ["status"], "{shell}");
        assert_eq!(offer(&["pool", "status", "re"]).unwrap(), ["review"], "{shell}");
        assert_eq!(offer(&["task", "list", "--status", "comp"]).unwrap(), ["completed"], "{shell}");
        assert_eq!(offer(&["task", "list", "--po"]).unwrap(), ["--pool"], "{shell}");
        // Bash hands over `=` and `:` as words, and keeps what stands in front of them.
        let (flag, channel) = if shell == "bash" {
            (offer(&["task", "list", "--pool", "=", "re"]), offer(&["event", "tail", "--channel", "pool", ":", "re"]))
        } else {
            (offer(&["task", "list", "--pool=re"]), offer(&["event", "tail", "--channel", "pool:re"]))
        };
        let expected = if shell == "bash" { ["review", "review"] } else { ["--pool=review", "pool:review"] };
        assert_eq!([flag.unwrap(), channel.unwrap()].concat(), expected, "{shell}");
    }
}

#[test]
fn ids_are_offered_that_the_verbs_take() {
    let daemon = Daemon::start();
    let complete = |words: &[&str]| {
        let ran = daemon.run(&[&["__complete", "--"], words].concat());
        let lines: Vec<String> = ran.good().lines().map(ToOwned::to_owned).collect();
        lines
    };
    let only = |words: &[&str]| {
        let lines = complete(words);
        assert_eq!(lines.len(), 1, "{words:?}: {lines:?}");
        lines[0].split_once('\t').map(|(value, about)| (value.to_owned(), about.to_owned())).unwrap()
    };
    daemon.run(&["module", "add", "backend", &daemon.path("backend")]).good();
    daemon.run(&["pool", "run", "local", "x"]).good();
    daemon.run(&["message", "send", "--from", ".", "--to", "backend", "text"]).good();
    daemon.run(&["upstream", "add", "other", "http://localhost:1/mcp", "--json"]).good();
    let workflow =
        json!({"name": "w", "stage": [{"name": "s", "task": [{"name": "t", "pool": "local", "prompt": "x"}]}]});
    daemon.run_with_input(&["workflow", "run", "-"], workflow.to_string().as_bytes()).good();

    for verb in [&["message", "show"], &["thread", "show"], &["workflow", "show"], &["poll", "show"]] {
        let (id, about) = only(&[&verb[..], &[""]].concat());
        assert!(id.len() == 8 && !about.is_empty(), "{verb:?}: {id} {about}");
        daemon.run(&[&verb[..], &[&id]].concat()).good();
    }
    let tasks = complete(&["task", "show", ""]);
    assert!(tasks.len() == 2 && tasks[0].ends_with("local, completed"), "{tasks:?}");
    let task = tasks[0].split_once('\t').unwrap().0;
    daemon.run(&["task", "show", task]).good();
    // Somebody who has the whole id may type that.
    let whole = daemon.json(&["task", "show", task])["task_id"].as_str().unwrap().to_owned();
    assert_eq!(only(&["task", "show", &whole[..30]]).0, whole);
    assert_eq!(only(&["ask", "--to", ""]).0, "backend");
    assert_eq!(only(&["upstream", "status", "oth"]).0, "other");
    assert_eq!(complete(&["module", "add", "x", ""]), [":directories\t"]);
}

#[test]
fn without_a_daemon_that_answers_nothing_is_said() {
    let mut daemon = Daemon::none();
    let ask = |daemon: &Daemon| daemon.run(&["__complete", "--", "task", "show", ""]);
    let silent = |ran: Ran| (ran.code, ran.stdout, ran.stderr) == (0, String::new(), String::new());
    assert!(silent(ask(&daemon)));
    daemon.restart();
    daemon.run(&["pool", "run", "local", "--no-wait", "x"]).good();
    assert!(!silent(ask(&daemon)));
    daemon.signal(Signal::STOP);
    assert!(silent(ask(&daemon)));
    daemon.signal(Signal::CONT);
    assert!(silent(daemon.run(&["__complete", "--"])));
    assert!(daemon.run(&["completions", "csh"]).bad(2).contains("csh"));
}
