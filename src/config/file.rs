//! The layer of one configuration file: TOML, read with the place of everything in it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::layers::{Layer, Listed, Written};
use super::misspelt::{outside, unknown_field, unknown_section};
use super::problems::{Place, Problem};
use super::record::Record;
use super::sections::{Section, Setting, settings};
use super::value::{Given, quoted};

/// No configuration that a person wrote is larger, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
const WRITABLE_BY_ALL: u32 = 0o002;

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
    let found = path.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.mode() & WRITABLE_BY_ALL != 0 {
        return Err(io::Error::other(
            "everybody may write to it, and it says what is run; make it private (chmod o-w)",
        ));
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
    let mut reading = Reading { path, text: &text, layer: Layer::default(), spelt: Vec::new() };
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
    /// Keys that can be spelt in two ways, and where they stand.
    spelt: Vec<(Setting, Place)>,
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
        let flat = settings().find(|setting| setting.flat_name().is_some_and(|flat| flat == word));
        match (Section::named(word), flat, value.get_ref()) {
            (Some(section), _, DeValue::Array(items)) if section.is_list() => self.list(section, items),
            (Some(section), _, _) if section.is_list() => {
                let heading = section.heading();
                self.complain(name.span(), format!("{word} is a list: write {heading} on a line before each"));
            }
            (Some(section), _, DeValue::Table(fields)) => {
                for (field, value) in fields {
                    let written = self.field(section, field, value);
                    self.layer.written.extend(written);
                }
            }
            (Some(section), _, _) => {
                let heading = section.heading();
                self.complain(name.span(), format!("{word} is a section: write {heading} on a line of its own"));
            }
            (None, Some(setting), _) => {
                let written = self.value(setting, name, value);
                self.layer.written.extend(written);
            }
            (None, None, value) if is_heading(value) => self.complain(name.span(), unknown_section(word)),
            (None, None, _) => self.complain(name.span(), outside(word)),
        }
    }

    fn field(
        &mut self,
        section: &'static Section,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Written> {
        let Some(setting) = section.setting(name.get_ref()) else {
            self.complain(name.span(), unknown_field(section, name.get_ref()));
            return None;
        };
        self.value(setting, name, value)
    }

    fn value(
        &mut self,
        setting: Setting,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Written> {
        if setting.flat_name().is_some() {
            self.spell(setting, self.place(&name.span()));
        }
        // The parser stands in nothing for what it could not read.
        if value.span().is_empty() {
            return None;
        }
        let place = self.place(&value.span());
        self.layer.accept(setting, &given(value.get_ref()), place)
    }

    /// The parser finds a key that is there twice, but not one that is spelt in two ways.
    fn spell(&mut self, setting: Setting, place: Place) {
        let again = self.spelt.iter().find(|(other, _)| other.key() == setting.key());
        if let Some((_, other)) = again {
            let (first, second) = if *other < place { (other, &place) } else { (&place, other) };
            let sentence = format!("{} is set already, at {first}", setting.key());
            self.layer.problems.push(Problem { place: second.clone(), sentence });
        }
        self.spelt.push((setting, place));
    }

    fn list(&mut self, section: &'static Section, items: &[Spanned<DeValue<'_>>]) {
        let most = section.list.as_ref().map_or(0, |list| list.most);
        if let Some(beyond) = items.get(most) {
            self.complain(beyond.span(), format!("there may be at most {most} of {}", section.heading()));
        }
        let mut records: Vec<Record> = Vec::new();
        for item in items.iter().take(most) {
            let Some(record) = self.item(section, item) else { continue };
            self.compare_names(&records, &record);
            records.push(record);
        }
        self.layer.lists.push(Listed { section, records });
    }

    fn item(&mut self, section: &'static Section, item: &Spanned<DeValue<'_>>) -> Option<Record> {
        let DeValue::Table(fields) = item.get_ref() else {
            self.complain(item.span(), format!("{} must be a table", section.heading()));
            return None;
        };
        let place = self.place(&item.span());
        let mut record = Record { place: Some(place.clone()), ..Record::defaults(section) };
        let mut sound = true;
        for (name, value) in fields {
            match self.field(section, name, value) {
                Some(Written { setting, value, place }) => record.set(setting.row, value, place),
                None => sound = false,
            }
        }
        for row in section.rows().filter(|row| row.kind.is_required()) {
            if !fields.keys().any(|name| name.get_ref() == row.name) {
                let sentence = format!("{} needs {}, {}", section.heading(), row.name, row.kind.expects());
                self.layer.problems.push(Problem { place: place.clone(), sentence });
                sound = false;
            }
        }
        if let Some((name, sentence)) = section.list.as_ref().filter(|_| sound).and_then(|list| (list.fault)(&record)) {
            self.layer.problems.push(Problem { place: record.place_of(name).unwrap_or(place), sentence });
        }
        Some(record)
    }

    fn compare_names(&mut self, before: &[Record], record: &Record) {
        let Some((name, place)) = record.name() else { return };
        let same = before.iter().filter_map(Record::name).find(|(other, _)| *other == name);
        if let Some((_, first)) = same {
            let sentence = format!("{} {} is there already, at {first}", record.section.heading(), quoted(name));
            self.layer.problems.push(Problem { place: place.clone(), sentence });
        }
    }
}

/// Whether it is what follows a `[heading]` or a `[[heading]]`.
fn is_heading(value: &DeValue<'_>) -> bool {
    let is_table = |item: &Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => !items.is_empty() && items.iter().all(is_table),
        _ => false,
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
        DeValue::Boolean(on) => Given::Switch(*on),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => Given::List(items.iter().map(|item| given(item.get_ref())).collect()),
        DeValue::Table(entries) => Given::Table(
            entries.iter().map(|(key, value)| (key.get_ref().to_string(), given(value.get_ref()))).collect(),
        ),
    }
}
