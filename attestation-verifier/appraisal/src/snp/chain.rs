//! ARK → ASK or ASVK → VCEK or VLEK: key pinned, signatures, names, constraints, dates, revocation.

use super::endorsement::Endorsement;
use super::known::{self, Facts, KnownChain};
use super::report::KeyKind;
use super::roots::Root;
use super::verify::{Certificates, Trust};
use super::{constraints, held};
use crate::checks::{Checks, Outcome, Stopped};
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{Scheme, Sha1};
use crate::tpm::algorithm::{Curve, HashAlg};
use crate::x509::{Certificate, SignatureCache, name};
use assay_protocol::hash::digest;
use std::sync::Arc;

/// Modulus of AMD's RSA-4096 keys, bytes.
const CA_KEY_BYTES: usize = 512;

/// Leaf, intermediate and root as read: nothing is verified yet.
type Read<'a> = (Endorsement<'a>, Certificate<'a>, Certificate<'a>);

/// A chain and its pinned root, if it is pinned.
pub(super) type Judged = (Arc<KnownChain>, Option<Root>);

/// Records each check of a chain; yields what it is, whatever fails but its structure.
pub(super) fn verify(
    checks: &mut Checks,
    certificates: Certificates<'_>,
    trust: &Trust<'_>,
) -> Result<Option<Judged>, Stopped> {
    let id = known::id(certificates);
    let judged = match trust.cache.get(&id) {
        Some(chain) => Some(recall(checks, chain, trust)?),
        None => learn(checks, certificates, trust, id)?,
    };
    if let Some((chain, _)) = &judged {
        dates(checks, &chain.facts, trust)?;
        revocation(checks, certificates, trust)?;
    }
    Ok(judged)
}

/// A chain that held before holds again, as far as it depends on itself alone.
fn recall(
    checks: &mut Checks,
    chain: Arc<KnownChain>,
    trust: &Trust<'_>,
) -> Result<Judged, Stopped> {
    checks.append(&chain.structure);
    let root = pinned(checks, &chain.facts, trust)?;
    checks.append(&chain.linkage);
    Ok((chain, root))
}

fn learn(
    checks: &mut Checks,
    certificates: Certificates<'_>,
    trust: &Trust<'_>,
    id: known::Id,
) -> Result<Option<Judged>, Stopped> {
    let from = checks.list().len();
    let (read, structure) = checks.apart(|checks| read(checks, certificates))?;
    let Some(read) = read else {
        return Ok(None);
    };
    let facts = facts(&read);
    // Before anything expensive: a stranger's chain costs no signature.
    let root = pinned(checks, &facts, trust)?;
    let cache = &trust.cache.signatures;
    let ((), linkage) = checks.apart(|checks| linkage(checks, &read, cache))?;
    let chain = Arc::new(KnownChain::new(facts, &read.0, [structure, linkage]));
    if root.is_some() && checks.passed_from(from) {
        trust.cache.keep(id, &chain);
    }
    Ok(Some((chain, root)))
}

fn read<'a>(checks: &mut Checks, received: Certificates<'a>) -> Result<Option<Read<'a>>, Stopped> {
    let leaf = Endorsement::parse(received.leaf, received.kind);
    let expected = format_args!("a {} certificate", received.kind);
    let leaf = checks.value("snp-leaf-structure", expected, leaf)?;
    let intermediate = Certificate::parse(received.intermediate);
    let intermediate = checks.value("snp-intermediate-structure", "a certificate", intermediate)?;
    let root = Certificate::parse(received.root);
    let root = checks.value("snp-root-structure", "a certificate", root)?;
    Ok(match (leaf, intermediate, root) {
        (Some(leaf), Some(intermediate), Some(root)) => Some((leaf, intermediate, root)),
        _ => None,
    })
}

fn facts((leaf, intermediate, root): &Read<'_>) -> Facts {
    Facts {
        kind: leaf.kind,
        product: leaf.product,
        tcb: leaf.tcb,
        hardware_id: leaf.hardware_id,
        csp_id: leaf.csp_id.clone(),
        role: common_name(intermediate.subject),
        root_key: digest(&[root.spki]),
        validities: [
            root.validity,
            intermediate.validity,
            leaf.certificate.validity,
        ],
    }
}

