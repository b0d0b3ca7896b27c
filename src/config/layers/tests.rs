use super::*;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::config::{Entry, OnCrash};

/// A system file, a user file and an environment, and what comes of them.
pub(in crate::config) fn load(
    system: &str,
    user: &str,
    environment: &[(&str, &str)],
    flags: &Overrides,
) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let (system_file, user_file) = (dir.path().join("system.toml"), dir.path().join("user.toml"));
    fs::write(&system_file, system).unwrap();
    fs::write(&user_file, user).unwrap();
    let sources = Sources {
        system_file: Some(system_file),
        user_file: Some(user_file),
        user_file_required: false,
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
    };
    let here = format!("{}/", dir.path().display());
    Config::load(&sources, flags).map_err(|problems| {
        problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").replace(&here, "")
    })
}

/// Every setting and where it came from.
pub(in crate::config) fn entries(loaded: &Loaded) -> impl Iterator<Item = (String, String)> {
    let of_record = |record: &Record| {
        let section = record.section.name;
        let entry = move |entry: &Entry| (format!("{section}.{}", entry.row.name), entry.origin.to_string());
        record.entries.iter().map(entry).collect::<Vec<_>>()
    };
    SECTIONS.iter().flat_map(|&section| loaded.origins.all(section)).flat_map(of_record)
}

#[track_caller]
pub(in crate::config) fn problems(user: &str, expected: &[&str]) {
    let told = load("", user, &[], &Overrides::default()).map(|_| ()).unwrap_err();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "of:\n{user}");
}

