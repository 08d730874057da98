//! Every way a revocation list can be wrong, and what a good one says.

use super::*;
use crate::x509::extension::CRL_POINTS;
use crate::x509::testing::{Ca, Subject, ca_constraints, date, extension, name, tlv};
use std::sync::LazyLock;

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);
/// 2026-01-01 and 2027-01-01, Unix seconds.
const THIS_S: i64 = 1_767_225_600;
const NEXT_S: i64 = 1_798_761_600;

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("Issuer"));
static ROOT: LazyLock<Vec<u8>> = LazyLock::new(|| CA.certificate());

fn leaf(serial: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let (name, spki, years) = (name("Leaf"), &CA.spki(), ["20", "30"]);
    CA.certify(&Subject {
        serial,
        name,
        spki,
        years,
        extensions,
    })
}

fn status_at(list: &[u8], certificate: &[u8], at: UnixMs) -> Result<Status, CrlError> {
    let issuer = Certificate::parse(&ROOT).unwrap();
    let cache = SignatureCache::new();
    let list = Crl::parse(list)?;
    let verified = list.verify(&issuer, Sha1::Refused, &cache)?;
    Ok(verified.status(&Certificate::parse(certificate).unwrap(), at)?)
}

fn status(list: &[u8], certificate: &[u8]) -> Result<Status, CrlError> {
    status_at(list, certificate, AT)
}

fn text(list: &[u8]) -> String {
    Crl::parse(list).unwrap_err().to_string()
}

#[test]
fn listed_serials_are_revoked_and_others_good() {
    let list = CA.crl(["26", "27"], &[&[7], &[0, 0x80], &[1, 2, 3]], &[]);
    for (serial, expected) in [
        (&[7][..], Status::Revoked),
        (&[0, 0x80], Status::Revoked),
        (&[1, 2, 3], Status::Revoked),
        (&[6], Status::Good),
        (&[1, 2], Status::Good),
        (&[2, 3], Status::Good),
        (&[0], Status::Good),
    ] {
        assert_eq!(
            status(&list, &leaf(serial, &[])),
            Ok(expected),
            "{serial:?}"
        );
    }
    let parsed = Crl::parse(&list).unwrap();
    assert_eq!((parsed.len(), parsed.is_empty()), (3, false));
    assert_eq!(parsed.issuer(), name("Issuer"));
    let empty = CA.crl(["26", "27"], &[], &[]);
    assert!(Crl::parse(&empty).unwrap().is_empty());
    assert_eq!(status(&empty, &leaf(&[7], &[])), Ok(Status::Good));
}

#[test]
fn two_encodings_of_one_serial_are_one() {
    let list = CA.crl(["26", "27"], &[&[0, 7]], &[]);
    assert_eq!(status(&list, &leaf(&[7], &[])), Ok(Status::Revoked));
    let list = CA.crl(["26", "27"], &[&[0]], &[]);
    assert_eq!(status(&list, &leaf(&[0], &[])), Ok(Status::Revoked));
}

#[test]
fn a_list_counts_from_its_first_second_to_its_last() {
    let list = CA.crl(["26", "27"], &[&[7]], &[]);
    let good = leaf(&[6], &[]);
    let at = |s: i64| status_at(&list, &good, UnixMs(s as u64 * 1_000)).unwrap();
    let this_update_s = THIS_S;
    let next_update_s = NEXT_S;
    assert_eq!(
        at(THIS_S - 1),
        Status::Unknown(Unknown::NotYet { this_update_s })
    );
    assert_eq!(at(THIS_S), Status::Good);
    assert_eq!(at(NEXT_S), Status::Good);
    assert_eq!(
        at(NEXT_S + 1),
        Status::Unknown(Unknown::Stale { next_update_s })
    );
    for s in [THIS_S - 1, NEXT_S + 1] {
        let revoked = status_at(&list, &leaf(&[7], &[]), UnixMs(s as u64 * 1_000));
        assert_eq!(revoked, Ok(Status::Revoked), "revoked whatever the date");
    }
}

#[test]
fn a_certificate_of_another_issuer_is_not_answered_for() {
    let list = CA.crl(["26", "27"], &[&[5]], &[]);
    let other = Ca::new("Other");
    let certificate = other.issue("x", &other.spki(), ["20", "30"], &[]);
    let unknown = Status::Unknown(Unknown::NoList);
    assert_eq!(status(&list, &certificate), Ok(unknown));
}

