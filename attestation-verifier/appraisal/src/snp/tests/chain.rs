//! Root, intermediate and leaf: pins, signatures, names, constraints, dates, revocation.

use super::*;
use crate::snp::known;
use std::sync::Arc;

#[test]
fn every_flipped_byte_and_every_truncation_of_a_certificate_is_refused() {
    for which in 0..3 {
        let mut case = Case::genoa();
        let part = |case: &mut Case, bytes: Vec<u8>| match which {
            0 => case.leaf = bytes,
            1 => case.intermediate = bytes,
            _ => case.root = bytes,
        };
        let good = [&case.leaf, &case.intermediate, &case.root][which].clone();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            part(&mut case, bytes);
            assert!(case.run(Mode::Verify).1.is_none(), "{which}: flip {at}");
            assert!(
                Certificate::parse(&good[..at]).is_err(),
                "{which}: cut {at}"
            );
        }
    }
}

/// go-sev-guest #190: a root that only carries AMD's name.
#[test]
fn a_root_with_the_right_name_and_another_key_is_refused() {
    let forged = CaKey::generate();
    let mut case = Case::genoa();
    let shared = Authority::shared();
    case.root = CertificateSpec {
        spki: forged.spki(),
        ..shared.ark_spec(case.chip.product)
    }
    .sign(&forged);
    case.intermediate = shared.ask_spec(case.chip.product).sign(&forged);
    case.refused_by("snp-root-pinned");
    let mut case = Case::genoa();
    case.roots = SnpRoots::amd();
    case.refused_by("snp-root-pinned");
    case.roots = SnpRoots::test([]);
    case.refused_by("snp-root-pinned");
    assert!(
        SnpRoots::amd()
            .list()
            .iter()
            .all(|root| root.kind == RootKind::Amd)
    );
    assert_eq!(SnpRoots::amd().list().len(), 3);
}

#[test]
fn each_signature_of_the_chain_is_checked() {
    let other = CaKey::generate();
    let shared = Authority::shared();
    let mut case = Case::genoa();
    case.root = shared.ark_spec(case.chip.product).sign(&other);
    case.refused_by("snp-root-signature");
    let mut case = Case::genoa();
    case.intermediate = shared.ask_spec(case.chip.product).sign(&other);
    case.refused_by("snp-intermediate-signature");
    let mut case = Case::genoa();
    case.leaf = case.chip.vcek_spec().sign(&other);
    case.refused_by("snp-leaf-signature");
}

#[test]
fn other_schemes_and_key_sizes_of_a_certificate_are_refused() {
    let mut case = Case::genoa();
    case.leaf(|spec| spec.pss = false);
    case.refused_by("snp-leaf-signature");
    let mut case = Case::genoa();
    let small = CaKey::of_size(aws_lc_rs::rsa::KeySize::Rsa2048);
    case.ask(|spec| spec.spki = small.spki());
    case.leaf = case.chip.vcek_spec().sign(&small);
    case.refused_by("snp-leaf-signature");
}

#[test]
fn names_must_chain() {
    let mut case = Case::genoa();
    case.ark(|spec| spec.issuer = "ARK-Other".into());
    case.refused_by("snp-root-issuer");
    let mut case = Case::genoa();
    case.ask(|spec| spec.issuer = "ARK-Other".into());
    case.refused_by("snp-intermediate-issuer");
    let mut case = Case::genoa();
    case.leaf(|spec| spec.issuer = "SEV-Other".into());
    case.refused_by("snp-leaf-issuer");
}

/// An ASVK issues VLEKs and an ASK VCEKs; the root signed which is which.
#[test]
fn an_intermediate_of_another_role_or_product_is_refused() {
    for role in ["SEV-VLEK-Genoa", "SEV-Milan", "SEV-GENOA"] {
        let mut case = Case::genoa();
        case.ask(|spec| spec.subject = role.into());
        case.leaf(|spec| spec.issuer = role.into());
        case.refused_by("snp-intermediate-role");
    }
    let mut case = Case::vlek();
    case.ask(|_| {});
    case.leaf = CertificateSpec {
        issuer: "SEV-Genoa".into(),
        ..case.chip.vlek_spec()
    }
    .sign(&Authority::shared().ask);
    case.refused_by("snp-intermediate-role");
}

