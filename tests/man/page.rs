//! Reading a manual page as far as the tests ask: sections, items of lists, and the arguments of macros.

use std::fs;
use std::path::Path;

pub(crate) struct Page {
    pub(crate) name: String,
    lines: Vec<String>,
}

/// A heading or the head of an item, and the lines that follow it.
pub(crate) struct Part<'a> {
    pub(crate) head: &'a str,
    pub(crate) lines: &'a [String],
}

impl Page {
    pub(crate) fn read(name: &str) -> Page {
        let text = fs::read_to_string(directory().join(name)).unwrap();
        Page { name: name.to_owned(), lines: text.lines().map(ToOwned::to_owned).collect() }
    }

    /// Every page there is.
    pub(crate) fn all() -> Vec<Page> {
        let mut names: Vec<String> =
            fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.iter().map(|name| Page::read(name)).collect()
    }

    pub(crate) fn has_section(&self, name: &str) -> bool {
        parts(&self.lines, ".Sh ").iter().any(|part| part.head == name)
    }

    pub(crate) fn section(&self, name: &str) -> Part<'_> {
        let found = parts(&self.lines, ".Sh ").into_iter().find(|part| part.head == name);
        found.unwrap_or_else(|| panic!("{} has no section {name}", self.name))
    }

    /// What is quoted within a sentence.
    pub(crate) fn quoted_lines(&self) -> Vec<&str> {
        let quoted = self.lines.iter().filter_map(|line| line.strip_prefix(".Ql "));
        quoted.map(|text| text.trim_end_matches([' ', '.', ','])).collect()
    }

    /// The lines of displays that are printed as they stand.
    pub(crate) fn literal_lines(&self) -> Vec<&str> {
        self.displays().concat()
    }

    /// Each display that is printed as it stands, as its lines.
    pub(crate) fn displays(&self) -> Vec<Vec<&str>> {
        let mut literal = false;
        let mut found: Vec<Vec<&str>> = Vec::new();
        for line in &self.lines {
            match line.as_str() {
                line if line.starts_with(".Bd -literal") => {
                    literal = true;
                    found.push(Vec::new());
                }
                ".Ed" => literal = false,
                line if literal => found.last_mut().unwrap().push(line),
                _ => {}
            }
        }
        found
    }

    /// What stands after a macro anywhere on the page, other macros and punctuation left out.
    pub(crate) fn arguments(&self, name: &str) -> Vec<&str> {
        self.lines.iter().flat_map(|line| arguments(line, name)).collect()
    }
}

impl<'a> Part<'a> {
    pub(crate) fn subsections(&self) -> Vec<Part<'a>> {
        parts(self.lines, ".Ss ")
    }

    pub(crate) fn items(&self) -> Vec<Part<'a>> {
        let mut items = parts(self.lines, ".It ");
        for item in &mut items {
            let end = item.lines.iter().position(|line| line == ".El").unwrap_or(item.lines.len());
            item.lines = &item.lines[..end];
        }
        items
    }

    /// What stands after a macro in the head.
    pub(crate) fn head_arguments(&self, name: &str) -> Vec<&'a str> {
        behind(self.head, name)
    }

    pub(crate) fn has_line(&self, line: &str) -> bool {
        self.lines.iter().any(|found| found == line)
    }

    /// What the line that begins so goes on with, without its full stop.
    pub(crate) fn line_after(&self, start: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.strip_prefix(start)).map(|rest| rest.strip_suffix('.').unwrap_or(rest))
    }

    pub(crate) fn arguments(&self, name: &str) -> Vec<&'a str> {
        self.lines.iter().flat_map(|line| arguments(line, name)).collect()
    }
}

pub(crate) fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/man"))
}

fn parts<'a>(lines: &'a [String], mark: &str) -> Vec<Part<'a>> {
    let starts: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with(mark)).collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let part =
        |(&start, end): (&usize, usize)| Part { head: &lines[start][mark.len()..], lines: &lines[start + 1..end] };
    starts.iter().zip(ends).map(part).collect()
}

/// What stands after a macro on a line, up to the next macro.
fn arguments<'a>(line: &'a str, name: &str) -> Vec<&'a str> {
    line.strip_prefix('.').map_or_else(Vec::new, |macros| behind(macros, name))
}

fn behind<'a>(macros: &'a str, name: &str) -> Vec<&'a str> {
    let mut within = false;
    let mut found = Vec::new();
    for word in macros.split_whitespace() {
        if is_macro(word) {
            within = word == name;
        } else if within && word.chars().any(char::is_alphanumeric) {
            found.push(word);
        }
    }
    found
}

fn is_macro(word: &str) -> bool {
    matches!(word.as_bytes(), [first, second] if first.is_ascii_uppercase() && second.is_ascii_lowercase())
}

/// A flag or a value that is no flag's, as a synopsis or the head of an item has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usage {
    Flag { name: String, value: Option<String>, optional: bool },
    Value(String),
}

/// `.Op Fl f | Fl Fl follow Ar WHAT` and the like.
pub(crate) fn usages(line: &str) -> Vec<Usage> {
    let words: Vec<&str> = line.trim_start_matches('.').split_whitespace().collect();
    let optional = words.contains(&"Op");
    let mut found = Vec::new();
    let mut rest = words.as_slice();
    while let [word, following @ ..] = rest {
        rest = following;
        match (*word, following) {
            // Two dashes alone stand before a command of somebody else's.
            ("Fl", ["Fl", "Ar", value, ..]) => {
                found.push(Usage::Value((*value).to_owned()));
                rest = &following[3..];
            }
            ("Fl", ["Fl", name, "Ar", value, ..]) => {
                let (name, value) = (format!("--{name}"), Some((*value).to_owned()));
                found.push(Usage::Flag { name, value, optional });
                rest = &following[4..];
            }
            ("Fl", ["Fl", name, ..]) => {
                found.push(Usage::Flag { name: format!("--{name}"), value: None, optional });
                rest = &following[2..];
            }
            ("Fl", [name, ..]) => {
                found.push(Usage::Flag { name: format!("-{name}"), value: None, optional });
                rest = &following[1..];
            }
            ("Ar", [value, ..]) => {
                found.push(Usage::Value((*value).to_owned()));
                rest = &following[1..];
            }
            _ => {}
        }
    }
    found
}
