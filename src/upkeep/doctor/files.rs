//! The state directory, what lies in it, and the socket: whose they are, and who may open them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::super::draft::beside;
use super::{Daemon, Finding};
use crate::service::{Holder, Paths, existing_token};

const OTHERS: u32 = 0o007;
const GROUP: u32 = 0o070;
const PERMISSIONS: u32 = 0o777;

/// Who has a file or directory, and who may use it.
#[derive(Clone, Debug)]
struct Owned {
    path: PathBuf,
    is_directory: bool,
    owner: u32,
    /// Permission bits.
    mode: u32,
}

fn look(path: &Path) -> io::Result<Owned> {
    let found = fs::metadata(path)?;
    let mode = found.mode() & PERMISSIONS;
    Ok(Owned { path: path.to_owned(), is_directory: found.is_dir(), owner: found.uid(), mode })
}

/// What is to be said of the state directory, and whether it is there to be looked into, or could be made.
pub(super) fn examine(paths: &Paths) -> (Vec<Finding>, bool) {
    const CHECK: &str = "state_directory";
    let mut findings = Vec::new();
    let found = look(&paths.state_dir);
    let refused = paths.foresee_state().err();
    if let Some(error) = &refused {
        findings.push(Finding::fault(
            CHECK,
            error.to_string(),
            "make that one usable, or choose another with --state-dir",
        ));
    }
    let is_absent = found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let directory = match found {
        Ok(directory) if directory.is_directory && fs::read_dir(&paths.state_dir).is_ok() => directory,
        _ if refused.is_some() => return (findings, false),
        Err(_) if is_absent => {
            let sentence = format!("{} does not exist yet; the first start makes it", paths.state_dir.display());
            return (vec![Finding::ok(CHECK, sentence)], true);
        }
        _ => {
            let sentence = format!("{} cannot be looked into", paths.state_dir.display());
            let advice = format!("chmod 700 {}, or choose another with --state-dir", paths.state_dir.display());
            return (vec![Finding::fault(CHECK, sentence, advice)], false);
        }
    };
    if refused.is_none() {
        findings.push(judge_directory(&directory));
    }
    let files = ["", "-wal", "-shm"].map(|suffix| beside(&paths.database, suffix));
    let files: Vec<Owned> = files.iter().chain([&paths.lock]).filter_map(|path| look(path).ok()).collect();
    findings.extend(judge_files(&files, directory.owner));
    (findings, true)
}

/// Of one that a start would take.
fn judge_directory(found: &Owned) -> Finding {
    const CHECK: &str = "state_directory";
    let path = found.path.display();
    if found.mode & OTHERS != 0 {
        let sentence = format!("everybody can look into {path} (mode {:03o})", found.mode);
        return Finding::fault(CHECK, sentence, format!("chmod 700 {path}; the next start does it too"));
    }
    if found.mode & GROUP != 0 {
        let sentence = format!("your group can look into {path} (mode {:03o})", found.mode);
        return Finding::warning(CHECK, sentence, format!("chmod 700 {path}; the next start does it too"));
    }
    Finding::ok(CHECK, format!("{path} is yours alone"))
}

/// A finding for each kind of what is wrong, which names every file that is.
fn judge_files(files: &[Owned], owner: u32) -> Vec<Finding> {
    const CHECK: &str = "files";
    let is_foreign = |found: &&Owned| found.owner != owner;
    let is_open = |found: &&Owned| found.owner == owner && found.mode & (OTHERS | GROUP) != 0;
    let is_shut =
        |found: &&Owned| found.owner == owner && found.mode & (OTHERS | GROUP) == 0 && found.mode & 0o600 != 0o600;
    let listed = |found: &[&Owned], separator: &str, name: &dyn Fn(&Owned) -> String| {
        found.iter().map(|found| name(found)).collect::<Vec<_>>().join(separator)
    };
    let path = |found: &Owned| found.path.display().to_string();
    let with_mode = |found: &Owned| format!("{} (mode {:03o})", found.path.display(), found.mode);
    let mut findings = Vec::new();
    let foreign: Vec<&Owned> = files.iter().filter(is_foreign).collect();
    if !foreign.is_empty() {
        let with_owner = |found: &Owned| format!("{} (user {})", found.path.display(), found.owner);
        let sentence = format!("of somebody else than user {owner}, who has the directory: ");
        let advice = format!("as root: chown {owner} {}", listed(&foreign, " ", &path));
        findings.push(Finding::fault(CHECK, sentence + &listed(&foreign, ", ", &with_owner), advice));
    }
    let open: Vec<&Owned> = files.iter().filter(is_open).collect();
    let shut: Vec<&Owned> = files.iter().filter(is_shut).collect();
    for (wrong, said) in [(open, "others can open"), (shut, "you cannot read and write")] {
        if !wrong.is_empty() {
            let sentence = format!("{said} {}", listed(&wrong, ", ", &with_mode));
            findings.push(Finding::fault(CHECK, sentence, format!("chmod 600 {}", listed(&wrong, " ", &path))));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "the database and the lock are for their owner alone"));
    }
    findings
}

pub(super) fn examine_tokens(paths: &Paths) -> Vec<Finding> {
    const CHECK: &str = "tokens";
    let wrong = [&paths.token, &paths.token_read_only].into_iter().filter_map(|path| {
        let error = existing_token(path).err()?;
        // A daemon that runs goes on taking the old one.
        let advice = format!(
            "claude-comms poll stop, rm {}, claude-comms poll start: that makes a new one, which its users need then",
            path.display()
        );
        Some(Finding::fault(CHECK, error.to_string(), advice))
    });
    let wrong: Vec<Finding> = wrong.collect();
    if wrong.is_empty() { vec![Finding::ok(CHECK, "no others can read them")] } else { wrong }
}

