//! What a certificate may look like.

use super::*;
use crate::x509::testing::{Ca, Subject, extension, name, tlv};
use std::sync::LazyLock;

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("Issuer"));

fn with(serial: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let (name, spki, years) = (name("x"), &CA.spki(), ["20", "30"]);
    CA.certify(&Subject {
        serial,
        name,
        spki,
        years,
        extensions,
    })
}

#[test]
fn what_is_parsed_is_what_was_received() {
    let der = with(&[0], &[extension(&[0x2a], true, &[5, 0])]);
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.bytes, der);
    assert_eq!(
        (certificate.issuer, certificate.subject),
        (&name("Issuer")[..], &name("x")[..])
    );
    assert_eq!(certificate.serial, [0], "AMD's serial number");
    assert_eq!(certificate.spki, CA.spki());
    let expected = Extension {
        oid: &[0x2a],
        critical: true,
        value: &[5, 0],
    };
    assert_eq!(certificate.extension(&[0x2a]), Some(&expected));
    assert_eq!(certificate.extension(&[0x2b]), None);
    assert!(!certificate.is_self_issued());
    assert!(
        Certificate::parse(&CA.certificate())
            .unwrap()
            .is_self_issued()
    );
}

#[test]
fn sizes_and_counts_are_capped() {
    let long = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
    let (max, actual) = (CERTIFICATE_BYTES_MAX, CERTIFICATE_BYTES_MAX + 1);
    assert_eq!(
        Certificate::parse(&long),
        Err(X509Error::TooLarge { max, actual })
    );
    let full = |size: usize| {
        let filler = extension(&[0x2a], false, &vec![0; size]);
        let der = with(&[5], &[filler]);
        (der.len(), Certificate::parse(&der).is_ok())
    };
    let overhead = full(8_000).0 - 8_000;
    let (largest, parsed) = full(CERTIFICATE_BYTES_MAX - overhead - 8);
    assert!(largest <= CERTIFICATE_BYTES_MAX && parsed);
    assert!(Certificate::parse(&with(&[1; SERIAL_BYTES_MAX], &[])).is_ok());
    assert!(Certificate::parse(&with(&[1; SERIAL_BYTES_MAX + 1], &[])).is_err());
    assert!(Certificate::parse(&with(&[], &[])).is_err());
    let extensions = |count: u8| -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| extension(&[0x2a, n], false, &[]))
            .collect()
    };
    assert!(Certificate::parse(&with(&[5], &extensions(32))).is_ok());
    assert!(Certificate::parse(&with(&[5], &extensions(33))).is_err());
}

#[test]
fn only_version_3_is_taken() {
    let good = with(&[5], &[]);
    let tbs = Certificate::parse(&good).unwrap().tbs;
    let content = Der::new(tbs)
        .enter("tbs", der::SEQUENCE)
        .unwrap()
        .rest()
        .to_vec();
    assert_eq!(content[..5], [0xa0, 3, 2, 1, 2]);
    let resigned = |content: &[u8]| CA.signed(&tlv(0x30, &[content]));
    assert!(Certificate::parse(&resigned(&content)).is_ok());
    assert!(
        Certificate::parse(&resigned(&content[5..])).is_err(),
        "version 1"
    );
    for version in [0, 1, 3] {
        let mut other = content.clone();
        other[4] = version;
        assert!(Certificate::parse(&resigned(&other)).is_err(), "{version}");
    }
    let trailing = [&content[..], &[5, 0]].concat();
    assert!(Certificate::parse(&resigned(&trailing)).is_err());
}

#[test]
fn the_signed_algorithm_must_be_the_one_outside() {
    let mut der = with(&[5], &[]);
    let at = der.windows(4).rposition(|w| w == [0x3d, 4, 3, 2]).unwrap();
    der[at + 3] = 3;
    assert_eq!(Certificate::parse(&der), Err(X509Error::AlgorithmMismatch));
}

