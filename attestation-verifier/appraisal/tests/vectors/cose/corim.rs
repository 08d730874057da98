//! CoRIM, CoMID, CoSERV, concise evidence.

use super::{key_of, name, text};
use crate::common::{AT, json};
use crate::{Row, Shown};
use assay_appraisal::checks::Mode;
use assay_appraisal::corim::{self, Manifest, PinnedKey, SnpField, Svn, Trust};
use assay_appraisal::cose_sign1::{Accept, CoseKey, Envelope, Label, Message};
use assay_appraisal::crypto::key::PublicKey;
use assay_protocol::ids::UnixMs;
use std::fs;
use std::path::Path;

/// 2024-01-01: inside the validity of Veraison's signed examples, which ended in 2025.
const AT_2024: UnixMs = UnixMs(1_704_067_200_000);

pub fn row(path: &Path, row: &Row) -> Result<Shown, String> {
    match row.kind.as_str() {
        _ if path.extension().is_some_and(|e| e == "json") => Ok(Shown::Skipped(
            "JSON form for people; only the CBOR form is signed and read here",
        )),
        "corim/comid" => comid(path),
        "corim/corim" if name(path).starts_with("corim-testcases-signed") => signed(path),
        "corim/corim" => unsigned(path),
        "corim/coserv" if name(path).ends_with("sample_key") => sample_key(path),
        "corim/coserv" => not_a_manifest(
            path,
            "CoSERV asks a service for endorsements; none is asked here",
        ),
        "corim/coev" => not_a_manifest(
            path,
            "concise evidence is not reference values; not appraised here",
        ),
        "corim/profiles" => other_profile(path, row),
        "corim" if row.group == "veraison-sevsnp" => sevsnp(path, row),
        "corim" => not_imported(
            path,
            "EnactTrust's scheme is none of ours: its profile is refused by name",
        ),
        "psa/cca evidence or endorsement" => not_imported(
            path,
            "Arm PSA and CCA are not appraised here: refused by type",
        ),
        other => Err(format!("no test for the kind {other}")),
    }
}

fn read(path: &Path) -> Result<Manifest, String> {
    corim::read(&fs::read(path).unwrap()).map_err(text)
}

/// The pinned key of Veraison's signed examples.
fn pinned(path: &Path) -> PinnedKey {
    let PublicKey::Ecc { x, y, .. } = key_of(&json(&path.with_file_name("ec-p256.public.jwk")))
    else {
        panic!("not an EC key");
    };
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d03010703420004").unwrap();
    PinnedKey::from_spki(&[head, x, y].concat()).unwrap()
}

/// What is outside the subset, and what the refusal must say.
const OUTSIDE: [(&str, &str, &str); 4] = [
    (
        "comid-4",
        "no further key, got key 13",
        "cryptokeys as a reference value are outside the subset: refused by name",
    ),
    (
        "comid-5",
        "no further key, got key 13",
        "cryptokeys as a reference value are outside the subset: refused by name",
    ),
    (
        "comid-6",
        "tagged bytes, got tag 554",
        "a key as instance is outside the subset: refused by name",
    ),
    (
        "comid-7",
        "tagged bytes, got tag 554",
        "a key as instance is outside the subset: refused by name",
    ),
];

fn comid(path: &Path) -> Result<Shown, String> {
    let read = corim::comid(&fs::read(path).unwrap());
    let short = name(path).trim_start_matches("comid-testcases-");
    if let Some((_, refusal, reason)) = OUTSIDE.iter().find(|(name, ..)| *name == short) {
        let error = read.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(refusal), "{error}");
        return Ok(Shown::Skipped(reason));
    }
    let manifest = read.map_err(text)?;
    let count = |manifest: &Manifest| {
        manifest
            .references
            .iter()
            .map(|r| r.measurements.len())
            .sum::<usize>()
    };
    let (measurements, ignored) = (count(&manifest), manifest.ignored.join(", "));
    let expected = match short {
        "comid-1" | "comid-opaque-instance-id" | "comid-integrity-registers" => (1, ""),
        "comid-1a" => (2, ""),
        "comid-2" => (0, "endorsed triples"),
        "comid-2b" => (3, "endorsed triples"),
        "comid-3" => (5, ""),
        "comid-cend" => (0, "conditional-endorsement triples"),
        "comid-cond-endorse-series" => (1, "conditional-endorsement-series triples"),
        "comid-design-cd" => (4, "linked-tags, endorsed triples"),
        "comid-domain-dep" => (0, "linked-tags, dependency triples"),
        "comid-domain-mem" => (0, "linked-tags, membership triples"),
        "comid-firmware-cd" => (2, "endorsed triples"),
        "comid-flags" => (0, "linked-tags, endorsed triples"),
        "comid-raw-value" => (3, ""),
        "comid-series" => (0, "conditional-endorsement-series triples"),
        other => return Err(format!("no expectation for {other}")),
    };
    if (measurements, ignored.as_str()) != expected {
        return Err(format!(
            "expected {expected:?}, got {measurements} and {ignored}"
        ));
    }
    Ok(Shown::Held("reads; what is not used is listed"))
}

fn unsigned(path: &Path) -> Result<Shown, String> {
    let key = pinned(path);
    let trust = Trust {
        keys: &[key],
        at: AT_2024,
    };
    let refused = corim::import(&fs::read(path).unwrap(), &trust, Mode::Verify);
    let refused = refused.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("corim-signed"), "{refused}");
    let extended = [
        "corim-testcases-unsigned-corim-with-extensions",
        "corim-testcases-unsigned-example-corim",
    ];
    if extended.contains(&name(path)) {
        let error = read(path).unwrap_err();
        assert!(
            error.contains("expected no further key, got key -1"),
            "{error}"
        );
        return Ok(Shown::Skipped(
            "fields of a profile unknown here: refused by name",
        ));
    }
    let manifest = read(path)?;
    assert!(!manifest.references.is_empty() && manifest.signature.is_none());
    Ok(Shown::Held("reads; not imported, as it is unsigned"))
}

