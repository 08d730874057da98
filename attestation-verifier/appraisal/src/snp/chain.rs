//! ARK → ASK or ASVK → VCEK or VLEK: key pinned, signatures, names, constraints, dates, revocation.

use super::endorsement::Endorsement;
use super::report::KeyKind;
use super::roots::Root;
use super::verify::Trust;
use super::{constraints, held};
use crate::checks::{Checks, Outcome, Stopped};
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{Scheme, Sha1};
use crate::tpm::algorithm::{Curve, HashAlg};
use crate::x509::{Certificate, SignatureCache, name};

/// Modulus of AMD's RSA-4096 keys, bytes.
const CA_KEY_BYTES: usize = 512;

/// The certificates of one report's key.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub(super) leaf: Endorsement<'a>,
    pub(super) intermediate: Certificate<'a>,
    pub(super) root: Certificate<'a>,
}

/// Records each check of the chain; yields the pinned root, if it is one, whatever else fails.
pub(super) fn verify(
    checks: &mut Checks,
    chain: &Chain<'_>,
    trust: &Trust<'_>,
) -> Result<Option<Root>, Stopped> {
    let root = pinned(checks, chain, trust)?;
    roles(checks, chain, root)?;
    names(checks, chain)?;
    signatures(checks, chain, trust.cache)?;
    dates(checks, chain, trust)?;
    revocation(checks, chain, trust)?;
    Ok(root)
}

fn pinned(
    checks: &mut Checks,
    chain: &Chain<'_>,
    trust: &Trust<'_>,
) -> Result<Option<Root>, Stopped> {
    let root = trust.roots.find(chain.root.spki);
    let key = assay_protocol::hash::sha256(&[chain.root.spki]);
    let result = match root {
        Some(_) => Ok(()),
        None => Err(format!("SHA-256 {} of its key", hex::encode(key))),
    };
    checks.value("snp-root-pinned", "a pinned ARK", result)?;
    Ok(root)
}

/// What each certificate may do, and what it is for: an ASK issues VCEKs and an ASVK VLEKs.
fn roles(checks: &mut Checks, chain: &Chain<'_>, root: Option<Root>) -> Result<(), Stopped> {
    let may = constraints::may_issue(&chain.root, 1);
    checks.value("snp-root-constraints", "a CA over a CA", may)?;
    let may = constraints::may_issue(&chain.intermediate, 0);
    checks.value("snp-intermediate-constraints", "a CA", may)?;
    let may = constraints::may_sign(&chain.leaf.certificate);
    checks.value("snp-leaf-constraints", "no CA", may)?;
    let product = root.map_or(chain.leaf.product, |root| root.product);
    let expected = match chain.leaf.kind {
        KeyKind::Vcek => format!("SEV-{product}"),
        KeyKind::Vlek => format!("SEV-VLEK-{product}"),
    };
    let actual = common_name(chain.intermediate.subject);
    checks.equal("snp-intermediate-role", expected, actual)?;
    checks.equal("snp-leaf-product", product, chain.leaf.product)
}

/// Names are compared byte for byte; what is shown are the common names.
fn names(checks: &mut Checks, chain: &Chain<'_>) -> Result<(), Stopped> {
    let pairs = [
        ("snp-root-issuer", &chain.root, &chain.root),
        ("snp-intermediate-issuer", &chain.intermediate, &chain.root),
        (
            "snp-leaf-issuer",
            &chain.leaf.certificate,
            &chain.intermediate,
        ),
    ];
    for (name, certificate, issuer) in pairs {
        let expected = common_name(issuer.subject);
        match certificate.issuer == issuer.subject {
            true => checks.equal(name, &expected, &expected)?,
            false => {
                let actual = common_name(certificate.issuer);
                checks.record(name, Outcome::Fail, expected, actual)?;
            }
        }
    }
    Ok(())
}

fn common_name(name: &[u8]) -> String {
    match name::attribute(name, name::COMMON_NAME) {
        Ok(Some(text)) => text,
        _ => "a name without a common name".into(),
    }
}

fn signatures(
    checks: &mut Checks,
    chain: &Chain<'_>,
    cache: &SignatureCache,
) -> Result<(), Stopped> {
    let pairs = [
        ("snp-root-signature", &chain.root, &chain.root),
        (
            "snp-intermediate-signature",
            &chain.intermediate,
            &chain.root,
        ),
        (
            "snp-leaf-signature",
            &chain.leaf.certificate,
            &chain.intermediate,
        ),
    ];
    for (name, certificate, issuer) in pairs {
        let signed = signed_by(certificate, issuer, cache);
        let expected = "RSA-4096 PSS with SHA-384 by the issuer";
        checks.value(name, expected, signed)?;
    }
    let key = &chain.leaf.certificate.key;
    let p384 = matches!(
        key,
        PublicKey::Ecc {
            curve: Curve::P384,
            ..
        }
    );
    held(checks, "snp-leaf-key", p384, "ECC P-384", key.kind())
}

fn signed_by(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    cache: &SignatureCache,
) -> Result<(), String> {
    if certificate.scheme != Scheme::RsaPss(HashAlg::Sha384) {
        return Err(format!("{:?}", certificate.scheme));
    }
    match &issuer.key {
        PublicKey::Rsa { modulus, .. } if modulus.len() == CA_KEY_BYTES => {}
        other => return Err(format!("an {} key", other.kind())),
    }
    certificate
        .verify_signature(&issuer.key, issuer.spki, Sha1::Refused, cache)
        .map_err(|e| e.to_string())
}

fn dates(checks: &mut Checks, chain: &Chain<'_>, trust: &Trust<'_>) -> Result<(), Stopped> {
    for (name, certificate) in [
        ("snp-root-validity", &chain.root),
        ("snp-intermediate-validity", &chain.intermediate),
        ("snp-leaf-validity", &chain.leaf.certificate),
    ] {
        let validity = certificate.validity;
        let (from, to) = (validity.not_before_s, validity.not_after_s);
        let expected = format_args!("a time from {from} to {to} (Unix seconds)");
        let at_s = trust.at.0 / 1_000;
        held(checks, name, validity.contains(trust.at), expected, at_s)?;
    }
    Ok(())
}

/// AMD revokes ASKs and ASVKs, by a list the ARK signs. VCEKs all have serial number 0 and cannot be
/// listed; a withdrawn TCB is refused by the TCB floor instead.
fn revocation(checks: &mut Checks, chain: &Chain<'_>, trust: &Trust<'_>) -> Result<(), Stopped> {
    const NAME: &str = "snp-revocation";
    let expected = "an intermediate that is not revoked";
    let Some(list) = trust.revocation.list else {
        return match trust.revocation.required {
            false => Ok(()),
            true => checks.record(NAME, Outcome::Undecided, expected, "no revocation list"),
        };
    };
    let result = match list.is_revoked(&chain.intermediate, &chain.root, trust.at) {
        Ok(false) => Ok(()),
        Ok(true) => Err("revoked".to_owned()),
        Err(problem) => Err(problem),
    };
    checks.value(NAME, expected, result).map(drop)
}
