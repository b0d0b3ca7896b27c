//! What a check comes to.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ok,
    /// It works all the same, and something should be known.
    Warning,
    /// Something does not work, or is open to others.
    Fault,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Fault => "fault",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A name for programs, which stays the same.
    pub check: &'static str,
    pub state: State,
    /// What is so, as a sentence without an end.
    pub sentence: String,
    /// How it is mended; `None` when all is well.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, sentence: impl Into<String>) -> Finding {
        Finding { check, state: State::Ok, sentence: sentence.into(), advice: None }
    }

    pub(super) fn warning(check: &'static str, sentence: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, state: State::Warning, sentence: sentence.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fault(check: &'static str, sentence: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, state: State::Fault, sentence: sentence.into(), advice: Some(advice.into()) }
    }
}
