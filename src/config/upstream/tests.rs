use std::time::Duration;

use super::*;
use crate::config::layers::tests::{entries, load, problems};
use crate::config::{Config, Loaded, Overrides};

const TOOLS: [&str; 4] =
    ["get_activity_summary", "get_workflow_metrics", "get_session_analytics", "get_performance_metrics"];

fn read(user: &str) -> Loaded {
    load("", user, &[], &Overrides::default()).unwrap()
}

fn with_environment(user: &str, environment: &[(&str, &str)]) -> Loaded {
    load("", user, environment, &Overrides::default()).unwrap()
}

#[track_caller]
fn refused(environment: &[(&str, &str)], expected: &[&str]) {
    let told = load("", "", environment, &Overrides::default()).map(|_| ()).unwrap_err();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn session_buddy_is_there_and_off_by_default() {
    let expected = Upstream {
        name: "session-buddy".to_owned(),
        enabled: false,
        endpoint: "http://localhost:8678/mcp".to_owned(),
        token: None,
        interval: seconds(30),
        timeout: seconds(10),
        max_retries: 3,
        retry_delay: seconds(5),
        circuit_breaker_threshold: 5,
        metrics_to_collect: TOOLS.map(ToOwned::to_owned).into(),
    };
    assert_eq!(Config::default().upstreams, [expected]);
}

#[test]
fn every_row_is_kept_in_a_field_of_its_own() {
    let user = r#"
        [session_buddy_polling]
        enabled = true
        endpoint = "https://[::1]:1/mcp"
        interval_seconds = 7.5
        timeout_seconds = 1
        max_retries = 2
        retry_delay_seconds = 3
        circuit_breaker_threshold = 4
        metrics_to_collect = ["b", "a"]
        [[upstream]]
        name = "zoo"
        endpoint = "http://zoo:1"
        token = "s3cret"
        enabled = false
        interval_seconds = 11
        [[upstream]]
        name = "ant"
        endpoint = "http://ant"
    "#;
    let upstreams = read(user).config.upstreams;
    let first = Upstream {
        name: SESSION_BUDDY.to_owned(),
        enabled: true,
        endpoint: "https://[::1]:1/mcp".to_owned(),
        token: None,
        interval: Duration::from_millis(7500),
        timeout: seconds(1),
        max_retries: 2,
        retry_delay: seconds(3),
        circuit_breaker_threshold: 4,
        metrics_to_collect: vec!["b".to_owned(), "a".to_owned()],
    };
    assert_eq!(upstreams[0], first);
    let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["session-buddy", "zoo", "ant"]);
    assert!(!upstreams[1].enabled && upstreams[2].enabled);
    assert_eq!(upstreams[1].token.as_ref().map(Secret::reveal), Some("s3cret"));
    assert_eq!((upstreams[1].interval, upstreams[2].interval), (seconds(11), seconds(30)));
    assert_eq!(upstreams[2].metrics_to_collect, TOOLS);
}

#[test]
fn flat_names_are_the_same_as_those_in_the_section() {
    let flat = read("session_buddy_polling_enabled = true\nsession_buddy_polling_interval_seconds = 40\n");
    let nested = read("[session_buddy_polling]\nenabled = true\ninterval_seconds = 40\n");
    assert_eq!(flat.config, nested.config);
    assert_eq!(flat.config.upstreams[0].interval, seconds(40));
    let mixed = read("session_buddy_polling_interval_seconds = 40\n[session_buddy_polling]\nenabled = true\n");
    assert_eq!(mixed.config, nested.config);
}

#[test]
fn one_key_in_both_spellings_is_a_problem_with_both_places() {
    problems(
        "session_buddy_polling_interval_seconds = 40\n\n[session_buddy_polling]\n  interval_seconds = 40\n",
        &["user.toml:4:3: session_buddy_polling.interval_seconds is set already, at user.toml:1:1"],
    );
    let told = load(
        "session_buddy_polling_interval_seconds = 40\n",
        "[session_buddy_polling]\ninterval_seconds = 50\n",
        &[],
        &Overrides::default(),
    );
    assert_eq!(told.unwrap().config.upstreams[0].interval, seconds(50), "two files are two layers");
}

