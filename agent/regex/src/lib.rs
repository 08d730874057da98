//! `regex-lite` under the name `regex`, whose interface it has.
//!
//! The TSS bindings parse two settings of a *software* TPM by regular expressions. With the whole of `regex` that was
//! a fifth of the agent. The only other user is the CDDL checker of tests.
#![forbid(unsafe_code)]

pub use regex_lite::*;
