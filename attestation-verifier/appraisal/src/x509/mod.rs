//! X.509 certificates and CRLs (RFC 5280), as TPM vendors and AMD really make them.
//!
//! Why not a library: some vendors' certificates are not DER (Nuvoton orders a SET wrongly), carry critical
//! extensions that libraries refuse, or have serial number 0 (AMD). Each oddity is handled on purpose and
//! listed at [`crate::ek`]; everything else is refused.

pub mod cache;
pub mod certificate;
pub mod crl;
pub mod extension;
pub mod name;
pub mod path;
pub mod store;

pub use cache::SignatureCache;
pub use certificate::{Certificate, Validity, X509Error};
pub use crl::{Crl, Revocation};
pub use path::{Path, PathError, Rules};
pub use store::Store;

#[cfg(test)]
pub(crate) mod testing;
