//! An endorsement key certificate, from the bytes in the TPM's NV to a certified key
//! (TCG EK Credential Profile for TPM 2.0).

use super::roots::Roots;
use crate::crypto::key::{KeyError, PublicKey};
use crate::tpm::ek_template::{EkKey, EkKeyError};
use crate::tpm::node_id::node_id;
use assay_protocol::ids::{Digest, NodeId, UnixMs};
use assay_protocol::limits::EK_CERTIFICATE_BYTES_MAX;
use assay_protocol::trust::RootKind;
use core::time::Duration;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::der::{Decode, asn1::ObjectIdentifier};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage as KeyUsageBits};

/// tcg-kp-EKCertificate.
const OID_EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// The same, DER without tag and length.
const OID_EK_CERTIFICATE_DER: [u8; 5] = [0x67, 0x81, 0x05, 0x08, 0x01];
const OID_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const OID_EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// A certificate does not certify an eligible endorsement key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EkError {
    /// Too many bytes.
    #[error("EK certificate: expected at most {EK_CERTIFICATE_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// Not one DER certificate.
    #[error("EK certificate: expected a DER certificate, got {0}")]
    Malformed(String),
    /// Bytes after the certificate that are not NV padding.
    #[error(
        "EK certificate: expected only 0x00 or 0xFF padding after the certificate, got {byte:#04x} at offset {offset}"
    )]
    Padding {
        /// Offset of the byte.
        offset: usize,
        /// The byte.
        byte: u8,
    },
    /// No configured root issued it.
    #[error("EK certificate: its issuer is not in the bundle of trust roots")]
    NotInBundle,
    /// An issuer's signature does not verify.
    #[error("EK certificate: expected a signature by its issuer, got one that does not verify")]
    Signature,
    /// A certificate of the chain has expired.
    #[error(
        "EK certificate: expired at {not_after_unix_s}, appraised at {at_unix_s} (Unix seconds)"
    )]
    Expired {
        /// End of validity, Unix seconds.
        not_after_unix_s: u64,
        /// Time of the appraisal, Unix seconds.
        at_unix_s: u64,
    },
    /// A certificate of the chain is not valid yet.
    #[error(
        "EK certificate: not valid before {not_before_unix_s}, appraised at {at_unix_s} (Unix seconds)"
    )]
    NotYetValid {
        /// Start of validity, Unix seconds.
        not_before_unix_s: u64,
        /// Time of the appraisal, Unix seconds.
        at_unix_s: u64,
    },
    /// The certificate is not one for an endorsement key.
    #[error("EK certificate: extended key usage: expected 2.23.133.8.1 (EK certificate), got {0}")]
    Usage(String),
    /// The key is not certified for what an endorsement key does.
    #[error("EK certificate: key usage: expected {expected}, got {actual}")]
    KeyUsage {
        /// The usage a key of its kind must have.
        expected: &'static str,
        /// What the certificate says.
        actual: String,
    },
    /// Any other rule of path validation.
    #[error("EK certificate: chain: {0}")]
    Chain(String),
    /// The key has no node id under this root.
    #[error(
        "EK certificate: root {root}: eligible is {eligible}, got {actual}: not an eligible endorsement key"
    )]
    NotEligible {
        /// SHA-256 of the root.
        root: Digest,
        /// The kind eligible under it.
        eligible: &'static str,
        /// The kind found.
        actual: String,
    },
    /// The key cannot be decoded.
    #[error("EK certificate: {0}")]
    Key(#[from] KeyError),
}

/// An endorsement key that a configured root certified and whose kind is eligible under that root.
///
/// That the node holds the key follows only from credential activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedEk {
    key: EkKey,
    root: Digest,
    root_kind: RootKind,
}

impl CertifiedEk {
    /// The key.
    pub fn key(&self) -> &EkKey {
        &self.key
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        node_id(&self.key)
    }

    /// SHA-256 of the root's DER bytes.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// What that root vouches for.
    pub fn root_kind(&self) -> RootKind {
        self.root_kind
    }

    /// Refuses a `TPMT_PUBLIC` that is not the default template with this key, byte for byte.
    pub fn check_public(&self, public_area: &[u8]) -> Result<(), EkKeyError> {
        self.key.check_template(public_area)
    }
}

/// Certifies an endorsement key at time `at`.
///
/// `certificate` is what the TPM's NV index holds, padding included. Intermediates come from the
/// bundle and count only as far as one of its roots signed them.
pub fn certify(certificate: &[u8], roots: &Roots, at: UnixMs) -> Result<CertifiedEk, EkError> {
    let der = CertificateDer::from(strip_padding(certificate)?);
    let leaf = EndEntityCert::try_from(&der).map_err(|e| EkError::Malformed(format!("{e:?}")))?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(at.0));
    let path = leaf
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &roots.anchors,
            &roots.intermediates,
            at,
            // Vendors' CA certificates often carry no usage; the leaf's own is checked below.
            KeyUsage::required_if_present(&OID_EK_CERTIFICATE_DER),
            None,
            None,
        )
        .map_err(chain_error)?;
    let key = PublicKey::from_spki(&leaf.subject_public_key_info())?;
    check_usage(&der, &key)?;
    eligible(&key, path.anchor(), roots)
}

