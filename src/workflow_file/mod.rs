//! Workflow files: TOML or JSON of one shape, read into a checked [`Definition`] or into everything that is wrong with
//! them, each with its place.

mod check;
mod fields;
mod read;
mod tree;

#[cfg(test)]
mod tests;

use crate::model::id::PoolId;
use crate::model::limits::WORKFLOW_BYTES_MAX;
use crate::model::workflow::Definition;
use std::fmt;

/// What more than this is wrong is not worth telling at once.
const PROBLEMS_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Toml,
    Json,
}

impl Format {
    pub fn parse(text: &str) -> Option<Format> {
        match text {
            "toml" => Some(Format::Toml),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// What holds where a file says nothing.
#[derive(Clone, Debug)]
pub struct Around {
    pub pool: PoolId,
    /// An absolute path: where tasks run, and what paths in the file start from.
    pub directory: Option<String>,
    /// A number that was drawn, for tasks that go to any pool.
    pub random: u64,
}

/// Something wrong, and where. Lines and columns begin with 1; a column is a character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub line: usize,
    pub column: usize,
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.sentence)
    }
}

/// Reads a workflow file.
///
/// # Errors
/// What is wrong with it, in the order of the file, never empty.
pub fn parse(source: &str, format: Format, around: &Around) -> Result<Definition, Vec<Problem>> {
    let mut problems = Problems { source, found: Vec::new() };
    if source.len() > WORKFLOW_BYTES_MAX {
        problems.add(0, format!("the file has {} bytes; at most {WORKFLOW_BYTES_MAX} are", source.len()));
        return Err(problems.sorted());
    }
    let root = match format {
        Format::Toml => tree::from_toml(source),
        Format::Json => tree::from_json(source),
    };
    let draft = match root {
        Ok(root) => read::draft(&root, around, &mut problems),
        Err(tree::Unreadable { at, sentence }) => {
            problems.add(at, sentence);
            None
        }
    };
    let definition = draft.and_then(|draft| check::definition(draft, &mut problems));
    match definition {
        Some(definition) if problems.found.is_empty() => Ok(definition),
        _ => Err(problems.sorted()),
    }
}

struct Problems<'a> {
    source: &'a str,
    found: Vec<(usize, String)>,
}

impl Problems<'_> {
    /// `at`: a byte of the source.
    fn add(&mut self, at: usize, sentence: impl Into<String>) {
        self.found.push((at, sentence.into()));
    }

    fn sorted(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found.dedup();
        self.found.truncate(PROBLEMS_MAX);
        self.found.iter().map(|(at, sentence)| self.placed(*at, sentence)).collect()
    }

    fn placed(&self, at: usize, sentence: &str) -> Problem {
        let before = &self.source[..self.source.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            sentence: sentence.to_owned(),
        }
    }
}
