//! Device identities: an attestation key certified by its maker (IAK) and the initial device identity beside it
//! (IDevID), as an alternative to credential activation (TCG "TPM 2.0 Keys for Device Identity and Attestation"
//! version 1.0, IEEE 802.1AR).
//!
//! Credential activation proves that an AK lives beside an endorsement key. An IAK certificate says the same in its
//! maker's words: the CA saw the key in the TPM. What follows is as good as that CA.
//!
//! Not proven: possession of the IDevID key (nothing is signed with it here; the quote under the AK proves the
//! AK's), and a node id, which is the endorsement key's alone: bind it by [`CertifiedIak::check_ek`].

use crate::crypto::der::{self, DerError};
use crate::crypto::key::PublicKey;
use crate::ek::tpm_names::{HardwareModule, TpmNames};
use crate::ek::{ChainedEk, Roots, Standing};
use crate::tpm::ak::{AkError, AttestationKey};
use crate::x509::extension::KeyUsage;
use crate::x509::name::{self, SERIAL_NUMBER};
use crate::x509::path::{self, PathError, Rules};
use crate::x509::{Certificate, X509Error};
use assay_protocol::ids::Digest;
use core::fmt;

/// tcg-kp-AIKCertificate, 2.23.133.8.3.
pub const AIK_PURPOSE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x03];

/// Which certificate is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The initial attestation key's.
    Iak,
    /// The initial device identity's.
    Idevid,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iak => "IAK certificate",
            Self::Idevid => "IDevID certificate",
        })
    }
}

/// An identity is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdevidError {
    /// Not a certificate.
    #[error("{role}: {error}")]
    Certificate {
        /// Which one.
        role: Role,
        /// The parser's words.
        error: X509Error,
    },
    /// An extension or a name that counts does not parse.
    #[error("{role}: {error}")]
    Part {
        /// Which one.
        role: Role,
        /// The parser's words.
        error: DerError,
    },
    /// No valid path to a configured root.
    #[error("{role}: {error}")]
    Path {
        /// Which one.
        role: Role,
        /// Why not.
        error: PathError,
    },
    /// Certified for other purposes.
    #[error("{role}: extended key usage: expected 2.23.133.8.3 (attestation key), got {actual}")]
    Purpose {
        /// Which one.
        role: Role,
        /// What it says.
        actual: String,
    },
    /// The key is not certified for signatures.
    #[error("{role}: key usage: expected digitalSignature, got {actual}")]
    KeyUsage {
        /// Which one.
        role: Role,
        /// What it says.
        actual: String,
    },
    /// The public area may not serve as attestation key.
    #[error(transparent)]
    Ak(#[from] AkError),
    /// The certificate is for another key.
    #[error("IAK certificate: expected the attestation key's public key, got another {0} key")]
    OtherKey(String),
    /// One key with both roles: an attestation key must not sign whatever it is given.
    #[error("IDevID certificate: expected another key than the IAK's, got the same")]
    SameKey,
    /// The two certificates end at different roots, whose names for devices need not agree.
    #[error("IDevID certificate: expected root {iak}, the IAK's, got {idevid}")]
    OtherRoot {
        /// SHA-256 of the root of the IAK.
        iak: Digest,
        /// SHA-256 of the root of the IDevID.
        idevid: Digest,
    },
    /// Nothing says which device it is.
    #[error("{0}: expected a hardwareModuleName or a serialNumber of the subject, got neither")]
    Nameless(Role),
    /// The two certificates are of different devices.
    #[error("IDevID certificate: expected device {iak}, the IAK's, got {idevid}")]
    OtherDevice {
        /// What the IAK names.
        iak: DeviceName,
        /// What the IDevID names.
        idevid: DeviceName,
    },
    /// The names do not say which endorsement key the TPM has, or another one.
    #[error("device {device}: expected the TPM of endorsement key {expected}")]
    OtherTpm {
        /// What both certificates name.
        device: DeviceName,
        /// What the endorsement key's certificate makes of it.
        expected: String,
    },
}

/// How a certificate names its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceName {
    /// hardwareModuleName in the subjectAltName.
    Module(HardwareModule),
    /// serialNumber of the subject, when there is no module name.
    Serial(String),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module) => {
                let (kind, serial) = (der::dotted(&module.kind), name::clean(&module.serial));
                write!(f, "{kind}/{serial}")
            }
            Self::Serial(serial) => f.write_str(&name::clean(serial.as_bytes())),
        }
    }
}

/// What a node shows.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The IAK certificate, DER.
    pub iak: &'a [u8],
    /// The IDevID certificate, DER.
    pub idevid: &'a [u8],
    /// The attestation key's `TPMT_PUBLIC`.
    pub ak_public: &'a [u8],
}

/// An attestation key that its device's maker certified under a configured root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedIak {
    ak: AttestationKey,
    device: DeviceName,
    root: Digest,
    standing: Option<Standing>,
}

impl CertifiedIak {
    /// The attestation key.
    pub fn ak(&self) -> &AttestationKey {
        &self.ak
    }

    /// The device both certificates name.
    pub fn device(&self) -> &DeviceName {
        &self.device
    }