#[test]
fn ours_wins_over_the_originals_variable_which_wins_over_files() {
    let file = "[session_buddy_polling]\ninterval_seconds = 40\nmax_retries = 4\ntimeout_seconds = 4\n";
    let ours = ("CLAUDE_COMMS_SESSION_BUDDY_POLLING__INTERVAL_SECONDS", "60");
    let original = ("MAHAVISHNU_SESSION_BUDDY_POLLING__INTERVAL_SECONDS", "50");
    let other = ("MAHAVISHNU_SESSION_BUDDY_POLLING__MAX_RETRIES", "5");
    for order in [[ours, original, other], [original, other, ours]] {
        let loaded = with_environment(file, &order);
        let upstream = &loaded.config.upstreams[0];
        assert_eq!((upstream.interval, upstream.max_retries, upstream.timeout), (seconds(60), 5, seconds(4)));
        let origin = |key: &str| entries(&loaded).find(|(name, _)| name == key).unwrap().1;
        assert_eq!(origin("session_buddy_polling.interval_seconds"), ours.0);
        assert_eq!(origin("session_buddy_polling.max_retries"), other.0);
    }
}

#[test]
fn variables_of_the_original_that_we_have_nothing_to_do_with_are_left_alone() {
    let environment =
        [("MAHAVISHNU_AUTH__SECRET", "x"), ("MAHAVISHNU_DAEMON__LISTEN", "x"), ("MAHAVISHNU_UPSTREAM__NAME", "x")];
    assert_eq!(with_environment("", &environment).config, Config::default());
}

#[test]
fn a_misspelt_variable_is_told_with_what_was_meant() {
    refused(
        &[
            ("MAHAVISHNU_SESSION_BUDDY_POLLING__INTERVAL_SECOND", "5"),
            ("CLAUDE_COMMS_SESSION_BUDDY_POLLING__ENABLE", "1"),
            ("CLAUDE_COMMS_UPSTREAM__NAME", "x"),
            ("CLAUDE_COMMS_UPSTREAM", "[]"),
            ("MAHAVISHNU_SESSION_BUDDY_POLLING__ENABLED", "perhaps"),
            ("CLAUDE_COMMS_SESSION_BUDDY_POLLING__ENDPOINT", "localhost"),
        ],
        &[
            "MAHAVISHNU_SESSION_BUDDY_POLLING__ENABLED: session_buddy_polling.enabled must be true or false, not \"perhaps\"",
            "MAHAVISHNU_SESSION_BUDDY_POLLING__INTERVAL_SECOND: there is no such setting; did you mean MAHAVISHNU_SESSION_BUDDY_POLLING__INTERVAL_SECONDS?",
            "CLAUDE_COMMS_SESSION_BUDDY_POLLING__ENABLE: there is no such setting; did you mean CLAUDE_COMMS_SESSION_BUDDY_POLLING__ENABLED?",
            "CLAUDE_COMMS_SESSION_BUDDY_POLLING__ENDPOINT: session_buddy_polling.endpoint must be an http or https URL with a host, like \"http://localhost:8678/mcp\", not one without http:// or https://: \"localhost\"",
            "CLAUDE_COMMS_UPSTREAM: [[upstream]] can be written in a file only",
            "CLAUDE_COMMS_UPSTREAM__NAME: [[upstream]] can be written in a file only",
        ],
    );
}

#[test]
fn truth_in_the_environment_is_what_the_original_takes_for_it() {
    for (text, expected) in [("true", true), ("True", true), ("1", true), ("ON", true), ("false", false), ("0", false)]
    {
        let loaded = with_environment("", &[("MAHAVISHNU_SESSION_BUDDY_POLLING__ENABLED", text)]);
        assert_eq!(loaded.config.upstreams[0].enabled, expected, "{text}");
    }
    problems(
        "[session_buddy_polling]\nenabled = 1\n",
        &["user.toml:2:11: session_buddy_polling.enabled must be true or false, not a number"],
    );
}

#[test]
fn tools_are_a_list_in_a_file_and_json_or_commas_in_the_environment() {
    let key = "CLAUDE_COMMS_SESSION_BUDDY_POLLING__METRICS_TO_COLLECT";
    for text in ["a,b/c", " a , b/c ", r#"["a", "b/c"]"#] {
        assert_eq!(with_environment("", &[(key, text)]).config.upstreams[0].metrics_to_collect, ["a", "b/c"], "{text}");
    }
    let must =
        format!("{key}: session_buddy_polling.metrics_to_collect must be a list of names of tools, each of them once");
    for (text, fault) in [
        ("a,b,a", "not a list with \"a\" twice"),
        ("a,,b", "not a list with \"\" in it"),
        ("a b", "not a list with \"a b\" in it"),
        ("[]", "not an empty list"),
        ("[1]", "not a list with a number in it"),
    ] {
        refused(&[(key, text)], &[&format!("{must}, {fault}")]);
    }
}

