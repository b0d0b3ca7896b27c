//! Locks, atomics and panics as the room's `sync` names them, with every step in the scheduler's hands.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

pub use shuttle::sync::atomic::{AtomicU64, Ordering};

shuttle::thread_local! {
    /// Locks that this task holds.
    static HELD: Cell<u32> = Cell::new(0);
    /// Whether this task is unwinding. The standard library cannot tell: all tasks share one thread.
    static UNWINDING: Cell<bool> = Cell::new(false);
}

std::thread_local! {
    static WAITS_RETURN_EARLY: Cell<bool> = const { Cell::new(false) };
}

/// Whether timed waits return at any moment, as after a time-out or for no reason, or only when they are notified.
pub fn waits_return_early(early: bool) {
    WAITS_RETURN_EARLY.set(early);
}

pub fn locks_held() -> u32 {
    HELD.with(Cell::get)
}

pub fn panicking() -> bool {
    UNWINDING.with(Cell::get)
}

/// Unwinds, without the noise of the panic hook.
pub fn panic_quietly<T>() -> T {
    UNWINDING.with(|unwinding| unwinding.set(true));
    std::panic::resume_unwind(Box::new("on purpose"))
}

/// Runs `body`, and says whether it unwound.
pub fn unwinds<T>(body: impl FnOnce() -> T) -> bool {
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err();
    UNWINDING.with(|unwinding| unwinding.set(false));
    unwound
}

#[derive(Debug, Default)]
pub struct Mutex<T> {
    inner: shuttle::sync::Mutex<T>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex { inner: shuttle::sync::Mutex::new(value) }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        HELD.with(|held| held.set(held.get() + 1));
        MutexGuard { mutex: self, guard: Some(guard) }
    }
}

pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        HELD.with(|held| held.set(held.get() - 1));
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.guard.as_ref().expect("only absent during a wait")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("only absent during a wait")
    }
}

#[derive(Debug, Default)]
pub struct Condvar {
    inner: shuttle::sync::Condvar,
}

impl Condvar {
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }

    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _limit: Duration) {
        let held = guard.guard.take().expect("only absent during a wait");
        let again = if WAITS_RETURN_EARLY.get() {
            // Any moment may be the one at which the wait is over.
            drop(held);
            shuttle::thread::yield_now();
            guard.mutex.inner.lock()
        } else {
            self.inner.wait(held)
        };
        guard.guard = Some(again.unwrap_or_else(PoisonError::into_inner));
    }
}
