//! Every way a path can be wrong, with certificates made here.

use super::*;
use crate::x509::certificate::X509Error;
use crate::x509::crl::{Crl, RevocationError, Unknown};
use crate::x509::testing::{
    Ca, EKU_EK, KEY_USAGE as KEY_USAGE_OID, PURPOSES, Subject, USAGE_CA, ca_constraints,
    ca_extensions, extension, name, tlv,
};
use std::sync::LazyLock;

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);
/// 2020-01-01, 2025-01-01 and 2030-01-01, Unix seconds.
const Y2020_S: u64 = 1_577_836_800;
const Y2025_S: u64 = 1_735_689_600;
const Y2030_S: u64 = 1_893_456_000;
const EK_PURPOSE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];
const SERVER: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

static ROOT: LazyLock<Ca> = LazyLock::new(|| Ca::new("Root"));
static MIDDLE: LazyLock<Ca> = LazyLock::new(|| Ca::new("Middle"));
static LEAF_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| Ca::new("").spki());

fn leaf_of(ca: &Ca) -> Vec<u8> {
    ca.issue("Leaf", &LEAF_KEY, ["20", "30"], &[])
}

fn store(list: &[Vec<u8>]) -> Store {
    let mut store = Store::new();
    list.iter().for_each(|der| store.add(der).unwrap());
    store
}

fn find_at(
    leaf: &[u8],
    middles: &[Vec<u8>],
    roots: &[Vec<u8>],
    rules: &Rules<'_, '_>,
) -> Result<Vec<Vec<u8>>, PathError> {
    let leaf = Certificate::parse(leaf).unwrap();
    let (middles, roots) = (store(middles), store(roots));
    let path = find(leaf, &middles, &roots, rules, &SignatureCache::new())?;
    assert_eq!(path.leaf().bytes, path.certificates().next().unwrap().bytes);
    assert_eq!(path.root().bytes, path.certificates().last().unwrap().bytes);
    let certificates = path.certificates();
    Ok(certificates.map(|c| c.bytes.to_vec()).collect())
}

