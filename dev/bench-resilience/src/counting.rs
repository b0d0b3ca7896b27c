//! An allocator that counts, so that "no allocation per call" is a number.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// For each thread its own, so that starting a thread is not counted among the calls that it makes.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// Safety: hands everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many this thread has made.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}