#[test]
fn everything_that_is_wrong_with_upstreams_is_told_with_its_place() {
    problems(
        r#"session_buddy_polling_intervall_seconds = 30
sesion_buddy_polling_enabled = true
session_buddy_polling_colour = 1
upstreams = 1
[session_buddy_polling]
interval_seconds = 4
timeout_seconds = 61
max_retries = 0
retry_delay_seconds = "5"
circuit_breaker_threshold = 21
token = "x"
metrics_to_collect = "get_activity_summary"

[[upstream]]
name = "a b"
endpoint = "ftp://h"
enabled = "yes"

[[upstream]]
name = "a"
nam = "b"

[[upstream]]
endpoint = "http://user:hunter2@h"

[[upstream]]
name = "a"
endpoint = "http://"
token = ["hunter2"]

[[upstream]]
name = "session-buddy"
endpoint = "http://h"
"#,
        &[
            "user.toml:1:1: there is no setting \"session_buddy_polling_intervall_seconds\"; did you mean session_buddy_polling_interval_seconds?",
            "user.toml:2:1: there is no setting \"sesion_buddy_polling_enabled\"; did you mean session_buddy_polling_enabled?",
            "user.toml:3:1: there is no setting \"session_buddy_polling_colour\"",
            "user.toml:4:1: \"upstreams\" stands outside of any section",
            "user.toml:6:20: session_buddy_polling.interval_seconds must be a number of seconds from 5 to 600, not 4",
            "user.toml:7:19: session_buddy_polling.timeout_seconds must be a number of seconds from 1 to 60, not 61",
            "user.toml:8:15: session_buddy_polling.max_retries must be a whole number from 1 to 10, not 0",
            "user.toml:9:23: session_buddy_polling.retry_delay_seconds must be a number of seconds from 1 to 60, not \"5\"",
            "user.toml:10:29: session_buddy_polling.circuit_breaker_threshold must be a whole number from 1 to 20, not 21",
            "user.toml:11:1: there is no setting \"token\" in [session_buddy_polling]; it belongs in [[upstream]]",
            "user.toml:12:22: session_buddy_polling.metrics_to_collect must be a list of names of tools, each of them once, not a text",
            "user.toml:15:8: upstream.name must be a name of at most 64 ASCII letters, digits, dots, underscores and dashes, a letter or digit first, not \"a b\"",
            "user.toml:16:12: upstream.endpoint must be an http or https URL with a host, like \"http://localhost:8678/mcp\", not one of another scheme: \"ftp://h\"",
            "user.toml:17:11: upstream.enabled must be true or false, not \"yes\"",
            "user.toml:19:1: [[upstream]] needs endpoint, an http or https URL with a host, like \"http://localhost:8678/mcp\"",
            "user.toml:21:1: there is no setting \"nam\" in [[upstream]]; did you mean name?",
            "user.toml:23:1: [[upstream]] needs name, a name of at most 64 ASCII letters, digits, dots, underscores and dashes, a letter or digit first",
            "user.toml:24:12: upstream.endpoint must be an http or https URL with a host, like \"http://localhost:8678/mcp\", not one with a user in it",
            "user.toml:27:8: [[upstream]] \"a\" is there already, at user.toml:20:8",
            "user.toml:28:12: upstream.endpoint must be an http or https URL with a host, like \"http://localhost:8678/mcp\", not one without a host: \"http://\"",
            "user.toml:29:9: upstream.token must be a text of 1 to 4096 visible ASCII characters, not a list",
            "user.toml:32:8: the upstream \"session-buddy\" is configured in [session_buddy_polling]",
        ],
    );
}

#[test]
fn a_list_and_a_section_are_not_mistaken_for_each_other() {
    problems(
        "[upstream]\nname = \"a\"\n",
        &["user.toml:1:2: upstream is a list: write [[upstream]] on a line before each"],
    );
    problems("upstream = [1]\n", &["user.toml:1:13: [[upstream]] must be a table"]);
    problems("[[upstreams]]\n", &["user.toml:1:3: there is no section \"upstreams\"; did you mean [[upstream]]?"]);
    problems(
        "[[session_buddy_polling]]\nenabled = true\n",
        &["user.toml:1:3: session_buddy_polling is a section: write [session_buddy_polling] on a line of its own"],
    );
}

#[test]
fn a_misread_line_in_a_list_is_told_once() {
    let told = load("", "[[upstream]]\nname = = \"a\"\nendpoint = \"http://h\"\n", &[], &Overrides::default());
    let told = told.map(|_| ()).unwrap_err();
    assert!(told.starts_with("user.toml:2:8: ") && told.lines().count() == 1, "{told}");
}

