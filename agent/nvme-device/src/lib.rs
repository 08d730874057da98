//! An NVMe controller's device, as bytes: its log page "SMART / Health Information" (NVM Express Base Specification
//! 2.0, section 5.16.1.3).
//!
//! The request is a structure with an address in it. Libraries for it bring discovery, tables of vendors and the C
//! library libnvme along, so this crate holds the one `ioctl` call, over buffers that it owns.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod controller;

pub use controller::{Controller, ControllerError, PAGE_BYTES, Page};