/// The DER certificate at the start of `bytes`; what follows may only be 0x00 or 0xFF.
pub fn strip_padding(bytes: &[u8]) -> Result<&[u8], EkError> {
    if bytes.len() > EK_CERTIFICATE_BYTES_MAX {
        return Err(EkError::TooLarge(bytes.len()));
    }
    let malformed = |problem: &str| EkError::Malformed(problem.into());
    let size = match bytes {
        [0x30, 0x82, high, low, ..] => {
            usize::from(u16::from_be_bytes([*high, *low])).saturating_add(4)
        }
        _ => return Err(malformed("no SEQUENCE of 256 to 65,535 bytes")),
    };
    let (der, padding) = bytes
        .split_at_checked(size)
        .ok_or_else(|| malformed("fewer bytes than it declares"))?;
    match padding.iter().position(|byte| !matches!(byte, 0x00 | 0xff)) {
        None => Ok(der),
        Some(at) => Err(EkError::Padding {
            offset: size.saturating_add(at),
            byte: padding.get(at).copied().unwrap_or_default(),
        }),
    }
}

fn chain_error(error: webpki::Error) -> EkError {
    use webpki::Error as E;
    match error {
        E::UnknownIssuer => EkError::NotInBundle,
        E::InvalidSignatureForPublicKey => EkError::Signature,
        E::CertExpired { time, not_after } => EkError::Expired {
            not_after_unix_s: not_after.as_secs(),
            at_unix_s: time.as_secs(),
        },
        E::CertNotValidYet { time, not_before } => EkError::NotYetValid {
            not_before_unix_s: not_before.as_secs(),
            at_unix_s: time.as_secs(),
        },
        E::RequiredEkuNotFoundContext(_) => EkError::Usage("another usage".into()),
        E::UnsupportedCriticalExtension => EkError::Chain(
            "a critical extension is not understood (an intermediate with critical certificate \
             policies can be listed as root instead)"
                .into(),
        ),
        other => EkError::Chain(format!("{other:?}")),
    }
}

/// Both usages must be there and fit: some vendors put the EK purpose on signing keys too.
fn check_usage(der: &[u8], key: &PublicKey) -> Result<(), EkError> {
    let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?;
    let value_of = |oid| {
        certificate
            .tbs_certificate
            .extensions
            .iter()
            .flatten()
            .find(|e| e.extn_id == oid)
    };
    let purpose = value_of(OID_EXTENDED_KEY_USAGE).map(|e| e.extn_value.as_bytes());
    check_purpose(purpose.ok_or_else(|| EkError::Usage("none".into()))?)?;
    check_key_usage(
        value_of(OID_KEY_USAGE).map(|e| e.extn_value.as_bytes()),
        key,
    )
}

fn check_purpose(extension: &[u8]) -> Result<(), EkError> {
    let purposes = ExtendedKeyUsage::from_der(extension).map_err(malformed)?;
    if purposes.0.contains(&OID_EK_CERTIFICATE) {
        return Ok(());
    }
    let found: Vec<String> = purposes.0.iter().map(ToString::to_string).collect();
    Err(EkError::Usage(found.join(", ")))
}

/// TCG EK Credential Profile, section 3.2.12: keyEncipherment for RSA, keyAgreement for ECC.
fn check_key_usage(extension: Option<&[u8]>, key: &PublicKey) -> Result<(), EkError> {
    let expected = match key {
        PublicKey::Rsa { .. } => "keyEncipherment",
        PublicKey::Ecc { .. } | PublicKey::Ed25519(_) => "keyAgreement",
    };
    let refused = |actual| EkError::KeyUsage { expected, actual };
    let usage = extension.ok_or_else(|| refused("none".into()))?;
    let usage = KeyUsageBits::from_der(usage).map_err(malformed)?;
    let fits = match key {
        PublicKey::Rsa { .. } => usage.key_encipherment(),
        PublicKey::Ecc { .. } | PublicKey::Ed25519(_) => usage.key_agreement(),
    };
    if fits {
        Ok(())
    } else {
        Err(refused(format!("{:?}", usage.0)))
    }
}

fn malformed(error: x509_cert::der::Error) -> EkError {
    EkError::Malformed(error.to_string())
}

fn eligible(
    key: &PublicKey,
    anchor: &TrustAnchor<'_>,
    roots: &Roots,
) -> Result<CertifiedEk, EkError> {
    let entry = roots
        .anchors
        .iter()
        .zip(&roots.entries)
        .find_map(|(candidate, entry)| (candidate == anchor).then_some(entry))
        .ok_or(EkError::NotInBundle)?;
    let refused = |actual| EkError::NotEligible {
        root: entry.digest,
        eligible: entry.eligible_name(),
        actual,
    };
    let narrowed = EkKey::from_public(key).map_err(|_| refused(key.kind()))?;
    if narrowed.kind() != entry.eligible {
        return Err(refused(key.kind()));
    }
    Ok(CertifiedEk {
        key: narrowed,
        root: entry.digest,
        root_kind: entry.kind,
    })
}