    /// SHA-256 of the root's DER bytes.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// What the network says of that root; nothing of a bare one, under which nothing may earn a tier.
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// Refuses an endorsement key that is not the one the device's name gives: `manufacturer:authority key
    /// id:serial number` of its certificate (section 8.2).
    pub fn check_ek(&self, ek: &ChainedEk<'_>) -> Result<(), IdevidError> {
        let expected = tpm_serial(ek.path().leaf());
        let text = expected
            .clone()
            .unwrap_or_else(|| "that has no such name".into());
        let named = match &self.device {
            DeviceName::Module(module) => canonical(&module.serial),
            DeviceName::Serial(_) => None,
        };
        if named.is_some() && named == expected {
            return Ok(());
        }
        Err(IdevidError::OtherTpm {
            device: self.device.clone(),
            expected: text,
        })
    }
}

/// Certifies an attestation key by its IAK certificate, with the IDevID certificate of the same device.
///
/// Both must have a valid path to one root; the AK's public area must satisfy the rules of
/// [`crate::tpm::ak`] and hold exactly the certified key. `rules.purpose` is set here.
pub fn certify(
    identity: &Identity<'_>,
    roots: &Roots,
    rules: &Rules<'_, '_>,
) -> Result<CertifiedIak, IdevidError> {
    let ak = AttestationKey::from_bytes(identity.ak_public)?;
    let iak = authentic(Role::Iak, identity.iak, roots, rules)?;
    if iak.key != *ak.key() {
        return Err(IdevidError::OtherKey(iak.key.kind()));
    }
    let idevid = authentic(Role::Idevid, identity.idevid, roots, rules)?;
    if idevid.key == iak.key {
        return Err(IdevidError::SameKey);
    }
    if iak.root != idevid.root {
        let (iak, idevid) = (iak.root, idevid.root);
        return Err(IdevidError::OtherRoot { iak, idevid });
    }
    if iak.device != idevid.device {
        let (iak, idevid) = (iak.device, idevid.device);
        return Err(IdevidError::OtherDevice { iak, idevid });
    }
    Ok(CertifiedIak {
        ak,
        device: iak.device,
        root: iak.root,
        standing: roots.standing(iak.root),
    })
}

/// What an authentic certificate says.
struct Authentic {
    key: PublicKey,
    device: DeviceName,
    root: Digest,
}

fn authentic(
    role: Role,
    der: &[u8],
    roots: &Roots,
    rules: &Rules<'_, '_>,
) -> Result<Authentic, IdevidError> {
    let leaf = Certificate::parse(der).map_err(|error| IdevidError::Certificate { role, error })?;
    let rules = Rules {
        purpose: (role == Role::Iak).then_some(AIK_PURPOSE),
        ..*rules
    };
    let (middles, anchors) = (roots.intermediates(), roots.anchors());
    let path = path::find(leaf, middles, anchors, &rules, roots.cache())
        .map_err(|error| IdevidError::Path { role, error })?;
    let leaf = path.leaf();
    usages(role, leaf)?;
    Ok(Authentic {
        key: leaf.key.clone(),
        device: device(role, leaf)?,
        root: path.root().digest(),
    })
}

/// Purposes and usages count where they are there: many makers leave them out. A purpose for attestation keys is
/// asked of the IAK only; an IDevID may serve for whatever its maker says.
fn usages(role: Role, leaf: &Certificate<'_>) -> Result<(), IdevidError> {
    let part = |error| IdevidError::Part { role, error };
    if let Some(usage) = leaf.key_usage().map_err(part)?
        && !usage.has(KeyUsage::DIGITAL_SIGNATURE)
    {
        let actual = usage.names();
        return Err(IdevidError::KeyUsage { role, actual });
    }
    let purposes = leaf.purposes().map_err(part)?;
    match purposes {
        Some(listed) if role == Role::Iak && !listed.contains(&AIK_PURPOSE) => {
            let listed: Vec<String> = listed.into_iter().map(der::dotted).collect();
            let actual = listed.join(", ");
            Err(IdevidError::Purpose { role, actual })
        }
        _ => Ok(()),
    }
}

fn device(role: Role, leaf: &Certificate<'_>) -> Result<DeviceName, IdevidError> {
    let part = |error| IdevidError::Part { role, error };
    if let Some(module) = TpmNames::of(leaf).map_err(part)?.module {
        return Ok(DeviceName::Module(module));
    }
    let serial = name::attribute(leaf.subject, SERIAL_NUMBER).map_err(part)?;
    match serial {
        Some(serial) if !serial.is_empty() => Ok(DeviceName::Serial(serial)),
        _ => Err(IdevidError::Nameless(role)),
    }
}

/// The serial number a device's name must have for this endorsement certificate, when it has all its parts.
fn tpm_serial(ek: &Certificate<'_>) -> Option<String> {
    let manufacturer = TpmNames::of(ek).ok()?.manufacturer?;
    let vendor = hex::decode(manufacturer.strip_prefix("id:")?).ok()?;
    let vendor = String::from_utf8(vendor).ok()?;
    let authority = hex::encode(ek.authority_key_id().ok()??);
    let serial = hex::encode(ek.serial);
    canonical(format!("{vendor}:{authority}:{serial}").as_bytes())
}

/// Hexadecimal in lower case and the serial number without leading zeros; nothing for another form.
fn canonical(serial: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(serial).ok()?;
    let parts: Vec<&str> = text.split(':').collect();
    let [vendor, authority, number] = parts.as_slice() else {
        return None;
    };
    let is_hex = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
    if vendor.is_empty() || !is_hex(authority) || !is_hex(number) {
        return None;
    }
    let number = number.trim_start_matches('0').to_lowercase();
    Some(format!("{vendor}:{}:{number}", authority.to_lowercase()))
}

#[cfg(test)]
mod tests;
