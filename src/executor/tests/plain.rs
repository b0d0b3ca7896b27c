//! Runs that end by themselves: exit codes, signals, and what a command is given.

use std::fs;

use super::*;

#[test]
fn a_command_succeeds_with_its_output() {
    let finished = ran(&shell("echo answer; echo note >&2"));
    assert_eq!((finished.ending, finished.result.as_str()), (Ending::Succeeded, "answer"));
    assert_eq!((finished.exit_code, finished.exit_signal), (Some(0), None));
    assert_eq!((finished.error, finished.usage, finished.truncated), (None, None, false));
}

#[test]
fn a_command_fails_with_its_code_and_last_words() {
    let finished = ran(&shell("echo answer; echo first >&2; echo last >&2; exit 3"));
    assert_eq!((finished.ending, finished.exit_code), (Ending::Failed, Some(3)));
    assert_eq!(finished.result, "answer");
    assert_eq!(error(&finished), "`sh` ended with exit code 3: first\nlast");

    // Some say it on the wrong stream, some nowhere.
    assert_eq!(error(&ran(&shell("echo why; exit 1"))), "`sh` ended with exit code 1: why");
    assert_eq!(error(&ran(&shell("exit 1"))), "`sh` ended with exit code 1");
}

#[test]
fn a_signal_is_told_by_number_and_name() {
    let finished = ran(&shell("kill -SEGV $$"));
    assert_eq!((finished.ending, finished.exit_code, finished.exit_signal), (Ending::Failed, None, Some(11)));
    assert_eq!(error(&finished), "`sh` was killed by signal 11 (SIGSEGV)");
}

#[test]
fn a_started_process_is_identified() {
    let wake = Wake::new().unwrap();
    let mut script = silent(&wake);
    let job = shell("cut -d' ' -f1,22 /proc/self/stat; echo $$");
    let finished = run(&job, 1, &wake, &SystemClock::new(), &mut script);
    let process = script.process.unwrap();
    let told: Vec<u64> = finished.result.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(told[2], u64::from(process.pid));
    // `cut` itself started a little later than its shell.
    assert!(process.started > 0 && process.started <= told[1] && told[1] - process.started < 6000);
    assert_eq!(process.boot_id, procfs::boot_id());
}

#[test]
fn a_prompt_of_a_megabyte_may_be_read_or_not() {
    let prompt = "prompt ".repeat((1 << 20) / 7);
    let with_prompt = |job: Job| ran(&Job { prompt: prompt.clone(), ..job });
    assert_eq!(with_prompt(shell("exit 3")).exit_code, Some(3));
    assert_eq!(with_prompt(shell("exec <&-; exit 4")).exit_code, Some(4));
    assert_eq!(with_prompt(shell("head -c 6")).result, "prompt");
    assert!(with_prompt(job(&["cat"])).result == prompt);
}

#[test]
fn a_prompt_is_never_read_by_a_shell() {
    let prompt = "$(touch /tmp/x) `id` 'a' \"b\" \\n * ; | & {prompt}\n-- ä";
    let with_prompt = |argv: &[&str]| ran(&Job { prompt: prompt.to_owned(), ..job(argv) }).result;
    assert_eq!(with_prompt(&["printf", "%s", "{prompt}"]), prompt);
    assert_eq!(with_prompt(&["printf", "%s", "<{prompt}>"]), format!("<{prompt}>"));
    // Then there is nothing to read.
    assert_eq!(with_prompt(&["sh", "-c", "wc -c", "{prompt}"]).trim(), "0");
}

