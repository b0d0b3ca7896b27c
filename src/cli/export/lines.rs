//! A file of JSON Lines that grows, and is put aside when it has grown enough.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::exit::Failure;
use super::super::output::harmless_json;

/// Longest line that a file of ours has; what is longer was not written by us.
const LINE_BYTES_MAX: u64 = 1 << 20;

pub(super) struct Lines {
    path: PathBuf,
    /// `None`: standard output.
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// When to begin another file, in bytes, and how many older ones to keep.
    rotation: Option<(u64, u32)>,
    epoch: String,
}

/// What is looked at of a line.
#[derive(Deserialize)]
struct Line {
    event: String,
    seq: Option<u64>,
    data: Begun,
}

#[derive(Deserialize)]
struct Begun {
    epoch: Option<String>,
}

const BEGUN: &str = "export.begun";
/// How the first line begins, up to the log's name.
const HEAD: &str = r#"{"id":null,"correlation_id":null,"type":"event","event":"export.begun","data":{"epoch":""#;

impl Lines {
    pub(super) fn open(path: &Path, rotation: Option<(u64, u32)>) -> Result<Lines, Failure> {
        let path = path.to_owned();
        if path.as_os_str() == "-" {
            return Ok(Lines { path, file: None, bytes: 0, rotation: None, epoch: String::new() });
        }
        let failed = |error| failed(&path, &error);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(Failure::failed(format!(
                "another export writes to {}; end it, or choose another file",
                path.display()
            )));
        }
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Lines { file: Some(BufWriter::new(file)), path, bytes, rotation, epoch: String::new() })
    }

    pub(super) fn is_standard_output(&self) -> bool {
        self.file.is_none()
    }

    /// Makes the file ready for events of that log. Returns the last one it has of it.
    pub(super) fn begin(&mut self, epoch: &str) -> Result<Option<u64>, Failure> {
        epoch.clone_into(&mut self.epoch);
        let Some(file) = &mut self.file else { return Ok(None) };
        let found = ends(file.get_mut(), self.bytes).map_err(|error| failed(&self.path, &error))?;
        self.bytes = found.whole_bytes;
        // The one before it was put aside, and then there was no room for more.
        let aside = found.last.is_none().then(|| self.last_aside(epoch)).flatten();
        let Some(file) = &mut self.file else { return Ok(None) };
        match found.epoch {
            Some(old) if old == epoch => return Ok(found.last.or(aside)),
            None if is_cut_head(&found, file.get_mut()).map_err(|error| failed(&self.path, &error))? => {
                file.get_mut().set_len(0).map_err(|error| failed(&self.path, &error))?;
                self.bytes = 0;
            }
            None if found.whole_bytes > 0 => {
                let sqlite =
                    if is_database(file.get_mut()) { " or, since it is a SQLite database, add --sqlite" } else { "" };
                let sentence = format!("{} is no export of events; choose another file{sqlite}", self.path.display());
                return Err(Failure::failed(sentence));
            }
            // The numbers of another log say nothing about this one.
            Some(_) => self.put_aside(u32::MAX)?,
            None => {}
        }
        self.head()?;
        Ok(aside)
    }

    /// The last event of that log in the file that was put aside before this one.
    fn last_aside(&self, epoch: &str) -> Option<u64> {
        self.rotation?;
        let mut file = File::open(aside(&self.path, 1)).ok()?;
        let bytes = file.metadata().ok()?.len();
        let found = read_ends(&mut file, bytes).ok()?;
        found.last.filter(|_| found.epoch.as_deref() == Some(epoch))
    }

    /// The first line of each file says which log its numbers belong to.
    fn head(&mut self) -> Result<(), Failure> {
        let line = format!(
            r#"{HEAD}{}","severity":"info"}},"timestamp":null,"room":null,"error_code":null,"error_message":null,"seq":null}}"#,
            self.epoch
        );
        self.put(&line)
    }

    pub(super) fn write(&mut self, line: &str) -> Result<(), Failure> {
        if let Some((most, keep)) = self.rotation.filter(|(most, _)| self.bytes >= *most) {
            debug_assert!(most > 0);
            self.put_aside(keep)?;
            self.head()?;
        }
        self.put(line)
    }

    fn put(&mut self, line: &str) -> Result<(), Failure> {
        match &mut self.file {
            Some(file) => file
                .write_all(line.as_bytes())
                .and_then(|()| file.write_all(b"\n"))
                .map_err(|error| failed(&self.path, &error))?,
            None if io::stdout().is_terminal() => print(&harmless_json(line))?,
            None => print(line)?,
        }
        self.bytes += line.len() as u64 + 1;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().map_err(|error| failed(&self.path, &error))
    }

    /// This file becomes FILE.1, that one FILE.2, and so on; the oldest goes.
    fn put_aside(&mut self, keep: u32) -> Result<(), Failure> {
        self.flush()?;
        let aside = |number: u32| aside(&self.path, number);
        let failed = |error: io::Error| failed(&self.path, &error);
        let free = (1..=keep).find(|number| !aside(*number).exists()).unwrap_or(keep);
        for number in (1..free).rev() {
            fs::rename(aside(number), aside(number + 1)).map_err(failed)?;
        }
        fs::rename(&self.path, aside(1)).map_err(failed)?;
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&self.path).map_err(failed)?;
        file.lock().map_err(failed)?;
        self.file = Some(BufWriter::new(file));
        self.bytes = 0;
        Ok(())
    }
}

/// A file that was put aside; the newest has the number 1.
fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn is_database(file: &mut File) -> bool {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut begin = [0; MAGIC.len()];
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut begin)).is_ok_and(|()| begin == *MAGIC)
}

