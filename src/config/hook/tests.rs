use super::*;
use crate::config::layers::tests::{load, problems};
use crate::config::{Config, Overrides};
use crate::feed::Filter;

fn hooks(user: &str) -> Vec<Hook> {
    load("", user, &[], &Overrides::default()).unwrap().config.hooks
}

#[test]
fn there_are_no_hooks_by_default() {
    assert_eq!(Config::default().hooks, []);
}

#[test]
fn every_row_is_kept_in_a_field_of_its_own() {
    let user = r#"
        [[hook]]
        name = "notify"
        command = ["notify.sh", "--loud"]
        channels = ["pool:local", "alerts"]
        events = ["task.failed", "alert.raised"]
        min_severity = "error"
        timeout_seconds = 2.5
        [[hook]]
        name = "all"
        command = ["true"]
    "#;
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let expected = [
        Hook {
            name: "notify".to_owned(),
            command: words(&["notify.sh", "--loud"]),
            channels: words(&["pool:local", "alerts"]),
            events: words(&["task.failed", "alert.raised"]),
            min_severity: MinSeverity::Error,
            timeout: Duration::from_millis(2500),
        },
        Hook {
            name: "all".to_owned(),
            command: words(&["true"]),
            channels: words(&["*"]),
            events: Vec::new(),
            min_severity: MinSeverity::Info,
            timeout: Duration::from_secs(60),
        },
    ];
    assert_eq!(hooks(user), expected);
}

#[test]
fn everything_that_is_wrong_with_hooks_is_told_with_its_place() {
    problems(
        r#"[[hook]]
name = "a b"
command = "notify-send hello"
channel = ["alerts"]
channels = ["pool"]
events = ["task completed"]
min_severity = "loud"
timeout_seconds = 0

[[hook]]
name = "twice"
channels = []

[[hook]]
name = "twice"
command = []
events = [1]

[hooks]
"#,
        &[
            "user.toml:2:8: hook.name must be a name of at most 64 ASCII letters, digits, dots, underscores and dashes, a letter or digit first, not \"a b\"",
            "user.toml:3:11: hook.command must be a list of texts, the first of them a program, not a text",
            "user.toml:4:1: there is no setting \"channel\" in [[hook]]; did you mean channels?",
            "user.toml:5:12: hook.channels must be a list of channels, like \"pool:local\", \"alerts\" or \"*\", not a list with \"pool\" in it",
            "user.toml:6:10: hook.events must be a list of names of events, like \"task.completed\", not a list with \"task completed\" in it",
            "user.toml:7:16: hook.min_severity must be one of \"info\", \"warning\", \"error\", not \"loud\"",
            "user.toml:8:19: hook.timeout_seconds must be a number of seconds from 0.1 to 86400, not 0",
            "user.toml:10:1: [[hook]] needs command, a list of texts, the first of them a program",
            "user.toml:12:12: hook.channels must be a list of channels, like \"pool:local\", \"alerts\" or \"*\", not an empty list",
            "user.toml:15:8: [[hook]] \"twice\" is there already, at user.toml:11:8",
            "user.toml:16:11: hook.command must be a list of texts, the first of them a program, not an empty list",
            "user.toml:17:10: hook.events must be a list of names of events, like \"task.completed\", not a list with a number in it",
            "user.toml:19:2: there is no section \"hooks\"; did you mean [[hook]]?",
        ],
    );
}

#[test]
fn a_channel_is_what_a_subscriber_may_name() {
    let long = format!("note:{}", "x".repeat(320));
    let words = ["*", "global", "messages", "alerts", "insights", "pool:local", "message:*", "worker:w", "a:b:c"];
    for channel in words.into_iter().chain(["", "pool", ":x", "pool:", "**", "tasks", &long]) {
        let taken = Filter::new(vec![channel.to_owned()], Vec::new()).is_ok();
        assert_eq!(is_channel(channel), taken, "{channel}");
    }
}

#[test]
fn there_is_room_for_64() {
    let one = |number: usize| format!("[[hook]]\nname = \"h{number}\"\ncommand = [\"true\"]\n");
    let most: String = (0..64).map(one).collect();
    assert_eq!(hooks(&most).len(), 64);
    problems(&(most + &one(64)), &["user.toml:193:1: there may be at most 64 of [[hook]]"]);
}
