//! `assay-agent`: the small privileged daemon on a ScalerNode. It carries evidence, it does not
//! decode it, and it holds no key that could be read from disk.
//!
//! A connection is a thread ([`server`]); what is asked is answered in [`conversation`]; the TPM
//! has a thread of its own ([`tpm`]), and so has the making of evidence ([`evidence`]) of what [`sources`] give.
#![forbid(unsafe_code)]

pub mod bench;
pub mod chase;
pub mod confine;
pub mod conversation;
pub mod counters;
pub mod doctor;
pub mod durable;
pub mod duty;
pub mod energy;
pub mod evidence;
pub mod histogram;
pub mod host_files;
pub mod inventory;
pub mod measure;
pub mod node;
pub mod probe_guest;
pub mod region;
pub mod roster;
pub mod server;
pub mod session;
pub mod smart;
pub mod sources;
pub mod status;
pub mod tpm;
