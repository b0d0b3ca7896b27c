use crate::config::settings;

/// What becomes of `text` as a value of the setting `key`.
fn read(key: &str, text: &str) -> String {
    let setting = settings().find(|setting| setting.key() == key).unwrap();
    let kind = &setting.row.kind;
    match kind.read_text(text).and_then(|given| kind.check(&given)) {
        Ok(value) => value.to_string(),
        Err(sentence) => sentence,
    }
}

#[test]
fn text_becomes_a_value_or_a_sentence() {
    let seconds = "must be a number of seconds from 0.05 to 3600, not";
    let count = "must be a whole number from 1 to 1000000, not";
    let address = "must be an address and port like \"127.0.0.1:8690\", or \"none\", not";
    let words = "must be a list of texts, the first of them a program, not";
    for (key, text, expected) in [
        ("daemon.interval_seconds", "0.05", "0.05".to_owned()),
        ("daemon.interval_seconds", " 3600 ", "3600".to_owned()),
        ("daemon.interval_seconds", "3600.1", format!("{seconds} 3600.1")),
        ("daemon.interval_seconds", "0", format!("{seconds} 0")),
        ("daemon.interval_seconds", "-1", format!("{seconds} -1")),
        ("daemon.interval_seconds", "nan", format!("{seconds} NaN")),
        ("daemon.interval_seconds", "inf", format!("{seconds} inf")),
        ("daemon.interval_seconds", "1s", format!("{seconds} \"1s\"")),
        ("daemon.max_messages", "1000000", "1000000".to_owned()),
        ("daemon.max_messages", "1000001", format!("{count} 1000001")),
        ("daemon.max_messages", "2.5", format!("{count} 2.5")),
        ("daemon.max_messages", "99999999999999999999", format!("{count} 99999999999999999999")),
        ("daemon.listen", "none", "\"none\"".to_owned()),
        ("daemon.listen", "[::1]:1", "\"[::1]:1\"".to_owned()),
        ("daemon.listen", "8690", format!("{address} \"8690\"")),
        ("daemon.listen", "a\u{1b}[2J", format!("{address} \"a\\u{{1b}}[2J\"")),
        ("executor.on_crash", "fail", "\"fail\"".to_owned()),
        ("executor.on_crash", "retry", "must be one of \"requeue\", \"fail\", not \"retry\"".to_owned()),
        ("executor.command", "sh, -c ,date", "[\"sh\", \"-c\", \"date\"]".to_owned()),
        ("executor.command", r#"["a, b", "\""]"#, "[\"a, b\", '\"']".to_owned()),
        ("executor.command", "[]", format!("{words} an empty list")),
        ("executor.command", "[1]", format!("{words} a list with a number in it")),
        ("executor.environment", r#"{"A":"1"}"#, "{ \"A\" = \"1\" }".to_owned()),
        (
            "executor.environment",
            r#"{"A=":"1"}"#,
            "must be a table of variable names and texts, not a table with the name \"A=\"".to_owned(),
        ),
    ] {
        assert_eq!(read(key, text), expected, "{key} {text}");
    }
}

#[test]
fn a_long_text_is_not_repeated_whole() {
    let sentence = read("daemon.listen", &"x".repeat(1 << 20));
    assert!(sentence.len() < 300, "{} bytes", sentence.len());
}