/// What lies in the place of the socket.
#[derive(Clone, Copy, Debug)]
enum Place {
    Nothing,
    Socket { mode: u32 },
    Other,
}

pub(super) fn examine_socket(paths: &Paths, holder: Option<&Holder>, daemon: &Daemon) -> Finding {
    let place = match fs::symlink_metadata(&paths.socket) {
        Err(_) => Place::Nothing,
        Ok(found) if found.file_type().is_socket() => Place::Socket { mode: found.mode() & PERMISSIONS },
        Ok(_) => Place::Other,
    };
    // Whoever runs has found a place already.
    if holder.is_none()
        && matches!(daemon, Daemon::Absent)
        && let Err(error) = paths.foresee_socket()
    {
        let advice = "set XDG_RUNTIME_DIR to a directory of yours that is there, or choose another place with --socket";
        return Finding::fault("socket", error.to_string(), advice);
    }
    judge_socket(&paths.socket, place, holder, daemon)
}

fn judge_socket(path: &Path, place: Place, holder: Option<&Holder>, daemon: &Daemon) -> Finding {
    const CHECK: &str = "socket";
    let at = path.display();
    let process = holder.and_then(|holder| holder.pid).map(|pid| format!(" (process {pid})")).unwrap_or_default();
    match (place, daemon) {
        (Place::Other, _) => {
            Finding::fault(CHECK, format!("{at} is no socket"), "move it away, or choose another place with --socket")
        }
        (Place::Socket { mode }, _) if mode & (OTHERS | GROUP) != 0 => {
            let sentence = format!("others can connect to {at} (mode {mode:03o})");
            Finding::fault(CHECK, sentence, format!("chmod 600 {at}"))
        }
        (_, Daemon::Answers(_)) => Finding::ok(CHECK, format!("{at} is answered")),
        (_, Daemon::Silent(reason)) => Finding::fault(
            CHECK,
            format!("the daemon{process} does not answer at {at}: {reason}"),
            "see claude-comms poll logs; end it with claude-comms poll stop --force, and start it again",
        ),
        (_, Daemon::Absent) if holder.is_some() => Finding::fault(
            CHECK,
            format!("a daemon{process} has the lock and does not listen at {at}"),
            "it is starting, or was started with another --socket or XDG_RUNTIME_DIR: use the same, or end it with \
             claude-comms poll stop --force",
        ),
        (Place::Socket { .. }, Daemon::Absent) => Finding::warning(
            CHECK,
            format!("{at} was left by a daemon that was killed"),
            "claude-comms poll start takes its place",
        ),
        (Place::Nothing, Daemon::Absent) => Finding::ok(CHECK, "there is none, as no daemon runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, State};
    use super::*;

    fn owned(owner: u32, mode: u32) -> Owned {
        Owned { path: PathBuf::from("/s"), is_directory: true, owner, mode }
    }

    #[test]
    fn a_directory_is_for_its_owner_alone() {
        for (found, state, advice) in [
            (owned(7, 0o700), State::Ok, ""),
            (owned(7, 0o755), State::Fault, "chmod 700 /s"),
            (owned(7, 0o750), State::Warning, "chmod 700 /s"),
        ] {
            let finding = judge_directory(&found);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.advice.unwrap_or_default().contains(advice));
        }
    }

    #[test]
    fn a_file_is_its_directorys_owners() {
        for (files, state, advice) in [
            (vec![owned(7, 0o600), owned(7, 0o600)], State::Ok, ""),
            (vec![owned(7, 0o600), owned(7, 0o644)], State::Fault, "chmod 600 /s"),
            (vec![owned(0, 0o600)], State::Fault, "chown 7 /s"),
            (vec![owned(7, 0o400), owned(7, 0o600), owned(7, 0o400)], State::Fault, "chmod 600 /s /s"),
        ] {
            let findings = judge_files(&files, 7);
            assert_eq!((findings.len(), findings[0].state), (1, state), "{findings:?}");
            assert!(findings[0].advice.as_deref().unwrap_or_default().contains(advice));
        }
        assert_eq!(judge_files(&[owned(7, 0o400), owned(7, 0o644), owned(0, 0o600)], 7).len(), 3);
    }

    #[test]
    fn a_socket_is_judged_by_who_holds_the_lock() {
        let holder = Holder { pid: Some(5), epoch: None };
        let socket = Place::Socket { mode: 0o600 };
        let answers = Daemon::Answers(Answer::default());
        let silent = Daemon::Silent("nothing within 30 s".to_owned());
        for (place, holder, daemon, state, said) in [
            (Place::Nothing, None, &Daemon::Absent, State::Ok, "no daemon runs"),
            (socket, Some(&holder), &answers, State::Ok, "is answered"),
            (socket, None, &Daemon::Absent, State::Warning, "was left by"),
            (socket, Some(&holder), &silent, State::Fault, "(process 5) does not answer"),
            (Place::Nothing, Some(&holder), &Daemon::Absent, State::Fault, "(process 5) has the lock"),
            (Place::Other, None, &Daemon::Absent, State::Fault, "is no socket"),
            (Place::Socket { mode: 0o666 }, Some(&holder), &answers, State::Fault, "others can connect"),
        ] {
            let finding = judge_socket(Path::new("/s"), place, holder, daemon);
            assert!(finding.state == state && finding.sentence.contains(said), "{finding:?}");
            assert_eq!(finding.advice.is_none(), state == State::Ok);
        }
    }
}