#[test]
fn lists_of_others_and_forged_lists_are_refused() {
    let other = Ca::new("Other").crl(["26", "27"], &[&[7]], &[]);
    let good = leaf(&[6], &[]);
    assert!(matches!(
        status(&other, &good),
        Err(CrlError::Issuer { .. })
    ));
    let forged = Ca::new("Issuer").crl(["26", "27"], &[], &[]);
    assert!(matches!(
        status(&forged, &good),
        Err(CrlError::Signature(_))
    ));
    let of_another_key = extension(AUTHORITY_KEY, false, &tlv(0x30, &[&[0x80, 1, 9]]));
    let named = CA.crl(["26", "27"], &[], &[of_another_key]);
    // The test's root has no subject key identifier: nothing to compare.
    assert_eq!(status(&named, &good), Ok(Status::Good));
}

#[test]
fn the_key_named_must_be_the_issuers_when_both_say_which() {
    let issuer = |id: u8| {
        let mut list = crate::x509::testing::ca_extensions();
        list.push(extension(
            crate::x509::extension::SUBJECT_KEY,
            false,
            &[4, 1, id],
        ));
        CA.issue("Issuer", &CA.spki(), ["20", "30"], &list)
    };
    let named = extension(AUTHORITY_KEY, false, &tlv(0x30, &[&[0x80, 1, 9]]));
    let bytes = CA.crl(["26", "27"], &[], &[named]);
    let list = Crl::parse(&bytes).unwrap();
    let cache = SignatureCache::new();
    for (id, expected) in [(9, true), (8, false)] {
        let issuer = issuer(id);
        let issuer = Certificate::parse(&issuer).unwrap();
        assert_eq!(list.is_of(&issuer), Ok(expected));
        assert_eq!(
            list.verify(&issuer, Sha1::Refused, &cache).is_ok(),
            expected
        );
    }
}

#[test]
fn the_issuers_key_must_be_certified_for_lists() {
    let bytes = CA.crl(["26", "27"], &[], &[]);
    let list = Crl::parse(&bytes).unwrap();
    let cert_sign_only = extension(crate::x509::extension::KEY_USAGE, true, &[3, 2, 2, 4]);
    let extensions = [ca_constraints(None), cert_sign_only];
    let issuer = CA.issue("Issuer", &CA.spki(), ["20", "30"], &extensions);
    let issuer = Certificate::parse(&issuer).unwrap();
    let error = list.verify(&issuer, Sha1::Refused, &SignatureCache::new());
    let expected = CrlError::IssuerUsage("keyCertSign".into());
    assert_eq!(error.unwrap_err(), expected);
}

#[test]
fn delta_indirect_and_partial_lists_are_refused_by_name() {
    let with = |oid: &[u8], critical, value: &[u8]| {
        CA.crl(["26", "27"], &[&[7]], &[extension(oid, critical, value)])
    };
    assert!(text(&with(DELTA, true, &[2, 1, 1])).contains("a delta list"));
    for (part, name) in [
        (&[0x84, 1, 0xff][..], "an indirect list"),
        (&[0x85, 1, 0xff], "a list of attribute certificates"),
        (&[0x83, 2, 0, 0x40], "a list of some reasons only"),
        (&[0x86, 1, 0xff], "tag 0x86"),
        (&[0x84, 1, 0x01], "00 or FF"),
    ] {
        for critical in [false, true] {
            let list = with(ISSUING_POINT, critical, &tlv(0x30, &[part]));
            assert!(text(&list).contains(name), "{}", text(&list));
        }
    }
    let absent = with(
        ISSUING_POINT,
        true,
        &tlv(0x30, &[&[0x84, 1, 0, 0x85, 1, 0]]),
    );
    assert!(Crl::parse(&absent).is_ok());
    let unknown = text(&with(&[0x2a, 3], true, &[5, 0]));
    assert!(unknown.contains("critical extension 1.2.3"), "{unknown}");
    assert!(Crl::parse(&with(&[0x2a, 3], false, &[5, 0])).is_ok());
    assert!(Crl::parse(&with(CRL_NUMBER, true, &[2, 1, 1])).is_ok());
}