/// The root, if it is pinned, and what the others are for: an ASK issues VCEKs and an ASVK VLEKs, of the root's
/// product.
fn pinned(checks: &mut Checks, facts: &Facts, trust: &Trust<'_>) -> Result<Option<Root>, Stopped> {
    let root = trust.roots.find_digest(&facts.root_key);
    let stranger = format_args!("SHA-256 {} of its key", facts.root_key);
    checks.value("snp-root-pinned", "a pinned ARK", root.ok_or(stranger))?;
    let product = root.map_or(facts.product, |root| root.product);
    let prefix = match facts.kind {
        KeyKind::Vcek => "SEV-",
        KeyKind::Vlek => "SEV-VLEK-",
    };
    let role = format!("{prefix}{product}");
    checks.equal("snp-intermediate-role", &role, &facts.role)?;
    checks.equal("snp-leaf-product", product, facts.product)?;
    Ok(root)
}

/// What the certificates may do, and that each was issued by the next.
fn linkage(checks: &mut Checks, read: &Read<'_>, cache: &SignatureCache) -> Result<(), Stopped> {
    let (leaf, intermediate, root) = read;
    let may = constraints::may_issue(root, 1);
    checks.value("snp-root-constraints", "a CA over a CA", may)?;
    let may = constraints::may_issue(intermediate, 0);
    checks.value("snp-intermediate-constraints", "a CA", may)?;
    let may = constraints::may_sign(&leaf.certificate);
    checks.value("snp-leaf-constraints", "no CA", may)?;
    names(checks, read)?;
    signatures(checks, read, cache)
}

/// Names are compared byte for byte; what is shown are the common names.
fn names(checks: &mut Checks, (leaf, intermediate, root): &Read<'_>) -> Result<(), Stopped> {
    let pairs = [
        ("snp-root-issuer", root, root),
        ("snp-intermediate-issuer", intermediate, root),
        ("snp-leaf-issuer", &leaf.certificate, intermediate),
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
    (leaf, intermediate, root): &Read<'_>,
    cache: &SignatureCache,
) -> Result<(), Stopped> {
    let pairs = [
        ("snp-root-signature", root, root),
        ("snp-intermediate-signature", intermediate, root),
        ("snp-leaf-signature", &leaf.certificate, intermediate),
    ];
    for (name, certificate, issuer) in pairs {
        let signed = signed_by(certificate, issuer, cache);
        let expected = "RSA-4096 PSS with SHA-384 by the issuer";
        checks.value(name, expected, signed)?;
    }
    let key = &leaf.certificate.key;
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

fn dates(checks: &mut Checks, facts: &Facts, trust: &Trust<'_>) -> Result<(), Stopped> {
    let names = [
        "snp-root-validity",
        "snp-intermediate-validity",
        "snp-leaf-validity",
    ];
    for (name, validity) in names.into_iter().zip(facts.validities) {
        let (from, to) = (validity.not_before_s, validity.not_after_s);
        let expected = format_args!("a time from {from} to {to} (Unix seconds)");
        let at_s = trust.at.0 / 1_000;
        held(checks, name, validity.contains(trust.at), expected, at_s)?;
    }
    Ok(())
}

/// AMD revokes ASKs and ASVKs, by a list the ARK signs. VCEKs all have serial number 0 and cannot be
/// listed; a withdrawn TCB is refused by the TCB floor instead.
fn revocation(
    checks: &mut Checks,
    certificates: Certificates<'_>,
    trust: &Trust<'_>,
) -> Result<(), Stopped> {
    const NAME: &str = "snp-revocation";
    let expected = "an intermediate that is not revoked";
    let Some(list) = trust.revocation.list else {
        return match trust.revocation.required {
            false => Ok(()),
            true => checks.record(NAME, Outcome::Undecided, expected, "no revocation list"),
        };
    };
    let parse = |bytes| Certificate::parse(bytes).map_err(|error| error.to_string());
    let revoked = parse(certificates.intermediate).and_then(|intermediate| {
        list.is_revoked(&intermediate, &parse(certificates.root)?, trust.at)
    });
    let result = match revoked {
        Ok(false) => Ok(()),
        Ok(true) => Err("revoked".to_owned()),
        Err(problem) => Err(problem),
    };
    checks.value(NAME, expected, result).map(drop)
}
