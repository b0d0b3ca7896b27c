//! What a child writes, kept within bounds: the log files of an attempt, the text that is its result, and the last lines
//! for an error message.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The end of a log that has no room for more.
const FULL: &[u8] = b"\n[claude-comms: the log is full; what came after this is not kept]\n";

/// Where the output of one attempt is kept.
pub fn task_directory(tasks_root: &Path, task_id: &str, attempt: u32) -> PathBuf {
    tasks_root.join(task_id).join(attempt.to_string())
}

/// Removes the output of all attempts at a task. That there is none is no error.
///
/// # Errors
/// Something of it cannot be removed; or the id is one that no task of ours has, and could lead elsewhere.
pub fn remove_output(tasks_root: &Path, task_id: &str) -> io::Result<()> {
    if task_id.is_empty() || task_id == "." || task_id == ".." || task_id.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no id of a task"));
    }
    match fs::remove_dir_all(tasks_root.join(task_id)) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// One output stream in a file, created when the first byte comes. A disk that is full costs the log, never the task.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    bytes_left: u64,
    length: u64,
    state: LogState,
}

#[derive(Debug)]
enum LogState {
    Untouched,
    Open(File),
    /// Full, or it could not be written.
    Closed,
}

impl LogFile {
    pub(super) fn new(directory: &Path, name: &str, bytes_max: u64) -> LogFile {
        let path = directory.join(name);
        // An attempt that a shutdown cut off is made again under the same number: what it left is not this run's.
        let _ = fs::remove_file(&path);
        LogFile { path, bytes_left: bytes_max, length: 0, state: LogState::Untouched }
    }

    /// What stands in it, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let LogState::Closed = self.state {
            return;
        }
        if let Err(err) = self.append(bytes) {
            log::warn!("output was not kept, file={} error={err}", self.path.display());
            self.state = LogState::Closed;
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let LogState::Untouched = self.state {
            self.state = LogState::Open(create_private(&self.path)?);
        }
        let LogState::Open(file) = &mut self.state else { return Ok(()) };
        let room = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            self.bytes_left -= bytes.len() as u64;
            file.write_all(bytes)?;
            self.length += bytes.len() as u64;
            return Ok(());
        }
        file.write_all(&bytes[..room])?;
        file.write_all(FULL)?;
        self.length += (room + FULL.len()) as u64;
        self.state = LogState::Closed;
        Ok(())
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    // A task may have put a link or a FIFO there, for the next attempt to follow or to wait at.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Text up to a limit: the beginning is kept, the rest counted as cut.
#[derive(Debug)]
pub(super) struct Capture {
    kept: Vec<u8>,
    bytes_max: usize,
    overflowed: bool,
}

impl Capture {
    pub(super) fn new(bytes_max: usize) -> Capture {
        Capture { kept: Vec::new(), bytes_max, overflowed: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        // One more than the limit, for the final newline that does not count.
        let room = self.bytes_max.saturating_add(1) - self.kept.len();
        let cut = bytes.len().min(room);
        self.kept.extend_from_slice(&bytes[..cut]);
        self.overflowed |= cut < bytes.len();
    }

    /// The text without its final newline, and whether something is missing from it.
    pub(super) fn into_text(mut self) -> (String, bool) {
        if !self.overflowed && self.kept.last() == Some(&b'\n') {
            self.kept.pop();
        }
        let text = String::from_utf8(self.kept)
            .unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned());
        let (text, cut) = cut_text(text, self.bytes_max);
        (text, cut || self.overflowed)
    }
}

/// At most `bytes_max` bytes of the text, and whether that cut anything.
pub(super) fn cut_text(mut text: String, bytes_max: usize) -> (String, bool) {
    if text.len() <= bytes_max {
        return (text, false);
    }
    text.truncate(text.floor_char_boundary(bytes_max));
    // A character that a limit cut in two was read as this one.
    if text.ends_with(char::REPLACEMENT_CHARACTER) {
        text.pop();
    }
    (text, true)
}

