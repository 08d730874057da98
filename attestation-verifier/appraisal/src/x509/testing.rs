//! Certificates and lists for tests, in a few lines of DER. This file stands alone: other crates' tests and the
//! seeds of the fuzz targets include it by its path.
#![allow(dead_code)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
pub(crate) const PURPOSES: &[u8] = &[0x55, 0x1d, 0x25];
/// keyCertSign and cRLSign.
pub(crate) const USAGE_CA: &[u8] = &[3, 2, 1, 0x06];
/// tcg-kp-EKCertificate, as DER.
pub(crate) const EKU_EK: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01];

pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        256..=65_535 => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        _ => vec![
            tag,
            0x83,
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
        ],
    };
    [head, content].concat()
}

/// A name with this common name; the empty name for an empty one.
pub(crate) fn name(common: &str) -> Vec<u8> {
    if common.is_empty() {
        return vec![0x30, 0];
    }
    named(&[0x55, 4, 3], common)
}

/// A name of one attribute.
pub(crate) fn named(oid: &[u8], value: &str) -> Vec<u8> {
    let attribute = tlv(0x30, &[&tlv(6, &[oid]), &tlv(0x0c, &[value.as_bytes()])]);
    tlv(0x30, &[&tlv(0x31, &[&attribute])])
}

pub(crate) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&tlv(6, &[oid]), critical, &tlv(4, &[value])])
}

/// basicConstraints of a CA.
pub(crate) fn ca_constraints(path_length: Option<u8>) -> Vec<u8> {
    let limit = path_length.map(|n| tlv(2, &[&[n]])).unwrap_or_default();
    extension(
        BASIC_CONSTRAINTS,
        true,
        &tlv(0x30, &[&[1, 1, 0xff], &limit]),
    )
}

/// What a CA carries.
pub(crate) fn ca_extensions() -> Vec<Vec<u8>> {
    vec![ca_constraints(None), extension(KEY_USAGE, true, USAGE_CA)]
}

pub(crate) fn date(year: &str) -> Vec<u8> {
    tlv(0x17, &[format!("{year}0101000000Z").as_bytes()])
}

pub(crate) fn spki_p256(key: &EcdsaKeyPair) -> Vec<u8> {
    let algorithm = tlv(
        0x30,
        &[
            &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
            &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        ],
    );
    tlv(
        0x30,
        &[&algorithm, &tlv(3, &[&[0], key.public_key().as_ref()])],
    )
}

fn ecdsa_sha256() -> Vec<u8> {
    tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])
}

/// What is certified.
pub(crate) struct Subject<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) name: Vec<u8>,
    pub(crate) spki: &'a [u8],
    pub(crate) years: [&'a str; 2],
    pub(crate) extensions: &'a [Vec<u8>],
}

/// A certification authority with a P-256 key.
pub(crate) struct Ca {
    pub(crate) name: String,
    pub(crate) key: EcdsaKeyPair,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let name = name.into();
        Self { name, key }
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        spki_p256(&self.key)
    }

    pub(crate) fn certify(&self, subject: &Subject<'_>) -> Vec<u8> {
        let tbs = tlv(
            0x30,
            &[
                &tlv(0xa0, &[&[2, 1, 2]]),
                &tlv(2, &[subject.serial]),
                &ecdsa_sha256(),
                &name(&self.name),
                &tlv(0x30, &[&date(subject.years[0]), &date(subject.years[1])]),
                &subject.name,
                subject.spki,
                &tlv(0xa3, &[&tlv(0x30, &[&subject.extensions.concat()])]),
            ],
        );
        self.signed(&tbs)
    }

    pub(crate) fn signed(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), tbs).unwrap();
        let signature = tlv(3, &[&[0], signature.as_ref()]);
        tlv(0x30, &[tbs, &ecdsa_sha256(), &signature])
    }

    /// A certificate with serial number 5.
    pub(crate) fn issue(
        &self,
        subject: &str,
        spki: &[u8],
        years: [&str; 2],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let name = name(subject);
        let serial = &[5];
        self.certify(&Subject {
            serial,
            name,
            spki,
            years,
            extensions,
        })
    }

    /// This CA certified by itself.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.issue(&self.name, &self.spki(), ["20", "30"], &ca_extensions())
    }

    /// `other` certified by this one.
    pub(crate) fn certify_ca(&self, other: &Ca) -> Vec<u8> {
        self.issue(&other.name, &other.spki(), ["20", "30"], &ca_extensions())
    }

    /// A list from January of the first year to January of the second.
    pub(crate) fn crl(
        &self,
        years: [&str; 2],
        serials: &[&[u8]],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let entry = |serial: &&[u8]| tlv(0x30, &[&tlv(2, &[serial]), &date("21")]);
        let entries: Vec<Vec<u8>> = serials.iter().map(entry).collect();
        self.crl_of(years, &entries.concat(), extensions)
    }

    /// A list with these entries, as DER.
    pub(crate) fn crl_of(
        &self,
        years: [&str; 2],
        entries: &[u8],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let list = |tag, content: &[u8]| match content {
            [] => Vec::new(),
            content => tlv(tag, &[content]),
        };
        let inner = list(0x30, &extensions.concat());
        let tbs = tlv(
            0x30,
            &[
                &[2, 1, 1],
                &ecdsa_sha256(),
                &name(&self.name),
                &date(years[0]),
                &date(years[1]),
                &list(0x30, entries),
                &list(0xa0, &inner),
            ],
        );
        self.signed(&tbs)
    }
}
