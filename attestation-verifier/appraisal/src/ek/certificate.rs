//! An endorsement key certificate, from the bytes in the TPM's NV to a certified key
//! (TCG EK Credential Profile for TPM 2.0).

use super::roots::{Roots, Standing};
use crate::checks::{Checks, Stopped};
use crate::crypto::der::{self, Der, DerError};
use crate::crypto::key::PublicKey;
use crate::tpm::ek_template::{EkKey, EkKeyError};
use crate::tpm::node_id::node_id;
use crate::x509::extension::KeyUsage;
use crate::x509::path::{self, Path, PathError, Rules};
use crate::x509::{Certificate, X509Error};
use assay_protocol::ids::{Digest, NodeId, UnixMs};
use assay_protocol::limits::EK_CERTIFICATE_BYTES_MAX;
use assay_protocol::trust::RootKind;

/// tcg-kp-EKCertificate, 2.23.133.8.1.
pub const EK_PURPOSE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];
/// Tag of the TCG 1.2 stored-certificate structure (TCG PC Client Specific Implementation, section 7.3.2).
const TCG_STORED: [u8; 2] = [0x10, 0x01];

/// A certificate does not certify an eligible endorsement key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EkError {
    /// Too many bytes.
    #[error("EK certificate: expected at most {EK_CERTIFICATE_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// Not one DER certificate.
    #[error("EK certificate: expected a DER certificate, got {0}")]
    Malformed(#[from] DerError),
    /// The wrapper of TPM 1.2.
    #[error("EK certificate: expected a DER certificate, got the wrapper of TPM 1.2 (10 01)")]
    Wrapped,
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
    /// A certificate of another form.
    #[error("EK {0}")]
    Certificate(#[from] X509Error),
    /// No valid path to a configured root.
    #[error("EK certificate: {0}")]
    Path(#[from] PathError),
    /// The certificate is not one for an endorsement key.
    #[error("EK certificate: extended key usage: expected 2.23.133.8.1 (EK certificate), got {0}")]
    Purpose(String),
    /// The key is not certified for what an endorsement key does.
    #[error("EK certificate: key usage: expected {expected}, got {actual}")]
    KeyUsage {
        /// The usage a key of its kind must have.
        expected: &'static str,
        /// What the certificate says.
        actual: String,
    },
    /// The key has no default template.
    #[error("EK certificate: {0}: not an eligible endorsement key")]
    Key(#[from] EkKeyError),
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
    /// Nothing is known of the root.
    #[error(
        "EK certificate: root {0}: expected a root whose kind is known, got a bare certificate"
    )]
    UnknownKind(Digest),
}

/// An endorsement key that a configured root certified and whose kind is eligible under that root.
///
/// That the node holds the key follows only from credential activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedEk {
    key: EkKey,
    root: Digest,
    standing: Standing,
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
        self.standing.kind
    }

    /// The least `firmwareVersion` a quote of this TPM may carry; 0 = none. Whoever appraises quotes enforces it.
    pub fn firmware_min(&self) -> u64 {
        self.standing.firmware_min
    }

    /// Refuses a `TPMT_PUBLIC` that is not the default template with this key, byte for byte.
    pub fn check_public(&self, public_area: &[u8]) -> Result<(), EkKeyError> {
        self.key.check_template(public_area)
    }
}

/// A certificate with a valid path to a pinned root, for a key of a kind that endorsement keys have. Whether that
/// root's TPMs count at all is not decided: see [`ChainedEk::certified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedEk<'a> {
    path: Path<'a>,
    key: EkKey,
    root: Digest,
    standing: Option<Standing>,
}

impl<'a> ChainedEk<'a> {
    /// The certificates, leaf first, root last.
    pub fn path(&self) -> &Path<'a> {
        &self.path
    }

    /// The key.
    pub fn key(&self) -> &EkKey {
        &self.key
    }

    /// SHA-256 of the root's DER bytes.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// What the network says of that root; nothing of a bare one.
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// The certified key: the root's kind must be known and the key's kind the one eligible under it.
    pub fn certified(&self) -> Result<CertifiedEk, EkError> {
        let root = self.root;
        let standing = self.standing.ok_or(EkError::UnknownKind(root))?;
        if self.key.kind() != standing.eligible {
            return Err(EkError::NotEligible {
                root,
                eligible: standing.eligible_name(),
                actual: crate::tpm::ek_template::kind_name(self.key.kind()).into(),
            });
        }
        let key = self.key;
        Ok(CertifiedEk {
            key,
            root,
            standing,
        })
    }
}

/// Certifies an endorsement key at time `at`: no SHA-1, no revocation lists.
///
/// `certificate` is what the TPM's NV index holds, padding included. Intermediates come from the
/// bundle and count only as far as one of its roots signed them.
pub fn certify(certificate: &[u8], roots: &Roots, at: UnixMs) -> Result<CertifiedEk, EkError> {
    chain(certificate, roots, &Rules::at(at))?.certified()
}

/// Finds a valid path to one of `roots` and applies the rules for endorsement keys. `rules.purpose` is set here.
pub fn chain<'a>(
    certificate: &'a [u8],
    roots: &'a Roots,
    rules: &Rules<'_, '_>,
) -> Result<ChainedEk<'a>, EkError> {
    let leaf = parse(certificate)?;
    let path = find(leaf.clone(), roots, rules)?;
    check_purpose(&leaf)?;
    check_key_usage(&leaf)?;
    chained(path, &leaf.key, roots)
}

/// What [`examine`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examined<'a> {
    /// The path, whatever the key is for.
    pub path: Option<Path<'a>>,
    /// The key, when every check passed.
    pub key: Option<ChainedEk<'a>>,
}

