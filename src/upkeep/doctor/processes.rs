//! What /proc says of other processes, as far as it shows them. Elsewhere nothing is seen.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::database::User;

/// Processes that are named at most.
const USERS_MAX: usize = 5;

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Where the open files of a process lead.
fn links(pid: u32) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok())
}

/// Who has that file open, besides the daemon and us.
pub(super) fn users_of(path: &Path, daemon: Option<u32>) -> Vec<User> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let others = all().filter(|pid| Some(*pid) != daemon && *pid != std::process::id());
    let users = others.filter(|pid| links(*pid).any(|link| link == path));
    users.take(USERS_MAX).map(|pid| User { pid, name: name_of(pid) }).collect()
}

fn name_of(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().escape_default().to_string()
}

/// Instances of inotify that processes of our user have.
pub(super) fn inotify_instances() -> usize {
    let us = rustix::process::geteuid().as_raw();
    let ours = all().filter(|pid| fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == us));
    ours.map(|pid| links(pid).filter(|link| link.as_os_str() == "anon_inode:inotify").count()).sum()
}

/// A variable in the environment that a process was started with.
pub(super) fn variable_of(pid: Option<u32>, name: &str) -> Option<OsString> {
    let environment = fs::read(format!("/proc/{}/environ", pid?)).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(OsString::from_vec(value.to_vec()))
}

/// Whether the program of a process was replaced or removed since it was started.
pub(super) fn has_stale_program(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|link| link.as_os_str().as_bytes().ends_with(b" (deleted)"))
}

/// How many files that process, or else this one, may have open.
pub(super) fn open_files_max(pid: Option<u32>) -> Option<u64> {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

pub(super) fn number_in(path: &str) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
