//! From a manifest to reference values that a policy may use.

use super::manifest::{
    HEADER_CWT, HEADER_META, Manifest, Profile, Reference, read_signed, signed_part,
};
use super::snp::SnpReference;
use super::{CorimError, read};
use crate::checks::{CheckList, Checks, Mode, Outcome, Stopped};
use crate::cose_sign1::{Accept, Envelope, Message};
use crate::crypto::key::{KeyError, PublicKey};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Digest, UnixMs};

/// Most keys tried for one manifest.
pub const PINNED_KEYS_MAX: usize = 16;

/// A key whose manifests are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedKey {
    key: PublicKey,
    digest: Digest,
}

impl PinnedKey {
    /// From a DER `SubjectPublicKeyInfo`.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            key: PublicKey::from_spki(spki)?,
            digest: digest(&[spki]),
        })
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// What the caller knows before it looks at a manifest.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// The signers believed; at most [`PINNED_KEYS_MAX`].
    pub keys: &'a [PinnedKey],
    /// The time at which the manifest must be valid.
    pub at: UnixMs,
}

/// Reference values signed by a pinned key and valid at the time given; only [`import`] makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceValues {
    manifest: Manifest,
    signer: Digest,
    snp: Vec<SnpReference>,
    checks: CheckList,
}

impl ReferenceValues {
    /// SHA-256 of the signer's `SubjectPublicKeyInfo`.
    pub fn signer(&self) -> Digest {
        self.signer
    }

    /// The manifest's identifier.
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// The profile.
    pub fn profile(&self) -> Option<&Profile> {
        self.manifest.profile.as_ref()
    }

    /// All that the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The reference values, at least one.
    pub fn references(&self) -> &[Reference] {
        &self.manifest.references
    }

    /// The same as fields of SEV-SNP reports; empty unless the profile is AMD's.
    pub fn snp_references(&self) -> &[SnpReference] {
        &self.snp
    }

    /// Every check that was made.
    pub fn checks(&self) -> &CheckList {
        &self.checks
    }
}

/// A manifest that yields nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CoRIM refused: {}", .checks.shown_open())]
pub struct Refused {
    /// Everything that was checked, the failures among it.
    pub checks: CheckList,
}

/// Verifies a signed manifest and yields its reference values.
pub fn import(bytes: &[u8], trust: &Trust<'_>, mode: Mode) -> Result<ReferenceValues, Refused> {
    let mut checks = Checks::new(mode);
    let found = run(&mut checks, bytes, trust);
    let passed = checks.passed();
    let checks = checks.into_list();
    match found {
        Ok(Some((manifest, signer, snp))) if passed => Ok(ReferenceValues {
            manifest,
            signer,
            snp,
            checks,
        }),
        Ok(_) | Err(Stopped(_)) => Err(Refused { checks }),
    }
}

type Found = (Manifest, Digest, Vec<SnpReference>);

fn run(checks: &mut Checks, bytes: &[u8], trust: &Trust<'_>) -> Result<Option<Found>, Stopped> {
    let Some(cose) = signed_part(bytes) else {
        let actual = read(bytes).map_or_else(|e| e.to_string(), |_| "an unsigned manifest".into());
        checks.record(
            "corim-signed",
            Outcome::Fail,
            "a COSE_Sign1 (tag 18)",
            actual,
        )?;
        return Ok(None);
    };
    let message = Message::parse(cose, Envelope::Tagged).map_err(CorimError::from);
    let Some(message) = checks.value("corim-signed", "a COSE_Sign1 (tag 18)", message)? else {
        return Ok(None);
    };
    let signer = checks.value(
        "corim-signature",
        "a valid signature by a pinned key",
        signer(&message, trust.keys),
    )?;
    let manifest = checks.value(
        "corim-structure",
        "a manifest of the subset",
        read_signed(&message),
    )?;
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    check_windows(checks, &manifest, trust.at)?;
    let known = manifest.profile.is_none() || manifest.is_snp();
    let profile = manifest
        .profile
        .as_ref()
        .map_or_else(|| "none".into(), Profile::to_string);
    let outcome = if known { Outcome::Pass } else { Outcome::Fail };
    checks.record(
        "corim-profile",
        outcome,
        "none, or AMD's for SEV-SNP",
        profile,
    )?;
    let snp = checks.value("corim-values", "reference values", values(&manifest))?;
    Ok(signer.zip(snp).map(|(signer, snp)| (manifest, signer, snp)))
}

/// The pinned key that signed. Identifiers and certificates in the object are not looked at.
fn signer(message: &Message<'_>, keys: &[PinnedKey]) -> Result<Digest, String> {
    if keys.is_empty() || keys.len() > PINNED_KEYS_MAX {
        return Err(format!(
            "{} pinned keys, 1 to {PINNED_KEYS_MAX} can be tried",
            keys.len()
        ));
    }
    let understood = [HEADER_META, HEADER_CWT];
    let accept = Accept {
        understood: &understood,
        ..Accept::default()
    };
    let mut last = String::new();
    for pinned in keys {
        match message.verify(&pinned.key, &accept) {
            Ok(_) => return Ok(pinned.digest),
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("none by {} pinned keys ({last})", keys.len()))
}

fn check_windows(checks: &mut Checks, manifest: &Manifest, at: UnixMs) -> Result<(), Stopped> {
    let at_s = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    let signature = manifest
        .signature
        .as_ref()
        .map(|s| s.window)
        .unwrap_or_default();
    for (name, window) in [
        ("corim-signature-validity", signature),
        ("corim-validity", manifest.window),
    ] {
        let outcome = match window.contains(at_s) {
            true => Outcome::Pass,
            false => Outcome::Fail,
        };
        checks.record(name, outcome, window, at_s)?;
    }
    Ok(())
}

/// There is something to import, and under AMD's profile each value is a report field's.
fn values(manifest: &Manifest) -> Result<Vec<SnpReference>, CorimError> {
    if manifest.references.is_empty() {
        let ignored = manifest.ignored.join(", ");
        return Err(CorimError::reference("triples", "at least one", ignored));
    }
    match manifest.is_snp() {
        true => manifest.references.iter().map(SnpReference::read).collect(),
        false => Ok(Vec::new()),
    }
}
