//! Endorsement keys: certificates up to configured roots, and what they are eligible for.
//!
//! Oddities of real certificates, each handled on purpose:
//!
//! - **Padding**: NV indices are often larger than the certificate. Only 0x00 and 0xFF may follow it.
//! - **Names that are not DER**: Nuvoton orders a SET wrongly. Names are compared byte for byte, never sorted.
//! - **Critical subjectAltName**: the TPM's manufacturer, model and version ([`tpm_names`]); claims, not rules.
//! - **Critical certificatePolicies** in ST's intermediates: any policy will do.
//! - **Purposes**: a certificate names 2.23.133.8.1 or no purpose at all (Google's, for instances), and the
//!   endorsement key's own must be for keyEncipherment (RSA) or keyAgreement (ECC). Google puts the purpose on
//!   signing keys too: they are refused by their key usage, though their paths hold.
//! - **id-RSAES-OAEP and id-RSASSA-PSS** in place of rsaEncryption in a key: the same key.
//! - **SHA-1** under old Infineon, ST and Nuvoton certificates: only when the caller names the legacy policy.
//! - **Empty subject**: the rule for endorsement keys, not an error.
//! - **TCG 1.2 wrapper** (`10 01 …`) around a certificate: refused by name, it belongs to TPM 1.2.
//! - **Where the issuer is** (authorityInfoAccess): reported, never fetched.

pub mod certificate;
pub mod roots;
pub mod tpm_names;

pub use certificate::{CertifiedEk, ChainedEk, EkError, certify, chain};
pub use roots::{RootError, Roots, Standing};
pub use tpm_names::TpmNames;

#[cfg(test)]
mod tests;