#[test]
fn extensions_of_entries_are_read() {
    let with = |oid: &[u8], critical, value: &[u8]| {
        let list = tlv(0x30, &[&extension(oid, critical, value)]);
        let entry = tlv(0x30, &[&[2, 1, 7], &date("21"), &list]);
        CA.crl_of(["26", "27"], &entry, &[])
    };
    let held = with(REASON, false, &[der::ENUMERATED, 1, 6]);
    assert_eq!(status(&held, &leaf(&[7], &[])), Ok(Status::Revoked));
    assert!(Crl::parse(&with(INVALIDITY_DATE, true, &[5, 0])).is_ok());
    assert!(text(&with(REASON, false, REASON_REMOVE)).contains("delta list"));
    assert!(text(&with(CERTIFICATE_ISSUER, true, &[5, 0])).contains("an indirect list"));
    assert!(text(&with(&[0x2a, 3], true, &[5, 0])).contains("critical extension 1.2.3"));
    assert!(Crl::parse(&with(&[0x2a, 3], false, &[5, 0])).is_ok());
}

#[test]
fn a_list_of_leaves_or_cas_answers_for_those_only() {
    let list = |part: &[u8]| {
        let scope = extension(ISSUING_POINT, true, &tlv(0x30, &[part]));
        CA.crl(["26", "27"], &[&[7]], &[scope])
    };
    let (end, ca) = (leaf(&[6], &[]), leaf(&[6], &[ca_constraints(None)]));
    let outside = Ok(Status::Unknown(Unknown::OutOfScope));
    let (ends, cas) = (list(&[0x81, 1, 0xff]), list(&[0x82, 1, 0xff]));
    assert_eq!(status(&ends, &end), Ok(Status::Good));
    assert_eq!(status(&ends, &ca), outside);
    assert_eq!(status(&cas, &ca), Ok(Status::Good));
    assert_eq!(status(&cas, &end), outside);
    assert_eq!(status(&cas, &leaf(&[7], &[])), Ok(Status::Revoked));
}

#[test]
fn a_partitioned_list_answers_for_certificates_that_name_it() {
    let point = |address: &[u8]| tlv(0xa0, &[&tlv(0xa0, &[&tlv(0x86, &[address])])]);
    let scope = extension(ISSUING_POINT, true, &tlv(0x30, &[&point(b"one")]));
    let list = CA.crl(["26", "27"], &[], &[scope]);
    let points = |addresses: &[&[u8]]| {
        let entries: Vec<Vec<u8>> = addresses
            .iter()
            .map(|address| tlv(0x30, &[&point(address)]))
            .collect();
        extension(CRL_POINTS, false, &tlv(0x30, &[&entries.concat()]))
    };
    let outside = Ok(Status::Unknown(Unknown::OutOfScope));
    assert_eq!(
        status(&list, &leaf(&[6], &[points(&[b"two", b"one"])])),
        Ok(Status::Good)
    );
    assert_eq!(status(&list, &leaf(&[6], &[points(&[b"two"])])), outside);
    assert_eq!(status(&list, &leaf(&[6], &[])), outside);
}

#[test]
fn version_dates_and_algorithms_are_strict() {
    let good = CA.crl(["26", "27"], &[&[7]], &[]);
    let tbs_of = |list: &[u8]| {
        let mut r = Der::new(list).enter("list", der::SEQUENCE).unwrap();
        r.take("tbs", der::SEQUENCE).unwrap().content.to_vec()
    };
    let tbs = tbs_of(&good);
    let resigned = |tbs: &[u8]| CA.signed(&tlv(0x30, &[tbs]));
    assert!(Crl::parse(&resigned(&tbs)).is_ok());
    assert!(text(&resigned(&[&[2, 1, 0], &tbs[3..]].concat())).contains("version"));
    assert!(Crl::parse(&resigned(&tbs[3..])).is_err(), "version 1");
    let next = date("27");
    let at = tbs.windows(next.len()).position(|w| w == next).unwrap();
    let without = [&tbs[..at], &tbs[at + next.len()..]].concat();
    assert!(Crl::parse(&resigned(&without)).is_err(), "no nextUpdate");
    let mut other = good.clone();
    let outer = good.windows(3).rposition(|w| w == [4, 3, 2]).unwrap();
    other[outer + 2] = 3;
    assert_eq!(
        Crl::parse(&other).unwrap_err(),
        X509Error::AlgorithmMismatch.into()
    );
    let twice = [(); 2].map(|()| extension(CRL_NUMBER, false, &[2, 1, 1]));
    assert!(text(&CA.crl(["26", "27"], &[], &twice)).contains("twice"));
}