#[test]
fn constraints_of_each_certificate_are_read() {
    let no_ca = Extension::basic_constraints(false, None);
    let critical = Extension {
        critical: true,
        oid: vec![0x55, 0x1d, 0x1e],
        value: vec![],
    };
    let no_sign = Extension::key_usage(0x80);
    let too_short = Extension::basic_constraints(true, Some(0));
    let intermediate = [
        vec![],
        vec![no_ca.clone()],
        vec![too_short.clone(), no_sign.clone()],
        vec![too_short.clone(), critical.clone()],
    ];
    for extensions in intermediate {
        let mut case = Case::genoa();
        case.ask(|spec| spec.extensions = extensions);
        case.refused_by("snp-intermediate-constraints");
    }
    for extensions in [
        vec![],
        vec![no_ca.clone()],
        vec![too_short.clone()],
        vec![Extension::basic_constraints(true, None), no_sign],
    ] {
        let mut case = Case::genoa();
        case.ark(|spec| spec.extensions = extensions);
        case.refused_by("snp-root-constraints");
    }
    for extension in [too_short.clone(), critical, Extension::key_usage(0x04)] {
        let mut case = Case::genoa();
        case.leaf(|spec| spec.extensions.push(extension));
        case.refused_by("snp-leaf-constraints");
    }
    let mut case = Case::genoa();
    case.ark(|spec| spec.extensions = vec![Extension::basic_constraints(true, Some(1))]);
    case.ask(|spec| spec.extensions = vec![too_short]);
    case.leaf(|spec| spec.extensions.extend([no_ca, Extension::key_usage(0x80)]));
    case.authentic();
}

#[test]
fn each_certificate_is_judged_at_the_time_given() {
    let early = |spec: &mut CertificateSpec| spec.not_after = "261031235959Z".into();
    let late = |spec: &mut CertificateSpec| spec.not_before = "261101000001Z".into();
    let exact = |spec: &mut CertificateSpec| {
        spec.not_before = "261101000000Z".into();
        spec.not_after = "261101000000Z".into();
    };
    for change in [early, late] {
        let mut case = Case::genoa();
        case.ark(change);
        case.refused_by("snp-root-validity");
        let mut case = Case::genoa();
        case.ask(change);
        case.refused_by("snp-intermediate-validity");
        let mut case = Case::genoa();
        case.leaf(change);
        case.refused_by("snp-leaf-validity");
    }
    let mut case = Case::genoa();
    case.ark(exact);
    case.ask(exact);
    case.leaf(exact);
    case.authentic();
    let (checks, _) = case.run(Mode::Explain);
    let check = checks.list().iter().find(|c| c.name == "snp-leaf-validity");
    assert_eq!(check.unwrap().actual, "1793491200");
}

#[test]
fn a_refused_constraint_is_named() {
    let actual = |extensions: Vec<Extension>| {
        let mut case = Case::genoa();
        case.ask(|spec| spec.extensions = extensions);
        let (checks, _) = case.run(Mode::Explain);
        let mut list = checks.list().iter();
        let check = list.find(|c| c.name == "snp-intermediate-constraints");
        check.unwrap().actual.to_owned()
    };
    let ca = |path| Extension::basic_constraints(true, path);
    // A bit string cannot leave eight bits of its last byte unused.
    let mut eight_unused = Extension::key_usage(0x04);
    eight_unused.value[2] = 8;
    assert_eq!(actual(vec![]), "no CA");
    assert_eq!(
        actual(vec![ca(Some(0)), Extension::key_usage(0x80)]),
        "keyUsage digitalSignature without keyCertSign"
    );
    assert_eq!(
        actual(vec![ca(Some(0)), eight_unused]),
        "keyUsage: expected 0 to 7 unused bits, got 8"
    );
    let mut case = Case::genoa();
    case.ark(|spec| spec.extensions = vec![ca(Some(0))]);
    let (checks, _) = case.run(Mode::Explain);
    let mut list = checks.list().iter();
    let check = list.find(|c| c.name == "snp-root-constraints").unwrap();
    assert_eq!(check.actual, "pathLenConstraint Some(0)");
}

#[test]
fn revocation_is_asked_whenever_a_list_is_there_and_undecided_when_one_is_missing() {
    let mut case = Case::genoa();
    case.list = Some(Listed::Revoked(true));
    case.refused_by("snp-revocation");
    case.list = Some(Listed::Unusable);
    case.refused_by("snp-revocation");
    case.list = Some(Listed::Revoked(false));
    case.authentic();
    case.required = true;
    case.authentic();
    case.list = None;
    case.refused_by("snp-revocation");
    let (checks, _) = case.run(Mode::Explain);
    assert_eq!(
        checks
            .list()
            .iter()
            .find(|c| c.name == "snp-revocation")
            .unwrap()
            .outcome,
        Outcome::Undecided
    );
}

#[test]
fn broken_certificates_are_named() {
    let mut case = Case::genoa();
    case.intermediate.pop();
    assert_eq!(case.failed(), ["snp-intermediate-structure"]);
    let mut case = Case::genoa();
    case.root.push(0);
    assert_eq!(case.failed(), ["snp-root-structure"]);
    let mut case = Case::genoa();
    case.report.clear();
    assert_eq!(case.failed(), ["snp-report-structure"]);
}

