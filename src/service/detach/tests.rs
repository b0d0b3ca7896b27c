use super::*;

/// What the command hears when the daemon writes that and ends.
fn heard(bytes: &[u8]) -> Option<Report> {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(bytes).unwrap();
    drop(writer);
    listen(reader, Duration::from_secs(10), &SystemClock::new()).unwrap()
}

#[test]
fn one_whole_line_is_a_report_and_anything_else_is_a_death() {
    assert_eq!(heard(b"ready 12\n"), Some(Report::Ready { pid: 12 }));
    let failed = |exit_code, sentence: &str| Some(Report::Failed { exit_code, sentence: sentence.to_owned() });
    assert_eq!(heard(b"failed 78 bad file\n"), failed(78, "bad file"));
    assert_eq!(heard(b"failed 1 \n"), failed(1, ""));
    for junk in [&b""[..], b"ready 12", b"ready\n", b"ready x\n", b"failed 256 x\n", b"failed 1\n", b"\n", b"\xff \n"] {
        assert_eq!(heard(junk), None, "{junk:?}");
    }
    assert_eq!(heard(&[b'x'; REPORT_BYTES_MAX * 2]), None);
}

#[test]
fn what_is_reported_arrives_on_one_line_that_fits() {
    let (reader, writer) = io::pipe().unwrap();
    Reporter { writer }.failed(78, &format!("two\nlines, and much more: {}", "é".repeat(REPORT_BYTES_MAX)));
    let report = listen(reader, Duration::from_secs(10), &SystemClock::new()).unwrap();
    assert!(
        matches!(&report, Some(Report::Failed { exit_code: 78, sentence }) if sentence.starts_with("two\\nlines, ")),
        "{report:?}"
    );
}

#[test]
fn a_daemon_that_says_nothing_is_not_waited_for_for_ever() {
    let (reader, writer) = io::pipe().unwrap();
    let limit = Duration::from_millis(20);
    assert_eq!(listen(reader, limit, &SystemClock::new()).unwrap(), Some(Report::Silent { after: limit }));
    // The command has gone; the daemon does not mind.
    Reporter { writer }.ready(1);
}

#[test]
fn the_end_of_the_log_is_what_this_start_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.log");
    fs::write(&path, "old\n").unwrap();
    let (mut log, start) = open_log(&path).unwrap();
    assert_eq!(log_end(&path, start), "");
    log.write_all(b"first\nsecond \x1b[2J\xff\n").unwrap();
    assert_eq!(log_end(&path, start), "first\nsecond \\u{1b}[2J\u{fffd}");
    for number in 0..10_000 {
        writeln!(log, "line {number}").unwrap();
    }
    let end = log_end(&path, start);
    assert_eq!((end.lines().count(), end.lines().last()), (LOG_END_LINES_MAX, Some("line 9999")));
}

#[test]
fn a_large_log_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.log");
    File::create(&path).unwrap().set_len(LOG_BYTES_MAX + 1).unwrap();
    let (_log, start) = open_log(&path).unwrap();
    assert_eq!(start, 0);
    assert_eq!(fs::metadata(dir.path().join("daemon.log.1")).unwrap().len(), LOG_BYTES_MAX + 1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, OWNER_ONLY);
}

#[test]
fn a_process_with_threads_or_a_relative_log_is_not_forked() {
    assert!(matches!(detach(Path::new("daemon.log")), Err(DetachError::RelativePath(_))));
    if !cfg!(target_os = "linux") {
        return;
    }
    // The test harness runs this on a thread of its own.
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("daemon.log");
    assert!(matches!(detach(&log), Err(DetachError::Threads { .. })));
    assert!(!log.exists());
}
