//! What one piece of work takes from the heap: an allocator that counts while it is asked to.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The system's allocator with counters; without a measurement under way it costs one load.
pub struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// What was taken.
#[derive(Clone, Copy)]
pub struct Taken {
    /// Most bytes held at a time.
    pub peak_bytes: usize,
    /// Calls for memory.
    pub calls: usize,
}

/// Runs `work` and counts; one measurement at a time, on one thread.
pub fn of(work: &mut dyn FnMut()) -> Taken {
    for counter in [&CALLS, &HELD, &PEAK] {
        counter.store(0, Relaxed);
    }
    COUNTING.store(true, Relaxed);
    work();
    COUNTING.store(false, Relaxed);
    Taken {
        peak_bytes: PEAK.load(Relaxed),
        calls: CALLS.load(Relaxed),
    }
}

fn took(bytes: usize) {
    if COUNTING.load(Relaxed) {
        CALLS.fetch_add(1, Relaxed);
        let held = HELD.fetch_add(bytes, Relaxed).wrapping_add(bytes);
        // What was taken before the measurement and given back in it may bring the count below zero.
        if held <= isize::MAX as usize {
            PEAK.fetch_max(held, Relaxed);
        }
    }
}

fn gave(bytes: usize) {
    if COUNTING.load(Relaxed) {
        HELD.fetch_sub(bytes, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator with the arguments as they came; counters do not touch memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above; the memory came from the system's allocator.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}