/// Whether there is nothing in the file but the beginning of a first line of ours.
fn is_cut_head(found: &Ends, file: &mut File) -> io::Result<bool> {
    if found.whole_bytes == 0 || found.whole_bytes > LINE_BYTES_MAX {
        return Ok(false);
    }
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    (&*file).take(LINE_BYTES_MAX).read_to_end(&mut text)?;
    let common = text.len().min(HEAD.len());
    Ok(!text.contains(&b'\n') && text[..common] == HEAD.as_bytes()[..common])
}

/// How a file that is there begins and ends.
struct Ends {
    epoch: Option<String>,
    last: Option<u64>,
    whole_bytes: u64,
}

/// A last line that was cut off in the middle is taken away.
fn ends(file: &mut File, bytes: u64) -> io::Result<Ends> {
    let found = read_ends(file, bytes)?;
    if found.epoch.is_some() && found.whole_bytes < bytes {
        file.set_len(found.whole_bytes)?;
    }
    Ok(found)
}

fn read_ends(file: &mut File, bytes: u64) -> io::Result<Ends> {
    let mut first = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    BufReader::new(&*file).take(LINE_BYTES_MAX).read_until(b'\n', &mut first)?;
    // Without its end it is no line, however much of it is there.
    let first = first.strip_suffix(b"\n").unwrap_or_default();
    let begun = serde_json::from_slice::<Line>(first).ok().filter(|line| line.event == BEGUN);
    let from = bytes.saturating_sub(2 * LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    (&*file).take(2 * LINE_BYTES_MAX).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let whole_bytes = from + whole as u64;
    let epoch = begun.and_then(|line| line.data.epoch);
    let last = tail[..whole].split(|byte| *byte == b'\n').rev().find_map(|line| {
        let line: Line = serde_json::from_slice(line).ok()?;
        line.seq
    });
    Ok(Ends { epoch, last, whole_bytes: if whole_bytes == 0 && bytes > 0 { bytes } else { whole_bytes } })
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{line}").map_err(Failure::Output)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> String {
        format!(r#"{{"event":"x","data":{{"a":"{}"}},"seq":{seq}}}"#, "x".repeat(100))
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_file_is_gone_on_with_behind_its_last_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let mut lines = Lines::open(&path, None).unwrap();
        assert_eq!(lines.begin("e1").unwrap(), None);
        assert!(Lines::open(&path, None).is_err_and(|error| error.to_string().contains("another export")));
        lines.write(&event(1)).unwrap();
        lines.write(&event(2)).unwrap();
        drop(lines);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(br#"{"event":"x","da"#).unwrap();
        let mut lines = Lines::open(&path, None).unwrap();
        assert_eq!(lines.begin("e1").unwrap(), Some(2));
        lines.write(&event(3)).unwrap();
        drop(lines);
        assert_eq!(text(&path).lines().count(), 4);
        assert!(text(&path).lines().all(|line| serde_json::from_str::<Line>(line).is_ok()));
        // Another log: its numbers begin anew, in a file of their own.
        assert_eq!(Lines::open(&path, None).unwrap().begin("e2").unwrap(), None);
        assert!(text(&path).contains("\"epoch\":\"e2\"") && text(&directory.path().join("events.1")).contains("e1"));
    }

    #[test]
    fn a_file_in_which_there_was_no_room_for_more_is_gone_on_with_behind_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let mut lines = Lines::open(&path, Some((500, 2))).unwrap();
        lines.begin("e").unwrap();
        (1..=6).for_each(|seq| lines.write(&event(seq)).unwrap());
        lines.put_aside(2).unwrap();
        lines.head().unwrap();
        drop(lines);
        let head = text(&path);
        for left in [head.as_str(), "", &head[..40], &head[..head.len() - 1]] {
            fs::write(&path, left).unwrap();
            let mut lines = Lines::open(&path, Some((500, 2))).unwrap();
            assert_eq!(lines.begin("e").unwrap(), Some(6), "{left:?}");
            lines.write(&event(7)).unwrap();
            drop(lines);
            assert!(text(&path).starts_with(&head) && text(&path).lines().count() == 2, "{left:?}");
        }
        // Another log, and a file that was never put aside, say nothing about this one.
        fs::write(&path, "").unwrap();
        assert_eq!(Lines::open(&path, Some((500, 2))).unwrap().begin("other").unwrap(), None);
        fs::write(&path, "").unwrap();
        assert_eq!(Lines::open(&path, None).unwrap().begin("e").unwrap(), None);
    }

    #[test]
    fn what_is_no_export_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for content in ["my notes\n", "no newline", "{\"event\":\"x\"}\n"] {
            let path = directory.path().join("notes");
            fs::write(&path, content).unwrap();
            assert!(Lines::open(&path, None).unwrap().begin("e").is_err(), "{content:?}");
            assert_eq!(text(&path), content);
        }
        let path = directory.path().join("database");
        fs::write(&path, b"SQLite format 3\0\xff\xfe").unwrap();
        assert!(Lines::open(&path, None).unwrap().begin("e").unwrap_err().to_string().contains("add --sqlite"));
    }

    #[test]
    fn a_large_file_is_put_aside_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let mut lines = Lines::open(&path, Some((500, 2))).unwrap();
        lines.begin("e").unwrap();
        for seq in 1..=20 {
            lines.write(&event(seq)).unwrap();
        }
        drop(lines);
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["events", "events.1", "events.2"]);
        let last = |name: &str| text(&directory.path().join(name)).lines().last().unwrap().to_owned();
        let number = |name: &str| serde_json::from_str::<Line>(&last(name)).unwrap().seq.unwrap();
        assert!(number("events") == 20 && number("events.1") > number("events.2"));
        assert!(names.iter().all(|name| text(&directory.path().join(name)).contains(BEGUN)));
    }
}
