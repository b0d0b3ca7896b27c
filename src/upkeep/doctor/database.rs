//! The database file: whether it is whole, of which version, and who else has it open.

use std::fs;
use std::path::Path;

use super::super::draft::beside;
use super::{Finding, processes};
use crate::clock::Timestamp;
use crate::store::{self, Diagnosis, StoreError};

/// A log of this size is one that could not be folded into the database for a long time, in bytes.
const LOG_BYTES_WARNED: u64 = 256 << 20;
const LOG_BYTES_MAX: u64 = 2 << 30;

/// Less than this is not worth a word, in bytes.
const UNUSED_BYTES_WARNED: u64 = 64 << 20;

/// Another program that has the database open.
pub(super) struct User {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// When the last event was stored, and what there is to say.
pub(super) fn examine(path: &Path, whole: bool, daemon: Option<u32>) -> (Option<Timestamp>, Vec<Finding>) {
    if !path.exists() {
        return (None, vec![Finding::ok("integrity", "there is no database yet; the first start makes it")]);
    }
    // Before anything is opened.
    let log_bytes = fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len());
    let users = processes::users_of(path, daemon);
    let mut findings = vec![judge_log(log_bytes, &users, daemon.is_some())];
    let diagnosis = match store::diagnose(path, whole) {
        Ok(Some(diagnosis)) => diagnosis,
        Ok(None) => {
            findings.push(Finding::warning(
                "integrity",
                format!(
                    "{} was not looked at: whoever used it last has left a log, which only a start takes in",
                    path.display()
                ),
                "claude-comms poll start, and run this again while it runs",
            ));
            findings.push(judge_users(&users, false));
            return (None, findings);
        }
        Err(error) => {
            findings.push(unreadable(path, &error));
            return (None, findings);
        }
    };
    findings.push(judge_pages(path, &diagnosis, whole));
    findings.push(judge_room(&diagnosis));
    findings.push(judge_version(&diagnosis));
    findings.push(judge_users(&users, diagnosis.is_locked));
    (diagnosis.last_event_at, findings)
}

fn unreadable(path: &Path, error: &StoreError) -> Finding {
    let advice = match error {
        StoreError::Corrupt(_) => "claude-comms restore FILE puts a backup into its place and keeps this one",
        StoreError::Busy => "another program holds it for itself; find it with fuser(1) and end it",
        _ => "see to it that you can read and write it, and its directory",
    };
    Finding::fault("integrity", format!("{} cannot be read: {error}", path.display()), advice)
}

fn judge_pages(path: &Path, found: &Diagnosis, whole: bool) -> Finding {
    const CHECK: &str = "integrity";
    if found.damage.is_empty() {
        let how = if whole { "every page and index of it is good" } else { "every page of it is good" };
        return Finding::ok(CHECK, format!("{}: {how}", path.display()));
    }
    Finding::fault(
        CHECK,
        format!("{} is damaged: {}", path.display(), found.damage.join("; ").replace('\n', " ")),
        "claude-comms poll stop, then claude-comms restore FILE puts a backup into its place and keeps this one",
    )
}

fn judge_room(found: &Diagnosis) -> Finding {
    const CHECK: &str = "unused_space";
    let sentence = format!("{} of {} MiB of the database are not in use", found.bytes_unused >> 20, found.bytes >> 20);
    if found.bytes_unused < UNUSED_BYTES_WARNED || found.bytes_unused < found.bytes / 2 {
        return Finding::ok(CHECK, sentence);
    }
    Finding::warning(CHECK, sentence, "claude-comms vacuum gives them back to the disk")
}

