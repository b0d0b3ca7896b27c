//! The thread that notices what other programs write. It only says "there is something"; whoever is told reads what.
//!
//! A change of the write-ahead log arms a ladder of looks over 640 ms, which is always run out: the file changes before
//! the commit can be seen, so neither the event nor the first look that finds something is the end of it. In between
//! lies the writer's sync, of unknown length, so until something is found each wait is a part of the time gone by. Without inotify (network file systems) the safety tick alone finds everything, within `--interval`.

use crate::clock::{Clock, Tick};
use crate::store::{Store, StoreError};
use crate::thread::{Joined, Tether};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

const FIRST_LOOK: Duration = Duration::from_micros(20);
const LAST_LOOK: Duration = Duration::from_millis(640);
/// Each wait is this part of the time since the ladder was begun: so much later at most is a commit found. When one has
/// been found, or when the hub is writing, the next look is for what may yet come and there is no hurry.
const EAGER_PART: u32 = 16;
const CALM_PART: u32 = 1;
/// The ladder is begun anew at most this often; until then inotify keeps what it has to say.
const ARM_INTERVAL: Duration = Duration::from_millis(1);
/// The same, and the first look, while the hub itself is writing: it folds foreign changes with each of its own
/// batches, so there is no hurry, and a look per commit would cost more than the commit.
const ARM_INTERVAL_BESIDE_HUB: Duration = Duration::from_millis(5);
/// How exactly the kernel is to keep the short waits, in nanoseconds.
const TIMER_SLACK_NANOS: u64 = 1_000;

/// What the hub and the watcher share: how far changes are folded, and how often the hub has committed.
#[derive(Debug, Default)]
pub struct Progress {
    pub folded: AtomicI64,
    pub commits: AtomicU64,
}

/// The running thread. Dropping it ends it.
pub struct Watcher {
    tether: Arc<Tether>,
    _thread: Joined<()>,
}

impl Watcher {
    /// `tell` is called when there are changes beyond what is folded. It must not block, and is dropped with the thread.
    ///
    /// # Errors
    /// The operating system has no thread or file descriptor left.
    pub fn start(
        database: &Path,
        interval: Duration,
        progress: Arc<Progress>,
        tell: impl FnMut() + Send + 'static,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Watcher> {
        let tether = Arc::new(Tether::new()?);
        let mut watching = Watching {
            database: database.to_owned(),
            store: None,
            data_version: None,
            schema_version: None,
            interval,
            progress,
            tell: Box::new(tell),
            clock,
            ladder: None,
            deaf_until: Tick::ZERO,
            commits_seen: 0,
        };
        let held = Arc::clone(&tether);
        let thread = Joined::spawn("watcher", move || watching.run(&held))?;
        Ok(Watcher { tether, _thread: thread })
    }

    /// What asks it whether it still turns.
    pub fn tether(&self) -> Arc<Tether> {
        Arc::clone(&self.tether)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tether.end();
    }
}

struct Watching {
    database: PathBuf,
    store: Option<Store>,
    data_version: Option<i64>,
    schema_version: Option<i64>,
    interval: Duration,
    progress: Arc<Progress>,
    tell: Box<dyn FnMut() + Send>,
    clock: Arc<dyn Clock>,
    /// `None` between ladders.
    ladder: Option<Ladder>,
    /// Until when inotify is not listened to.
    deaf_until: Tick,
    commits_seen: u64,
}

/// A row of looks, farther and farther apart.
#[derive(Clone, Copy)]
struct Ladder {
    begun: Tick,
    /// When the next look is due.
    due: Tick,
    part: u32,
}

impl Ladder {
    /// The ladder as it goes on after a look; `None` when that was the last.
    fn next(mut self, now: Tick, found: bool) -> Option<Ladder> {
        if found {
            self.part = CALM_PART;
        }
        let gone = now.since(self.begun);
        self.due = now.after((gone / self.part).max(FIRST_LOOK));
        (gone < LAST_LOOK).then_some(self)
    }
}