/// The last bytes of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Tail {
        Tail { bytes: VecDeque::new(), bytes_max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        let excess = (self.bytes.len() + last.len()).saturating_sub(self.bytes_max);
        self.bytes.drain(..excess);
        self.bytes.extend(last);
    }

    /// What was kept, without white space around it; from the beginning of a line if it does not begin with the stream.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let whole_lines = match text.split_once('\n') {
            Some((_, rest)) if bytes.len() == self.bytes_max && !rest.trim().is_empty() => rest,
            _ => &text,
        };
        whole_lines.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn captured(bytes_max: usize, chunks: &[&[u8]]) -> (String, bool) {
        let mut capture = Capture::new(bytes_max);
        for chunk in chunks {
            capture.push(chunk);
        }
        capture.into_text()
    }

    #[test]
    fn one_final_newline_is_not_part_of_the_result() {
        assert_eq!(captured(10, &[b"answer\n"]), ("answer".to_owned(), false));
        assert_eq!(captured(10, &[b"answer", b"\n\n"]), ("answer\n".to_owned(), false));
        assert_eq!(captured(6, &[b"answer\n"]), ("answer".to_owned(), false));
    }

    #[test]
    fn a_result_is_cut_at_a_character() {
        assert_eq!(captured(6, &[b"answers"]), ("answer".to_owned(), true));
        assert_eq!(captured(6, &[b"answer\n", b"s"]), ("answer".to_owned(), true));
        assert_eq!(captured(4, &["aäöü".as_bytes()]), ("aä".to_owned(), true));
        assert_eq!(captured(0, &[b"x"]), (String::new(), true));
    }

    #[test]
    fn what_is_no_utf8_is_replaced_within_the_limit() {
        assert_eq!(captured(9, &[b"a\xffb"]), ("a\u{fffd}b".to_owned(), false));
        let (text, truncated) = captured(10, &[&[0xff; 10]]);
        assert!(truncated && text.len() <= 10, "{text:?}");
    }

    #[test]
    fn a_tail_is_the_last_whole_lines() {
        let mut tail = Tail::new(16);
        tail.push(b"first line\nsec");
        assert_eq!(tail.text(), "first line\nsec");
        tail.push(b"ond\nthird\n");
        assert_eq!(tail.text(), "second\nthird");
        tail.push(&[b'x'; 100]);
        assert_eq!(tail.text(), "x".repeat(16));
    }

    #[test]
    fn a_log_is_private_created_late_and_cut_with_a_note() {
        let root = tempfile::tempdir().unwrap();
        let directory = task_directory(root.path(), "0190", 2);
        let mut log = LogFile::new(&directory, "stdout", 8);
        assert!(!root.path().join("0190").exists());
        log.write(b"12345");
        log.write(b"67890");
        log.write(b"lost");
        let path = directory.join("stdout");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("12345678\n[claude-comms: the log is full"), "{text}");
        assert!(!text.contains("lost"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory)), (0o600, 0o700));

        // The same attempt once more begins with nothing.
        drop(LogFile::new(&directory, "stdout", 8));
        assert!(!path.exists());
        remove_output(root.path(), "0190").unwrap();
        assert!(!root.path().join("0190").exists());
        remove_output(root.path(), "0190").unwrap();
    }

    #[test]
    fn an_id_that_is_a_path_removes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let tasks = root.path().join("tasks");
        fs::create_dir_all(tasks.join("0190")).unwrap();
        fs::create_dir(root.path().join("precious")).unwrap();
        for id in
            ["", ".", "..", "../precious", "/", "0190/../../precious", root.path().join("precious").to_str().unwrap()]
        {
            assert!(remove_output(&tasks, id).is_err(), "{id:?}");
        }
        assert!(tasks.join("0190").is_dir() && root.path().join("precious").is_dir());
    }

    #[test]
    fn a_log_that_cannot_be_written_is_given_up() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let mut log = LogFile::new(&root.path().join("file"), "stdout", 8);
        log.write(b"1");
        log.write(b"2");
        assert!(matches!(log.state, LogState::Closed));
    }

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let secret = root.path().join("secret");
        fs::write(&secret, "kept").unwrap();
        let mut log = LogFile::new(root.path(), "stderr", 8);
        std::os::unix::fs::symlink(&secret, root.path().join("stderr")).unwrap();
        log.write(b"overwritten");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
    }

    #[test]
    fn a_fifo_is_not_waited_at() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("stdout");
        let mut log = LogFile::new(root.path(), "stdout", 8);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        // With a reader it could be opened, and written to.
        let _reader =
            OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path).unwrap();
        log.write(b"1");
        assert!(matches!(log.state, LogState::Closed));
    }
}
