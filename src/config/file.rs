//! The layer of one configuration file: TOML, read with the place of everything in it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::layers::Layer;
use super::problems::{Place, Problem};
use super::sections::{SECTIONS, Section, settings};
use super::suggest::nearest;
use super::value::{Given, quoted};

/// No configuration that a person wrote is larger, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the file; one that does not exist is an empty layer, unless it is `required`.
pub(super) fn read(path: &Path, required: bool) -> Layer {
    match contents(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Layer::default(),
        Err(error) => {
            let sentence = format!("could not be read: {error}");
            let problem = Problem { place: Place::WholeFile { path: path.to_owned() }, sentence };
            Layer { problems: vec![problem], ..Layer::default() }
        }
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at first, because opening a FIFO would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Reads what the file at `path` contains.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Layer {
    let text = String::from_utf8_lossy(bytes);
    let mut reading = Reading { path, text: &text, layer: Layer::default() };
    if let Err(error) = std::str::from_utf8(bytes) {
        reading.complain(error.valid_up_to()..error.valid_up_to(), "this is not UTF-8".to_owned());
        return reading.layer;
    }
    let (document, errors) = DeTable::parse_recoverable(&text);
    for (name, value) in document.get_ref() {
        reading.section(name, value);
    }
    let misread = reading.syntax_problems(errors);
    let problems = &mut reading.layer.problems;
    // A value on a misread line says nothing about what its author wrote.
    problems.retain(|problem| misread.iter().all(|other| line_of(other) != line_of(problem)));
    problems.extend(misread);
    problems.sort();
    reading.layer
}

fn line_of(problem: &Problem) -> usize {
    match problem.place {
        Place::File { line, .. } => line,
        _ => 0,
    }
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
}

impl Reading<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        Place::File { path: self.path.to_owned(), line, column: before[line_start..].chars().count() + 1 }
    }

    fn complain(&mut self, span: Range<usize>, sentence: String) {
        let place = self.place(&span);
        self.layer.problems.push(Problem { place, sentence });
    }

    /// One problem for each misread line: the parser stumbles on over the rest of it.
    fn syntax_problems(&self, errors: Vec<toml::de::Error>) -> Vec<Problem> {
        let problem = |error: toml::de::Error| Problem {
            place: self.place(&error.span().unwrap_or(0..0)),
            sentence: error.message().replace('\n', ", "),
        };
        let mut problems: Vec<Problem> = errors.into_iter().map(problem).collect();
        problems.sort();
        problems.dedup_by_key(|problem| line_of(problem));
        problems
    }

    fn section(&mut self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let word = name.get_ref().as_ref();
        match (Section::named(word), value.get_ref()) {
            (Some(section), DeValue::Table(fields)) => {
                for (field, value) in fields {
                    self.field(section, field, value);
                }
            }
            (Some(section), _) => {
                let heading = section.heading();
                self.complain(name.span(), format!("{word} is a section: write {heading} on a line of its own"));
            }
            (None, DeValue::Table(_)) => self.complain(name.span(), unknown_section(word)),
            (None, _) => self.complain(name.span(), outside(word)),
        }
    }

    fn field(&mut self, section: &'static Section, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let Some(setting) = section.setting(name.get_ref()) else {
            return self.complain(name.span(), unknown_field(section, name.get_ref()));
        };
        // The parser stands in nothing for what it could not read.
        if value.span().is_empty() {
            return;
        }
        let place = self.place(&value.span());
        self.layer.take(setting, &given(value.get_ref()), place);
    }
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(integer) => {
            match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(whole) => Given::Whole(whole),
                // Too large for 128 bits is too large for every range.
                Err(_) => Given::Fraction(integer.as_str().parse().unwrap_or(f64::INFINITY)),
            }
        }
        DeValue::Float(float) => Given::Fraction(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(_) => Given::Other("a truth value"),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => Given::List(items.iter().map(|item| given(item.get_ref())).collect()),
        DeValue::Table(entries) => Given::Table(
            entries.iter().map(|(key, value)| (key.get_ref().to_string(), given(value.get_ref()))).collect(),
        ),
    }
}

fn unknown_section(word: &str) -> String {
    let unknown = format!("there is no section {}", quoted(word));
    match nearest(word, SECTIONS.iter().map(|section| section.name)).and_then(Section::named) {
        Some(near) => format!("{unknown}; did you mean {}?", near.heading()),
        None => unknown,
    }
}

fn unknown_field(section: &Section, name: &str) -> String {
    let unknown = format!("there is no setting {} in {}", quoted(name), section.heading());
    if let Some(near) = nearest(name, section.rows().map(|row| row.name)) {
        return format!("{unknown}; did you mean {near}?");
    }
    match settings().find(|setting| setting.row.name == name) {
        Some(elsewhere) => format!("{unknown}; it belongs in {}", elsewhere.section.heading()),
        None => unknown,
    }
}

/// What to say about a value before the first section.
fn outside(name: &str) -> String {
    let stray = format!("{} stands outside of any section", quoted(name));
    let near = nearest(name, settings().map(|setting| setting.row.name));
    match near.and_then(|near| settings().find(|setting| setting.row.name == near)) {
        Some(near) => format!("{stray}; {} belongs in {}", near.row.name, near.section.heading()),
        None => stray,
    }
}
