//! TPM 2.0 structures, parsed here and nowhere else in the verifier: no TPM library is linked.

pub mod ak;
pub mod algorithm;
pub mod attest;
pub mod ek_template;
pub mod make_credential;
pub mod node_id;
pub mod public;
pub mod reader;
pub mod signature;
