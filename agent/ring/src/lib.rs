//! Reads of whole blocks of one file through io_uring, several at once from one thread, with a safe interface.
//!
//! The only crate of the project with `unsafe` in it: the kernel writes into memory behind the compiler's back, and
//! here is proven that nobody looks at it meanwhile. [`Ring`] owns the file and the memory. A slot's block can be
//! seen only while no read is under way for the slot, and memory is given back only after the last one ended.
#![deny(unsafe_code)]

mod blocks;

use blocks::Blocks;
use io_uring::register::Restriction;
use io_uring::{IoUring, opcode, squeue, types};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

/// Bytes of a block, and the alignment of its memory: what O_DIRECT wants on every disk.
pub const BLOCK_BYTES: usize = 4096;
/// Most slots of a ring.
pub const SLOTS_MAX: u32 = 1024;

/// What of a slot is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Idle,
    /// The kernel may write to its block; the offset is asked for again after an interruption.
    Reading(u64),
}

/// Slots that each read one block at a time.
pub struct Ring {
    uring: IoUring,
    file: Arc<File>,
    blocks: Blocks,
    slots: Vec<Slot>,
    /// File and memory are known to the kernel, which saves a look-up for each read.
    registered: bool,
    /// Kernels that defer their work expect it from the thread that made the ring.
    _one_thread: PhantomData<*const ()>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("slots", &self.slots)
            .field("registered", &self.registered)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring of `slots` slots, 1 to [`SLOTS_MAX`], over `file`. Fails where the kernel has no io_uring or refuses
    /// it (`kernel.io_uring_disabled`, seccomp).
    pub fn new(file: Arc<File>, slots: u32) -> io::Result<Self> {
        if !(1..=SLOTS_MAX).contains(&slots) {
            let text = format!("ring: expected 1 to {SLOTS_MAX} slots, got {slots}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let uring = set_up(slots)?;
        let blocks = Blocks::new(slots);
        let registered = register(&uring, &file, &blocks);
        only_reads(&uring)?;
        Ok(Self {
            uring,
            file,
            blocks,
            slots: vec![Slot::Idle; slots as usize],
            registered,
            _one_thread: PhantomData,
        })
    }

    /// Asks for the block at `offset` bytes; it begins with the next [`Ring::submit`] or [`Ring::wait`]. An error
    /// when the slot has a read under way, or there is no such slot.
    pub fn read(&mut self, slot: u32, offset: u64) -> io::Result<()> {
        if self.slots.get(slot as usize) != Some(&Slot::Idle) {
            let text = format!("ring: slot {slot}: expected an idle one");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.push(slot, offset)
    }

    /// Hands over what was asked for, without waiting.
    pub fn submit(&mut self) -> io::Result<()> {
        uninterrupted(|| self.uring.submit())
    }

    /// Hands over what was asked for, and sleeps until a read ended; does not sleep when none is under way.
    pub fn wait(&mut self) -> io::Result<()> {
        let under_way = self.slots.iter().any(|slot| *slot != Slot::Idle);
        let wanted = usize::from(under_way && self.uring.completion().is_empty());
        uninterrupted(|| self.uring.submit_and_wait(wanted))
    }

    /// A slot whose read ended, and how; nothing when no further one did. Never waits.
    pub fn ended(&mut self) -> Option<(u32, io::Result<()>)> {
        loop {
            let entry = self.uring.completion().next()?;
            let slot = u32::try_from(entry.user_data()).unwrap_or(u32::MAX);
            let Some(state) = self.slots.get_mut(slot as usize) else {
                continue;
            };
            let Slot::Reading(offset) = std::mem::replace(state, Slot::Idle) else {
                continue;
            };
            let outcome = outcome(entry.result());
            let interrupted = outcome
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
            match interrupted {
                true => match self.push(slot, offset) {
                    Ok(()) => continue,
                    Err(error) => return Some((slot, Err(error))),
                },
                false => return Some((slot, outcome)),
            }
        }
    }

    /// The block last read by an idle slot; nothing while a read is under way.
    pub fn block(&self, slot: u32) -> Option<&[u8; BLOCK_BYTES]> {
        match self.slots.get(slot as usize)? {
            Slot::Idle => Some(self.blocks.get(slot)),
            Slot::Reading(_) => None,
        }
    }

    #[allow(unsafe_code)]
    fn push(&mut self, slot: u32, offset: u64) -> io::Result<()> {
        let entry = self.entry(slot, offset);
        // SAFETY: the entry's memory is the slot's block, inside `self.blocks`. It stays where it is until `drop`,
        // which waits for every read. No reference to it exists: `&mut self` ends those that `block` gave, and it
        // gives no new one until `ended` has seen the completion. The file stays open as long as `self`.
        let pushed = unsafe { self.uring.submission().push(&entry) };
        // One entry a slot, and as many entries as slots: the queue is never full.
        pushed.map_err(|_| io::Error::other("ring: the submission queue is full"))?;
        self.slots[slot as usize] = Slot::Reading(offset);
        Ok(())
    }

    fn entry(&self, slot: u32, offset: u64) -> squeue::Entry {
        let (memory, length) = (self.blocks.pointer(slot), BLOCK_BYTES as u32);
        let entry = match self.registered {
            true => opcode::ReadFixed::new(types::Fixed(0), memory, length, 0)
                .offset(offset)
                .build(),
            false => opcode::Read::new(types::Fd(self.file.as_raw_fd()), memory, length)
                .offset(offset)
                .build(),
        };
        entry.user_data(slot.into())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.slots.iter().any(|slot| *slot != Slot::Idle) {
            if self.wait().is_err() {
                // The kernel may still write: this memory is nobody's any more.
                self.blocks.leak();
                return;
            }
            while let Some(entry) = self.uring.completion().next() {
                let slot = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
                if let Some(state) = self.slots.get_mut(slot) {
                    *state = Slot::Idle;
                }
            }
        }
    }
}

/// Whether the kernel gives rings (Linux 5.10 and later, unless it is refused): tried, and let go.
pub fn probe() -> io::Result<()> {
    only_reads(&set_up(1)?)
}

/// A ring that is off. Completions are worked off when we ask for them (Linux 6.1); older kernels interrupt us for each.
fn set_up(slots: u32) -> io::Result<IoUring> {
    let mut deferring = IoUring::builder();
    deferring
        .setup_r_disabled()
        .setup_single_issuer()
        .setup_defer_taskrun();
    match deferring.build(slots) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            IoUring::builder().setup_r_disabled().build(slots)
        }
        made => made,
    }
}

/// Allows reads and nothing else, then turns the ring on: what goes through a ring no filter of system calls sees.
fn only_reads(uring: &IoUring) -> io::Result<()> {
    let mut allowed = [
        Restriction::sqe_op(opcode::Read::CODE),
        Restriction::sqe_op(opcode::ReadFixed::CODE),
        Restriction::sqe_flags_allowed(squeue::Flags::FIXED_FILE.bits()),
    ];
    let submitter = uring.submitter();
    submitter.register_restrictions(&mut allowed)?;
    submitter.register_enable_rings()
}

/// Whether the kernel took both; memory may be refused under a small RLIMIT_MEMLOCK, and it goes without.
#[allow(unsafe_code)]
fn register(uring: &IoUring, file: &File, blocks: &Blocks) -> bool {
    let submitter = uring.submitter();
    // SAFETY: the memory stays where it is until `drop` has seen the last read end. The kernel keeps its pages by
    // reference and writes to them only in reads that we ask for.
    let memory = unsafe { submitter.register_buffers(&[blocks.whole()]) };
    memory.is_ok() && submitter.register_files(&[file.as_raw_fd()]).is_ok()
}

/// Signals end a wait and nothing else.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            done => return done.map(|_| ()),
        }
    }
}

/// A whole block, or why not.
fn outcome(result: i32) -> io::Result<()> {
    match usize::try_from(result) {
        Ok(BLOCK_BYTES) => Ok(()),
        Ok(bytes) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("expected {BLOCK_BYTES} bytes, got {bytes}"),
        )),
        Err(_) => Err(io::Error::from_raw_os_error(result.saturating_neg())),
    }
}

#[cfg(test)]
mod tests;
