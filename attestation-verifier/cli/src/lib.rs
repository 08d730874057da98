//! The offline tools of the verifier: `assay-audit` recomputes the verdicts of a bundle, `assay-verifier`
//! verifies raw attestation data, makes bundles and shows evidence. Nothing here opens a socket; files are read only by [`source`] and the programs.
#![forbid(unsafe_code)]

pub mod audit;
pub mod findings;
pub mod inventory;
pub mod pcrs;
pub mod print;
pub mod seal;
pub mod show;
pub mod source;
pub mod verifier;
