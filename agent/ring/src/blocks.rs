//! Memory for one block a slot, aligned, that never moves.

use crate::BLOCK_BYTES;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// One block a slot.
pub struct Blocks {
    start: NonNull<u8>,
    layout: Layout,
    leaked: bool,
}

impl Blocks {
    /// Zeroed memory for `slots` slots, at least one.
    #[allow(unsafe_code)]
    pub fn new(slots: u32) -> Self {
        let bytes = (slots.max(1) as usize) * BLOCK_BYTES;
        let layout = Layout::from_size_align(bytes, BLOCK_BYTES)
            .unwrap_or_else(|_| Layout::new::<[u8; BLOCK_BYTES]>());
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(memory) else {
            handle_alloc_error(layout)
        };
        Self {
            start,
            layout,
            leaked: false,
        }
    }

    /// Where a slot's block begins.
    #[allow(unsafe_code)]
    pub fn pointer(&self, slot: u32) -> *mut u8 {
        let at = slot as usize * BLOCK_BYTES;
        assert!(at < self.layout.size(), "slot {slot} is outside the ring");
        // SAFETY: inside the allocation, as asserted.
        unsafe { self.start.as_ptr().add(at) }
    }

    /// A slot's block. Whoever calls makes sure that nobody writes to it.
    #[allow(unsafe_code)]
    pub fn get(&self, slot: u32) -> &[u8; BLOCK_BYTES] {
        // SAFETY: `pointer` gives the begin of a whole block inside the allocation, whose bytes are initialised. The
        // ring calls this only for a slot without a read under way.
        unsafe { &*self.pointer(slot).cast() }
    }

    /// All of it, for the kernel.
    pub fn whole(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.start.as_ptr().cast(),
            iov_len: self.layout.size(),
        }
    }

    /// Never gives the memory back.
    pub fn leak(&mut self) {
        self.leaked = true;
    }
}

impl Drop for Blocks {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: allocated by `new` with this layout, and given back once.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}
