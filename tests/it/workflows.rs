//! `workflow`: files of stages, run by the built binary, through a kill -9 and with mistakes in them.

use std::fs;

use serde_json::json;

use crate::support::{Daemon, wait_until};

fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "shell", "--", "sh", "-c", "{prompt}"]).good();
    daemon
}

fn write(daemon: &Daemon, text: &str) -> String {
    let path = daemon.path("flow.toml");
    fs::write(&path, format!("name = 'flow'\npool = 'shell'\n{text}")).unwrap();
    path
}

#[test]
fn results_are_passed_on_and_stages_are_told() {
    let daemon = daemon();
    let file = write(
        &daemon,
        "[[stage]]\nname = 'a'\ntask = [{name = 'one', prompt = 'printf 1'}, {name = 'two', prompt = 'printf 2'}]\n\
         [[stage]]\nname = 'b'\ntask = [{name = 'sum', prompt = 'echo $(({{one}} + {{a.two}}))'}]\n",
    );
    let ran = daemon.run(&["workflow", "run", &file, "--json"]);
    assert!(ran.stderr.contains("stage a completed (1 of 2)") && ran.stderr.contains("stage b completed (2 of 2)"));
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown = ran.json();
    assert_eq!([&shown["status"], &shown["stages_completed"]], [&json!("completed"), &json!(2)]);
    let sum = shown["tasks"][2]["task_id"].as_str().unwrap();
    let task = daemon.json(&["task", "show", sum]);
    assert_eq!([&task["result"], &task["prompt"]], [&json!("3"), &json!("echo $(({{one}} + {{a.two}}))")]);
    assert_eq!(daemon.json(&["workflow", "list"])["workflows"][0]["name"], "flow");
}

#[test]
fn a_workflow_goes_on_after_kill_9() {
    let mut daemon = daemon();
    let gate = daemon.path("gate");
    let file = write(
        &daemon,
        &format!(
            "[[stage]]\nname = 'a'\nretries = 3\ntask = [{{name = 'one', prompt = 'test -e {gate} || sleep 60; printf 1'}}]\n\
             [[stage]]\nname = 'b'\ntask = [{{name = 'two', prompt = 'echo got {{{{one}}}}'}}]\n"
        ),
    );
    let id = daemon.run(&["workflow", "run", &file, "--no-wait", "--key", "k"]).good().trim().to_owned();
    wait_until("the first task", || daemon.json(&["task", "list", "--status", "running"])["tasks"][0].is_object());
    fs::write(&gate, "").unwrap();
    daemon.kill9();
    daemon.restart();
    // The same key finds it again, and waits for it.
    let shown = daemon.json(&["workflow", "run", &file, "--key", "k"]);
    assert_eq!([&shown["workflow_id"], &shown["status"]], [&json!(id), &json!("completed")]);
}

#[test]
fn what_fails_or_is_cancelled_says_so() {
    let daemon = daemon();
    let stages = "[[stage]]\nname = 'a'\ntask = [{name = 't', prompt = 'exit 7'}]\n[[stage]]\nname = 'b'\n\
                  task = [{name = 'u', prompt = 'echo never'}]\n";
    let failed = daemon.run(&["workflow", "run", &write(&daemon, stages)]);
    assert!(failed.bad(1).contains("failed: task a.t failed (error)"));
    let file = write(&daemon, "[[stage]]\nname = 'a'\ntask = [{name = 't', prompt = 'sleep 60'}]\n");
    daemon.run(&["workflow", "run", &file, "--timeout", "0.2"]).bad(124);
    let id = daemon.json(&["workflow", "list", "--status", "running"])["workflows"][0]["workflow_id"].clone();
    let id = id.as_str().unwrap();
    daemon.run(&["workflow", "cancel", id]).good();
    wait_until("its end", || daemon.json(&["workflow", "show", id])["status"] == "cancelled");
    daemon.run(&["workflow", "show", "nothing-like-it"]).bad(5);
}

#[test]
fn a_bad_file_is_refused_with_its_places() {
    let daemon = daemon();
    let bad = daemon.run(&["workflow", "run", &write(&daemon, "[[stage]]\nnmae = 'a'\n")]).bad(2);
    assert!(bad.contains("4:1: a stage has no key \"nmae\"; did you mean \"name\"?"), "{bad}");
    let bad = daemon.run_with_input(&["workflow", "run", "-"], b"{\"name\": }").bad(2);
    assert!(bad.contains("1:10: it is no JSON"), "{bad}");
    assert_eq!(daemon.json(&["workflow", "list"])["workflows"], json!([]));
}
