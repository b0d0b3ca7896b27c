//! What /proc says about a process: who it is, whom it belongs to, which task it carries in its environment.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use rustix::process::Pid;

/// The variable that every child carries; its value is `<epoch>/<task id>/<attempt>`.
pub(super) const MARKER: &str = "CLAUDE_COMMS_TASK";

/// Linux grants arguments and environment together at most 6 MiB.
const ENVIRON_BYTES_MAX: u64 = 8 << 20;

/// A process that can be recognised later, even when its number has been given to another one since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// When it started, in clock ticks since the machine did: field 22 of /proc/PID/stat.
    pub started: u64,
    pub boot_id: String,
}

impl Process {
    pub(super) fn of(pid: u32) -> io::Result<Process> {
        Ok(Process { pid, started: Stat::read(pid)?.started, boot_id: boot_id().to_owned() })
    }
}

/// Names this start of the machine; empty where the system does not tell.
pub(super) fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_owned()
    })
}

/// What we need of /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    state: u8,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) started: u64,
}

impl Stat {
    pub(super) fn read(pid: u32) -> io::Result<Stat> {
        // One line of at most 52 numbers and a name; a buffer on the stack spares an allocation per task.
        let mut line = [0; 2048];
        let mut length = 0;
        let mut file = File::open(format!("/proc/{pid}/stat"))?;
        while !line[..length].ends_with(b"\n") {
            match file.read(&mut line[length..])? {
                0 => break,
                count => length += count,
            }
        }
        Stat::parse(&line[..length]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(line: &[u8]) -> Option<Stat> {
        // The second field is the program's name in parentheses and may itself contain any byte.
        let name_end = line.iter().rposition(|&byte| byte == b')')?;
        let rest = str::from_utf8(&line[name_end + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            state: *fields.first()?.as_bytes().first()?,
            parent: u32::try_from(number(4)?).ok()?,
            group: u32::try_from(number(5)?).ok()?,
            started: number(22)?,
        })
    }

    /// It has ended and only waits for its parent to notice.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// The number as system calls want it.
pub(super) fn pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Every process of our user but this one.
pub(super) fn ours() -> io::Result<Vec<u32>> {
    let user = rustix::process::geteuid().as_raw();
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ends while we look is no error.
        if pid != std::process::id() && entry.metadata().is_ok_and(|proc| proc.uid() == user) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// The value of [`MARKER`] in the environment that the process was started with.
pub(super) fn marker(pid: u32) -> Option<String> {
    let mut environ = Vec::new();
    File::open(format!("/proc/{pid}/environ")).ok()?.take(ENVIRON_BYTES_MAX).read_to_end(&mut environ).ok()?;
    let value =
        environ.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let line = b"4242 (a) S 1 (\xff) Z 7 8 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 987654 0 0\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat, Stat { state: b'Z', parent: 7, group: 8, started: 987_654 });
        assert!(stat.is_dead());
    }

    #[test]
    fn a_cut_line_is_refused() {
        assert_eq!(Stat::parse(b"4242 (sh) S 7 8 9"), None);
        assert_eq!(Stat::parse(b"4242"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn this_process_knows_itself_and_is_not_among_ours() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.started > 0);
        assert_eq!(me.boot_id.len(), 36);
        assert!(!ours().unwrap().contains(&me.pid));
    }
}