#[test]
fn nothing_written_gives_the_defaults() {
    let loaded = load("", "", &[], &Overrides::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(entries(&loaded).all(|(_, origin)| origin == "default"));
    assert!(!loaded.origins.is_explicit("daemon.listen"));
}

#[test]
fn later_layers_win_and_say_where_they_are() {
    let system =
        "[daemon]\ninterval_seconds = 2\nmax_messages = 2\nstop_grace_seconds = 2\n[ask]\ntimeout_seconds = 2\n";
    let user = "[daemon]\ninterval_seconds = 3\nmax_messages = 3\n  stop_grace_seconds = 3\n";
    let environment = [("CLAUDE_COMMS_DAEMON__INTERVAL_SECONDS", "4"), ("CLAUDE_COMMS_DAEMON__MAX_MESSAGES", "4")];
    let flags = Overrides { interval: Some("5".to_owned()), ..Overrides::default() };
    let loaded = load(system, user, &environment, &flags).unwrap();

    assert_eq!(loaded.config.daemon.interval, Duration::from_secs(5));
    assert_eq!(loaded.config.daemon.max_messages, 4);
    assert_eq!(loaded.config.daemon.stop_grace, Duration::from_secs(3));
    assert_eq!(loaded.config.ask.timeout, Duration::from_secs(2));
    assert_eq!(loaded.config.watch.timeout, Duration::from_secs(3600));

    let told = |key: &str| {
        let (_, origin) = entries(&loaded).find(|(name, _)| name == key).unwrap();
        origin.rsplit('/').next().unwrap_or_default().to_owned()
    };
    assert_eq!(told("daemon.interval_seconds"), "--interval");
    assert_eq!(told("daemon.max_messages"), "CLAUDE_COMMS_DAEMON__MAX_MESSAGES");
    assert_eq!(told("daemon.stop_grace_seconds"), "user.toml:4:24");
    assert_eq!(told("ask.timeout_seconds"), "system.toml:6:19");
    assert_eq!(told("watch.timeout_seconds"), "default");
}

#[test]
fn every_kind_of_value_can_be_written_in_a_file() {
    let user = r#"
        daemon.listen = "none"
        daemon.log_level = "debug"
        [executor]
        command = ["sh", "-c", "cat"]
        queue_max = 0x10
        on_crash = "requeue"
        [executor.environment]
        LANG = "C"
    "#;
    let loaded = load("", user, &[], &Overrides::default()).unwrap();
    assert_eq!(loaded.config.daemon.listen, None);
    assert!(loaded.origins.is_explicit("daemon.listen"));
    assert_eq!(loaded.config.daemon.log_level, Some(log::LevelFilter::Debug));
    let executor = loaded.config.executor;
    assert_eq!(executor.command, ["sh", "-c", "cat"]);
    assert_eq!(executor.queue_max, 16);
    assert_eq!(executor.on_crash, Some(OnCrash::Requeue));
    assert_eq!(executor.environment.into_iter().collect::<Vec<_>>(), [("LANG".to_owned(), "C".to_owned())]);
}

#[test]
fn a_later_table_replaces_an_earlier_one() {
    let variable = [("CLAUDE_COMMS_EXECUTOR__ENVIRONMENT", r#"{"B":"2"}"#)];
    let loaded = load("[executor.environment]\nA = \"1\"\n", "", &variable, &Overrides::default()).unwrap();
    assert_eq!(loaded.config.executor.environment.keys().collect::<Vec<_>>(), ["B"]);
}

#[test]
fn unknown_names_are_told_with_what_was_meant() {
    problems(
        "colour = 1\nlisen = 2\ndaemon = 3\n",
        &[
            "user.toml:1:1: \"colour\" stands outside of any section",
            "user.toml:2:1: \"lisen\" stands outside of any section; listen belongs in [daemon]",
            "user.toml:3:1: daemon is a section: write [daemon] on a line of its own",
        ],
    );
    problems(
        "[deamon]\nlisten = \"none\"\n[ask]\ntimeout_second = 1\nlisten = \"none\"\ncolour = 3\n[weather]\n",
        &[
            "user.toml:1:2: there is no section \"deamon\"; did you mean [daemon]?",
            "user.toml:4:1: there is no setting \"timeout_second\" in [ask]; did you mean timeout_seconds?",
            "user.toml:5:1: there is no setting \"listen\" in [ask]; it belongs in [daemon]",
            "user.toml:6:1: there is no setting \"colour\" in [ask]",
            "user.toml:7:2: there is no section \"weather\"",
        ],
    );
}

#[test]
fn wrong_types_and_ranges_are_told_all_at_once() {
    problems(
        "[daemon]\ninterval_seconds = 0.01\nmax_messages = \"many\"\nlisten = 8690\nlog_level = \"loud\"\n\
         stop_grace_seconds = true\n[executor]\ncommand = \"claude -p\"\ntimeout_seconds = 1979-05-27\n\
         queue_max = 99999999999999999999999999999999999999999\nenvironment = { A = 1 }\n",
        &[
            "user.toml:2:20: daemon.interval_seconds must be a number of seconds from 0.05 to 3600, not 0.01",
            "user.toml:3:16: daemon.max_messages must be a whole number from 1 to 1000000, not \"many\"",
            "user.toml:4:10: daemon.listen must be an address and port like \"127.0.0.1:8690\", or \"none\", not a number",
            "user.toml:5:13: daemon.log_level must be one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", not \"loud\"",
            "user.toml:6:22: daemon.stop_grace_seconds must be a number of seconds from 0 to 3600, not a truth value",
            "user.toml:8:11: executor.command must be a list of texts, the first of them a program, not a text",
            "user.toml:9:19: executor.timeout_seconds must be a number of seconds from 0.1 to 604800, not a date",
            "user.toml:10:13: executor.queue_max must be a whole number from 1 to 1000000, not 100000000000000000000000000000000000000000",
            "user.toml:11:15: executor.environment must be a table of variable names and texts, not a table whose \"A\" is a number",
        ],
    );
}

#[test]
fn problems_of_all_layers_are_told_together() {
    let environment =
        [("CLAUDE_COMMS_DAEMON__INTERVL_SECONDS", "1"), ("CLAUDE_COMMS_ASK__TIMEOUT_SECONDS", "soon"), ("HOME", "x")];
    let flags = Overrides { listen: Some("here".to_owned()), ..Overrides::default() };
    let told = load("x = 1\n", "y = 1\n", &environment, &flags).map(|_| ()).unwrap_err();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "system.toml:1:1: \"x\" stands outside of any section",
            "user.toml:1:1: \"y\" stands outside of any section",
            "CLAUDE_COMMS_ASK__TIMEOUT_SECONDS: ask.timeout_seconds must be a number of seconds from 0.1 to 604800, not \"soon\"",
            "CLAUDE_COMMS_DAEMON__INTERVL_SECONDS: there is no such setting; did you mean CLAUDE_COMMS_DAEMON__INTERVAL_SECONDS?",
            "--listen: daemon.listen must be an address and port like \"127.0.0.1:8690\", or \"none\", not \"here\"",
        ],
    );
}

#[test]
fn only_wrong_flags_are_a_mistake_on_the_command_line() {
    let flags = Overrides { interval: Some("0".to_owned()), ..Overrides::default() };
    assert!(Config::load(&Sources::default(), &flags).unwrap_err().only_flags());
    let environment = vec![("CLAUDE_COMMS_A__B".into(), "1".into())];
    let sources = Sources { environment, ..Sources::default() };
    assert!(!Config::load(&sources, &flags).unwrap_err().only_flags());
}

#[test]
fn variables_that_are_no_settings_or_empty_are_left_alone() {
    let environment =
        [("CLAUDE_COMMS_LOG", "debug"), ("CLAUDE_COMMS_STATE_DIR", "/x"), ("CLAUDE_COMMS_DAEMON__LISTEN", "")];
    let loaded = load("", "", &environment, &Overrides::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn a_lower_case_variable_is_not_the_setting() {
    let told = load("", "", &[("CLAUDE_COMMS_daemon__listen", "none")], &Overrides::default()).map(|_| ()).unwrap_err();
    assert_eq!(
        told,
        "CLAUDE_COMMS_daemon__listen: there is no such setting; did you mean CLAUDE_COMMS_DAEMON__LISTEN?"
    );
}

#[test]
fn broken_toml_is_told_with_its_place_and_the_rest_is_checked_too() {
    let told = load("", "[daemon]\ninterval_seconds = = 2\nmax_mesages = 1\n", &[], &Overrides::default());
    let told = told.map(|_| ()).unwrap_err();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("user.toml:2:20: "), "{told}");
    assert_eq!(
        lines.last().copied(),
        Some("user.toml:3:1: there is no setting \"max_mesages\" in [daemon]; did you mean max_messages?")
    );
    assert_eq!(lines.len(), 2, "{told}");
}

#[test]
fn the_same_key_twice_is_a_problem() {
    let told = load("", "[ask]\ntimeout_seconds = 1\ntimeout_seconds = 2\n", &[], &Overrides::default());
    assert!(told.map(|_| ()).unwrap_err().starts_with("user.toml:3:1: "));
}

#[test]
fn a_file_that_is_not_text_is_told_where() {
    let layer = file::parse(Path::new("c.toml"), b"[ask]\n# caf\xe9\n");
    assert_eq!(layer.problems[0].to_string(), "c.toml:2:6: this is not UTF-8");
}

#[test]
fn columns_count_characters() {
    let layer = file::parse(Path::new("c.toml"), "[ask]\n\"é\" = 1\n\"éé\".x = 1\n".as_bytes());
    let told: Vec<String> = layer.problems.iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(told, ["c.toml:2:1", "c.toml:3:1"]);
    let layer = file::parse(Path::new("c.toml"), "executor = { \"é\" = 1, nothing = 2 }\n".as_bytes());
    let told: Vec<String> = layer.problems.iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(told, ["c.toml:1:14", "c.toml:1:23"]);
}

#[test]
fn only_a_file_that_somebody_named_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let mut sources = Sources { user_file: Some(missing.clone()), ..Sources::default() };
    assert!(Config::load(&sources, &Overrides::default()).is_ok());
    sources.user_file_required = true;
    let told = Config::load(&sources, &Overrides::default()).unwrap_err().to_string();
    assert!(told.starts_with(&format!("{}: could not be read: ", missing.display())), "{told}");
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let sources = Sources { user_file: Some("/dev/zero".into()), ..Sources::default() };
    let told = Config::load(&sources, &Overrides::default()).unwrap_err().to_string();
    assert_eq!(told, "/dev/zero: could not be read: it is not a regular file");
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large.toml");
    fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let sources = Sources { user_file: Some(large), ..Sources::default() };
    let told = Config::load(&sources, &Overrides::default()).unwrap_err().to_string();
    assert!(told.ends_with("it has more than 1048576 bytes"), "{told}");
}

#[test]
fn one_file_in_both_roles_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let both = dir.path().join("config.toml");
    fs::write(&both, "x = 1\n").unwrap();
    let sources = Sources { system_file: Some(both.clone()), user_file: Some(both), ..Sources::default() };
    assert_eq!(Config::load(&sources, &Overrides::default()).unwrap_err().0.len(), 1);
}
