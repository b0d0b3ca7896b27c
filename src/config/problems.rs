//! What is wrong with a configuration, each problem with its place, all of them together.

use std::fmt;
use std::path::PathBuf;

/// Where a value or a problem stands. Displayed as editors and people read it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    File { path: PathBuf, line: usize, column: usize },
    WholeFile { path: PathBuf },
    Environment { name: String },
    Flag { name: &'static str },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Place::WholeFile { path } => write!(f, "{}", path.display()),
            Place::Environment { name } => f.write_str(name),
            Place::Flag { name } => f.write_str(name),
        }
    }
}

/// One thing to be mended. Displayed as `place: sentence`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.sentence)
    }
}

/// Everything that is wrong, never empty; one line each when displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<Problem>);

impl ConfigProblems {
    /// Whether nothing but flags is wrong, which makes it a mistake on the command line.
    pub fn only_flags(&self) -> bool {
        self.0.iter().all(|problem| matches!(problem.place, Place::Flag { .. }))
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}
