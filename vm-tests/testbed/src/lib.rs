//! Pieces of a ScalerNode made of software, for tests and the demo: a test EK certification
//! authority, a real software TPM and a measured boot with the log that replays to it.
//!
//! Nothing here is a substitute for product code: whatever these pieces produce has to pass the
//! same checks as real hardware, under trust roots of kind `test`.
#![forbid(unsafe_code)]

pub mod anvil;
pub mod boot_log;
pub mod ca;
pub mod demo;
pub mod ima_list;
pub mod net;
pub mod postgres;
mod raw_tpm;
pub mod rpc_call;
pub mod sev_device;
pub mod snp;
pub mod soft_node;
pub mod swtpm;
pub mod tool;
pub mod tpm_bus;
pub mod tsm;
pub mod web;

pub use anvil::Anvil;
pub use boot_log::{Banks, MeasuredBoot, Variant};
pub use ca::TestCa;
pub use ima_list::ImaList;
pub use postgres::Postgres;
pub use raw_tpm::RawTpm;
pub use soft_node::SoftNode;
pub use swtpm::Swtpm;
pub use tpm_bus::TpmBus;
pub use tsm::TsmEntry;
