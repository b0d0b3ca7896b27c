//! Prompts that name results of earlier tasks: `{{stage.task}}`, or `{{task}}` where only one task has that name.
//! `{{{{` stands for two braces; what is in a result is never looked at again.

use super::id::is_name;
use std::sync::Arc;

/// A part of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    Reference(Reference<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    pub stage: Option<&'a str>,
    pub task: &'a str,
    /// As it was written, with its braces.
    pub written: &'a str,
}

/// What is no reference, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    pub written: &'a str,
    pub sentence: String,
}

/// The name of a stage or task of a workflow: as all names, but without a dot, which stands between the two.
pub fn is_step_name(text: &str) -> bool {
    is_name(text) && !text.contains('.')
}

/// Takes a prompt apart.
///
/// # Errors
/// The first thing in double braces that cannot name a task.
pub fn pieces(prompt: &str) -> Result<Vec<Piece<'_>>, Malformed<'_>> {
    let mut pieces = Vec::new();
    let mut rest = prompt;
    while let Some(open) = rest.find("{{") {
        pieces.push(Piece::Text(&rest[..open]));
        let behind = &rest[open + 2..];
        if let Some(after) = behind.strip_prefix("{{") {
            pieces.push(Piece::Text("{{"));
            rest = after;
            continue;
        }
        let Some(close) = behind.find("}}") else {
            let sentence = "{{ is never closed; write {{{{ for two braces".to_owned();
            return Err(Malformed { written: "{{", sentence });
        };
        let written = &rest[open..open + 2 + close + 2];
        pieces.push(Piece::Reference(reference(behind[..close].trim(), written)?));
        rest = &behind[close + 2..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn reference<'a>(inner: &'a str, written: &'a str) -> Result<Reference<'a>, Malformed<'a>> {
    let (stage, task) = match inner.split_once('.') {
        Some((stage, task)) => (Some(stage), task),
        None => (None, inner),
    };
    if is_step_name(task) && stage.is_none_or(is_step_name) {
        return Ok(Reference { stage, task, written });
    }
    let shown: String = inner.chars().take(40).collect();
    let sentence = format!("{shown:?} in double braces is no stage.task; write {{{{{{{{ for two braces");
    Err(Malformed { written, sentence })
}

/// Puts results in the place of their names.
///
/// # Errors
/// A sentence: a result cannot be found, or the prompt grows beyond `bytes_max`.
pub fn expand(
    prompt: &str,
    bytes_max: usize,
    mut find: impl FnMut(Reference<'_>) -> Result<Arc<str>, String>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(prompt.len());
    for piece in pieces(prompt).map_err(|malformed| malformed.sentence)? {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Reference(reference) => expanded.push_str(&find(reference)?),
        }
        if expanded.len() > bytes_max {
            return Err(format!("with the results that it names the prompt has more than {bytes_max} bytes"));
        }
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(prompt: &str) -> Result<String, String> {
        expand(prompt, 30, |reference| match (reference.stage, reference.task) {
            (Some("a"), "one") | (None, "one") => Ok("1 {{a.one}}".into()),
            (None, "long") => Ok("x".repeat(20).into()),
            _ => Err(format!("{} is not there", reference.written)),
        })
    }

    #[test]
    fn results_stand_in_the_place_of_their_names_and_are_not_looked_at_again() {
        for (prompt, expected) in [
            ("", ""),
            ("plain {x} }}", "plain {x} }}"),
            ("<{{a.one}}>", "<1 {{a.one}}>"),
            ("{{ one }}", "1 {{a.one}}"),
            ("{{{{a.one}}", "{{a.one}}"),
            ("{{{{{{one}}", "{{1 {{a.one}}"),
        ] {
            assert_eq!(filled(prompt).as_deref(), Ok(expected), "{prompt}");
        }
    }

    #[test]
    fn what_names_nothing_or_is_too_long_is_said() {
        for (prompt, expected) in [
            ("{{two}}", "{{two}} is not there"),
            ("{{one", "{{ is never closed"),
            ("{{a b}}", "\"a b\" in double braces is no stage.task"),
            ("{{a.b.c}}", "is no stage.task"),
            ("{{}}", "is no stage.task"),
            ("{{long}}{{long}}", "more than 30 bytes"),
        ] {
            let error = filled(prompt).unwrap_err();
            assert!(error.contains(expected), "{prompt}: {error}");
        }
    }
}