#[test]
fn sizes_and_counts_are_capped() {
    assert_eq!(
        Crl::parse(&vec![0x30; CRL_BYTES_MAX + 1]).unwrap_err(),
        CrlError::TooLarge(CRL_BYTES_MAX + 1)
    );
    let entries = |count: usize| {
        let one = |n: usize| {
            let serial = [1, (n >> 16) as u8, (n >> 8) as u8, n as u8];
            tlv(0x30, &[&tlv(2, &[&serial]), &date("21")])
        };
        CA.crl_of(
            ["26", "27"],
            &(0..count).flat_map(one).collect::<Vec<u8>>(),
            &[],
        )
    };
    let full = entries(REVOKED_MAX);
    assert_eq!(Crl::parse(&full).unwrap().len(), REVOKED_MAX);
    assert_eq!(
        status(&full, &leaf(&[1, 0, 1, 2], &[])),
        Ok(Status::Revoked)
    );
    assert_eq!(
        Crl::parse(&entries(REVOKED_MAX + 1)).unwrap_err(),
        CrlError::TooMany
    );
}

#[test]
fn the_policy_decides_about_unknown_status() {
    let issuer = Certificate::parse(&ROOT).unwrap();
    let cache = SignatureCache::new();
    let leaf = leaf(&[7], &[]);
    let leaf = Certificate::parse(&leaf).unwrap();
    let check =
        |policy: Revocation<'_, '_>| policy.check(&leaf, &issuer, AT, Sha1::Refused, &cache);
    let bytes = [
        CA.crl(["26", "27"], &[], &[]),
        CA.crl(["24", "25"], &[], &[]),
        CA.crl(["24", "25"], &[&[7]], &[]),
        Ca::new("Issuer").crl(["26", "27"], &[], &[]),
        Ca::new("Other").crl(["26", "27"], &[&[7]], &[]),
    ];
    let [good, stale, revoked, forged, other] = bytes.each_ref().map(|b| Crl::parse(b).unwrap());
    let (stale_too, good_too) = (stale.clone(), good.clone());
    assert_eq!(check(Revocation::default()), Ok(()));
    assert_eq!(
        check(Revocation::listed(&[other.clone(), stale.clone()])),
        Ok(())
    );
    assert_eq!(
        check(Revocation::required(std::slice::from_ref(&good))),
        Ok(())
    );
    assert_eq!(check(Revocation::required(&[stale_too, good_too])), Ok(()));
    assert_eq!(
        check(Revocation::required(&[good.clone(), stale.clone()])),
        Ok(())
    );
    let unknown = |lists: &[Crl<'_>]| match check(Revocation::required(lists)) {
        Err(RevocationError::Unknown(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(&[]), Unknown::NoList);
    assert_eq!(unknown(&[other]), Unknown::NoList);
    let why = unknown(&[stale]);
    assert!(matches!(why, Unknown::Stale { .. }), "{why}");
    for lists in [[good.clone(), revoked.clone()], [revoked, good]] {
        for policy in [Revocation::listed(&lists), Revocation::required(&lists)] {
            let refused = check(policy);
            assert!(matches!(refused, Err(RevocationError::Revoked { .. })));
        }
    }
    let forged = check(Revocation::listed(&[forged]));
    assert!(matches!(
        forged,
        Err(RevocationError::Crl(CrlError::Signature(_)))
    ));
}

#[test]
fn every_flipped_byte_and_every_truncation_of_a_list_is_refused() {
    let good = CA.crl(
        ["26", "27"],
        &[&[7], &[1, 2]],
        &[extension(CRL_NUMBER, false, &[2, 1, 1])],
    );
    let certificate = leaf(&[6], &[]);
    assert_eq!(status(&good, &certificate), Ok(Status::Good));
    for at in 0..good.len() {
        for flip in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(status(&bad, &certificate).is_err(), "byte {at}");
        }
        assert!(Crl::parse(&good[..at]).is_err(), "cut at {at}");
    }
    assert!(Crl::parse(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn the_largest_size_is_still_parsed() {
    let refused = |size: usize| Crl::parse(&vec![0; size]).unwrap_err();
    let too_large = |error: &CrlError| matches!(error, CrlError::TooLarge(_));
    assert!(!too_large(&refused(CRL_BYTES_MAX)));
    assert!(too_large(&refused(CRL_BYTES_MAX + 1)));
}