fn judge_version(found: &Diagnosis) -> Finding {
    const CHECK: &str = "schema";
    let (version, known) = (found.version, found.version_known);
    if version == known {
        return Finding::ok(CHECK, format!("the database is of version {version}, as this program wants it"));
    }
    if version < known {
        let sentence = format!("the database is of version {version}, this program of {known}");
        return Finding::warning(CHECK, sentence, "the next start copies it and brings it up to date");
    }
    let back = match &found.copy {
        Some(copy) => format!("or go back, without what came since: claude-comms restore {}", copy.display()),
        None => "or restore a backup that the older one has made".to_owned(),
    };
    let sentence = format!("the database is of version {version}, this program knows up to {known}");
    Finding::fault(CHECK, sentence, format!("use the newer claude-comms that has used it, {back}"))
}

fn judge_log(bytes: u64, users: &[User], has_daemon: bool) -> Finding {
    const CHECK: &str = "write_ahead_log";
    let size = format!("{} MiB", bytes >> 20);
    if bytes < LOG_BYTES_WARNED {
        return Finding::ok(CHECK, format!("the write-ahead log has {size}"));
    }
    let (reason, advice) = match users {
        [] if !has_daemon => (
            "the last daemon left it",
            "claude-comms poll start, then claude-comms poll stop, folds it into the database".to_owned(),
        ),
        [] => (
            "somebody keeps reading an old state of the database",
            "claude-comms poll stop folds it into the database, and start shortens it".to_owned(),
        ),
        users => (
            "somebody keeps reading an old state of the database",
            format!("have them end their transactions: {}", named(users)),
        ),
    };
    let sentence = format!("the write-ahead log has {size}: {reason}");
    if bytes < LOG_BYTES_MAX {
        Finding::warning(CHECK, sentence, advice)
    } else {
        Finding::fault(CHECK, sentence, advice)
    }
}

fn judge_users(users: &[User], is_locked: bool) -> Finding {
    const CHECK: &str = "foreign_processes";
    match (users, is_locked) {
        ([], false) => Finding::ok(CHECK, "no other program has the database open"),
        (users, false) => {
            Finding::ok(CHECK, format!("it is also open in {}, which is fine while they write briefly", named(users)))
        }
        ([], true) => Finding::fault(
            CHECK,
            "another program holds the database's write lock, and is not seen from here",
            "find it with fuser(1) as root, and have it end its transaction",
        ),
        (users, true) => Finding::fault(
            CHECK,
            format!("the database's write lock is held; it is open in {}", named(users)),
            format!("have it end its transaction, or end it: kill {}", users[0].pid),
        ),
    }
}

fn named(users: &[User]) -> String {
    let named: Vec<String> = users.iter().map(|user| format!("{} (process {})", user.name, user.pid)).collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_newer_database_says_the_way_back() {
        let found = |version, copy: Option<&str>| Diagnosis {
            version,
            version_known: 5,
            copy: copy.map(PathBuf::from),
            ..Diagnosis::default()
        };
        for (found, state, advice) in [
            (found(5, None), State::Ok, ""),
            (found(3, None), State::Warning, "brings it up to date"),
            (found(6, None), State::Fault, "restore a backup"),
            (found(6, Some("/s/db.v5")), State::Fault, "claude-comms restore /s/db.v5"),
        ] {
            let finding = judge_version(&found);
            assert!(finding.state == state && finding.advice.unwrap_or_default().contains(advice));
        }
    }

    #[test]
    fn a_log_that_grows_and_a_lock_that_is_held_name_who_does_it() {
        let users = || vec![User { pid: 9, name: "python3".to_owned() }];
        for (finding, state, advice) in [
            (judge_log(16 << 20, &users(), true), State::Ok, ""),
            (judge_log(300 << 20, &users(), true), State::Warning, "python3 (process 9)"),
            (judge_log(3 << 30, &[], true), State::Fault, "poll stop folds it"),
            (judge_log(3 << 30, &[], false), State::Fault, "poll start, then claude-comms poll stop"),
            (judge_users(&users(), false), State::Ok, ""),
            (judge_users(&users(), true), State::Fault, "kill 9"),
            (judge_users(&[], true), State::Fault, "fuser(1)"),
        ] {
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.advice.unwrap_or_default().contains(advice));
        }
    }
}