/// The same steps as checks, named and listed.
///
/// Names: `ek-certificate`, `ek-path`, `ek-purpose`, `ek-key-usage`, `ek-key`, and `ek-eligible` where the root's
/// standing is known.
pub fn examine<'a>(
    certificate: &'a [u8],
    roots: &'a Roots,
    rules: &Rules<'_, '_>,
    checks: &mut Checks,
) -> Result<Examined<'a>, Stopped> {
    let expected = "a DER certificate and nothing after it but padding";
    let Some(leaf) = checks.value("ek-certificate", expected, parse(certificate))? else {
        return Ok(Examined::default());
    };
    let expected = "a valid path to a trusted root";
    let path = checks.value("ek-path", expected, find(leaf.clone(), roots, rules))?;
    let purpose = check_purpose(&leaf);
    let purpose = checks.value("ek-purpose", "2.23.133.8.1 (EK certificate)", purpose)?;
    let expected = usage_of(&leaf.key).1;
    let usage = checks.value("ek-key-usage", expected, check_key_usage(&leaf))?;
    let expected = "a key that has a default template";
    let key = checks.value("ek-key", expected, EkKey::from_public(&leaf.key))?;
    let sound = purpose.is_some() && usage.is_some() && key.is_some();
    let found = path.clone().filter(|_| sound);
    let chained = found.and_then(|path| chained(path, &leaf.key, roots).ok());
    let key = match chained {
        Some(chained) if eligible(&chained, checks)? => Some(chained),
        _ => None,
    };
    Ok(Examined { path, key })
}

fn eligible(chained: &ChainedEk<'_>, checks: &mut Checks) -> Result<bool, Stopped> {
    let Some(standing) = chained.standing else {
        return Ok(true);
    };
    let expected = format!("{}, the eligible kind", standing.eligible_name());
    let certified = checks.value("ek-eligible", expected, chained.certified())?;
    Ok(certified.is_some())
}

/// The certificate at the start of what a TPM's NV index holds: **not authenticated**.
pub fn parse(bytes: &[u8]) -> Result<Certificate<'_>, EkError> {
    Ok(Certificate::parse(strip_padding(bytes)?)?)
}

/// The DER certificate at the start of `bytes`; what follows may only be 0x00 or 0xFF.
pub fn strip_padding(bytes: &[u8]) -> Result<&[u8], EkError> {
    if bytes.len() > EK_CERTIFICATE_BYTES_MAX {
        return Err(EkError::TooLarge(bytes.len()));
    }
    if bytes.starts_with(&TCG_STORED) {
        return Err(EkError::Wrapped);
    }
    let mut r = Der::new(bytes);
    let der = r.take("certificate", der::SEQUENCE)?.bytes;
    let padding = r.rest();
    let other = padding
        .iter()
        .enumerate()
        .find(|(_, byte)| !matches!(byte, 0x00 | 0xff));
    match other {
        None => Ok(der),
        Some((at, byte)) => Err(EkError::Padding {
            offset: der.len().saturating_add(at),
            byte: *byte,
        }),
    }
}

fn find<'a>(
    leaf: Certificate<'a>,
    roots: &'a Roots,
    rules: &Rules<'_, '_>,
) -> Result<Path<'a>, PathError> {
    let rules = Rules {
        purpose: Some(EK_PURPOSE),
        ..*rules
    };
    let (middles, anchors) = (roots.intermediates(), roots.anchors());
    path::find(leaf, middles, anchors, &rules, roots.cache())
}

fn chained<'a>(path: Path<'a>, key: &PublicKey, roots: &Roots) -> Result<ChainedEk<'a>, EkError> {
    let root = path.root().digest();
    let standing = roots.standing(root);
    let key = match (EkKey::from_public(key), standing) {
        (Ok(key), _) => key,
        (Err(_), Some(standing)) => {
            return Err(EkError::NotEligible {
                root,
                eligible: standing.eligible_name(),
                actual: key.kind(),
            });
        }
        (Err(error), None) => return Err(error.into()),
    };
    Ok(ChainedEk {
        path,
        key,
        root,
        standing,
    })
}

/// A certificate that names purposes must name this one. One that names none (Google's, for instances) leaves
/// the decision to its key usage, and to credential activation by a key with the default template.
fn check_purpose(leaf: &Certificate<'_>) -> Result<(), EkError> {
    match leaf.purposes()? {
        None => Ok(()),
        Some(purposes) if purposes.contains(&EK_PURPOSE) => Ok(()),
        Some(purposes) => {
            let found: Vec<String> = purposes.into_iter().map(der::dotted).collect();
            Err(EkError::Purpose(found.join(", ")))
        }
    }
}

/// TCG EK Credential Profile, section 3.2.12: keyEncipherment for RSA, keyAgreement for ECC. Some vendors put the
/// purpose of endorsement keys on signing keys too: this is what tells them apart.
fn check_key_usage(leaf: &Certificate<'_>) -> Result<(), EkError> {
    let (bit, expected) = usage_of(&leaf.key);
    let usage = leaf.key_usage()?;
    if usage.is_some_and(|usage| usage.has(bit)) {
        return Ok(());
    }
    let actual = usage.map_or_else(|| "none".into(), KeyUsage::names);
    Err(EkError::KeyUsage { expected, actual })
}

fn usage_of(key: &PublicKey) -> (KeyUsage, &'static str) {
    match key {
        PublicKey::Rsa { .. } => (KeyUsage::KEY_ENCIPHERMENT, "keyEncipherment"),
        PublicKey::Ecc { .. } | PublicKey::Ed25519(_) => (KeyUsage::KEY_AGREEMENT, "keyAgreement"),
    }
}
