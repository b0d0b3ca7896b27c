//! Reading the program's own source as far as the tests ask: its texts, and the fields of what goes over the socket.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the program, without its tests.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn read(path: &str) -> String {
    let text = fs::read_to_string(root().join(path)).unwrap();
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let path_text = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if path_text.ends_with(".rs") && !is_test(&path_text) {
                found.push(Source { text: read(&path_text), path: path_text });
            }
        }
    }
    found
}

fn is_test(path: &str) -> bool {
    ["/tests/", "/tests.rs", "/simulation", "/properties/"].iter().any(|part| path.contains(part))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every text between quotes, escapes resolved as far as they matter here; comments are left out.
pub(crate) fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(char) = chars.next() {
        match char {
            '/' if chars.peek() == Some(&'/') => drop(chars.by_ref().find(|&char| char == '\n')),
            '"' if before != '\'' => found.push(literal(&mut chars)),
            _ => {}
        }
        before = char;
    }
    found
}

fn literal(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => match chars.next() {
                Some('\n') => while chars.next_if(|char| char.is_whitespace()).is_some() {},
                Some('n') => text.push('\n'),
                Some(char) => text.push(char),
                None => break,
            },
            char => text.push(char),
        }
    }
    text
}

/// What stands between `start` and `end` in the text.
pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start} is not in the source"));
    rest.split_once(end).map_or(rest, |(found, _)| found)
}

/// A struct of the wire and its fields.
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) required: bool,
}

/// The commands and the names of what they take, as `requests!` has them.
pub(crate) fn requests(wire: &str) -> Vec<(String, String)> {
    let lines = between(wire, "\nrequests! {", "\n}").lines();
    let request = |line: &str| {
        let (variant, name) = line.trim().split_once(" = ")?;
        let args = variant.split_once('(')?.1.trim_end_matches(')');
        Some((name.trim_matches([',', '"']).to_owned(), args.to_owned()))
    };
    lines.filter_map(request).collect()
}

/// What may stand in a request, as `args!` has it.
pub(crate) fn arguments(wire: &str) -> Vec<Shape> {
    shapes(between(wire, "\nargs! {", "\n}\n"), "")
}

/// What answers are made of.
pub(crate) fn results(wire: &str) -> Vec<Shape> {
    let behind = wire.split_once("\nargs! {").unwrap().1;
    shapes(behind, "pub struct ")
}

/// Each `Name { field: Type, }` that begins so, over one line or several.
fn shapes(text: &str, start: &str) -> Vec<Shape> {
    let mut found = Vec::new();
    let mut current: Option<Shape> = None;
    let mut attributes = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let mut line = line;
        if current.is_none() {
            let Some((name, rest)) = line.strip_prefix(start).and_then(|rest| rest.split_once(" {")) else { continue };
            current = Some(Shape { name: name.to_owned(), fields: Vec::new() });
            line = rest;
        }
        let Some(shape) = &mut current else { continue };
        let (inside, ends) = line.strip_suffix('}').map_or((line, false), |inside| (inside, true));
        for part in inside.split(", ").map(str::trim).filter(|part| !part.is_empty()) {
            let (attribute, field) = match part.rfind(")]") {
                Some(at) => part.split_at(at + 2),
                None if part.starts_with("#[") => (part, ""),
                None => ("", part),
            };
            attributes.push_str(attribute);
            let Some((name, kind)) = field.trim().trim_start_matches("pub ").split_once(": ") else { continue };
            let optional = kind.starts_with("Option<") || attributes.contains("default");
            if !attributes.contains("flatten") {
                let name = name.trim_start_matches("r#").to_owned();
                shape.fields.push(Field { name, required: !optional });
            }
            attributes.clear();
        }
        if ends {
            found.extend(current.take());
        }
    }
    found
}
