//! A reader of the text format that shares no code with the writer, and puts up with nothing that the format does not
//! allow.

use std::collections::BTreeMap;

/// What a text says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    /// Kind and help by name.
    pub(super) families: BTreeMap<String, (String, String)>,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Parsed {
    /// The value of the only line with that name and those labels.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let same = |line: &&Line| {
            line.name == name
                && line.labels.len() == labels.len()
                && line.labels.iter().zip(labels).all(|(own, wanted)| (own.0.as_str(), own.1.as_str()) == *wanted)
        };
        let found: Vec<&Line> = self.lines.iter().filter(same).collect();
        let [line] = found[..] else { panic!("{} lines are {name}{labels:?}", found.len()) };
        line.value
    }
}

/// Panics on the first thing that is wrong.
pub(super) fn parse(text: &str) -> Parsed {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    let mut parsed = Parsed::default();
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(helps.insert(name.to_owned(), unescape(help, "\\n")).is_none(), "two helps of {name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            let help = helps.get(name).expect("the help stands before the kind").clone();
            let twice = parsed.families.insert(name.to_owned(), (kind.to_owned(), help));
            assert!(twice.is_none(), "two kinds of {name}");
            assert!(current.as_str() < name, "{name} stands after {current}");
            current = name.to_owned();
        } else {
            let line = parse_line(line);
            let of_histogram = parsed.families.get(&current).is_some_and(|(kind, _)| kind == "histogram");
            let ending = line.name.strip_prefix(&current).expect("lines stand below their kind");
            let known: &[&str] = if of_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(known.contains(&ending), "{} below {current}", line.name);
            parsed.lines.push(line);
        }
    }
    parsed
}

fn parse_line(line: &str) -> Line {
    let end = line.find(['{', ' ']).expect("a value");
    let name = line[..end].to_owned();
    let mut rest = &line[end..];
    let mut labels = Vec::new();
    while rest.starts_with(['{', ',']) {
        let (label, after) = rest[1..].split_once("=\"").expect("a quoted value");
        let end = closing_quote(after);
        labels.push((label.to_owned(), unescape(&after[..end], "\\n\"")));
        rest = &after[end + 1..];
    }
    let rest = if labels.is_empty() { rest } else { rest.strip_prefix('}').expect("a closing brace") };
    let value = rest.strip_prefix(' ').expect("one space before the value");
    // These three as Prometheus spells them; Rust would read other spellings too.
    let value = match value {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => {
            assert!(number.bytes().all(|byte| b"0123456789.e-".contains(&byte)), "{number:?} is no number");
            number.parse().expect("a number")
        }
    };
    Line { name, labels, value }
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place,
            _ => {}
        }
    }
    panic!("no closing quote in {text:?}");
}

/// `known`: what may stand behind a backslash.
fn unescape(text: &str, known: &str) -> String {
    let mut raw = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            raw.push(letter);
            continue;
        }
        let escaped = letters.next().expect("something behind a backslash");
        assert!(known.contains(escaped), "\\{escaped} is no escape here");
        raw.push(if escaped == 'n' { '\n' } else { escaped });
    }
    raw
}