fn signed(path: &Path) -> Result<Shown, String> {
    let (bytes, key) = (fs::read(path).unwrap(), pinned(path));
    let message = Message::parse(&bytes, Envelope::Tagged).map_err(text)?;
    let understood = [Label::Int(8)];
    let accept = Accept {
        understood: &understood,
        ..Accept::default()
    };
    message.verify(key.key(), &accept).map_err(text)?;
    let keys = [key];
    let import = |at| corim::import(&bytes, &Trust { keys: &keys, at }, Mode::Verify);
    let late = import(AT).map(|_| ()).unwrap_err().to_string();
    if name(path) != "corim-testcases-signed-good-corim" {
        assert!(
            late.contains("expected no further key, got key -1"),
            "{late}"
        );
        return Ok(Shown::Held(
            "the signature holds; fields of a profile unknown here are refused by name",
        ));
    }
    assert!(late.contains("corim-signature-validity"), "{late}");
    let values = import(AT_2024).map_err(text)?;
    assert_eq!(
        (values.id(), values.signer()),
        ("test corim id", keys[0].digest())
    );
    assert_eq!(values.references().len(), 1);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let trust = Trust {
            keys: &keys,
            at: AT_2024,
        };
        assert!(
            corim::import(&bad, &trust, Mode::Verify).is_err(),
            "byte {at}"
        );
        assert!(
            corim::import(&bytes[..at], &trust, Mode::Verify).is_err(),
            "cut {at}"
        );
    }
    Ok(Shown::Held(
        "imports in 2024, refused after its validity; every byte flipped is refused",
    ))
}

fn sample_key(path: &Path) -> Result<Shown, String> {
    let parsed = CoseKey::parse(&fs::read(path).unwrap()).map_err(text)?;
    assert_eq!(parsed.key, *pinned(path).key());
    Ok(Shown::Held("a COSE_Key, the same as the JWK"))
}

fn not_a_manifest(path: &Path, reason: &'static str) -> Result<Shown, String> {
    match read(path) {
        Err(_) => Ok(Shown::Skipped(reason)),
        Ok(_) => Err("read as a manifest".into()),
    }
}

/// Its content would not be imported even under a good signature.
fn not_imported(path: &Path, reason: &'static str) -> Result<Shown, String> {
    match read(path) {
        Err(_) => Ok(Shown::Skipped(reason)),
        Ok(manifest) if manifest.profile.is_some() && !manifest.is_snp() => {
            Ok(Shown::Skipped(reason))
        }
        Ok(_) => Err("would be imported".into()),
    }
}

fn other_profile(path: &Path, row: &Row) -> Result<Shown, String> {
    let _ = row;
    if name(path).starts_with("profiles-tdx") {
        let error = corim::comid(&fs::read(path).unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("no further key, got key"), "{error}");
        return Ok(Shown::Skipped(
            "Intel TDX is not appraised here: its values are refused by name",
        ));
    }
    if name(path).ends_with("no-profile") {
        let error = read(path).unwrap_err();
        assert!(error.contains("no further key, got key 13"), "{error}");
        return Ok(Shown::Skipped(
            "Arm CCA's values without its profile: refused by name",
        ));
    }
    not_imported(
        path,
        "Arm CCA is not appraised here: its profile is refused by name",
    )
}

fn sevsnp(path: &Path, row: &Row) -> Result<Shown, String> {
    // The vectors are unsigned: sign the same bytes, so that only their content can cause a refusal.
    let key = super::corim_signer();
    let signed = key.sign_manifest(&fs::read(path).unwrap());
    let pinned = [key.pinned()];
    let trust = Trust {
        keys: &pinned,
        at: AT,
    };
    let imported = corim::import(&signed, &trust, Mode::Verify);
    if row.expected.starts_with("REJECT") {
        let error = imported.map(|_| ()).unwrap_err().to_string();
        let because = match name(path) {
            "corim-sevsnp-bad-refval-key" | "corim-sevsnp-bad-refval-no-key" => {
                "the number of a report field as key"
            }
            _ => "a class with vendor and model",
        };
        return match error.contains(because) {
            true => Ok(Shown::Held(
                "signed by a pinned key, and refused for what its name says",
            )),
            false => Err(error),
        };
    }
    let values = imported.map_err(text)?;
    let [snp] = values.snp_references() else {
        return Err(format!("{} references", values.snp_references().len()));
    };
    let measurement = "7699e6ac12ccdfd1dfac70e649ce1f046cb2afbb003438f4cdddfe2ccbe182fa5ffbe8dcdb930454324e10c52c788980";
    let found: Vec<String> = snp.measurements().map(hex::encode).collect();
    assert_eq!(found, [measurement]);
    let reported: Vec<Svn> = snp.svns(SnpField::ReportedTcb).collect();
    assert_eq!(reported, [Svn::Exact(0x5417_0000_0000_000a)]);
    assert_eq!(
        snp.svns(SnpField::GuestSvn).collect::<Vec<_>>(),
        [Svn::Min(0)]
    );
    assert_eq!(
        snp.raw(SnpField::Policy).collect::<Vec<_>>(),
        [[0, 0, 0, 0, 0, 3, 0, 0]]
    );
    assert_eq!(snp.fields().len(), 18);
    assert!(
        values.pcr_references().is_err(),
        "its numbers are not PCR indices"
    );
    Ok(Shown::Held(
        "imported under a pinned signature; measurement, TCB and policy as in the file",
    ))
}
