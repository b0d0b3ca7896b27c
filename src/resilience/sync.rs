//! What this room knows of threads, in one place: the model checker under `dev/shuttle` compiles the same sources
//! with a `sync` of its own that hands every step to its scheduler.

pub(in crate::resilience) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(in crate::resilience) use std::sync::atomic::{AtomicU64, Ordering};
pub(in crate::resilience) use std::thread::panicking;