#[test]
fn a_process_finds_its_surroundings() {
    let directory = tempfile::tempdir().unwrap();
    let job = Job {
        directory: fs::canonicalize(directory.path()).unwrap(),
        context: Some(r#"{"a":1}"#.to_owned()),
        environment: vec![("GREETING".to_owned(), "hello".to_owned())],
        ..shell(r#"pwd; echo "$CLAUDE_COMMS_TASK $CLAUDE_COMMS_CONTEXT $GREETING""#)
    };
    let expected = format!("{}\n{} {{\"a\":1}} hello", job.directory.display(), job.marker);
    assert_eq!(ran(&job).result, expected);
}

#[test]
fn what_is_about_the_daemon_is_not_passed_on() {
    if !is_alone("plain::what_is_about_the_daemon_is_not_passed_on") {
        return;
    }
    let here: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    assert!(here.contains(&"NOTIFY_SOCKET".to_owned()) && here.contains(&"CLAUDECODE".to_owned()));
    let job = Job {
        environment: vec![("CLAUDECODE".to_owned(), "asked for".to_owned())],
        ..shell(r#"echo "$HOME|$NOTIFY_SOCKET|$CLAUDE_COMMS_CONTEXT|$CLAUDECODE""#)
    };
    let home = std::env::var("HOME").unwrap_or_default();
    assert_eq!(ran(&job).result, format!("{home}|||asked for"));
    assert_eq!(ran(&shell("echo $CLAUDECODE")).result, "");
}

#[test]
fn a_path_of_its_own_is_searched() {
    let directory = tempfile::tempdir().unwrap();
    let tool = directory.path().join("tool");
    write_program(&tool, "#!/bin/sh\necho \"$0\" \"$@\"\n", 0o755);
    let path = |path: &str| vec![("PATH".to_owned(), path.to_owned())];
    let with = |environment| ran(&Job { environment, ..job(&["tool", "a"]) });
    let found = with(path(&format!("/nonexistent:{}", directory.path().display())));
    assert_eq!(found.result, format!("{} a", tool.display()));
    let missing = with(path("/nonexistent:/proc"));
    assert_eq!(
        error(&missing),
        "`tool` is not on PATH; install it, or correct the pool's command or [executor] command in config.toml"
    );
}

#[test]
fn what_cannot_start_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).display().to_string();
    write_program(Path::new(&place("plain")), "#!/bin/sh\n", 0o644);
    write_program(Path::new(&place("text")), "hello\n", 0o755);
    write_program(Path::new(&place("lost")), "#!/nonexistent/interpreter\n", 0o755);
    let in_directory = |path: &str| Job { directory: path.into(), ..job(&["true"]) };
    let long = Job { prompt: "x".repeat(200 << 10), ..job(&["true", "{prompt}"]) };
    let nul = Job { environment: vec![("A".to_owned(), "\0".to_owned())], ..job(&["true"]) };
    let unnamed = Job { environment: vec![("A=B".to_owned(), "c".to_owned())], ..job(&["true"]) };
    for (job, expected) in [
        (job(&[]), "no command is configured; set [executor] command"),
        (job(&[""]), "no command is configured"),
        (
            job(&["no-such-agent"]),
            "`no-such-agent` is not on PATH; install it, or correct the pool's command or [executor] command in config.toml",
        ),
        (job(&["/no/agent"]), "`/no/agent` does not exist; correct"),
        (job(&[&place("plain")]), "may not be executed; make it executable (chmod +x)"),
        (job(&[&place("text")]), "is not a program; a script needs a first line like #!/bin/sh"),
        (job(&[&place("lost")]), "check the interpreter in its first line"),
        (in_directory("/no/directory"), "the directory /no/directory does not exist; create it"),
        (in_directory(&place("plain")), "plain is not a directory; give the module one"),
        (long, "is too long for an argument or a variable; leave {prompt} out"),
        (nul, "contains a zero byte"),
        (unnamed, "a variable without a proper name"),
    ] {
        let finished = ran(&job);
        assert_eq!(finished.ending, Ending::NotStarted, "{:?}", job.argv);
        assert!(error(&finished).contains(expected), "{}", error(&finished));
    }
}

fn write_program(path: &Path, text: &str, mode: u32) {
    // By another process: while a fork of a parallel test held our file open for writing, it could not be executed.
    let script = r#"printf '%s' "$2" > "$1"; chmod "$3" "$1""#;
    let status = Command::new("sh")
        .args(["-c", script, "sh", path.to_str().unwrap(), text, &format!("{mode:o}")])
        .status()
        .unwrap();
    assert!(status.success());
}