#[test]
fn a_chain_alone_yields_the_key_it_endorses() {
    let endorsed = |case: &Case| {
        let mut checks = Checks::new(Mode::Verify);
        let certificates = case.certificates();
        let trust = Trust {
            roots: &case.roots,
            at: case.at,
            revocation: Revocation::default(),
            cache: &ChainCache::new(),
        };
        verify::endorsement(&mut checks, certificates, &trust)
    };
    let mut case = Case::genoa();
    let key = endorsed(&case).unwrap().unwrap();
    assert_eq!(
        (key.product(), key.root_kind(), key.kind()),
        (Product::Genoa, RootKind::Test, KeyKind::Vcek)
    );
    assert_eq!(
        (key.tcb().microcode, key.hardware_id()),
        (219, Some(&case.chip.chip_id))
    );
    case.leaf(|spec| spec.not_after = "250101000000Z".into());
    assert_eq!(endorsed(&case).unwrap_err().0.name, "snp-leaf-validity");
    case.leaf.clear();
    assert_eq!(endorsed(&case).unwrap_err().0.name, "snp-leaf-structure");
}

/// What was found before is shown as it was found.
#[test]
fn a_chain_is_remembered_once_with_all_its_checks() {
    let (of_both, cases) = (ChainCache::new(), [Case::genoa(), Case::vlek()]);
    for case in &cases {
        assert!(case.run_with(&of_both, Mode::Verify).1.is_some());
    }
    assert_eq!(of_both.len(), 2);
    for case in cases {
        let cache = ChainCache::new();
        let (first, report) = case.run_with(&cache, Mode::Explain);
        assert_eq!((cache.len(), cache.is_empty()), (1, false));
        let kept = || cache.get(&known::id(case.certificates())).unwrap();
        let learnt = kept();
        let (again, recalled) = case.run_with(&cache, Mode::Verify);
        assert_eq!((again.list(), recalled), (first.list(), report));
        assert!(again.passed() && cache.len() == 1);
        assert!(Arc::ptr_eq(&learnt, &kept()), "learnt twice");
    }
}

#[test]
fn a_remembered_chain_is_pinned_dated_and_asked_for_revocation_again() {
    let mut case = Case::genoa();
    let cache = ChainCache::new();
    assert!(case.run_with(&cache, Mode::Verify).1.is_some());
    let refused = |case: &Case, expected: &[&str]| {
        let (checks, report) = case.run_with(&cache, Mode::Explain);
        assert_eq!(failed(&checks), expected);
        assert!(report.is_none() && case.run_with(&cache, Mode::Verify).1.is_none());
        assert_eq!(cache.len(), 1, "it was another chain");
    };
    let trusted = core::mem::replace(&mut case.roots, SnpRoots::amd());
    refused(&case, &["snp-root-pinned"]);
    // The same key as the root of another product.
    let spki = Authority::shared().ark.spki();
    case.roots = SnpRoots::test([(Product::Turin, spki.as_slice())]);
    let expected = [
        "snp-intermediate-role",
        "snp-leaf-product",
        "snp-report-product",
        "snp-tcb-layout",
    ];
    refused(&case, &expected);
    case.roots = trusted;
    case.list = Some(Listed::Revoked(true));
    refused(&case, &["snp-revocation"]);
    (case.list, case.required) = (None, true);
    refused(&case, &["snp-revocation"]);
    (case.at, case.required) = (UnixMs(0), false);
    let expected = [
        "snp-root-validity",
        "snp-intermediate-validity",
        "snp-leaf-validity",
    ];
    refused(&case, &expected);
}

#[test]
fn a_chain_is_remembered_only_when_everything_in_it_held() {
    let cache = ChainCache::new();
    let mut unpinned = Case::genoa();
    unpinned.roots = SnpRoots::amd();
    let mut unsigned = Case::genoa();
    *unsigned.leaf.last_mut().unwrap() ^= 1;
    let mut foreign = Case::genoa();
    foreign.leaf(|spec| spec.subject = "SEV-VLEK".into());
    let mut issuer = Case::genoa();
    issuer.ask(|spec| spec.issuer = "ARK-Other".into());
    for case in [unpinned, unsigned, foreign, issuer] {
        assert!(case.run_with(&cache, Mode::Explain).1.is_none());
        assert!(cache.is_empty());
    }
}

/// A chain read as the other kind, or cut in another place, is another chain.
#[test]
fn a_remembered_chain_is_of_these_certificates_in_this_order() {
    let certificates =
        |kind, leaf: &'static [u8], intermediate: &'static [u8], root| Certificates {
            kind,
            leaf,
            intermediate,
            root,
        };
    let base = known::id(certificates(KeyKind::Vcek, b"leaf", b"ask", b"ark"));
    let others = [
        certificates(KeyKind::Vlek, b"leaf", b"ask", b"ark"),
        certificates(KeyKind::Vcek, b"leafa", b"sk", b"ark"),
        certificates(KeyKind::Vcek, b"leaf", b"aska", b"rk"),
        certificates(KeyKind::Vcek, b"leaf", b"ask", b"arl"),
    ];
    for other in others {
        assert_ne!(base, known::id(other));
    }
}

/// Certificates repeat: a second report of the same chip costs one signature.
#[test]
fn signatures_of_a_chain_are_remembered_and_its_dates_are_not() {
    let mut case = Case::genoa();
    case.authentic();
    case.at = UnixMs(0);
    let expected = [
        "snp-root-validity",
        "snp-intermediate-validity",
        "snp-leaf-validity",
    ];
    assert_eq!(case.failed(), expected);
}
