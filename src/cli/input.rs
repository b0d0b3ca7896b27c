//! What a person gives: texts from the command line or standard input, modules by name or directory, lengths of time.

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::exit::{Failure, USAGE};
use crate::model::command::Code;
use crate::model::limits::CONTENT_BYTES_MAX;

/// A text as given, or standard input for `-`.
pub(super) fn text_or_stdin(text: String) -> Result<String, Failure> {
    if text == "-" { read_text(io::stdin().lock()) } else { Ok(text) }
}

fn read_text(input: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    // One byte more than allowed is read, to tell too much from just enough.
    let limit = CONTENT_BYTES_MAX as u64 + 1;
    let read = input.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))?;
    if bytes.len() > CONTENT_BYTES_MAX {
        let sentence = format!(
            "standard input has more than {CONTENT_BYTES_MAX} bytes; give less, such as the name of a file to read"
        );
        return Err(Failure::Told { exit_code: USAGE, code: Code::TooLarge.as_str(), sentence });
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8 text; convert it with iconv"))
}

/// A module as the daemon wants it: a name stays, a directory is made absolute.
pub(super) fn party(given: Option<String>) -> Result<String, Failure> {
    match given {
        Some(given) if is_directory(&given) => directory(Path::new(&given)),
        Some(name) => Ok(name),
        None => current_directory(),
    }
}

/// As [`party`], for what need not be said.
pub(super) fn party_if_given(given: Option<String>) -> Result<Option<String>, Failure> {
    given.map(|given| party(Some(given))).transpose()
}

fn is_directory(given: &str) -> bool {
    given.contains('/') || given == "." || given == ".."
}

/// A directory that exists, absolute and without links.
pub(super) fn directory(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::not_found(format!("{} is no directory that can be used: {error}", path.display()));
    let whole = path.canonicalize().map_err(failed)?;
    if !whole.is_dir() {
        return Err(Failure::not_found(format!("{} is no directory", path.display())));
    }
    utf8(whole)
}

/// The directory given, else the caller's own.
pub(super) fn directory_or_current(given: Option<PathBuf>) -> Result<String, Failure> {
    match given {
        Some(path) => directory(&path),
        None => current_directory(),
    }
}

fn current_directory() -> Result<String, Failure> {
    let failed = |error| Failure::failed(format!("the current directory cannot be told ({error}); go to another one"));
    utf8(env::current_dir().map_err(failed)?)
}

fn utf8(path: PathBuf) -> Result<String, Failure> {
    let odd = |path: PathBuf| Failure::usage(format!("the path {} is not UTF-8; rename it", path.display()));
    path.into_os_string().into_string().map_err(|path| odd(path.into()))
}

/// Seconds, as a number or like `1h30m`.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = match text.parse::<f64>() {
        Ok(number) => number,
        Err(_) => match text.parse::<jiff::SignedDuration>() {
            Ok(duration) => duration.as_secs_f64(),
            Err(_) => return Err("give seconds, like 90 or 0.5, or a length of time like 1h30m".to_owned()),
        },
    };
    // NaN is in no range.
    if (0.0..f64::INFINITY).contains(&seconds) { Ok(seconds) } else { Err("it must be 0 or more".to_owned()) }
}

/// `NAME=VALUE`, as for env(1); or the name of one of this command's own, whose value no other user has seen then.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("", _) => Err("give a variable and its value, like RUST_LOG=debug".to_owned()),
        (name, value) if text.contains('=') => Ok((name.to_owned(), value.to_owned())),
        (name, _) => match std::env::var(name) {
            Ok(value) => Ok((name.to_owned(), value)),
            Err(error) => Err(format!("{error}; set it, or give its value, like RUST_LOG=debug")),
        },
    }
}

/// A JSON object.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => Err("it must be a JSON object, like {\"key\": \"value\"}".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_numbers_or_lengths_of_time() {
        for (text, expected) in [("90", 90.0), ("0.5", 0.5), ("0", 0.0), ("1h30m", 5400.0), ("2 min", 120.0)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "soon", "-5m", "1e400"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn standard_input_has_a_limit_and_an_encoding() {
        assert_eq!(read_text(&b"gr\xc3\xbc\xc3\x9fe\n"[..]).unwrap(), "grüße\n");
        assert_eq!(read_text(io::repeat(b'x').take(CONTENT_BYTES_MAX as u64)).unwrap().len(), CONTENT_BYTES_MAX);
        let endless = read_text(io::repeat(b'x')).unwrap_err();
        assert_eq!((endless.exit_code(), endless.code()), (2, "too_large"));
        let latin = read_text(&b"gr\xfc\xdfe"[..]).unwrap_err();
        assert_eq!((latin.exit_code(), latin.code()), (2, "bad_request"));
    }

    #[test]
    fn a_module_is_a_name_or_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        std::fs::create_dir(&repo).unwrap();
        let given = format!("{}/./repo/", dir.path().display());
        let whole = repo.canonicalize().unwrap().display().to_string();
        assert_eq!(party(Some(given.clone())).unwrap(), whole);
        assert_eq!(party_if_given(Some(given)).unwrap(), Some(whole.clone()));
        assert_eq!(party_if_given(None).unwrap(), None);
        assert_eq!(party(Some("frontend".to_owned())).unwrap(), "frontend");
        assert_eq!(party(Some("..name".to_owned())).unwrap(), "..name");
        assert_eq!(party(Some(format!("{whole}/none"))).unwrap_err().exit_code(), 5);
        let here = env::current_dir().unwrap().display().to_string();
        assert_eq!(party(None).unwrap(), here);
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        assert!(variable("CLAUDE_COMMS_NO_SUCH").is_err() && variable("=b").is_err() && variable("").is_err());
        assert_eq!(variable("PATH").map(|(_, value)| value), Ok(std::env::var("PATH").unwrap()));
    }

    #[test]
    fn only_objects_are_metadata() {
        assert!(object("{\"a\":1}").is_ok());
        assert!(object("[1]").is_err());
        assert!(object("{a}").is_err());
    }
}
