//! The only way to start a thread: with a name, and with an owner that joins it. And a bell, to wake one that polls.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle, current};

/// Longest name that Linux keeps, in bytes; `ps -L` cuts what is longer.
const NAME_BYTES_MAX: usize = 15;

/// A running thread, joined when dropped.
///
/// The owner must make it end (close its channel, write its wake-up) *before* dropping this, so put the field that
/// does so first: fields drop in the order of their declaration.
#[derive(Debug)]
#[must_use = "dropping this waits for the thread to end"]
pub struct Joined<T> {
    handle: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Joined<T> {
    /// Starts `body` on a thread of that name.
    ///
    /// # Errors
    /// The operating system has no thread left to give.
    pub fn spawn(name: impl Into<String>, body: impl FnOnce() -> T + Send + 'static) -> io::Result<Joined<T>> {
        let mut name = name.into();
        let cut = name.floor_char_boundary(NAME_BYTES_MAX);
        name.truncate(cut);
        let handle = Builder::new().name(name).spawn(body)?;
        Ok(Joined { handle: Some(handle) })
    }
}

impl<T> Joined<T> {
    /// Waits for the end and says what came of it; `None` when the thread panicked.
    pub fn join(mut self) -> Option<T> {
        self.handle.take().and_then(|handle| handle.join().ok())
    }

    /// Lets it go on without an owner: only right before the process ends, for one that is in a system call that nothing can
    /// end, such as connecting.
    pub fn leave(mut self) {
        drop(self.handle.take());
    }

    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<T> Drop for Joined<T> {
    fn drop(&mut self) {
        // A thread that drops its own owner is on its way out; it cannot wait for itself.
        if let Some(handle) = self.handle.take().filter(|handle| handle.thread().id() != current().id()) {
            // A panic has been reported by the thread itself; here only its end matters.
            drop(handle.join());
        }
    }
}

/// Wakes a thread that waits in poll(2), where a channel cannot reach it. A ring before the wait is not lost.
#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
}

impl Bell {
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Bell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { fd })
    }

    /// Never blocks: a bell that cannot ring any louder is ringing already.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Silences it; to be called by the thread that was woken, before it looks at what it was woken for.
    pub fn silence(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
    }
}

/// Readable while it rings.
impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether a loop still turns: its owner asks and wakes it, and it answers once it has its turn.
#[derive(Debug, Default)]
pub struct Pulse {
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Pulse {
    /// To be called before the loop is woken.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Release);
    }

    /// To be called by the loop, after it was woken.
    pub fn answer(&self) {
        self.answered.store(self.asked.load(Ordering::Acquire), Ordering::Release);
    }

    /// Whether it has turned since it was asked.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire) == self.asked.load(Ordering::Acquire)
    }
}

/// What an owner holds of a loop that polls: it has it give a sign, and has it end.
#[derive(Debug)]
pub struct Tether {
    bell: Bell,
    pulse: Pulse,
    ending: AtomicBool,
}

impl Tether {
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Tether> {
        Ok(Tether { bell: Bell::new()?, pulse: Pulse::default(), ending: AtomicBool::new(false) })
    }

    /// Has the loop give a sign, which [`Tether::is_answered`] sees. Never blocks.
    pub fn ask(&self) {
        self.pulse.ask();
        self.bell.ring();
    }

    pub fn is_answered(&self) -> bool {
        self.pulse.is_answered()
    }

    /// Has the loop end. Never blocks.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// To be called by the loop when it was woken; whether it is to end.
    pub fn must_end(&self) -> bool {
        self.bell.silence();
        self.pulse.answer();
        self.ending.load(Ordering::Acquire)
    }
}

/// Readable when something is wanted.
impl AsFd for Tether {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Whether the calling thread is unwinding.
pub fn is_panicking() -> bool {
    std::thread::panicking()
}

/// What the calling thread was named, for the lines that it logs.
pub fn current_name() -> Option<String> {
    current().name().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    #[test]
    fn dropping_the_owner_waits_for_the_thread() {
        let (stop, stopped) = bounded::<()>(0);
        let (ended, end) = bounded::<()>(1);
        let thread = Joined::spawn("test-thread-with-a-long-name", move || {
            let _ = stopped.recv();
            let _ = ended.send(());
        })
        .unwrap();
        drop(stop);
        drop(thread);
        assert_eq!(end.try_recv(), Ok(()));
    }

    #[test]
    fn a_thread_that_drops_its_own_owner_ends() {
        let (owner, owners) = bounded::<Joined<()>>(1);
        let (ended, end) = bounded::<()>(1);
        let thread = Joined::spawn("drops-itself", move || {
            drop(owners.recv());
            let _ = ended.send(());
        })
        .unwrap();
        owner.send(thread).unwrap();
        assert_eq!(end.recv(), Ok(()));
    }

    #[test]
    fn a_loop_that_is_asked_answers_with_its_next_turn() {
        let tether = Tether::new().unwrap();
        assert!(tether.is_answered(), "nobody has asked");
        tether.ask();
        tether.ask();
        assert!(!tether.is_answered());
        assert!(!tether.must_end() && tether.is_answered());
        tether.end();
        assert!(tether.must_end());
    }

    #[test]
    fn a_panic_is_told_as_none() {
        let thread = Joined::spawn("panics", || {
            if true {
                panic!("on purpose");
            }
        })
        .unwrap();
        assert_eq!(thread.join(), None);
    }
}
