//! Evidence of Azure's confidential VMs: a paravisor at VMPL 0 owns the SEV-SNP report and a virtual TPM.
//!
//! The report binds the runtime claims by their hash, the claims name the vTPM's attestation key, and that key
//! signs the quote. What it proves ends at the paravisor: Microsoft's code, named by MEASUREMENT and ID block,
//! is trusted to keep the vTPM. The chip is not proven to be in anybody's chassis.

pub mod claims;
pub mod hcl;
pub mod verify;