fn scheme_of(content: &[u8]) -> Result<Scheme, X509Error> {
    let bytes = tlv(0x30, &[content]);
    let mut r = Der::new(&bytes);
    scheme(r.take("algorithm", der::SEQUENCE).unwrap())
}

#[test]
fn algorithms_are_known_by_their_identifier() {
    let rsa = |last: u8| tlv(6, &[RSA_ARC, &[last]]);
    let ecdsa = |last: u8| tlv(6, &[ECDSA_ARC, &[last]]);
    let null = [5, 0];
    for (content, expected) in [
        (
            [rsa(5), null.to_vec()].concat(),
            Scheme::RsaPkcs1(HashAlg::Sha1),
        ),
        (
            [rsa(11), null.to_vec()].concat(),
            Scheme::RsaPkcs1(HashAlg::Sha256),
        ),
        (rsa(12), Scheme::RsaPkcs1(HashAlg::Sha384)),
        (rsa(13), Scheme::RsaPkcs1(HashAlg::Sha512)),
        (ecdsa(2), Scheme::Ecdsa(HashAlg::Sha256)),
        (ecdsa(3), Scheme::Ecdsa(HashAlg::Sha384)),
        (ecdsa(4), Scheme::Ecdsa(HashAlg::Sha512)),
        (tlv(6, &[ECDSA_SHA1]), Scheme::Ecdsa(HashAlg::Sha1)),
        (tlv(6, &[ED25519]), Scheme::Ed25519),
    ] {
        assert_eq!(scheme_of(&content), Ok(expected));
        assert!(scheme_of(&[&content[..], &[2, 1, 0]].concat()).is_err());
    }
    for unknown in [rsa(4), rsa(14), ecdsa(1), tlv(6, &[&[0x2a, 3]])] {
        assert!(matches!(scheme_of(&unknown), Err(X509Error::Algorithm(_))));
    }
}

#[test]
fn pss_parameters_must_be_one_hash_and_its_salt() {
    let hash = |last: u8| tlv(0x30, &[&tlv(6, &[SHA2_ARC, &[last]]), &[5, 0]]);
    let params = |digest: u8, generator: &[u8], of: u8, salt: u8, trailer: &[u8]| {
        let mgf = tlv(0x30, &[&tlv(6, &[generator]), &hash(of)]);
        let parts = [
            tlv(0xa0, &[&hash(digest)]),
            tlv(0xa1, &[&mgf]),
            tlv(0xa2, &[&[2, 1, salt]]),
        ];
        let list = tlv(0x30, &[&parts.concat(), trailer]);
        scheme_of(&[tlv(6, &[RSA_ARC, &[10]]), list].concat())
    };
    assert_eq!(
        params(2, MGF1, 2, 48, &[]),
        Ok(Scheme::RsaPss(HashAlg::Sha384))
    );
    assert_eq!(
        params(1, MGF1, 1, 32, &[]),
        Ok(Scheme::RsaPss(HashAlg::Sha256))
    );
    assert_eq!(
        params(3, MGF1, 3, 64, &[0xa3, 3, 2, 1, 1]),
        Ok(Scheme::RsaPss(HashAlg::Sha512))
    );
    assert!(params(2, MGF1, 1, 48, &[]).is_err(), "another hash in MGF1");
    assert!(params(4, MGF1, 4, 28, &[]).is_err(), "SHA-224");
    assert!(params(4, MGF1, 4, 20, &[]).is_err(), "no SHA-1 either");
    assert!(params(2, MGF1, 2, 32, &[]).is_err(), "another salt");
    assert!(params(2, &[0x2a], 2, 48, &[]).is_err(), "another generator");
    assert!(
        params(2, MGF1, 2, 48, &[0xa3, 3, 2, 1, 2]).is_err(),
        "another trailer"
    );
    assert!(params(9, MGF1, 9, 48, &[]).is_err(), "an unknown hash");
    assert!(
        scheme_of(&tlv(6, &[RSA_ARC, &[10]])).is_err(),
        "SHA-1 by default"
    );
}