impl Watching {
    fn run(&mut self, tether: &Tether) {
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NANOS));
        let notify = watch_directory(&self.database)
            .inspect_err(|error| log::warn!("no inotify here ({error}); changes are seen every {:?}", self.interval));
        let wal = wal_name(&self.database);
        let mut next_tick = self.clock.tick();
        loop {
            let now = self.clock.tick();
            if now >= next_tick {
                next_tick = now.after(self.interval);
                self.look();
            }
            if self.ladder.is_some_and(|ladder| now >= ladder.due) {
                self.climb(now);
            }
            let deaf = now < self.deaf_until;
            let listening = if deaf { None } else { notify.as_ref().ok() };
            let mut until = self.ladder.map_or(next_tick, |ladder| ladder.due.min(next_tick));
            if deaf {
                until = until.min(self.deaf_until);
            }
            match wait(tether, listening, self.clock.tick().until(until)) {
                Woken::Owner if tether.must_end() => return,
                Woken::Owner | Woken::Time => {}
                Woken::File => {
                    if notify.as_ref().is_ok_and(|fd| names_any(fd, &wal)) {
                        self.arm(self.clock.tick());
                    }
                }
            }
        }
    }

    fn arm(&mut self, now: Tick) {
        let commits = self.progress.commits.load(Ordering::Relaxed);
        let beside_hub = commits != std::mem::replace(&mut self.commits_seen, commits);
        let (first, interval, part) = if beside_hub {
            (ARM_INTERVAL_BESIDE_HUB, ARM_INTERVAL_BESIDE_HUB, CALM_PART)
        } else {
            (FIRST_LOOK, ARM_INTERVAL, EAGER_PART)
        };
        self.deaf_until = now.after(interval);
        self.ladder = Some(Ladder { begun: now, due: now.after(first), part });
    }

    /// One look of the ladder; then the next, farther away.
    fn climb(&mut self, now: Tick) {
        let found = self.look();
        self.ladder = self.ladder.and_then(|ladder| ladder.next(now, found));
    }

    /// Tells when there are changes that are not folded, or may be that nobody noted, and returns whether there are.
    fn look(&mut self) -> bool {
        let found = self.has_unfolded().unwrap_or_else(|error| {
            log::debug!("the watcher could not read the database: {error}");
            (self.store, self.data_version) = (None, None);
            false
        });
        if found {
            (self.tell)();
        }
        found
    }

    fn has_unfolded(&mut self) -> Result<bool, StoreError> {
        let store = match &mut self.store {
            Some(store) => store,
            None => self.store.insert(Store::open_for_reading(&self.database, PathBuf::new())?),
        };
        let version = store.data_version()?;
        if self.data_version == Some(version) {
            return Ok(false);
        }
        // Remembered only after the rows were read: a failure in between must not hide them.
        let newest = store.newest_change()?;
        let schema = store.schema_version()?;
        self.data_version = Some(version);
        // Without its triggers the table of changes says nothing any more; the hub knows whether they are there.
        let altered = self.schema_version.replace(schema) != Some(schema);
        Ok(altered || newest > self.progress.folded.load(Ordering::Acquire))
    }
}

enum Woken {
    Owner,
    File,
    Time,
}

fn wait(tether: &Tether, notify: Option<&OwnedFd>, timeout: Duration) -> Woken {
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let mut fds = vec![PollFd::new(tether, PollFlags::IN)];
    if let Some(notify) = notify {
        fds.push(PollFd::new(notify, PollFlags::IN));
    }
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) if fds[0].revents().contains(PollFlags::IN) => Woken::Owner,
        Ok(_) if fds.get(1).is_some_and(|fd| fd.revents().contains(PollFlags::IN)) => Woken::File,
        _ => Woken::Time,
    }
}

/// The directory, not the file: the log can be removed and made anew.
fn watch_directory(database: &Path) -> io::Result<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let directory = database.parent().unwrap_or(Path::new("/"));
    let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&fd, directory, what)?;
    Ok(fd)
}

fn wal_name(database: &Path) -> OsString {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push("-wal");
    name
}

/// Takes all events that are there; whether one was about this file, or events were lost.
fn names_any(fd: &OwnedFd, name: &OsString) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(fd, &mut buffer);
    let mut found = false;
    while let Ok(event) = events.next() {
        let lost = event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
        found |= lost || event.file_name().is_some_and(|file| file.to_bytes() == name.as_bytes());
    }
    found
}
