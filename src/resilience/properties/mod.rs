//! The promises of this room as property tests, in virtual time. Interleavings of threads are not tried here but by
//! the model checker in `dev/shuttle`.

mod breaker;
mod folding;
mod retry;
mod support;
mod together;
mod windows;
