//! `vacuum`: gives back to the disk what the database does not need any more.

use serde_json::json;

use super::exit::{Failure, OK, Outcome, TRY_AGAIN};
use super::session::Session;
use crate::model::command::Code;
use crate::upkeep::{self, VacuumError};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms vacuum        shrink the database now, with or without a daemon

What is asked of the daemon meanwhile waits up to 5 seconds, and is refused as busy after that.";

pub(super) fn run(session: &mut Session) -> Outcome {
    let vacuumed = upkeep::vacuum(&session.paths()?).map_err(|error| failed(&error))?;
    if session.output.json {
        let (before, after) = (vacuumed.bytes_before, vacuumed.bytes_after);
        session.output.json(&json!({"bytes_before": before, "bytes_after": after}))?;
    } else {
        let [before, after] = [vacuumed.bytes_before, vacuumed.bytes_after];
        session.output.line(format_args!("the database has {after} bytes; it had {before}"))?;
    }
    Ok(OK)
}

fn failed(error: &VacuumError) -> Failure {
    if error.is_busy() {
        return Failure::Told { exit_code: TRY_AGAIN, code: Code::Busy.as_str(), sentence: error.to_string() };
    }
    Failure::failed(error.to_string())
}