fn found(leaf: &[u8], middles: &[Vec<u8>], roots: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, PathError> {
    find_at(leaf, middles, roots, &Rules::at(AT))
}

fn refused(leaf: &[u8], middles: &[Vec<u8>], roots: &[Vec<u8>]) -> PathError {
    found(leaf, middles, roots).unwrap_err()
}

/// `MIDDLE` certified by `ROOT` with these extensions.
fn middle_with(extensions: &[Vec<u8>]) -> Vec<u8> {
    ROOT.issue("Middle", &MIDDLE.spki(), ["20", "30"], extensions)
}

#[test]
fn a_path_goes_from_the_leaf_to_the_root() {
    let (direct, root) = (leaf_of(&ROOT), ROOT.certificate());
    let roots = [root.clone()];
    assert_eq!(
        found(&direct, &[], &roots),
        Ok(vec![direct.clone(), root.clone()])
    );
    let (leaf, middle) = (leaf_of(&MIDDLE), ROOT.certify_ca(&MIDDLE));
    let path = found(&leaf, std::slice::from_ref(&middle), &roots);
    assert_eq!(path, Ok(vec![leaf, middle, root]));
}

#[test]
fn an_intermediate_proves_nothing_without_a_root() {
    let (leaf, middle) = (leaf_of(&MIDDLE), ROOT.certify_ca(&MIDDLE));
    let missing = |issuer: &str| PathError::NotInBundle {
        issuer: issuer.into(),
    };
    let roots = [ROOT.certificate()];
    assert_eq!(refused(&leaf, &[], &roots), missing("CN=Middle"));
    assert_eq!(refused(&leaf, &[middle], &[]), missing("CN=Root"));
    let all_middles = [ROOT.certify_ca(&MIDDLE), ROOT.certificate()];
    let other = [Ca::new("Other").certificate()];
    assert!(
        found(&leaf, &all_middles, &other).is_err(),
        "a root among the intermediates"
    );
}

#[test]
fn a_pinned_intermediate_is_a_root() {
    let (leaf, middle) = (leaf_of(&MIDDLE), ROOT.certify_ca(&MIDDLE));
    let path = found(&leaf, &[], std::slice::from_ref(&middle));
    assert_eq!(path, Ok(vec![leaf, middle]));
}

#[test]
fn a_name_without_the_key_is_a_forgery() {
    let impostor = Ca::new("Root");
    let roots = [ROOT.certificate()];
    let error = refused(&leaf_of(&impostor), &[], &roots);
    assert!(matches!(error, PathError::Signature { .. }), "{error}");
    let middle = impostor.certify_ca(&MIDDLE);
    let error = refused(&leaf_of(&MIDDLE), &[middle], &roots);
    let PathError::Signature { subject, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(subject, "CN=Middle");
}

#[test]
fn names_are_compared_byte_for_byte() {
    // The same text in another string type is another name.
    let mut leaf = leaf_of(&ROOT);
    let at = leaf.windows(4).position(|w| w == b"Root").unwrap();
    leaf[at - 2] = 0x13;
    let issuer = "CN=Root".into();
    let error = refused(&leaf, &[], &[ROOT.certificate()]);
    assert_eq!(error, PathError::NotInBundle { issuer });
}

#[test]
fn of_several_issuers_of_one_name_the_one_that_signed_is_found() {
    let impostors: Vec<Vec<u8>> = (0..5).map(|_| Ca::new("Root").certificate()).collect();
    let genuine = ROOT.certificate();
    let roots = [impostors, vec![genuine.clone()]].concat();
    let leaf = leaf_of(&ROOT);
    assert_eq!(found(&leaf, &[], &roots).unwrap()[1], genuine);
    let stranger = Ca::new("Stranger").certify_ca(&MIDDLE);
    let middles = [stranger, ROOT.certify_ca(&MIDDLE)];
    assert_eq!(found(&leaf_of(&MIDDLE), &middles, &roots).unwrap().len(), 3);
}

#[test]
fn the_work_is_bounded() {
    let impostors = |count| {
        let list: Vec<Vec<u8>> = (0..count).map(|_| Ca::new("Root").certificate()).collect();
        [list, vec![ROOT.certificate()]].concat()
    };
    assert!(found(&leaf_of(&ROOT), &[], &impostors(SIGNATURES_MAX - 1)).is_ok());
    let error = refused(&leaf_of(&ROOT), &[], &impostors(SIGNATURES_MAX));
    assert_eq!(error, PathError::TooManyCandidates);
}

#[test]
fn the_key_that_is_named_is_tried_first() {
    use crate::x509::extension::{AUTHORITY_KEY, SUBJECT_KEY};
    let mut extensions = ca_extensions();
    extensions.push(extension(SUBJECT_KEY, false, &[4, 1, 7]));
    let root = ROOT.issue("Root", &ROOT.spki(), ["20", "30"], &extensions);
    let impostors = (0..SIGNATURES_MAX).map(|_| Ca::new("Root").certificate());
    let roots: Vec<Vec<u8>> = impostors.chain([root]).collect();
    let named = extension(AUTHORITY_KEY, false, &tlv(0x30, &[&[0x80, 1, 7]]));
    let leaf = ROOT.issue("Leaf", &LEAF_KEY, ["20", "30"], &[named]);
    assert!(found(&leaf, &[], &roots).is_ok());
}

#[test]
fn every_certificate_but_the_root_must_be_valid_at_the_time() {
    let s = |s: u64| Rules::at(UnixMs(s * 1_000));
    let root = ROOT.issue("Root", &ROOT.spki(), ["00", "01"], &ca_extensions());
    let roots = [root];
    let leaf = leaf_of(&ROOT);
    assert!(
        find_at(&leaf, &[], &roots, &s(Y2020_S)).is_ok(),
        "an expired root is still pinned"
    );
    assert!(find_at(&leaf, &[], &roots, &s(Y2030_S)).is_ok());
    let early = find_at(&leaf, &[], &roots, &s(Y2020_S - 1)).unwrap_err();
    let (subject, not_before_s, at_s) = ("CN=Leaf".into(), Y2020_S as i64, Y2020_S - 1);
    assert_eq!(
        early,
        PathError::NotYetValid {
            subject,
            not_before_s,
            at_s
        }
    );
    let late = find_at(&leaf, &[], &roots, &s(Y2030_S + 1)).unwrap_err();
    let (subject, not_after_s, at_s) = ("CN=Leaf".into(), Y2030_S as i64, Y2030_S + 1);
    assert_eq!(
        late,
        PathError::Expired {
            subject,
            not_after_s,
            at_s
        }
    );
    let middle = ROOT.issue("Middle", &MIDDLE.spki(), ["20", "25"], &ca_extensions());
    let middles = [middle];
    let leaf = leaf_of(&MIDDLE);
    assert!(find_at(&leaf, &middles, &roots, &s(Y2025_S)).is_ok());
    let late = find_at(&leaf, &middles, &roots, &s(Y2025_S + 1)).unwrap_err();
    let PathError::Expired { subject, .. } = late else {
        panic!("{late}")
    };
    assert_eq!(subject, "CN=Middle");
}

#[test]
fn an_issuer_must_be_a_ca() {
    let usage = extension(KEY_USAGE_OID, true, USAGE_CA);
    let not_ca = extension(BASIC_CONSTRAINTS, true, &[0x30, 0]);
    for extensions in [vec![], vec![usage], vec![not_ca]] {
        let subject = "CN=Middle".into();
        let error = refused(
            &leaf_of(&MIDDLE),
            &[middle_with(&extensions)],
            &[ROOT.certificate()],
        );
        assert_eq!(error, PathError::NotCa { subject });
        let pinned = refused(&leaf_of(&MIDDLE), &[], &[middle_with(&extensions)]);
        assert!(
            matches!(pinned, PathError::NotCa { .. }),
            "pinned all the same"
        );
    }
}

#[test]
fn a_ca_is_no_leaf() {
    let error = refused(&ROOT.certify_ca(&MIDDLE), &[], &[ROOT.certificate()]);
    let subject = "CN=Middle".into();
    assert_eq!(error, PathError::CaAsLeaf { subject });
}

#[test]
fn an_issuers_key_must_be_certified_for_certificates() {
    let crl_only = extension(KEY_USAGE_OID, true, &[3, 2, 1, 2]);
    let middle = middle_with(&[ca_constraints(None), crl_only]);
    let error = refused(&leaf_of(&MIDDLE), &[middle], &[ROOT.certificate()]);
    let (subject, actual) = ("CN=Middle".into(), "cRLSign".into());
    assert_eq!(error, PathError::KeyUsage { subject, actual });
    let silent = middle_with(&[ca_constraints(None)]);
    assert!(found(&leaf_of(&MIDDLE), &[silent], &[ROOT.certificate()]).is_ok());
}

#[test]
fn path_lengths_count_the_intermediates_below() {
    let low = Ca::new("Low");
    let leaf = leaf_of(&low);
    let low = MIDDLE.certify_ca(&low);
    let limited = |limit| middle_with(&[ca_constraints(Some(limit))]);
    let roots = [ROOT.certificate()];
    assert!(found(&leaf, &[low.clone(), limited(1)], &roots).is_ok());
    let error = refused(&leaf, &[low.clone(), limited(0)], &roots);
    let (subject, max, actual) = ("CN=Middle".into(), 0, 1);
    assert_eq!(
        error,
        PathError::PathLength {
            subject,
            max,
            actual
        }
    );
    let constraints = [ca_constraints(Some(1))];
    let root = ROOT.issue("Root", &ROOT.spki(), ["20", "30"], &constraints);
    let error = refused(&leaf, &[low, limited(1)], &[root]);
    let (subject, max, actual) = ("CN=Root".into(), 1, 2);
    assert_eq!(
        error,
        PathError::PathLength {
            subject,
            max,
            actual
        }
    );
    assert!(found(&leaf_of(&MIDDLE), &[limited(0)], &roots).is_ok());
}

#[test]
fn an_issuer_that_names_purposes_must_name_the_one_asked_for() {
    let any: &[u8] = &[6, 4, 0x55, 0x1d, 0x25, 0];
    let rules = Rules {
        purpose: Some(EK_PURPOSE),
        ..Rules::at(AT)
    };
    let with = |purposes: &[&[u8]], rules: &Rules<'_, '_>| {
        let purposes = extension(PURPOSES, true, &tlv(0x30, purposes));
        let middle = middle_with(&[ca_constraints(None), purposes]);
        find_at(&leaf_of(&MIDDLE), &[middle], &[ROOT.certificate()], rules)
    };
    assert!(with(&[SERVER, EKU_EK], &rules).is_ok());
    assert!(with(&[any], &rules).is_ok());
    assert!(
        with(&[SERVER], &Rules::at(AT)).is_ok(),
        "no purpose asked for"
    );
    let error = with(&[SERVER], &rules).unwrap_err().to_string();
    assert!(
        error.contains("expected 2.23.133.8.1, got 1.3.6.1.5.5.7.3.1"),
        "{error}"
    );
    assert!(with(&[], &rules).is_err(), "an empty list");
    let silent = middle_with(&[ca_constraints(None)]);
    assert!(find_at(&leaf_of(&MIDDLE), &[silent], &[ROOT.certificate()], &rules).is_ok());
}

#[test]
fn name_constraints_are_refused_critical_or_not() {
    let roots = [ROOT.certificate()];
    for critical in [false, true] {
        let constraints = extension(NAME_CONSTRAINTS, critical, &[0x30, 0]);
        let middle = middle_with(&[ca_constraints(None), constraints.clone()]);
        let error = refused(&leaf_of(&MIDDLE), &[middle], &roots);
        assert!(
            matches!(error, PathError::NameConstraints { .. }),
            "{error}"
        );
        let extensions = [ca_constraints(None), constraints];
        let root = ROOT.issue("Root", &ROOT.spki(), ["20", "30"], &extensions);
        let error = refused(&leaf_of(&ROOT), &[], &[root]);
        assert!(
            matches!(error, PathError::NameConstraints { .. }),
            "{error}"
        );
    }
}

#[test]
fn unknown_critical_extensions_are_refused_by_name() {
    let roots = [ROOT.certificate()];
    let unknown = |critical| extension(&[0x55, 0x1d, 0x24], critical, &[0x30, 0]);
    let leaf = |critical| ROOT.issue("Leaf", &LEAF_KEY, ["20", "30"], &[unknown(critical)]);
    assert!(found(&leaf(false), &[], &roots).is_ok());
    let oid: String = "2.5.29.36".into();
    let (subject, expected) = ("CN=Leaf".into(), oid.clone());
    let error = refused(&leaf(true), &[], &roots);
    assert_eq!(
        error,
        PathError::CriticalExtension {
            subject,
            oid: expected
        }
    );
    let middle = middle_with(&[ca_constraints(None), unknown(true)]);
    let error = refused(&leaf_of(&MIDDLE), &[middle], &roots);
    let subject = "CN=Middle".into();
    assert_eq!(error, PathError::CriticalExtension { subject, oid });
    let policies = extension(POLICIES, true, &[0x30, 0]);
    let middle = middle_with(&[ca_constraints(None), policies]);
    assert!(found(&leaf_of(&MIDDLE), &[middle], &roots).is_ok());
}

#[test]
fn an_extension_twice_is_refused() {
    let twice = [ca_constraints(None), ca_constraints(None)];
    let bytes = middle_with(&twice);
    let error = Certificate::parse(&bytes).unwrap_err();
    assert_eq!(error, X509Error::ExtensionTwice("2.5.29.19".into()));
}

#[test]
fn a_certificate_that_signed_itself_is_no_leaf_under_itself() {
    let own = Ca::new("Own");
    let leaf = own.issue("Own", &own.spki(), ["20", "30"], &[]);
    let error = refused(&leaf, &[], &[ROOT.certificate()]);
    assert!(matches!(error, PathError::NotInBundle { .. }), "{error}");
    let error = refused(&leaf, &[], std::slice::from_ref(&leaf));
    assert!(matches!(error, PathError::Loop { .. }), "{error}");
    let ca = own.certificate();
    let error = refused(&leaf, &[], &[ca]);
    assert!(
        matches!(error, PathError::Loop { .. }),
        "its own key as CA: {error}"
    );
}

#[test]
fn loops_and_one_key_under_two_names_are_refused() {
    let (one, two) = (Ca::new("One"), Ca::new("Two"));
    let middles = [one.certify_ca(&two), two.certify_ca(&one)];
    let error = refused(&leaf_of(&one), &middles, &[ROOT.certificate()]);
    assert!(matches!(error, PathError::Loop { .. }), "{error}");
    let alias = Ca {
        name: "Alias".into(),
        key: EcdsaKeyPairClone::of(&MIDDLE),
    };
    let middles = [MIDDLE.certify_ca(&alias), ROOT.certify_ca(&MIDDLE)];
    let error = refused(&leaf_of(&alias), &middles, &[ROOT.certificate()]);
    assert!(matches!(error, PathError::Loop { .. }), "{error}");
}

/// A second handle on a CA's key.
struct EcdsaKeyPairClone;

impl EcdsaKeyPairClone {
    fn of(ca: &Ca) -> aws_lc_rs::signature::EcdsaKeyPair {
        let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = ca.key.to_pkcs8v1().unwrap();
        aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap()
    }
}

#[test]
fn a_path_is_at_most_six_certificates_deep() {
    // leaf, `between` intermediates, root.
    let outcome = |between: usize| {
        let cas: Vec<Ca> = (0..between)
            .map(|n| Ca::new(&format!("Level {n}")))
            .collect();
        let mut middles = vec![ROOT.certify_ca(&cas[0])];
        middles.extend(cas.windows(2).map(|pair| pair[0].certify_ca(&pair[1])));
        found(
            &leaf_of(cas.last().unwrap()),
            &middles,
            &[ROOT.certificate()],
        )
    };
    assert_eq!(outcome(DEPTH_MAX - 2).unwrap().len(), DEPTH_MAX);
    let error = outcome(DEPTH_MAX - 1).unwrap_err();
    assert!(matches!(error, PathError::TooDeep { .. }), "{error}");
}

#[test]
fn the_empty_name_issues_nothing() {
    let nobody = Ca::new("");
    let (leaf, root) = (leaf_of(&nobody), nobody.certificate());
    let issuer = "the empty name".into();
    assert_eq!(
        refused(&leaf, &[], &[root]),
        PathError::NotInBundle { issuer }
    );
}

#[test]
fn sha1_is_taken_only_under_the_legacy_policy() {
    use crate::crypto::signature::SignatureError;
    let mut leaf = leaf_of(&ROOT);
    // ecdsa-with-SHA1 in place of ecdsa-with-SHA256, inside and outside: the signature is then wrong, but SHA-1 is
    // refused before it is looked at.
    let sha256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let sha1: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
    let tbs = Certificate::parse(&leaf).unwrap().tbs.to_vec();
    let inner = tbs.windows(sha256.len()).position(|w| w == sha256).unwrap();
    let content = [
        &tbs[3..inner - 2],
        &tlv(0x30, &[sha1]),
        &tbs[inner + sha256.len()..],
    ]
    .concat();
    leaf = tlv(
        0x30,
        &[
            &tlv(0x30, &[&content]),
            &tlv(0x30, &[sha1]),
            &[3, 3, 0, 0x30, 0],
        ],
    );
    let roots = [ROOT.certificate()];
    let subject = "CN=Leaf".into();
    assert_eq!(refused(&leaf, &[], &roots), PathError::Sha1 { subject });
    let rules = Rules {
        sha1: Sha1::Legacy,
        ..Rules::at(AT)
    };
    let error = find_at(&leaf, &[], &roots, &rules).unwrap_err();
    let PathError::Signature { error, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(
        error,
        X509Error::Signature(SignatureError::Invalid { .. })
    ));
}

#[test]
fn a_revoked_certificate_anywhere_in_the_path_is_refused() {
    let numbered = |ca: &Ca, common: &str, spki: &[u8], serial: u8, extensions: &[Vec<u8>]| {
        ca.certify(&Subject {
            serial: &[serial],
            name: name(common),
            spki,
            years: ["20", "30"],
            extensions,
        })
    };
    let leaf = numbered(&MIDDLE, "Leaf", &LEAF_KEY, 7, &[]);
    let middles = [numbered(
        &ROOT,
        "Middle",
        &MIDDLE.spki(),
        8,
        &ca_extensions(),
    )];
    let roots = [ROOT.certificate()];
    let lists = |root: &[&[u8]], middle: &[&[u8]]| {
        [
            ROOT.crl(["26", "27"], root, &[]),
            MIDDLE.crl(["26", "27"], middle, &[]),
        ]
    };
    let outcome = |lists: &[Vec<u8>], required: bool| {
        let lists: Vec<Crl<'_>> = lists.iter().map(|der| Crl::parse(der).unwrap()).collect();
        let revocation = if required {
            Revocation::required(&lists)
        } else {
            Revocation::listed(&lists)
        };
        let rules = Rules {
            revocation,
            ..Rules::at(AT)
        };
        find_at(&leaf, &middles, &roots, &rules).map(|path| path.len())
    };
    let clean = lists(&[&[7]], &[&[8]]);
    assert_eq!(
        outcome(&clean, true),
        Ok(3),
        "serials count for their own issuer only"
    );
    assert_eq!(outcome(&[], false), Ok(3));
    for required in [false, true] {
        for (bad, expected) in [
            (lists(&[&[8]], &[]), "CN=Middle"),
            (lists(&[], &[&[7]]), "CN=Leaf"),
        ] {
            let error = outcome(&bad, required).unwrap_err();
            let PathError::Revocation { subject, error } = error else {
                panic!("{error}")
            };
            assert_eq!(subject, expected);
            assert!(matches!(error, RevocationError::Revoked { .. }));
        }
    }
    for (missing, expected) in [(0, "CN=Middle"), (1, "CN=Leaf")] {
        let one = [clean[1 - missing].clone()];
        assert_eq!(outcome(&one, false), Ok(3));
        let error = outcome(&one, true).unwrap_err();
        let error_is = PathError::Revocation {
            subject: expected.into(),
            error: RevocationError::Unknown(Unknown::NoList),
        };
        assert_eq!(error, error_is);
    }
}

#[test]
fn an_intermediate_revoked_by_one_root_may_stand_under_another() {
    let other = Ca::new("Other");
    let middles = [ROOT.certify_ca(&MIDDLE), other.certify_ca(&MIDDLE)];
    let list = ROOT.crl(["26", "27"], &[&[5]], &[]);
    let lists = [Crl::parse(&list).unwrap()];
    let rules = Rules {
        revocation: Revocation::listed(&lists),
        ..Rules::at(AT)
    };
    let leaf = leaf_of(&MIDDLE);
    let roots = [ROOT.certificate(), other.certificate()];
    let path = find_at(&leaf, &middles, &roots, &rules);
    assert_eq!(path.unwrap()[2], roots[1]);
    assert!(find_at(&leaf, &middles, &[ROOT.certificate()], &rules).is_err());
}

#[test]
fn every_flipped_byte_and_every_truncation_of_leaf_and_intermediate_is_refused() {
    let (leaf, middle) = (leaf_of(&MIDDLE), ROOT.certify_ca(&MIDDLE));
    let roots = store(&[ROOT.certificate()]);
    let accepted = |leaf: &[u8], middle: &[u8]| {
        let mut middles = Store::new();
        let leaf = Certificate::parse(leaf);
        leaf.is_ok_and(|leaf| {
            let cache = SignatureCache::new();
            middles.add(middle).is_ok()
                && find(leaf, &middles, &roots, &Rules::at(AT), &cache).is_ok()
        })
    };
    assert!(accepted(&leaf, &middle));
    for at in 0..leaf.len().max(middle.len()) {
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.get_mut(at).map(|byte| *byte ^= 1).map(|()| bytes)
        };
        if let Some(bad) = flipped(&leaf) {
            assert!(
                !accepted(&bad, &middle) && !accepted(&leaf[..at], &middle),
                "{at}"
            );
        }
        if let Some(bad) = flipped(&middle) {
            assert!(
                !accepted(&leaf, &bad) && !accepted(&leaf, &middle[..at]),
                "{at}"
            );
        }
    }
}

#[test]
fn verified_signatures_are_remembered_and_nothing_else_is() {
    let (leaf, middle) = (leaf_of(&MIDDLE), ROOT.certify_ca(&MIDDLE));
    let (middles, roots) = (store(&[middle]), store(&[ROOT.certificate()]));
    let cache = SignatureCache::new();
    let at = |s: u64| {
        let leaf = Certificate::parse(&leaf).unwrap();
        find(
            leaf,
            &middles,
            &roots,
            &Rules::at(UnixMs(s * 1_000)),
            &cache,
        )
    };
    assert!(at(Y2025_S).is_ok());
    assert_eq!(cache.len(), 2);
    assert!(
        matches!(at(Y2030_S + 1), Err(PathError::Expired { .. })),
        "dates are judged anew"
    );
    assert!(at(Y2025_S).is_ok());
    assert_eq!(cache.len(), 2);
}