#[test]
fn a_later_file_replaces_the_whole_list() {
    let system =
        "[[upstream]]\nname = \"a\"\nendpoint = \"http://a\"\n[[upstream]]\nname = \"b\"\nendpoint = \"http://b\"\n";
    let names = |user: &str| {
        let loaded = load(system, user, &[], &Overrides::default()).unwrap();
        loaded.config.upstreams.into_iter().map(|upstream| upstream.name).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["session-buddy", "a", "b"]);
    assert_eq!(names("[[upstream]]\nname = \"c\"\nendpoint = \"http://c\"\n"), ["session-buddy", "c"]);
    assert_eq!(names("upstream = []\n"), ["session-buddy"]);
}

#[test]
fn there_is_room_for_128() {
    let one = |number: usize| format!("[[upstream]]\nname = \"u{number}\"\nendpoint = \"http://h\"\n");
    let most: String = (0..128).map(one).collect();
    assert_eq!(read(&most).config.upstreams.len(), 129);
    problems(&(most + &one(128)), &["user.toml:385:1: there may be at most 128 of [[upstream]]"]);
}

#[test]
fn a_token_is_in_no_text_that_is_made_of_the_configuration() {
    let loaded = read("[[upstream]]\nname = \"a\"\nendpoint = \"http://h\"\ntoken = \"hunter2\"\n");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    for wrong in ["hun ter2", "hünter2", "", &"hunter2".repeat(600)] {
        let user = format!("[[upstream]]\nname = \"a\"\nendpoint = \"http://h\"\ntoken = \"{wrong}\"\n");
        let told = load("", &user, &[], &Overrides::default()).map(|_| ()).unwrap_err();
        assert!(told.starts_with("user.toml:4:9: upstream.token must be") && !told.contains("ter2"), "{told}");
    }
    problems(
        "[[upstream]]\nname = \"a\"\nendpoint = \"http://h\"\ntoken = \"(set)\"\n",
        &[
            "user.toml:4:9: upstream.token must be a text of 1 to 4096 visible ASCII characters, not what stands for it in `config show`",
        ],
    );
}

/// What `config check` warns of, the directory left out.
fn warnings(user: &str) -> Vec<String> {
    let told = |problem: &Problem| problem.to_string().rsplit('/').next().map(ToOwned::to_owned);
    // The URL-free sentences have no other slash.
    read(user).warnings.iter().filter_map(told).collect()
}

#[test]
fn settings_that_do_not_fit_are_warned_of_with_the_arithmetic() {
    assert_eq!(
        warnings("[session_buddy_polling]\nenabled = true\n"),
        [
            "user.toml:2:11: session-buddy may need 4 tools × (10 s × 4 attempts + 35 s of delays) = 300 s when no call is \
             answered, and a cycle has 0.9 × 30 s = 27 s: the daemon shortens the delays so that at least one retry fits, \
             and the tools left over come first in the next cycle"
        ],
    );
    assert_eq!(
        warnings(
            "[[upstream]]\nname = \"a\"\nendpoint = \"http://h\"\nmetrics_to_collect = [\"x\"]\ninterval_seconds = 5\n\
             timeout_seconds = 3\n[[upstream]]\nname = \"b\"\nendpoint = \"http://h\"\nmetrics_to_collect = [\"x\"]\n\
             timeout_seconds = 60\nmax_retries = 10\nretry_delay_seconds = 7\n"
        ),
        [
            "user.toml:5:20: a may need 1 tool × (3 s × 4 attempts + 35 s of delays) = 47 s when no call is answered, and a \
             cycle has 0.9 × 5 s = 4.5 s: a call that takes its whole timeout leaves no time for a whole second one",
            "user.toml:7:1: b may need 1 tool × (60 s × 11 attempts + 465 s of delays) = 1125 s when no call is answered, \
             and a cycle has 0.9 × 30 s = 27 s: each call is given up when the cycle ends",
        ],
    );
}

#[test]
fn settings_that_fit_or_are_off_are_not_warned_of() {
    let fits = "enabled = true\ninterval_seconds = 600\nmax_retries = 1\n";
    assert_eq!(warnings(&format!("[session_buddy_polling]\n{fits}")), [""; 0]);
    assert_eq!(warnings("[session_buddy_polling]\ninterval_seconds = 5\ntimeout_seconds = 60\n"), [""; 0]);
}
