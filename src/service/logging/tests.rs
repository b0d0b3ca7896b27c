use super::*;

fn choose(variables: &[(&str, &str)], verbose: u8, configured: Option<LevelFilter>) -> (String, Option<&'static str>) {
    let env = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
    let Filter { spec, fixed_by } = Filter::choose(&env, verbose, configured);
    (spec, fixed_by)
}

#[test]
fn the_strongest_source_decides() {
    let (ours, loguru) = (("CLAUDE_COMMS_LOG", "off,claude_comms=debug"), ("LOGURU_LEVEL", "warning"));
    let warn = Some(LevelFilter::Warn);
    for (variables, verbose, configured, spec, by) in [
        (vec![ours, loguru], 2, warn, "off,claude_comms=debug", Some("CLAUDE_COMMS_LOG")),
        (vec![loguru], 2, None, "WARN", Some("LOGURU_LEVEL")),
        (vec![("LOGURU_LEVEL", "SUCCESS")], 0, warn, "INFO", Some("LOGURU_LEVEL")),
        (vec![("LOGURU_LEVEL", "CRITICAL")], 0, warn, "ERROR", Some("LOGURU_LEVEL")),
        (vec![("LOGURU_LEVEL", "LOUD"), ("CLAUDE_COMMS_LOG", "")], 1, warn, "DEBUG", Some("-v")),
        (vec![], 9, warn, "TRACE", Some("-v")),
        (vec![], 0, warn, "WARN", None),
        (vec![], 0, None, "INFO", None),
    ] {
        assert_eq!(choose(&variables, verbose, configured), (spec.to_owned(), by), "{variables:?} {verbose}");
    }
}

fn line(style: Style, level: Level, message: &str) -> String {
    let mut out = Vec::new();
    let now = Timestamp::from_micros(1_500_000);
    write_line(&mut out, style, now, "main", &Record::builder().level(level).args(format_args!("{message}")).build())
        .unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_have_a_time_or_the_prefix_of_the_journal() {
    assert_eq!(line(Style::Timed, Level::Info, "started"), "1970-01-01T00:00:01.500000+00:00 INFO  [main] started\n");
    for (level, prefix) in [(Level::Error, 3), (Level::Warn, 4), (Level::Info, 6), (Level::Debug, 7), (Level::Trace, 7)]
    {
        assert_eq!(line(Style::Journal, level, "x"), format!("<{prefix}>[main] x\n"));
    }
}

#[test]
fn a_message_cannot_forge_a_line() {
    let forged = "a\n<0>b\r\u{1b}[2Jc\u{85}\u{2028}\u{202e}d\té";
    let expected = "<6>[main] a\\n<0>b\\r\\u{1b}[2Jc\\u{85}\\u{2028}\\u{202e}d\\té\n";
    assert_eq!(line(Style::Journal, Level::Info, forged), expected);
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let long = line(Style::Journal, Level::Info, &"\n".repeat(1 << 20));
    assert!(long.len() <= MESSAGE_BYTES_MAX + 20, "{} bytes", long.len());
    assert!(long.ends_with("… (cut)\n"));
    assert!(!line(Style::Journal, Level::Info, &"x".repeat(8000)).contains("cut"));
}

#[test]
fn a_filter_that_names_a_module_leaves_the_others_at_info() {
    let filter = Filter { spec: "claude_comms::store=debug".to_owned(), fixed_by: None };
    let active = Active::new(filter, Style::Timed);
    let enabled = |target, level| active.logger.enabled(&Metadata::builder().target(target).level(level).build());
    assert!(enabled("claude_comms::store", Level::Debug));
    assert!(enabled("claude_comms::model", Level::Info));
    assert!(!enabled("claude_comms::model", Level::Debug));
}
